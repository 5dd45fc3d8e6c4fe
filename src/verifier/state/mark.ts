// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_IMM,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEMSX,
  BPF_PSEUDO_CALL,
  BPF_ST,
  BPF_STX,
  R0,
  R10,
} from "../../asm/opcode.js";
import { baseType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { MapType } from "../../kernel/uapi.js";
import { type VerifierEnv, verbose } from "../env.js";
import { markRegKnownRaw, markRegUnknownRaw } from "../num/bounds.js";
import type { FuncState } from "./frame.js";
import { MAX_BPF_REG, R_FRAMENO, R_ID, R_PRECISE, R_SUBREG_DEF, R_TYPE, R_U0, R_U1, REG_WORDS, regAt } from "./reg.js";

/* enum reg_arg_type. */

/** The register is read. */
export const SRC_OP = 0;
/** The register is written and becomes an unknown scalar. */
export const DST_OP = 1;
/** The register is written; what it becomes is the caller's matter. */
export const DST_OP_NO_MARK = 2;

/** `R_SUBREG_DEF` of a register whose upper half is defined. */
export const DEF_NOT_SUBREG = 0;

/** R0–R5: what a call overwrites. */
export const CALLER_SAVED_REGS = 6;

/** Register `regno` becomes an unknown scalar. Mirrors mark_reg_unknown(). */
export function markRegUnknown(env: VerifierEnv, mem: Int32Array, regno: number): void {
  markRegUnknownRaw(env, mem, regno * REG_WORDS);
}

/** Register or slot state at `o` is as never written. Mirrors __mark_reg_not_init(). */
export function markRegNotInitRaw(env: VerifierEnv, mem: Int32Array, o: number): void {
  markRegUnknownRaw(env, mem, o);
  mem[o + R_TYPE] = RegType.NOT_INIT;
}

/** Register `regno` is as never written. Mirrors mark_reg_not_init(). */
export function markRegNotInit(env: VerifierEnv, mem: Int32Array, regno: number): void {
  markRegNotInitRaw(env, mem, regno * REG_WORDS);
}

/** The variable part becomes 0 and fixed offset, union and ids go; the type stays. Mirrors __mark_reg_known_zero(). */
export function markRegKnownZeroRaw(mem: Int32Array, o: number): void {
  markRegKnownRaw(mem, o, 0, 0);
}

/** Mirrors mark_reg_known_zero(). */
export function markRegKnownZero(_env: VerifierEnv, mem: Int32Array, regno: number): void {
  markRegKnownRaw(mem, regno * REG_WORDS, 0, 0);
}

/**
 * A dynptr of `type`: what a callback or a global function is given, or one of the two slots of a dynptr on
 * the stack, the lower address being the first slot. Mirrors __mark_dynptr_reg().
 */
export function markDynptrRegRaw(mem: Int32Array, o: number, type: number, firstSlot: boolean, id: number): void {
  markRegKnownZeroRaw(mem, o);
  mem[o + R_TYPE] = RegType.CONST_PTR_TO_DYNPTR;
  mem[o + R_ID] = id;
  mem[o + R_U0] = type;
  mem[o + R_U1] = firstSlot ? 1 : 0;
}

/** The scalar 0. Mirrors __mark_reg_const_zero(). */
export function markRegConstZero(env: VerifierEnv, mem: Int32Array, o: number): void {
  markRegKnownRaw(mem, o, 0, 0);
  mem[o + R_TYPE] = RegType.SCALAR_VALUE;
  mem[o + R_PRECISE] = env.bpfCapable ? 0 : 1;
}

/** What a pointer that was checked for NULL becomes. Mirrors mark_ptr_not_null_reg(). */
export function markPtrNotNullReg(env: VerifierEnv, mem: Int32Array, o: number): void {
  if (baseType(mem[o + R_TYPE]!) !== RegType.PTR_TO_MAP_VALUE) {
    mem[o + R_TYPE] = mem[o + R_TYPE]! & ~TypeFlag.PTR_MAYBE_NULL;
    return;
  }
  const map = env.maps[mem[o + R_U0]! - 1]!;
  if (map.inner !== 0) {
    mem[o + R_TYPE] = RegType.CONST_PTR_TO_MAP;
    mem[o + R_U0] = map.inner;
    // Timers and work queues remember which inner map they belong to.
    const record = env.maps[map.inner - 1]!.record;
    if (record?.fields.some((f) => f.kind === "timer" || f.kind === "workqueue" || f.kind === "taskWork")) {
      mem[o + R_U1] = mem[o + R_ID]!;
    }
  } else if (map.load.type === MapType.XSKMAP) {
    mem[o + R_TYPE] = RegType.PTR_TO_XDP_SOCK;
  } else if (map.load.type === MapType.SOCKMAP || map.load.type === MapType.SOCKHASH) {
    mem[o + R_TYPE] = RegType.PTR_TO_SOCKET;
  } else {
    mem[o + R_TYPE] = RegType.PTR_TO_MAP_VALUE;
  }
}

/** Registers never written, without and with CAP_BPF. */
const notInit: (Int32Array | undefined)[] = [];

function notInitRegs(env: VerifierEnv): Int32Array {
  const which = env.bpfCapable ? 1 : 0;
  let mem = notInit[which];
  if (mem === undefined) {
    mem = new Int32Array(MAX_BPF_REG * REG_WORDS);
    for (let i = 0; i < MAX_BPF_REG; i++) {
      markRegNotInit(env, mem, i);
      mem[regAt(i) + R_SUBREG_DEF] = DEF_NOT_SUBREG;
    }
    notInit[which] = mem;
  }
  return mem;
}

/** Mirrors init_reg_state(). */
export function initRegState(env: VerifierEnv, state: FuncState): void {
  const mem = state.mem;
  mem.set(notInitRegs(env));
  const fp = regAt(R10);
  mem[fp + R_TYPE] = RegType.PTR_TO_STACK;
  markRegKnownZeroRaw(mem, fp);
  mem[fp + R_FRAMENO] = state.frameno;
}

/** Gives a fresh frame its identity and registers. Mirrors init_func_state(). */
export function initFuncState(
  env: VerifierEnv,
  state: FuncState,
  callsite: number,
  frameno: number,
  subprogno: number,
): void {
  state.callsite = callsite;
  state.frameno = frameno;
  state.subprogno = subprogno;
  state.callbackRetMin = 0;
  state.callbackRetMax = 0;
  initRegState(env, state);
  markVerifierStateScratched(env);
}

/** Makes room for `size` bytes of stack and remembers the deepest of the subprogram. Mirrors grow_stack_state(). */
export function growStackState(env: VerifierEnv, state: FuncState, size: number): number {
  state.growStack(size);
  const subprog = env.subprogs[state.subprogno]!;
  if (subprog.stackDepth < state.allocatedStack) subprog.stackDepth = state.allocatedStack;
  return 0;
}

/* What to print next time. */

/** Mirrors mark_reg_scratched(). */
export function markRegScratched(env: VerifierEnv, regno: number): void {
  env.scratchedRegs |= 1 << regno;
}

/** Mirrors mark_stack_slot_scratched(). */
export function markStackSlotScratched(env: VerifierEnv, spi: number): void {
  if (spi < 32) env.scratchedSlotsLo |= 1 << spi;
  else env.scratchedSlotsHi |= 1 << (spi - 32);
}

/** Mirrors mark_verifier_state_clean(). */
export function markVerifierStateClean(env: VerifierEnv): void {
  env.scratchedRegs = 0;
  env.scratchedSlotsLo = 0;
  env.scratchedSlotsHi = 0;
}

/** Mirrors mark_verifier_state_scratched(). */
export function markVerifierStateScratched(env: VerifierEnv): void {
  env.scratchedRegs = -1;
  env.scratchedSlotsLo = -1;
  env.scratchedSlotsHi = -1;
}

/** Mirrors verifier_state_scratched(). */
export function verifierStateScratched(env: VerifierEnv): boolean {
  return (env.scratchedRegs | env.scratchedSlotsLo | env.scratchedSlotsHi) !== 0;
}

/* Which half of a register an instruction reads or defines. */

function jmpUses64(env: VerifierEnv, i: number, op: number, t: number): boolean {
  if (op !== BPF_CALL) return true;
  if (env.insns.src[i] === BPF_PSEUDO_CALL) return false;
  return t === SRC_OP;
}

/** Whether the instruction works on all 64 bits of the register at `o` (-1: not looked at). Mirrors is_reg64(). */
export function isReg64(env: VerifierEnv, i: number, mem: Int32Array, o: number, t: number): boolean {
  const code = env.insns.code[i]!;
  const op = code & 0xf0;
  switch (code & 0x07) {
    case BPF_JMP:
      return op === BPF_EXIT || jmpUses64(env, i, op, t);
    case BPF_JMP32:
      return false;
    case BPF_ALU64:
      return !(op === BPF_END && (env.insns.imm[i] === 16 || env.insns.imm[i] === 32));
    case BPF_ALU:
      return op === BPF_END && env.insns.imm[i] === 64;
    case BPF_LDX:
      return t === SRC_OP || (code & 0x18) === BPF_DW || (code & 0xe0) === BPF_MEMSX;
    case BPF_STX:
      if (t === SRC_OP && mem[o + R_TYPE] !== RegType.SCALAR_VALUE) return true;
      return (code & 0x18) === BPF_DW;
    case BPF_LD:
      return (code & 0xe0) === BPF_IMM || t === SRC_OP;
    default:
      return true;
  }
}

/** The register that an instruction defines, or -1. Mirrors insn_def_regno(). */
export function insnDefRegno(env: VerifierEnv, i: number): number {
  const code = env.insns.code[i]!;
  switch (code & 0x07) {
    case BPF_JMP:
    case BPF_JMP32:
    case BPF_ST:
      return -1;
    case BPF_STX: {
      const imm = env.insns.imm[i]!;
      if ((code & 0xe0) !== BPF_ATOMIC) return -1;
      if (imm === BPF_CMPXCHG) return R0;
      if (imm === BPF_LOAD_ACQ) return env.insns.dst[i]!;
      return (imm & BPF_FETCH) !== 0 ? env.insns.src[i]! : -1;
    }
    default:
      return env.insns.dst[i]!;
  }
}

/** The instruction that defined only the lower half must zero the upper one, as all 64 bits are read. Mirrors mark_insn_zext(). */
export function markInsnZext(env: VerifierEnv, mem: Int32Array, o: number): void {
  const def = mem[o + R_SUBREG_DEF]!;
  if (def === DEF_NOT_SUBREG) return;
  env.aux.zextDst[def - 1] = 1;
  mem[o + R_SUBREG_DEF] = DEF_NOT_SUBREG;
}

/** Checks that register `regno` of `mem` may be read or written by the current instruction. Mirrors __check_reg_arg(). */
export function checkRegArgRaw(env: VerifierEnv, mem: Int32Array, regno: number, t: number): number {
  if (regno >= Limit.MAX_BPF_REG) {
    verbose(env, `R${regno} is invalid\n`);
    return -Errno.EINVAL;
  }
  env.scratchedRegs |= 1 << regno;
  const o = regno * REG_WORDS;
  const rw64 = isReg64(env, env.insnIdx, mem, o, t);
  if (t === SRC_OP) {
    if (mem[o + R_TYPE] === RegType.NOT_INIT) {
      verbose(env, `R${regno} !read_ok\n`);
      return -Errno.EACCES;
    }
    if (rw64 && regno !== R10) markInsnZext(env, mem, o);
    return 0;
  }
  if (regno === R10) {
    verbose(env, "frame pointer is read only\n");
    return -Errno.EACCES;
  }
  mem[o + R_SUBREG_DEF] = rw64 ? DEF_NOT_SUBREG : env.insnIdx + 1;
  if (t === DST_OP) markRegUnknownRaw(env, mem, o);
  return 0;
}

/** Checks a register of the current frame. Mirrors check_reg_arg(). */
export function checkRegArg(env: VerifierEnv, regno: number, t: number): number {
  return checkRegArgRaw(env, env.cur().cur().mem, regno, t);
}

/** What becomes of a register whose object is gone. Mirrors mark_reg_invalid(). */
export function markRegInvalid(env: VerifierEnv, mem: Int32Array, o: number): void {
  if (env.allowPtrLeaks) markRegUnknownRaw(env, mem, o);
  else markRegNotInitRaw(env, mem, o);
}

/** R0–R5 after a call. Mirrors clear_caller_saved_regs(). */
export function clearCallerSavedRegs(env: VerifierEnv, mem: Int32Array): void {
  for (let i = 0; i < CALLER_SAVED_REGS; i++) {
    markRegNotInit(env, mem, i);
    checkRegArgRaw(env, mem, i, DST_OP_NO_MARK);
  }
}
