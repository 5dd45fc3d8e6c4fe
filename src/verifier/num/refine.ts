// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
} from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import {
  R_MASK_HI,
  R_MASK_LO,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_LO,
  R_SMIN_LO,
  R_TYPE,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
} from "../state/reg.js";
import { markRegUnbounded } from "./bounds.js";
import { flipOpcode, NOT_JSET } from "./branch.js";
import { slt, ult, ult32 } from "./u64.js";

/*
 * What the outcome of a comparison says about the ranges of its operands. The two may be one and the
 * same register: then every step sees what the steps before it wrote, as in the kernel.
 */

/** Mirrors is_reg_const(). */
function isConst(mem: Int32Array, o: number, isJmp32: boolean): boolean {
  if (mem[o + R_TYPE] !== RegType.SCALAR_VALUE) return false;
  return (mem[o + R_MASK_LO]! | (isJmp32 ? 0 : mem[o + R_MASK_HI]!)) === 0;
}

function equalTo64(m1: Int32Array, r1: number, m2: Int32Array, r2: number): void {
  if (ult(m1[r1 + R_UMIN_LO]!, m1[r1 + R_UMIN_LO + 1]!, m2[r2 + R_UMIN_LO]!, m2[r2 + R_UMIN_LO + 1]!)) {
    m1[r1 + R_UMIN_LO] = m2[r2 + R_UMIN_LO]!;
    m1[r1 + R_UMIN_LO + 1] = m2[r2 + R_UMIN_LO + 1]!;
  }
  if (ult(m2[r2 + R_UMAX_LO]!, m2[r2 + R_UMAX_LO + 1]!, m1[r1 + R_UMAX_LO]!, m1[r1 + R_UMAX_LO + 1]!)) {
    m1[r1 + R_UMAX_LO] = m2[r2 + R_UMAX_LO]!;
    m1[r1 + R_UMAX_LO + 1] = m2[r2 + R_UMAX_LO + 1]!;
  }
  if (slt(m1[r1 + R_SMIN_LO]!, m1[r1 + R_SMIN_LO + 1]!, m2[r2 + R_SMIN_LO]!, m2[r2 + R_SMIN_LO + 1]!)) {
    m1[r1 + R_SMIN_LO] = m2[r2 + R_SMIN_LO]!;
    m1[r1 + R_SMIN_LO + 1] = m2[r2 + R_SMIN_LO + 1]!;
  }
  if (slt(m2[r2 + R_SMAX_LO]!, m2[r2 + R_SMAX_LO + 1]!, m1[r1 + R_SMAX_LO]!, m1[r1 + R_SMAX_LO + 1]!)) {
    m1[r1 + R_SMAX_LO] = m2[r2 + R_SMAX_LO]!;
    m1[r1 + R_SMAX_LO + 1] = m2[r2 + R_SMAX_LO + 1]!;
  }
  intersect(m1, r1, m2, r2, R_VAL_LO);
  intersect(m1, r1, m2, r2, R_VAL_HI);
  for (let i = R_VAL_LO; i <= R_UMAX_HI; i++) m2[r2 + i] = m1[r1 + i]!;
}

/** One word of tnum_intersect(), into the first register. */
function intersect(m1: Int32Array, r1: number, m2: Int32Array, r2: number, word: number): void {
  const at = word + (R_MASK_LO - R_VAL_LO);
  const mask = m1[r1 + at]! & m2[r2 + at]!;
  m1[r1 + word] = (m1[r1 + word]! | m2[r2 + word]!) & ~mask;
  m1[r1 + at] = mask;
}

function equalTo32(m1: Int32Array, r1: number, m2: Int32Array, r2: number): void {
  if (ult32(m1[r1 + R_U32_MIN]!, m2[r2 + R_U32_MIN]!)) m1[r1 + R_U32_MIN] = m2[r2 + R_U32_MIN]!;
  if (ult32(m2[r2 + R_U32_MAX]!, m1[r1 + R_U32_MAX]!)) m1[r1 + R_U32_MAX] = m2[r2 + R_U32_MAX]!;
  if (m1[r1 + R_S32_MIN]! < m2[r2 + R_S32_MIN]!) m1[r1 + R_S32_MIN] = m2[r2 + R_S32_MIN]!;
  if (m1[r1 + R_S32_MAX]! > m2[r2 + R_S32_MAX]!) m1[r1 + R_S32_MAX] = m2[r2 + R_S32_MAX]!;
  intersect(m1, r1, m2, r2, R_VAL_LO);
  m2[r2 + R_VAL_LO] = m1[r1 + R_VAL_LO]!;
  m2[r2 + R_MASK_LO] = m1[r1 + R_MASK_LO]!;
  for (let i = R_S32_MIN; i <= R_U32_MAX; i++) m2[r2 + i] = m1[r1 + i]!;
}

