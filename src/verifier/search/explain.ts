// SPDX-License-Identifier: GPL-2.0-only
import { baseType, RegType } from "../../kernel/bpf-types.js";
import type { VerifierEnv } from "../env.js";
import type { Comparison, Difference } from "../events.js";
import { isMayGotoInsn } from "../kinds/insn.js";
import { tnumIn } from "../num/tnum.js";
import { slt, ult } from "../num/u64.js";
import type { FuncState } from "../state/frame.js";
import { resetIdmapScratch } from "../state/ids.js";
import { regStateStr, slotTypesStr } from "../state/print.js";
import {
  BPF_ADD_CONST,
  R_FRAMENO,
  R_ID,
  R_MASK_LO,
  R_OFF,
  R_REF_OBJ_ID,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_LO,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_LO,
  R_UMIN_LO,
  R_VAL_LO,
  regAt,
  STACK_INVALID,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
  slotAt,
  slotType,
} from "../state/reg.js";
import type { VerifierState } from "../state/vstate.js";
import { frameInsnIdx } from "../track/explored.js";
import { incompleteReadMarks } from "../track/scc-visit.js";
import { comparedRegs, EXACT, NOT_EXACT, RANGE_WITHIN, refsafe, regsafe, stackSlotSafe } from "./equal.js";

/*
 * Why states are not equal. Comparing states is the verifier's hottest work and only answers yes or no; when somebody
 * listens, a comparison that failed is done again here, slowly, to find out what made it fail.
 */

const COMPARISONS: Readonly<Record<number, Comparison>> = {
  [NOT_EXACT]: "not_exact",
  [EXACT]: "exact",
  [RANGE_WITHIN]: "range_within",
};

/** Bounds with their first words; 64-bit ones take two. Of a minimum the current one may be greater. */
const BOUNDS = [
  { field: "umin_value", at: R_UMIN_LO, words: 2, signed: false, min: true },
  { field: "umax_value", at: R_UMAX_LO, words: 2, signed: false, min: false },
  { field: "smin_value", at: R_SMIN_LO, words: 2, signed: true, min: true },
  { field: "smax_value", at: R_SMAX_LO, words: 2, signed: true, min: false },
  { field: "u32_min_value", at: R_U32_MIN, words: 1, signed: false, min: true },
  { field: "u32_max_value", at: R_U32_MAX, words: 1, signed: false, min: false },
  { field: "s32_min_value", at: R_S32_MIN, words: 1, signed: true, min: true },
  { field: "s32_max_value", at: R_S32_MAX, words: 1, signed: true, min: false },
] as const;

type Bound = (typeof BOUNDS)[number];

/** Whether the current bound lies outside the saved one. */
function outside(bound: Bound, om: Int32Array, o: number, cm: Int32Array, c: number): boolean {
  const { at, words, signed, min } = bound;
  const oldLo = om[o + at]!;
  const curLo = cm[c + at]!;
  const oldHi = words === 2 ? om[o + at + 1]! : signed ? oldLo >> 31 : 0;
  const curHi = words === 2 ? cm[c + at + 1]! : signed ? curLo >> 31 : 0;
  const less = signed ? slt : ult;
  return min ? less(curLo, curHi, oldLo, oldHi) : less(oldLo, oldHi, curLo, curHi);
}

function sameWords(om: Int32Array, o: number, cm: Int32Array, c: number, at: number, count: number): boolean {
  for (let i = at; i < at + count; i++) if (om[o + i] !== cm[c + i]) return false;
  return true;
}

/** Name of the union's member. */
function unionField(base: number): string {
  switch (base) {
    case RegType.PTR_TO_PACKET:
    case RegType.PTR_TO_PACKET_META:
      return "range";
    case RegType.PTR_TO_MEM:
      return "mem_size";
    case RegType.CONST_PTR_TO_MAP:
    case RegType.PTR_TO_MAP_KEY:
    case RegType.PTR_TO_MAP_VALUE:
      return "map_ptr";
    case RegType.PTR_TO_BTF_ID:
      return "btf_id";
    case RegType.PTR_TO_FUNC:
      return "subprogno";
    default:
      return "raw";
  }
}

