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
  BPF_X,
} from "../../asm/opcode.js";
import {
  R_MASK_HI,
  R_MASK_LO,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_LO,
  R_SMIN_LO,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_LO,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
} from "../state/reg.js";
import { slt, ult, ult32 } from "./u64.js";

/*
 * Which way a comparison of two scalars goes, as far as their bounds tell. "1", "2" in names are the
 * operands, (m1, r1) and (m2, r2).
 */

/** "a op b" as "b op' a". Mirrors flip_opcode(); 0 for what is no comparison. */
export function flipOpcode(opcode: number): number {
  switch (opcode) {
    case BPF_JEQ:
    case BPF_JNE:
    case BPF_JSET:
      return opcode;
    case BPF_JGE:
      return BPF_JLE;
    case BPF_JGT:
      return BPF_JLT;
    case BPF_JLE:
      return BPF_JGE;
    case BPF_JLT:
      return BPF_JGT;
    case BPF_JSGE:
      return BPF_JSLE;
    case BPF_JSGT:
      return BPF_JSLT;
    case BPF_JSLE:
      return BPF_JSGE;
    case BPF_JSLT:
      return BPF_JSGT;
    default:
      return 0;
  }
}

/** The opposite of JSET, which is no instruction. */
export const NOT_JSET = BPF_JSET | BPF_X;

/** The condition of the other branch. Mirrors rev_opcode(); 0 for what is no comparison. */
export function revOpcode(opcode: number): number {
  switch (opcode) {
    case BPF_JEQ:
      return BPF_JNE;
    case BPF_JNE:
      return BPF_JEQ;
    case BPF_JSET:
      return NOT_JSET;
    case NOT_JSET:
      return BPF_JSET;
    case BPF_JGE:
      return BPF_JLT;
    case BPF_JGT:
      return BPF_JLE;
    case BPF_JLE:
      return BPF_JGT;
    case BPF_JLT:
      return BPF_JGE;
    case BPF_JSGE:
      return BPF_JSLT;
    case BPF_JSGT:
      return BPF_JSLE;
    case BPF_JSLE:
      return BPF_JSGT;
    case BPF_JSLT:
      return BPF_JSGE;
    default:
      return 0;
  }
}

/** 1: equal; 0: cannot be equal; -1: unknown. */
function equal64(m1: Int32Array, r1: number, m2: Int32Array, r2: number): number {
  const differLo = m1[r1 + R_VAL_LO]! ^ m2[r2 + R_VAL_LO]!;
  const differHi = m1[r1 + R_VAL_HI]! ^ m2[r2 + R_VAL_HI]!;
  const unknownLo = m1[r1 + R_MASK_LO]! | m2[r2 + R_MASK_LO]!;
  const unknownHi = m1[r1 + R_MASK_HI]! | m2[r2 + R_MASK_HI]!;
  if ((unknownLo | unknownHi) === 0) return (differLo | differHi) === 0 ? 1 : 0;
  if (((differLo & ~unknownLo) | (differHi & ~unknownHi)) !== 0) return 0;
  if (
    ult(m2[r2 + R_UMAX_LO]!, m2[r2 + R_UMAX_LO + 1]!, m1[r1 + R_UMIN_LO]!, m1[r1 + R_UMIN_LO + 1]!) ||
    ult(m1[r1 + R_UMAX_LO]!, m1[r1 + R_UMAX_LO + 1]!, m2[r2 + R_UMIN_LO]!, m2[r2 + R_UMIN_LO + 1]!) ||
    slt(m2[r2 + R_SMAX_LO]!, m2[r2 + R_SMAX_LO + 1]!, m1[r1 + R_SMIN_LO]!, m1[r1 + R_SMIN_LO + 1]!) ||
    slt(m1[r1 + R_SMAX_LO]!, m1[r1 + R_SMAX_LO + 1]!, m2[r2 + R_SMIN_LO]!, m2[r2 + R_SMIN_LO + 1]!)
  ) {
    return 0;
  }
  return apart32(m1, r1, m2, r2) ? 0 : -1;
}

/** Whether the ranges of the lower halves have nothing in common. */
function apart32(m1: Int32Array, r1: number, m2: Int32Array, r2: number): boolean {
  return (
    ult32(m2[r2 + R_U32_MAX]!, m1[r1 + R_U32_MIN]!) ||
    ult32(m1[r1 + R_U32_MAX]!, m2[r2 + R_U32_MIN]!) ||
    m1[r1 + R_S32_MIN]! > m2[r2 + R_S32_MAX]! ||
    m1[r1 + R_S32_MAX]! < m2[r2 + R_S32_MIN]!
  );
}

function equal32(m1: Int32Array, r1: number, m2: Int32Array, r2: number): number {
  const differ = m1[r1 + R_VAL_LO]! ^ m2[r2 + R_VAL_LO]!;
  const unknown = m1[r1 + R_MASK_LO]! | m2[r2 + R_MASK_LO]!;
  if (unknown === 0) return differ === 0 ? 1 : 0;
  if ((differ & ~unknown) !== 0) return 0;
  return apart32(m1, r1, m2, r2) ? 0 : -1;
}