/** The two words at `at` plus `by` (1 or -1). */
function bump(mem: Int32Array, at: number, by: number): void {
  const lo = (mem[at]! + by) | 0;
  mem[at] = lo;
  if (lo === (by > 0 ? 0 : -1)) mem[at + 1] = mem[at + 1]! + by;
}

/** A bound that is the value which the register does not have moves inwards. */
function notEqualTo(mem: Int32Array, o: number, lo: number, hi: number, isJmp32: boolean): void {
  if (isJmp32) {
    if (mem[o + R_U32_MIN] === lo) mem[o + R_U32_MIN] = lo + 1;
    if (mem[o + R_U32_MAX] === lo) mem[o + R_U32_MAX] = lo - 1;
    if (mem[o + R_S32_MIN] === lo) mem[o + R_S32_MIN] = lo + 1;
    if (mem[o + R_S32_MAX] === lo) mem[o + R_S32_MAX] = lo - 1;
    return;
  }
  if (mem[o + R_UMIN_LO] === lo && mem[o + R_UMIN_LO + 1] === hi) bump(mem, o + R_UMIN_LO, 1);
  if (mem[o + R_UMAX_LO] === lo && mem[o + R_UMAX_LO + 1] === hi) bump(mem, o + R_UMAX_LO, -1);
  if (mem[o + R_SMIN_LO] === lo && mem[o + R_SMIN_LO + 1] === hi) bump(mem, o + R_SMIN_LO, 1);
  if (mem[o + R_SMAX_LO] === lo && mem[o + R_SMAX_LO + 1] === hi) bump(mem, o + R_SMAX_LO, -1);
}

/** Some bit of the value is set: which one is known of a single bit only. */
function someBitSet(mem: Int32Array, o: number, lo: number, hi: number): void {
  const single = hi === 0 ? (lo & (lo - 1)) === 0 : lo === 0 && (hi & (hi - 1)) === 0;
  if (!single || (lo | hi) === 0) return;
  mem[o + R_VAL_LO] = mem[o + R_VAL_LO]! | lo;
  mem[o + R_VAL_HI] = mem[o + R_VAL_HI]! | hi;
  mem[o + R_MASK_LO] = mem[o + R_MASK_LO]! & ~lo;
  mem[o + R_MASK_HI] = mem[o + R_MASK_HI]! & ~hi;
}

/** No bit of the value is set. */
function noBitSet(mem: Int32Array, o: number, lo: number, hi: number): void {
  // On a dead branch the ranges could contradict the tnum.
  markRegUnbounded(mem, o);
  mem[o + R_VAL_LO] = mem[o + R_VAL_LO]! & ~lo;
  mem[o + R_VAL_HI] = mem[o + R_VAL_HI]! & ~hi;
  mem[o + R_MASK_LO] = mem[o + R_MASK_LO]! & ~lo;
  mem[o + R_MASK_HI] = mem[o + R_MASK_HI]! & ~hi;
}

/** "1 <= 2" (strict: 0) or "1 < 2" (strict: 1), unsigned. */
function lessU64(m1: Int32Array, r1: number, m2: Int32Array, r2: number, strict: number): void {
  let lo = (m2[r2 + R_UMAX_LO]! - strict) | 0;
  let hi = m2[r2 + R_UMAX_LO + 1]! - (strict !== 0 && lo === -1 ? 1 : 0);
  hi |= 0;
  if (ult(lo, hi, m1[r1 + R_UMAX_LO]!, m1[r1 + R_UMAX_LO + 1]!)) {
    m1[r1 + R_UMAX_LO] = lo;
    m1[r1 + R_UMAX_LO + 1] = hi;
  }
  lo = (m1[r1 + R_UMIN_LO]! + strict) | 0;
  hi = (m1[r1 + R_UMIN_LO + 1]! + (strict !== 0 && lo === 0 ? 1 : 0)) | 0;
  if (ult(m2[r2 + R_UMIN_LO]!, m2[r2 + R_UMIN_LO + 1]!, lo, hi)) {
    m2[r2 + R_UMIN_LO] = lo;
    m2[r2 + R_UMIN_LO + 1] = hi;
  }
}

