// SPDX-License-Identifier: GPL-2.0-only
import { baseType, RegType } from "../../kernel/bpf-types.js";
import type { VerifierEnv } from "../env.js";
import { markRegUnknownImprecise } from "../num/bounds.js";
import { tnumIn } from "../num/tnum.js";
import { slt, ult } from "../num/u64.js";
import type { FuncState } from "../state/frame.js";
import { checkIds, checkScalarIds, resetIdmapScratch } from "../state/ids.js";
import {
  BPF_ADD_CONST,
  MAX_BPF_REG,
  R_FRAMENO,
  R_ID,
  R_OFF,
  R_PRECISE,
  R_REF_OBJ_ID,
  R_S32_MAX,
  R_S32_MIN,
  R_SLOT_HI,
  R_SLOT_LO,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_U1,
  R_U2,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  REG_WORDS,
  regAt,
  STACK_DYNPTR,
  STACK_INVALID,
  STACK_IRQ_FLAG,
  STACK_ITER,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
  slotAt,
  slotType,
} from "../state/reg.js";
import { regsExact, sameObject, sameUpToId } from "../state/same.js";
import { REF_TYPE_LOCK_MASK, type VerifierState } from "../state/vstate.js";
import { frameInsnIdx } from "../track/explored.js";

/*
 * Whether a state is covered by one that was explored already: whatever the program does from here,
 * it was found safe there.
 */

/* enum exact_level. */
export const NOT_EXACT = 0;
export const EXACT = 1;
export const RANGE_WITHIN = 2;

/** Whether `cur`'s ranges lie within `old`'s. Mirrors range_within(). */
function rangeWithin(om: Int32Array, o: number, cm: Int32Array, c: number): boolean {
  return (
    !ult(cm[c + R_UMIN_LO]!, cm[c + R_UMIN_HI]!, om[o + R_UMIN_LO]!, om[o + R_UMIN_HI]!) &&
    !ult(om[o + R_UMAX_LO]!, om[o + R_UMAX_HI]!, cm[c + R_UMAX_LO]!, cm[c + R_UMAX_HI]!) &&
    !slt(cm[c + R_SMIN_LO]!, cm[c + R_SMIN_HI]!, om[o + R_SMIN_LO]!, om[o + R_SMIN_HI]!) &&
    !slt(om[o + R_SMAX_LO]!, om[o + R_SMAX_HI]!, cm[c + R_SMAX_LO]!, cm[c + R_SMAX_HI]!) &&
    om[o + R_U32_MIN]! >>> 0 <= cm[c + R_U32_MIN]! >>> 0 &&
    om[o + R_U32_MAX]! >>> 0 >= cm[c + R_U32_MAX]! >>> 0 &&
    om[o + R_S32_MIN]! <= cm[c + R_S32_MIN]! &&
    om[o + R_S32_MAX]! >= cm[c + R_S32_MAX]!
  );
}

function scalarSafe(env: VerifierEnv, om: Int32Array, o: number, cm: Int32Array, c: number, exact: number): boolean {
  const oldId = om[o + R_ID]!;
  const curId = cm[c + R_ID]!;
  if (env.exploreAluLimits) return sameUpToId(om, o, cm, c) && checkScalarIds(oldId, curId);
  if (om[o + R_PRECISE] === 0 && exact === NOT_EXACT) return true;
  // A scalar that was not linked may be linked now; one that was must be linked in the same way.
  if (oldId !== 0) {
    if (((oldId & BPF_ADD_CONST) !== 0) !== ((curId & BPF_ADD_CONST) !== 0)) return false;
    if ((oldId & BPF_ADD_CONST) !== 0 && om[o + R_OFF] !== cm[c + R_OFF]) return false;
    if (!checkScalarIds(oldId, curId)) return false;
  }
  return rangeWithin(om, o, cm, c) && tnumIn(om, o, cm, c);
}

function packetSafe(om: Int32Array, o: number, cm: Int32Array, c: number): boolean {
  const oldRange = om[o + R_U0]!;
  const curRange = cm[c + R_U0]!;
  // Negative ranges say that the pointer is at the packet's end or behind it.
  const covers = oldRange < 0 || curRange < 0 ? oldRange === curRange : oldRange <= curRange;
  return (
    covers &&
    om[o + R_OFF] === cm[c + R_OFF] &&
    checkIds(om[o + R_ID]!, cm[c + R_ID]!) &&
    rangeWithin(om, o, cm, c) &&
    tnumIn(om, o, cm, c)
  );
}