/** Types of which ranges need only be covered. */
const RANGED: ReadonlySet<number> = new Set([
  RegType.SCALAR_VALUE,
  RegType.PTR_TO_MAP_KEY,
  RegType.PTR_TO_MAP_VALUE,
  RegType.PTR_TO_MEM,
  RegType.PTR_TO_BUF,
  RegType.PTR_TO_TP_BUFFER,
  RegType.PTR_TO_PACKET,
  RegType.PTR_TO_PACKET_META,
]);

/** The first member that keeps the register at `o` from covering the one at `c`, given that it does not. */
function differingField(env: VerifierEnv, om: Int32Array, o: number, cm: Int32Array, c: number, exact: number): string {
  const type = om[o + R_TYPE]!;
  if (type !== cm[c + R_TYPE]) return "type";
  const base = baseType(type);
  const scalar = base === RegType.SCALAR_VALUE;
  const bitwise = exact === EXACT || !RANGED.has(base) || (scalar && env.exploreAluLimits);
  const linked = ((om[o + R_ID]! | cm[c + R_ID]!) & BPF_ADD_CONST) !== 0;
  if ((bitwise || !scalar || linked) && om[o + R_OFF] !== cm[c + R_OFF]) return "off";
  const packet = base === RegType.PTR_TO_PACKET || base === RegType.PTR_TO_PACKET_META;
  if (packet && !bitwise) {
    const saved = om[o + R_U0]!;
    const current = cm[c + R_U0]!;
    if (saved < 0 || current < 0 ? saved !== current : saved > current) return "range";
  } else if ((bitwise || !scalar) && !sameWords(om, o, cm, c, R_U0, 3)) return unionField(base);
  if (base === RegType.PTR_TO_STACK && om[o + R_FRAMENO] !== cm[c + R_FRAMENO]) return "frameno";
  for (const bound of BOUNDS) {
    if (bitwise ? !sameWords(om, o, cm, c, bound.at, bound.words) : outside(bound, om, o, cm, c)) return bound.field;
  }
  const known = bitwise
    ? sameWords(om, o, cm, c, R_VAL_LO, 2) && sameWords(om, o, cm, c, R_MASK_LO, 2)
    : tnumIn(om, o, cm, c);
  if (!known) return "var_off";
  return om[o + R_ID] === cm[c + R_ID] && om[o + R_REF_OBJ_ID] !== cm[c + R_REF_OBJ_ID] ? "ref_obj_id" : "id";
}

function regText(env: VerifierEnv, frame: FuncState, o: number): string {
  return frame.mem[o + R_TYPE] === RegType.NOT_INIT ? "" : regStateStr(env, frame, frame.mem, o);
}

/** What makes a slot of the current stack unlike the kept one's. */
function slotDifference(
  env: VerifierEnv,
  old: FuncState,
  cur: FuncState,
  o: number,
  exact: number,
): Pick<Difference, "field" | "saved" | "current"> {
  const om = old.mem;
  const has = o < slotAt(cur.allocatedStack >> 3);
  const types = { saved: slotTypesStr(om, o), current: has ? slotTypesStr(cur.mem, o) : "????????" };
  if (!has) return { field: "slot_type", ...types };
  for (let i = 0; i < 8; i++) {
    const saved = slotType(om, o, i);
    const current = slotType(cur.mem, o, i);
    if (saved === current) continue;
    const any = saved === STACK_INVALID || (env.allowUninitStack && saved === STACK_MISC);
    if (exact === NOT_EXACT && (any || (saved === STACK_MISC && current === STACK_ZERO))) continue;
    return { field: "slot_type", ...types };
  }
  if (slotType(om, o, 7) !== STACK_SPILL) return { field: "raw", ...types };
  return {
    field: differingField(env, om, o, cur.mem, o, exact),
    saved: regText(env, old, o),
    current: regText(env, cur, o),
  };
}

