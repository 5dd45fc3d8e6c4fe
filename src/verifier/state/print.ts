// SPDX-License-Identifier: GPL-2.0-only
import { disasmInsn } from "../../asm/disasm.js";
import type { Insn } from "../../asm/insn.js";
import { BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_IDX_VALUE, BPF_PSEUDO_MAP_VALUE } from "../../asm/opcode.js";
import { baseType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { MapType } from "../../kernel/uapi.js";
import { type LineInfo, type VerifierEnv, verbose } from "../env.js";
import type { FuncState } from "./frame.js";
import { markVerifierStateClean } from "./mark.js";
import {
  BPF_ADD_CONST,
  MAX_BPF_REG,
  R_FRAMENO,
  R_ID,
  R_MASK_HI,
  R_MASK_LO,
  R_OFF,
  R_PRECISE,
  R_REF_OBJ_ID,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_LO,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_U1,
  R_U2,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_LO,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
  regAt,
  STACK_DYNPTR,
  STACK_ITER,
  STACK_SPILL,
  slotAt,
  slotType,
} from "./reg.js";
import type { VerifierState } from "./vstate.js";

/* The log's rendering of registers, stack slots, whole states, instructions and source lines. */

const { SCALAR_VALUE, PTR_TO_STACK, PTR_TO_ARENA, PTR_TO_BTF_ID, PTR_TO_MEM, CONST_PTR_TO_DYNPTR } = RegType;
const { CONST_PTR_TO_MAP, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_PACKET, PTR_TO_PACKET_META } = RegType;

const BASE_TYPE_TEXT: readonly string[] = [
  "?",
  "scalar",
  "ctx",
  "map_ptr",
  "map_value",
  "map_key",
  "fp",
  "pkt_meta",
  "pkt",
  "pkt_end",
  "flow_keys",
  "sock",
  "sock_common",
  "tcp_sock",
  "tp_buffer",
  "xdp_sock",
  "ptr_",
  "mem",
  "arena",
  "buf",
  "func",
  "dynptr_ptr",
];

const PREFIXES: readonly (readonly [number, string])[] = [
  [TypeFlag.MEM_RDONLY, "rdonly_"],
  [TypeFlag.MEM_RINGBUF, "ringbuf_"],
  [TypeFlag.MEM_USER, "user_"],
  [TypeFlag.MEM_PERCPU, "percpu_"],
  [TypeFlag.MEM_RCU, "rcu_"],
  [TypeFlag.PTR_UNTRUSTED, "untrusted_"],
  [TypeFlag.PTR_TRUSTED, "trusted_"],
];

/** `map_value_or_null` and the like. Mirrors reg_type_str(). */
export function regTypeStr(_env: VerifierEnv, type: number): string {
  let text = "";
  for (const [flag, prefix] of PREFIXES) if ((type & flag) !== 0) text += prefix;
  text += BASE_TYPE_TEXT[baseType(type)] ?? "(null)";
  if ((type & TypeFlag.PTR_MAYBE_NULL) !== 0) text += baseType(type) === PTR_TO_BTF_ID ? "or_null_" : "_or_null";
  return text;
}

const DYNPTR_TYPES: readonly string[] = ["<invalid>", "local", "ringbuf", "skb", "xdp", "skb_meta"];

/** Mirrors dynptr_type_str(). */
export function dynptrTypeStr(type: number): string {
  return DYNPTR_TYPES[type] ?? "<unknown>";
}

const ITER_STATES: readonly string[] = ["<invalid>", "active", "drained"];

/** Mirrors iter_state_str(). */
export function iterStateStr(state: number): string {
  return ITER_STATES[state] ?? "<unknown>";
}

/** Mirrors iter_type_str(). */
export function iterTypeStr(env: VerifierEnv, btf: number, btfId: number): string {
  if (btf === 0 || btfId === 0) return "<invalid>";
  return btfTypeName(env, btf, btfId).slice("bpf_iter_".length);
}

function btfTypeName(env: VerifierEnv, btf: number, id: number): string {
  const type = env.btfs[btf - 1]?.types[id];
  return type !== undefined && "name" in type ? type.name : "";
}

/* Numbers: decimal when small, hexadecimal when not. */

/** printf's %#llx. */
function hex64(lo: number, hi: number): string {
  if (hi === 0) return `0x${(lo >>> 0).toString(16)}`;
  return `0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, "0")}`;
}

/** Mirrors verbose_unum(). */
export function unumStr(lo: number, hi: number): string {
  return hi === 0 && lo >>> 0 <= 0xffff ? String(lo) : hex64(lo, hi);
}

/** Mirrors verbose_snum(). */
export function snumStr(lo: number, hi: number): string {
  return hi === lo >> 31 && lo >= -0x8000 && lo <= 0x7fff ? String(lo) : hex64(lo, hi);
}

/** `(0x0; 0xff)`, or the number when every bit is known. Mirrors tnum_strn() for the register at `o`. */
export function varOffStr(mem: Int32Array, o: number): string {
  const maskLo = mem[o + R_MASK_LO]!;
  const maskHi = mem[o + R_MASK_HI]!;
  const lo = mem[o + R_VAL_LO]!;
  const hi = mem[o + R_VAL_HI]!;
  return (maskLo | maskHi) === 0 ? unumStr(lo, hi) : `(${hex64(lo, hi)}; ${hex64(maskLo, maskHi)})`;
}

const RANGE_NAMES = ["smin", "smax", "umin", "umax", "smin32", "smax32", "umin32", "umax32"] as const;
const MIN = -0x80000000;
const MAX = 0x7fffffff;
/** Values and whether they say nothing, in the order of RANGE_NAMES. */
const rangeLo = new Int32Array(8);
const rangeHi = new Int32Array(8);
const rangeOmit = new Uint8Array(8);

function loadRanges(mem: Int32Array, o: number): void {
  const from = [R_SMIN_LO, R_SMAX_LO, R_UMIN_LO, R_UMAX_LO];
  for (let i = 0; i < 4; i++) {
    rangeLo[i] = mem[o + from[i]!]!;
    rangeHi[i] = mem[o + from[i]! + 1]!;
  }
  const from32 = [R_S32_MIN, R_S32_MAX, R_U32_MIN, R_U32_MAX];
  for (let i = 0; i < 4; i++) {
    const v = mem[o + from32[i]!]!;
    rangeLo[4 + i] = v;
    // Small signed numbers print as decimals and are sign-extended; in hexadecimal all are 32 bits wide.
    rangeHi[4 + i] = i < 2 && v < 0 && v >= -0x8000 ? -1 : 0;
  }
  rangeOmit[0] = rangeLo[0] === 0 && rangeHi[0] === MIN ? 1 : 0;
  rangeOmit[1] = rangeLo[1] === -1 && rangeHi[1] === MAX ? 1 : 0;
  rangeOmit[2] = rangeLo[2] === 0 && rangeHi[2] === 0 ? 1 : 0;
  rangeOmit[3] = rangeLo[3] === -1 && rangeHi[3] === -1 ? 1 : 0;
  rangeOmit[4] = rangeLo[4] === MIN ? 1 : 0;
  rangeOmit[5] = rangeLo[5] === MAX ? 1 : 0;
  rangeOmit[6] = rangeLo[6] === 0 ? 1 : 0;
  rangeOmit[7] = rangeLo[7] === -1 ? 1 : 0;
}

/** The bounds that say something, equal ones together: `smin=umin=1,umax=5`. Mirrors print_scalar_ranges(). */
function scalarRanges(mem: Int32Array, o: number, sep: string): string {
  loadRanges(mem, o);
  let text = "";
  for (let a = 0; a < 8; a++) {
    if (rangeOmit[a] !== 0) continue;
    const lo = rangeLo[a]!;
    const hi = rangeHi[a]!;
    const isSigned = RANGE_NAMES[a]![0] === "s";
    const negative = isSigned && hi < 0;
    text += `${text === "" ? sep : ","}${RANGE_NAMES[a]}=`;
    for (let b = a + 2; b < 8; b += 2) {
      if (rangeOmit[b] !== 0 || rangeLo[b] !== lo || rangeHi[b] !== hi) continue;
      if ((RANGE_NAMES[b]![0] === "s" && hi < 0) !== negative) continue;
      rangeOmit[b] = 1;
      text += `${RANGE_NAMES[b]}=`;
    }
    text += isSigned ? snumStr(lo, hi) : unumStr(lo, hi);
  }
  return text;
}

function isMapPtr(type: number): boolean {
  const base = baseType(type);
  return base === CONST_PTR_TO_MAP || base === PTR_TO_MAP_KEY || base === PTR_TO_MAP_VALUE;
}

/** The items in parentheses of a register that is no constant. */
function regAttributes(env: VerifierEnv, mem: Int32Array, o: number): string {
  const t = mem[o + R_TYPE]!;
  const base = baseType(t);
  const id = mem[o + R_ID]!;
  const off = mem[o + R_OFF]!;
  let text = "";
  const add = (item: string): void => {
    text += text === "" ? item : `,${item}`;
  };
  if (id !== 0) add(`id=${id & ~BPF_ADD_CONST}`);
  if ((id & BPF_ADD_CONST) !== 0) text += off < 0 ? String(off) : `+${off}`;
  if (mem[o + R_REF_OBJ_ID] !== 0) add(`ref_obj_id=${mem[o + R_REF_OBJ_ID]}`);
  if (base === PTR_TO_BTF_ID && (t & TypeFlag.MEM_ALLOC) !== 0 && (t & TypeFlag.NON_OWN_REF) !== 0) add("non_own_ref");
  if (isMapPtr(t)) {
    const map = env.maps[mem[o + R_U0]! - 1]!.load;
    if (map.name !== "") add(`map=${map.name}`);
    add(`ks=${map.keySize | 0},vs=${map.valueSize | 0}`);
  }
  if (t !== SCALAR_VALUE && off !== 0) add(`off=${snumStr(off, off >> 31)}`);
  if (base === PTR_TO_PACKET || base === PTR_TO_PACKET_META) {
    const range = mem[o + R_U0]!;
    add(`r=${unumStr(range, range >> 31)}`);
  }
  if (base === PTR_TO_MEM) add(`sz=${unumStr(mem[o + R_U0]!, 0)}`);
  if (t === CONST_PTR_TO_DYNPTR) add(`type=${dynptrTypeStr(mem[o + R_U0]!)}`);
  const maskLo = mem[o + R_MASK_LO]!;
  const maskHi = mem[o + R_MASK_HI]!;
  if ((maskLo | maskHi) === 0) {
    const lo = mem[o + R_VAL_LO]!;
    const hi = mem[o + R_VAL_HI]!;
    if ((lo | hi) !== 0) add(`imm=${snumStr(lo, hi)}`);
  } else {
    text += scalarRanges(mem, o, text === "" ? "" : ",");
    if ((maskLo & maskHi) !== -1) add(`var_off=${varOffStr(mem, o)}`);
  }
  return text;
}

/** One register as it stands behind `R1=`. Mirrors print_reg_state(). */
export function regStateStr(env: VerifierEnv, state: FuncState, mem: Int32Array, o: number): string {
  const t = mem[o + R_TYPE]!;
  const isConst = (mem[o + R_MASK_LO]! | mem[o + R_MASK_HI]!) === 0;
  let text = t === SCALAR_VALUE && mem[o + R_PRECISE] !== 0 ? "P" : "";
  if (t === SCALAR_VALUE && isConst) return text + snumStr(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!);
  text += regTypeStr(env, t);
  if (t === PTR_TO_ARENA) return text;
  if (t === PTR_TO_STACK) {
    if (state.frameno !== mem[o + R_FRAMENO]) text += `[${mem[o + R_FRAMENO]}]`;
    if (isConst) return text + stackOffStr(mem, o);
  }
  if (baseType(t) === PTR_TO_BTF_ID) text += btfTypeName(env, mem[o + R_U0]!, mem[o + R_U1]!);
  return `${text}(${regAttributes(env, mem, o)})`;
}

/** Sum of fixed offset and constant variable part. */
function stackOffStr(mem: Int32Array, o: number): string {
  const off = mem[o + R_OFF]!;
  const a = mem[o + R_VAL_LO]!;
  const lo = (a + off) | 0;
  const carry = lo >>> 0 < a >>> 0 ? 1 : 0;
  return snumStr(lo, (mem[o + R_VAL_HI]! + (off >> 31) + carry) | 0);
}

const SLOT_TYPE_CHARS = "?rm0dif";

function dynptrSlotStr(mem: Int32Array, o: number, spi: number): string {
  let text = "";
  const add = (item: string): void => {
    text += text === "" ? item : `,${item}`;
  };
  if (mem[o + R_ID] !== 0) add(`id=${mem[o + R_ID]}`);
  if (mem[o + R_REF_OBJ_ID] !== 0) add(`ref_id=${mem[o + R_REF_OBJ_ID]}`);
  // In the kernel's union this is the mark of the first slot.
  if (mem[o + R_U1] !== 0) add(`dynptr_id=${mem[o + R_U1]}`);
  return ` fp${(-spi - 1) * 8}=dynptr_${dynptrTypeStr(mem[o + R_U0]!)}(${text})`;
}

function iterSlotStr(env: VerifierEnv, mem: Int32Array, o: number, spi: number): string {
  const u2 = mem[o + R_U2]!;
  const type = iterTypeStr(env, mem[o + R_U0]!, mem[o + R_U1]!);
  return ` fp${(-spi - 1) * 8}=iter_${type}(ref_id=${mem[o + R_REF_OBJ_ID]},state=${iterStateStr(u2 & 3)},depth=${u2 >>> 2})`;
}

/** What each of the eight bytes of the slot at `o` is, the one at the highest address first. */
export function slotTypesStr(mem: Int32Array, o: number): string {
  let types = "";
  for (let i = 0; i < 8; i++) types += SLOT_TYPE_CHARS[slotType(mem, o, i)];
  return types;
}

/** Every stack slot of a frame that has something to show. */
function stackStr(env: VerifierEnv, state: FuncState, printAll: boolean): string {
  const mem = state.mem;
  const slots = state.allocatedStack >> 3;
  let text = "";
  for (let spi = 0; spi < slots; spi++) {
    const scratched = spi < 32 ? env.scratchedSlotsLo >>> spi : env.scratchedSlotsHi >>> (spi - 32);
    if (!printAll && (scratched & 1) === 0) continue;
    const o = slotAt(spi);
    const types = slotTypesStr(mem, o);
    if (types === "????????") continue;
    switch (slotType(mem, o, 7)) {
      case STACK_SPILL:
        // Bytes above a narrow spill have types of their own.
        text += ` fp${(-spi - 1) * 8}=${types.slice(0, types.indexOf("r"))}${regStateStr(env, state, mem, o)}`;
        break;
      case STACK_DYNPTR:
        spi += 1;
        text += dynptrSlotStr(mem, slotAt(spi), spi);
        break;
      case STACK_ITER:
        if (mem[o + R_REF_OBJ_ID] !== 0) text += iterSlotStr(env, mem, o, spi);
        break;
      default:
        text += ` fp${(-spi - 1) * 8}=${types}`;
    }
  }
  return text;
}

/** One frame of a state: what changed since the last time, or all of it. */
export function frameText(env: VerifierEnv, vstate: VerifierState, frameno: number, printAll: boolean): string {
  const state = vstate.frame[frameno]!;
  const mem = state.mem;
  let text = state.frameno !== 0 ? ` frame${state.frameno}:` : "";
  for (let i = 0; i < MAX_BPF_REG; i++) {
    const o = regAt(i);
    if (mem[o + R_TYPE] === RegType.NOT_INIT) continue;
    if (!printAll && ((env.scratchedRegs >> i) & 1) === 0) continue;
    text += ` R${i}=${regStateStr(env, state, mem, o)}`;
  }
  text += stackStr(env, state, printAll);
  const refs = vstate.refs;
  if (refs.length !== 0 && refs[0]!.id !== 0) {
    text += ` refs=${refs[0]!.id}`;
    for (let i = 1; i < refs.length; i++) if (refs[i]!.id !== 0) text += `,${refs[i]!.id}`;
  }
  if (state.inCallbackFn) text += " cb";
  if (state.inAsyncCallbackFn) text += " async_cb";
  return text;
}

/** One frame of a state on the rest of the line. Mirrors print_verifier_state(). */
export function printVerifierState(env: VerifierEnv, vstate: VerifierState, frameno: number, printAll: boolean): void {
  if (env.log.level !== 0) verbose(env, `${frameText(env, vstate, frameno, printAll)}\n`);
  if (!printAll) markVerifierStateClean(env);
}

const LOG_MIN_ALIGNMENT = 8;
const LOG_ALIGNMENT = 40;

/** Blanks between an instruction that takes `pos` columns and its state. Mirrors vlog_alignment(). */
function vlogAlignment(pos: number): number {
  const column = Math.max(pos + LOG_MIN_ALIGNMENT / 2, LOG_ALIGNMENT);
  return Math.ceil(column / LOG_MIN_ALIGNMENT) * LOG_MIN_ALIGNMENT - pos - 1;
}

/** What changed, behind the instruction when nothing was logged since, else on a line of its own. Mirrors print_insn_state(). */
export function printInsnState(env: VerifierEnv, vstate: VerifierState, frameno: number): void {
  if (env.prevLogPos !== 0 && env.prevLogPos === env.log.endPos) {
    env.log.reset(env.prevLogPos - 1);
    verbose(env, `${" ".repeat(vlogAlignment(env.prevInsnPrintPos))};`);
  } else {
    verbose(env, `${env.insnIdx}:`);
  }
  printVerifierState(env, vstate, frameno, false);
}

/** The stand-in for the address of map `index` (1-based): nobody can know the true one. */
function mapAddress(index: number): bigint {
  return 0xffff000000000000n + BigInt((index - 1) * 0x1000);
}

/** Where a map's value begins: an arena in user space, at the address that its creator asked for. */
function valueAddress(env: VerifierEnv, index: number): bigint {
  const { type, extra } = env.maps[index - 1]!.load;
  return type === MapType.ARENA ? extra : mapAddress(index);
}

/** Instruction `i` as the kernel prints it. */
export function insnText(env: VerifierEnv, i: number): string {
  const map = env.aux.mapIndex[i]!;
  return disasmInsn(insnAt(env, i), i + 1 < env.insns.len ? insnAt(env, i + 1) : undefined, {
    allowPtrLeaks: env.allowPtrLeaks,
    imm: (insn, _next, value) => {
      const hidden = !env.allowPtrLeaks && (insn.src === BPF_PSEUDO_MAP_FD || insn.src === BPF_PSEUDO_MAP_VALUE);
      if (map === 0 || hidden) return `0x${value.toString(16)}`;
      const isValue = insn.src === BPF_PSEUDO_MAP_VALUE || insn.src === BPF_PSEUDO_MAP_IDX_VALUE;
      const address = isValue ? valueAddress(env, map) : mapAddress(map);
      return `0x${(address + BigInt(isValue ? env.aux.mapOff[i]! : 0)).toString(16)}`;
    },
  });
}

/** Instruction `i` with a line feed. Mirrors verbose_insn(). */
export function verboseInsn(env: VerifierEnv, i: number): void {
  if (env.log.level !== 0) verbose(env, `${insnText(env, i)}\n`);
}

function insnAt(env: VerifierEnv, i: number): Insn {
  const { code, dst, src, off, imm } = env.insns;
  return { opcode: code[i]!, dst: dst[i]!, src: src[i]!, off: off[i]!, imm: imm[i]! };
}

/** The record that covers an instruction. Mirrors find_linfo(). */
function findLinfo(env: VerifierEnv, insnOff: number): LineInfo | null {
  const infos = env.lineInfos;
  if (infos.length === 0 || insnOff >= env.insns.len) return null;
  let l = 0;
  let r = infos.length - 1;
  while (l < r) {
    const m = l + ((r - l + 1) >> 1);
    if (infos[m]!.insnOff <= insnOff) l = m;
    else r = m - 1;
  }
  return infos[l]!;
}

/** The source line of an instruction, unless it was the last one printed. Mirrors verbose_linfo(). */
export function verboseLinfo(env: VerifierEnv, insnOff: number, prefix = ""): void {
  if (env.log.level === 0) return;
  const prev = env.prevLinfo;
  const linfo = findLinfo(env, insnOff);
  if (linfo === null || linfo === prev) return;
  if (prev !== null && linfo.fileNameOff === prev.fileNameOff && linfo.lineNum === prev.lineNum) return;
  verbose(env, prefix);
  env.log.writeUtf8(linfo.line.replace(/^[\t-\r \u00a0]+/, ""));
  env.log.writeUtf8(` @ ${linfo.file.slice(linfo.file.lastIndexOf("/") + 1)}:${linfo.lineNum}\n`);
  env.prevLinfo = linfo;
}