/** Whether any of the bits of a constant are set in the other operand. */
function bitsSet(m1: Int32Array, r1: number, m2: Int32Array, r2: number, isJmp32: boolean): number {
  const hiBits = isJmp32 ? 0 : -1;
  const constant = (m2[r2 + R_MASK_LO]! | (m2[r2 + R_MASK_HI]! & hiBits)) === 0;
  const cm = constant ? m2 : m1;
  const c = constant ? r2 : r1;
  const xm = constant ? m1 : m2;
  const x = constant ? r1 : r2;
  if ((cm[c + R_MASK_LO]! | (cm[c + R_MASK_HI]! & hiBits)) !== 0) return -1;
  const bitsLo = cm[c + R_VAL_LO]!;
  const bitsHi = cm[c + R_VAL_HI]! & hiBits;
  const ones = (xm[x + R_VAL_LO]! & bitsLo) | (xm[x + R_VAL_HI]! & bitsHi);
  if (ones !== 0) return 1;
  const maybe = (xm[x + R_MASK_LO]! & bitsLo) | (xm[x + R_MASK_HI]! & bitsHi);
  return maybe === 0 ? 0 : -1;
}

const decide = (yes: boolean, no: boolean): number => (yes ? 1 : no ? 0 : -1);

function unsigned64(m1: Int32Array, r1: number, m2: Int32Array, r2: number, opcode: number): number {
  const min1Lo = m1[r1 + R_UMIN_LO]!;
  const min1Hi = m1[r1 + R_UMIN_LO + 1]!;
  const max1Lo = m1[r1 + R_UMAX_LO]!;
  const max1Hi = m1[r1 + R_UMAX_LO + 1]!;
  const min2Lo = m2[r2 + R_UMIN_LO]!;
  const min2Hi = m2[r2 + R_UMIN_LO + 1]!;
  const max2Lo = m2[r2 + R_UMAX_LO]!;
  const max2Hi = m2[r2 + R_UMAX_LO + 1]!;
  if (opcode === BPF_JGT || opcode === BPF_JLE) {
    const above = ult(max2Lo, max2Hi, min1Lo, min1Hi);
    const notAbove = !ult(min2Lo, min2Hi, max1Lo, max1Hi);
    return opcode === BPF_JGT ? decide(above, notAbove) : decide(notAbove, above);
  }
  const below = ult(max1Lo, max1Hi, min2Lo, min2Hi);
  const notBelow = !ult(min1Lo, min1Hi, max2Lo, max2Hi);
  return opcode === BPF_JLT ? decide(below, notBelow) : decide(notBelow, below);
}

function signed64(m1: Int32Array, r1: number, m2: Int32Array, r2: number, opcode: number): number {
  const min1Lo = m1[r1 + R_SMIN_LO]!;
  const min1Hi = m1[r1 + R_SMIN_LO + 1]!;
  const max1Lo = m1[r1 + R_SMAX_LO]!;
  const max1Hi = m1[r1 + R_SMAX_LO + 1]!;
  const min2Lo = m2[r2 + R_SMIN_LO]!;
  const min2Hi = m2[r2 + R_SMIN_LO + 1]!;
  const max2Lo = m2[r2 + R_SMAX_LO]!;
  const max2Hi = m2[r2 + R_SMAX_LO + 1]!;
  if (opcode === BPF_JSGT || opcode === BPF_JSLE) {
    const above = slt(max2Lo, max2Hi, min1Lo, min1Hi);
    const notAbove = !slt(min2Lo, min2Hi, max1Lo, max1Hi);
    return opcode === BPF_JSGT ? decide(above, notAbove) : decide(notAbove, above);
  }
  const below = slt(max1Lo, max1Hi, min2Lo, min2Hi);
  const notBelow = !slt(min1Lo, min1Hi, max2Lo, max2Hi);
  return opcode === BPF_JSLT ? decide(below, notBelow) : decide(notBelow, below);
}

/** An order on the ranges [min1, max1] and [min2, max2] of numbers that JavaScript compares as they should be. */
function ordered(min1: number, max1: number, min2: number, max2: number, opcode: number): number {
  switch (opcode) {
    case BPF_JGT:
    case BPF_JSGT:
      return decide(min1 > max2, max1 <= min2);
    case BPF_JLE:
    case BPF_JSLE:
      return decide(max1 <= min2, min1 > max2);
    case BPF_JLT:
    case BPF_JSLT:
      return decide(max1 < min2, min1 >= max2);
    default:
      return decide(min1 >= max2, max1 < min2);
  }
}

/**
 * Whether "1 opcode 2" holds of two scalars: 1 yes, 0 no, -1 unknown. Mirrors is_scalar_branch_taken().
 */
export function isScalarBranchTaken(
  m1: Int32Array,
  r1: number,
  m2: Int32Array,
  r2: number,
  opcode: number,
  isJmp32: boolean,
): number {
  switch (opcode) {
    case BPF_JEQ:
      return isJmp32 ? equal32(m1, r1, m2, r2) : equal64(m1, r1, m2, r2);
    case BPF_JNE: {
      const equal = isJmp32 ? equal32(m1, r1, m2, r2) : equal64(m1, r1, m2, r2);
      return equal < 0 ? -1 : 1 - equal;
    }
    case BPF_JSET:
      return bitsSet(m1, r1, m2, r2, isJmp32);
    case BPF_JGT:
    case BPF_JGE:
    case BPF_JLT:
    case BPF_JLE:
      if (!isJmp32) return unsigned64(m1, r1, m2, r2, opcode);
      return ordered(
        m1[r1 + R_U32_MIN]! >>> 0,
        m1[r1 + R_U32_MAX]! >>> 0,
        m2[r2 + R_U32_MIN]! >>> 0,
        m2[r2 + R_U32_MAX]! >>> 0,
        opcode,
      );
    case BPF_JSGT:
    case BPF_JSGE:
    case BPF_JSLT:
    case BPF_JSLE:
      if (!isJmp32) return signed64(m1, r1, m2, r2, opcode);
      return ordered(m1[r1 + R_S32_MIN]!, m1[r1 + R_S32_MAX]!, m2[r2 + R_S32_MIN]!, m2[r2 + R_S32_MAX]!, opcode);
    default:
      return -1;
  }
}