function lessS64(m1: Int32Array, r1: number, m2: Int32Array, r2: number, strict: number): void {
  let lo = (m2[r2 + R_SMAX_LO]! - strict) | 0;
  let hi = (m2[r2 + R_SMAX_LO + 1]! - (strict !== 0 && lo === -1 ? 1 : 0)) | 0;
  if (slt(lo, hi, m1[r1 + R_SMAX_LO]!, m1[r1 + R_SMAX_LO + 1]!)) {
    m1[r1 + R_SMAX_LO] = lo;
    m1[r1 + R_SMAX_LO + 1] = hi;
  }
  lo = (m1[r1 + R_SMIN_LO]! + strict) | 0;
  hi = (m1[r1 + R_SMIN_LO + 1]! + (strict !== 0 && lo === 0 ? 1 : 0)) | 0;
  if (slt(m2[r2 + R_SMIN_LO]!, m2[r2 + R_SMIN_LO + 1]!, lo, hi)) {
    m2[r2 + R_SMIN_LO] = lo;
    m2[r2 + R_SMIN_LO + 1] = hi;
  }
}

function lessU32(m1: Int32Array, r1: number, m2: Int32Array, r2: number, strict: number): void {
  const max = (m2[r2 + R_U32_MAX]! - strict) | 0;
  if (ult32(max, m1[r1 + R_U32_MAX]!)) m1[r1 + R_U32_MAX] = max;
  const min = (m1[r1 + R_U32_MIN]! + strict) | 0;
  if (ult32(m2[r2 + R_U32_MIN]!, min)) m2[r2 + R_U32_MIN] = min;
}

function lessS32(m1: Int32Array, r1: number, m2: Int32Array, r2: number, strict: number): void {
  const max = (m2[r2 + R_S32_MAX]! - strict) | 0;
  if (max < m1[r1 + R_S32_MAX]!) m1[r1 + R_S32_MAX] = max;
  const min = (m1[r1 + R_S32_MIN]! + strict) | 0;
  if (m2[r2 + R_S32_MIN]! < min) m2[r2 + R_S32_MIN] = min;
}

/** JNE, JSET and its opposite: one operand must be a constant, and the other one learns. */
function refineByConst(m1: Int32Array, r1: number, m2: Int32Array, r2: number, opcode: number, isJmp32: boolean): void {
  const second = isConst(m2, r2, isJmp32);
  if (!second && !isConst(m1, r1, isJmp32)) return;
  const mem = second ? m1 : m2;
  const o = second ? r1 : r2;
  const lo = second ? m2[r2 + R_VAL_LO]! : m1[r1 + R_VAL_LO]!;
  const hi = isJmp32 ? 0 : second ? m2[r2 + R_VAL_HI]! : m1[r1 + R_VAL_HI]!;
  if (opcode === BPF_JNE) notEqualTo(mem, o, lo, hi, isJmp32);
  else if (opcode === BPF_JSET) someBitSet(mem, o, lo, hi);
  else noBitSet(mem, o, lo, hi);
}

/**
 * Narrows both operands of "1 opcode 2", known to hold; {@link NOT_JSET} is one more opcode here.
 * Mirrors regs_refine_cond_op().
 */
export function regsRefineCondOp(
  m1: Int32Array,
  r1: number,
  m2: Int32Array,
  r2: number,
  opcode: number,
  isJmp32: boolean,
): void {
  switch (opcode) {
    case BPF_JEQ:
      if (isJmp32) equalTo32(m1, r1, m2, r2);
      else equalTo64(m1, r1, m2, r2);
      break;
    case BPF_JNE:
    case BPF_JSET:
    case NOT_JSET:
      refineByConst(m1, r1, m2, r2, opcode, isJmp32);
      break;
    case BPF_JGE:
    case BPF_JGT:
    case BPF_JSGE:
    case BPF_JSGT:
      regsRefineCondOp(m2, r2, m1, r1, flipOpcode(opcode), isJmp32);
      break;
    case BPF_JLE:
    case BPF_JLT:
      (isJmp32 ? lessU32 : lessU64)(m1, r1, m2, r2, opcode === BPF_JLT ? 1 : 0);
      break;
    case BPF_JSLE:
    case BPF_JSLT:
      (isJmp32 ? lessS32 : lessS64)(m1, r1, m2, r2, opcode === BPF_JSLT ? 1 : 0);
      break;
    default:
      break;
  }
}