/** Whether what was safe with the register at `o` is safe with the one at `c`. Mirrors regsafe(). */
export function regsafe(
  env: VerifierEnv,
  om: Int32Array,
  o: number,
  cm: Int32Array,
  c: number,
  exact: number,
): boolean {
  if (exact === EXACT) return regsExact(om, o, cm, c);
  const type = om[o + R_TYPE]!;
  if (type === RegType.NOT_INIT && (exact === NOT_EXACT || cm[c + R_TYPE] === RegType.NOT_INIT)) return true;
  if (type !== cm[c + R_TYPE]) return false;
  switch (baseType(type)) {
    case RegType.SCALAR_VALUE:
      return scalarSafe(env, om, o, cm, c, exact);
    case RegType.PTR_TO_MAP_KEY:
    case RegType.PTR_TO_MAP_VALUE:
    case RegType.PTR_TO_MEM:
    case RegType.PTR_TO_BUF:
    case RegType.PTR_TO_TP_BUFFER:
      return (
        sameObject(om, o, cm, c) &&
        rangeWithin(om, o, cm, c) &&
        tnumIn(om, o, cm, c) &&
        checkIds(om[o + R_ID]!, cm[c + R_ID]!) &&
        checkIds(om[o + R_REF_OBJ_ID]!, cm[c + R_REF_OBJ_ID]!)
      );
    case RegType.PTR_TO_PACKET_META:
    case RegType.PTR_TO_PACKET:
      return packetSafe(om, o, cm, c);
    case RegType.PTR_TO_STACK:
      return regsExact(om, o, cm, c) && om[o + R_FRAMENO] === cm[c + R_FRAMENO];
    case RegType.PTR_TO_ARENA:
      return true;
    default:
      return regsExact(om, o, cm, c);
  }
}

/** The scalar about which nothing is known. Mirrors unbound_reg. */
const unbound = new Int32Array(REG_WORDS);
markRegUnknownImprecise(unbound, 0);

/** Mirrors is_stack_all_misc(). */
function isStackAllMisc(env: VerifierEnv, mem: Int32Array, o: number): boolean {
  for (let i = 0; i < 8; i++) {
    const type = slotType(mem, o, i);
    if (type !== STACK_MISC && !(type === STACK_INVALID && env.allowUninitStack)) return false;
  }
  return true;
}

/** -1: no scalar; 0: the slot's own register; 1: nothing known. Mirrors scalar_reg_for_stack(). */
function scalarForStack(env: VerifierEnv, mem: Int32Array, o: number): number {
  if (slotType(mem, o, 0) === STACK_SPILL && mem[o + R_TYPE] === RegType.SCALAR_VALUE) return 0;
  return isStackAllMisc(env, mem, o) ? 1 : -1;
}

/** Slots whose eight types are the same, by what the last one is. */
function slotSafe(env: VerifierEnv, om: Int32Array, o: number, cm: Int32Array, c: number, exact: number): boolean {
  switch (slotType(om, o, 7)) {
    case STACK_SPILL:
      return regsafe(env, om, o, cm, c, exact);
    case STACK_DYNPTR:
      return (
        om[o + R_U0] === cm[c + R_U0] &&
        om[o + R_U1] === cm[c + R_U1] &&
        checkIds(om[o + R_REF_OBJ_ID]!, cm[c + R_REF_OBJ_ID]!)
      );
    case STACK_ITER:
      return (
        om[o + R_U0] === cm[c + R_U0] &&
        om[o + R_U1] === cm[c + R_U1] &&
        (om[o + R_U2]! & 3) === (cm[c + R_U2]! & 3) &&
        checkIds(om[o + R_REF_OBJ_ID]!, cm[c + R_REF_OBJ_ID]!)
      );
    case STACK_IRQ_FLAG:
      return checkIds(om[o + R_REF_OBJ_ID]!, cm[c + R_REF_OBJ_ID]!) && om[o + R_U0] === cm[c + R_U0];
    default:
      return true;
  }
}

