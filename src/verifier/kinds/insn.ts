// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ATOMIC,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_HELPER_CALL,
  BPF_IMM,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LOAD_ACQ,
  BPF_MAY_GOTO,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_STX,
} from "../../asm/opcode.js";
import { helperByName } from "../../kernel/helpers/index.js";
import type { Insns } from "../env.js";

/*
 * Predicates on single instructions. They take the predecoded columns and an index where the
 * kernel takes a struct bpf_insn pointer.
 */

/* The helpers that call back into the program. */
const FUNC_FOR_EACH_MAP_ELEM = helperByName("for_each_map_elem")!;
const FUNC_TIMER_SET_CALLBACK = helperByName("timer_set_callback")!;
const FUNC_FIND_VMA = helperByName("find_vma")!;
const FUNC_LOOP = helperByName("loop")!;
const FUNC_USER_RINGBUF_DRAIN = helperByName("user_ringbuf_drain")!;

const LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;
const ATOMIC_BITS = 0xe7;

/** First slot of a 64-bit immediate load. Mirrors bpf_is_ldimm64(). */
export function bpfIsLdimm64(insns: Insns, i: number): boolean {
  return insns.code[i] === LD_IMM64;
}

/** Call of a helper by number. Mirrors bpf_helper_call(). */
export function bpfHelperCall(insns: Insns, i: number): boolean {
  return insns.code[i] === (BPF_JMP | BPF_CALL) && insns.src[i] === BPF_HELPER_CALL;
}

/** Call of a subprogram. Mirrors bpf_pseudo_call(). */
export function bpfPseudoCall(insns: Insns, i: number): boolean {
  return insns.code[i] === (BPF_JMP | BPF_CALL) && insns.src[i] === BPF_PSEUDO_CALL;
}

/** Call of a kernel function. Mirrors bpf_pseudo_kfunc_call(). */
export function bpfPseudoKfuncCall(insns: Insns, i: number): boolean {
  return insns.code[i] === (BPF_JMP | BPF_CALL) && insns.src[i] === BPF_PSEUDO_KFUNC_CALL;
}

/** Load of a subprogram's address. Mirrors bpf_pseudo_func(). */
export function bpfPseudoFunc(insns: Insns, i: number): boolean {
  return insns.code[i] === LD_IMM64 && insns.src[i] === BPF_PSEUDO_FUNC;
}

/** Mirrors is_may_goto_insn(). */
export function isMayGotoInsn(insns: Insns, i: number): boolean {
  return insns.code[i] === (BPF_JMP | BPF_JCOND) && insns.src[i] === BPF_MAY_GOTO;
}

/** Mirrors is_cmpxchg_insn(). */
export function isCmpxchgInsn(insns: Insns, i: number): boolean {
  return (insns.code[i]! & ATOMIC_BITS) === (BPF_STX | BPF_ATOMIC) && insns.imm[i] === BPF_CMPXCHG;
}

/** Mirrors is_atomic_load_insn(). */
export function isAtomicLoadInsn(insns: Insns, i: number): boolean {
  return (insns.code[i]! & ATOMIC_BITS) === (BPF_STX | BPF_ATOMIC) && insns.imm[i] === BPF_LOAD_ACQ;
}

/** Distance of a jump in slots, from the instruction behind it. Mirrors bpf_jmp_offset(). */
export function bpfJmpOffset(insns: Insns, i: number): number {
  return insns.code[i] === (BPF_JMP32 | BPF_JA) ? insns.imm[i]! : insns.off[i]!;
}

/** Helpers that call a function of the program before they return. Mirrors is_sync_callback_calling_function(). */
export function isSyncCallbackCallingFunction(funcId: number): boolean {
  return (
    funcId === FUNC_FOR_EACH_MAP_ELEM ||
    funcId === FUNC_FIND_VMA ||
    funcId === FUNC_LOOP ||
    funcId === FUNC_USER_RINGBUF_DRAIN
  );
}

/** Helpers that register a function of the program to be called later. Mirrors is_async_callback_calling_function(). */
export function isAsyncCallbackCallingFunction(funcId: number): boolean {
  return funcId === FUNC_TIMER_SET_CALLBACK;
}

/** Mirrors is_callback_calling_function(). */
export function isCallbackCallingFunction(funcId: number): boolean {
  return isSyncCallbackCallingFunction(funcId) || isAsyncCallbackCallingFunction(funcId);
}

/** Mirrors is_sync_callback_calling_insn(); kfuncs are not modelled. */
export function isSyncCallbackCallingInsn(insns: Insns, i: number): boolean {
  return bpfHelperCall(insns, i) && isSyncCallbackCallingFunction(insns.imm[i]!);
}

/** Mirrors is_async_callback_calling_insn(); kfuncs are not modelled. */
export function isAsyncCallbackCallingInsn(insns: Insns, i: number): boolean {
  return bpfHelperCall(insns, i) && isAsyncCallbackCallingFunction(insns.imm[i]!);
}