function frameDifference(
  env: VerifierEnv,
  old: FuncState,
  cur: FuncState,
  insnIdx: number,
  exact: number,
): Omit<Difference, "comparison"> | null {
  if (old.callbackDepth > cur.callbackDepth) return { what: "depth" };
  const live = comparedRegs(env, insnIdx, exact);
  for (let i = 0; i < 11; i++) {
    const o = regAt(i);
    if (((live >> i) & 1) === 0 || regsafe(env, old.mem, o, cur.mem, o, exact)) continue;
    const field = differingField(env, old.mem, o, cur.mem, o, exact);
    return { what: "register", register: `r${i}`, field, saved: regText(env, old, o), current: regText(env, cur, o) };
  }
  for (let spi = 0; spi < old.allocatedStack >> 3; spi++) {
    const o = slotAt(spi);
    if (stackSlotSafe(env, old.mem, cur.mem, o, spi < cur.allocatedStack >> 3, exact)) continue;
    return { what: "slot", fp: -(spi + 1) * 8, ...slotDifference(env, old, cur, o, exact) };
  }
  return null;
}

/** What statesEqual() stumbles over, null when it does not. */
function explain(env: VerifierEnv, old: VerifierState, cur: VerifierState, exact: number): Difference | null {
  const comparison = COMPARISONS[exact]!;
  if (old.curframe !== cur.curframe) return { comparison, what: "calls" };
  resetIdmapScratch(env);
  if (old.speculative && !cur.speculative) return { comparison, what: "speculative" };
  if (old.inSleepable !== cur.inSleepable) return { comparison, what: "sleepable" };
  if (!refsafe(old, cur)) return { comparison, what: "refs" };
  for (let i = 0; i <= old.curframe; i++) {
    const oldFrame = old.frame[i]!;
    const curFrame = cur.frame[i]!;
    if (oldFrame.callsite !== curFrame.callsite) return { comparison, what: "calls", frame: i };
    const found = frameDifference(env, oldFrame, curFrame, frameInsnIdx(old, i), exact);
    if (found !== null) return { comparison, frame: i, ...found };
  }
  return null;
}

/** Registers that differ in nothing but numbers of ids, or that nobody reads any more. */
function unreadDifference(env: VerifierEnv, old: VerifierState, cur: VerifierState): Difference | null {
  const oldFrame = old.cur();
  const curFrame = cur.cur();
  for (let i = 0; i < 11; i++) {
    const o = regAt(i);
    if (sameWords(oldFrame.mem, o, curFrame.mem, o, 0, R_FRAMENO)) continue;
    return {
      comparison: "exact",
      what: "register",
      frame: old.curframe,
      register: `r${i}`,
      field: differingField(env, oldFrame.mem, o, curFrame.mem, o, EXACT),
      saved: regText(env, oldFrame, o),
      current: regText(env, curFrame, o),
    };
  }
  return null;
}

/** Why `old`, a state kept at `insnIdx`, does not cover `cur`, given that it was found not to. */
export function explainMiss(env: VerifierEnv, old: VerifierState, cur: VerifierState, insnIdx: number): Difference {
  if (old.branches === 0) {
    const exact = incompleteReadMarks(env, old) ? RANGE_WITHIN : NOT_EXACT;
    return explain(env, old, cur, exact) ?? { comparison: COMPARISONS[exact]!, what: "nothing" };
  }
  const frame = old.cur();
  if (frame.inAsyncCallbackFn && frame.asyncEntryCnt !== cur.cur().asyncEntryCnt) {
    return { comparison: "exact", what: "depth" };
  }
  const another = isMayGotoInsn(env.insns, insnIdx) && old.mayGotoDepth !== cur.mayGotoDepth;
  const exact = another || env.aux.callsCallback[insnIdx] !== 0 ? RANGE_WITHIN : EXACT;
  const found = explain(env, old, cur, exact);
  if (found !== null) return found;
  if (old.mayGotoDepth !== cur.mayGotoDepth || old.callbackUnrollDepth !== cur.callbackUnrollDepth) {
    return { comparison: COMPARISONS[exact]!, what: "depth" };
  }
  return unreadDifference(env, old, cur) ?? { comparison: COMPARISONS[exact]!, what: "nothing" };
}