/* Words of slot types: four bytes that are all the same. */
const ALL_SPILL = STACK_SPILL * 0x01010101;
const ALL_ZERO = STACK_ZERO * 0x01010101;

/**
 * One slot of the explored stack; `has` tells whether the current stack has it too. What most slots hold is decided
 * at a glance.
 */
export function stackSlotSafe(
  env: VerifierEnv,
  om: Int32Array,
  cm: Int32Array,
  o: number,
  has: boolean,
  exact: number,
): boolean {
  const lo = om[o + R_SLOT_LO]!;
  const hi = om[o + R_SLOT_HI]!;
  if (exact === NOT_EXACT && env.allowUninitStack && ((lo | hi) & ~(STACK_MISC * 0x01010101)) === 0) return true;
  if (has && lo === hi && lo === cm[o + R_SLOT_LO] && lo === cm[o + R_SLOT_HI]) {
    if (lo === ALL_SPILL) return regsafe(env, om, o, cm, o, exact);
    if (lo === ALL_ZERO || lo === 0) return true;
  }
  return mixedSlotSafe(env, om, cm, o, has, exact);
}

/** Byte by byte. */
function mixedSlotSafe(
  env: VerifierEnv,
  om: Int32Array,
  cm: Int32Array,
  o: number,
  has: boolean,
  exact: number,
): boolean {
  for (let i = 0; i < 8; i++) {
    const oldType = slotType(om, o, i);
    if (exact !== NOT_EXACT && (!has || oldType !== slotType(cm, o, i))) return false;
    if (oldType === STACK_INVALID || (env.allowUninitStack && oldType === STACK_MISC)) continue;
    if (!has) return false;
    const oldScalar = scalarForStack(env, om, o);
    const curScalar = oldScalar < 0 ? -1 : scalarForStack(env, cm, o);
    if (oldScalar >= 0 && curScalar >= 0) {
      return regsafe(
        env,
        oldScalar === 0 ? om : unbound,
        oldScalar === 0 ? o : 0,
        curScalar === 0 ? cm : unbound,
        curScalar === 0 ? o : 0,
        exact,
      );
    }
    const curType = slotType(cm, o, i);
    if (oldType === STACK_MISC && curType === STACK_ZERO) continue;
    if (oldType !== curType) return false;
    if (i === 7 && !slotSafe(env, om, o, cm, o, exact)) return false;
  }
  return true;
}

function frameSlotSafe(env: VerifierEnv, old: FuncState, cur: FuncState, spi: number, exact: number): boolean {
  const o = slotAt(spi);
  if (exact === NOT_EXACT && (old.mem[o + R_SLOT_LO]! | old.mem[o + R_SLOT_HI]!) === 0) return true;
  return stackSlotSafe(env, old.mem, cur.mem, o, spi < cur.allocatedStack >> 3, exact);
}

/** The first slot that is not covered, -1 when all are. Mirrors stacksafe(). */
function unsafeSlot(env: VerifierEnv, old: FuncState, cur: FuncState, exact: number): number {
  const slots = old.allocatedStack >> 3;
  for (let spi = 0; spi < slots; spi++) if (!frameSlotSafe(env, old, cur, spi, exact)) return spi;
  return -1;
}

/** Mirrors refsafe(). */
export function refsafe(old: VerifierState, cur: VerifierState): boolean {
  if (
    old.refs.length !== cur.refs.length ||
    old.activeLocks !== cur.activeLocks ||
    old.activePreemptLocks !== cur.activePreemptLocks ||
    old.activeRcuLock !== cur.activeRcuLock ||
    !checkIds(old.activeIrqId, cur.activeIrqId) ||
    !checkIds(old.activeLockId, cur.activeLockId) ||
    old.activeLockPtr !== cur.activeLockPtr
  ) {
    return false;
  }
  for (let i = 0; i < old.refs.length; i++) {
    const a = old.refs[i]!;
    const b = cur.refs[i]!;
    if (!checkIds(a.id, b.id) || a.type !== b.type) return false;
    if ((a.type & REF_TYPE_LOCK_MASK) !== 0 && a.ptr !== b.ptr) return false;
  }
  return true;
}

/** Mask of the registers that matter at an instruction. */
export function comparedRegs(env: VerifierEnv, insnIdx: number, exact: number): number {
  return exact === NOT_EXACT || env.rules.loopsIgnoreDead ? env.aux.liveRegsBefore[insnIdx]! : -1;
}

/** Where the frames differ: a register, or 11 + a stack slot; -1 nowhere. Mirrors func_states_equal(). */
function framesDifferAt(env: VerifierEnv, old: FuncState, cur: FuncState, insnIdx: number, exact: number): number {
  const live = comparedRegs(env, insnIdx, exact);
  for (let i = 0; i < MAX_BPF_REG; i++) {
    if (((live >> i) & 1) === 0) continue;
    const o = regAt(i);
    if (!regsafe(env, old.mem, o, cur.mem, o, exact)) return i;
  }
  const spi = unsafeSlot(env, old, cur, exact);
  return spi < 0 ? -1 : MAX_BPF_REG + spi;
}

/* Where two states differed: frame * PLACES + register, or + 11 + stack slot. */
const PLACES = 128;

/** Whether the states are sure to differ at a place at which they did before: most often it is a loop's counter. */
function differAt(env: VerifierEnv, old: VerifierState, cur: VerifierState, place: number, exact: number): boolean {
  const fr = (place / PLACES) | 0;
  if (fr > old.curframe) return false;
  const oldFrame = old.frame[fr]!;
  const curFrame = cur.frame[fr]!;
  const i = place % PLACES;
  const o = regAt(i);
  resetIdmapScratch(env);
  if (i < MAX_BPF_REG) {
    const live = comparedRegs(env, frameInsnIdx(old, fr), exact);
    return ((live >> i) & 1) !== 0 && !regsafe(env, oldFrame.mem, o, curFrame.mem, o, exact);
  }
  const spi = i - MAX_BPF_REG;
  return spi < oldFrame.allocatedStack >> 3 && !frameSlotSafe(env, oldFrame, curFrame, spi, exact);
}

/** Mirrors states_equal(). */
export function statesEqual(env: VerifierEnv, old: VerifierState, cur: VerifierState, exact: number): boolean {
  if (old.curframe !== cur.curframe) return false;
  if (old.differedAt >= 0 && differAt(env, old, cur, old.differedAt, exact)) return false;
  resetIdmapScratch(env);
  // What a simulated misprediction led to proves nothing for real execution.
  if (old.speculative && !cur.speculative) return false;
  if (old.inSleepable !== cur.inSleepable) return false;
  if (!refsafe(old, cur)) return false;
  for (let i = 0; i <= old.curframe; i++) {
    const oldFrame = old.frame[i]!;
    const curFrame = cur.frame[i]!;
    if (oldFrame.callsite !== curFrame.callsite) return false;
    if (oldFrame.callbackDepth > curFrame.callbackDepth) return false;
    const place = framesDifferAt(env, oldFrame, curFrame, frameInsnIdx(old, i), exact);
    if (place >= 0) {
      old.differedAt = i * PLACES + place;
      return false;
    }
  }
  return true;
}

/** A cheap test before the exact one: the registers are the same to the bit. Mirrors states_maybe_looping(). */
export function statesMaybeLooping(old: VerifierState, cur: VerifierState): boolean {
  if (old.curframe !== cur.curframe) return false;
  const om = old.cur().mem;
  const cm = cur.cur().mem;
  for (let r = 0; r < 11; r++) {
    const o = regAt(r);
    for (let i = 0; i < R_FRAMENO; i++) if (om[o + i] !== cm[o + i]) return false;
  }
  return true;
}

/** Whether iterators in both states are at different turns of their loops. Mirrors iter_active_depths_differ(). */
export function iterActiveDepthsDiffer(old: VerifierState, cur: VerifierState): boolean {
  for (let fr = old.curframe; fr >= 0; fr--) {
    const { mem, allocatedStack } = old.frame[fr]!;
    for (let spi = 0; spi < allocatedStack >> 3; spi++) {
      const o = slotAt(spi);
      if (slotType(mem, o, 0) !== STACK_ITER || (mem[o + R_U2]! & 3) !== 1) continue;
      if (mem[o + R_U2]! >>> 2 !== cur.frame[fr]!.mem[o + R_U2]! >>> 2) return true;
    }
  }
  return false;
}
