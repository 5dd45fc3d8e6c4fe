// SPDX-License-Identifier: GPL-2.0-only
import {
  R_MASK_HI,
  R_MASK_LO,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
} from "../state/reg.js";
import { scalar32MinMaxLshRaw } from "./alu32.js";
import { coerceRegToSize, markReg32Unbounded, markRegKnownRaw, markRegUnbounded } from "./bounds.js";
import { updateRegBounds } from "./sync.js";
import {
  product,
  S32_MAX,
  S32_MIN,
  shlHi,
  shlLo,
  shrLo,
  slt,
  smulOverflows,
  sshrHi,
  ult,
  umul64,
  ushrHi,
} from "./u64.js";

/*
 * What arithmetic makes of the 64-bit ranges; conventions as in alu32.ts.
 */

function unboundSigned(mem: Int32Array, d: number): void {
  mem[d + R_SMIN_LO] = 0;
  mem[d + R_SMIN_HI] = S32_MIN;
  mem[d + R_SMAX_LO] = -1;
  mem[d + R_SMAX_HI] = S32_MAX;
}

function unboundUnsigned(mem: Int32Array, d: number): void {
  mem[d + R_UMIN_LO] = 0;
  mem[d + R_UMIN_HI] = 0;
  mem[d + R_UMAX_LO] = -1;
  mem[d + R_UMAX_HI] = -1;
}

/** Mirrors scalar_min_max_add(). */
export function scalarMinMaxAdd(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  let aLo = mem[d + R_SMIN_LO]!;
  let aHi = mem[d + R_SMIN_HI]!;
  let bHi = src[s + R_SMIN_HI]!;
  const sminLo = (aLo + src[s + R_SMIN_LO]!) | 0;
  const sminHi = (aHi + bHi + (sminLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  let over = (aHi ^ sminHi) & (bHi ^ sminHi);
  aLo = mem[d + R_SMAX_LO]!;
  aHi = mem[d + R_SMAX_HI]!;
  bHi = src[s + R_SMAX_HI]!;
  const smaxLo = (aLo + src[s + R_SMAX_LO]!) | 0;
  const smaxHi = (aHi + bHi + (smaxLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  over |= (aHi ^ smaxHi) & (bHi ^ smaxHi);
  if (over < 0) {
    unboundSigned(mem, d);
  } else {
    mem[d + R_SMIN_LO] = sminLo;
    mem[d + R_SMIN_HI] = sminHi;
    mem[d + R_SMAX_LO] = smaxLo;
    mem[d + R_SMAX_HI] = smaxHi;
  }
  aLo = mem[d + R_UMIN_LO]!;
  aHi = mem[d + R_UMIN_HI]!;
  const uminLo = (aLo + src[s + R_UMIN_LO]!) | 0;
  const uminHi = (aHi + src[s + R_UMIN_HI]! + (uminLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  const minOver = ult(uminLo, uminHi, aLo, aHi);
  aLo = mem[d + R_UMAX_LO]!;
  aHi = mem[d + R_UMAX_HI]!;
  const umaxLo = (aLo + src[s + R_UMAX_LO]!) | 0;
  const umaxHi = (aHi + src[s + R_UMAX_HI]! + (umaxLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  // Both or neither may wrap.
  if (!minOver && ult(umaxLo, umaxHi, aLo, aHi)) {
    unboundUnsigned(mem, d);
  } else {
    mem[d + R_UMIN_LO] = uminLo;
    mem[d + R_UMIN_HI] = uminHi;
    mem[d + R_UMAX_LO] = umaxLo;
    mem[d + R_UMAX_HI] = umaxHi;
  }
}

/** Mirrors scalar_min_max_sub(). */
export function scalarMinMaxSub(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  let aLo = mem[d + R_SMIN_LO]!;
  let aHi = mem[d + R_SMIN_HI]!;
  let bLo = src[s + R_SMAX_LO]!;
  let bHi = src[s + R_SMAX_HI]!;
  const sminLo = (aLo - bLo) | 0;
  const sminHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  let over = (aHi ^ bHi) & (aHi ^ sminHi);
  aLo = mem[d + R_SMAX_LO]!;
  aHi = mem[d + R_SMAX_HI]!;
  bLo = src[s + R_SMIN_LO]!;
  bHi = src[s + R_SMIN_HI]!;
  const smaxLo = (aLo - bLo) | 0;
  const smaxHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  over |= (aHi ^ bHi) & (aHi ^ smaxHi);
  if (over < 0) {
    unboundSigned(mem, d);
  } else {
    mem[d + R_SMIN_LO] = sminLo;
    mem[d + R_SMIN_HI] = sminHi;
    mem[d + R_SMAX_LO] = smaxLo;
    mem[d + R_SMAX_HI] = smaxHi;
  }
  aLo = mem[d + R_UMIN_LO]!;
  aHi = mem[d + R_UMIN_HI]!;
  bLo = src[s + R_UMAX_LO]!;
  bHi = src[s + R_UMAX_HI]!;
  const uminLo = (aLo - bLo) | 0;
  const uminHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  const minUnder = ult(aLo, aHi, bLo, bHi);
  aLo = mem[d + R_UMAX_LO]!;
  aHi = mem[d + R_UMAX_HI]!;
  bLo = src[s + R_UMIN_LO]!;
  bHi = src[s + R_UMIN_HI]!;
  if (minUnder && !ult(aLo, aHi, bLo, bHi)) {
    unboundUnsigned(mem, d);
  } else {
    mem[d + R_UMIN_LO] = uminLo;
    mem[d + R_UMIN_HI] = uminHi;
    mem[d + R_UMAX_LO] = (aLo - bLo) | 0;
    mem[d + R_UMAX_HI] = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  }
}

/** Unsigned part of {@link scalarMinMaxMul}. */
function unsignedMul(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  umul64(mem[d + R_UMAX_LO]!, mem[d + R_UMAX_HI]!, src[s + R_UMAX_LO]!, src[s + R_UMAX_HI]!);
  let over = product[2]! | product[3]!;
  mem[d + R_UMAX_LO] = product[0]!;
  mem[d + R_UMAX_HI] = product[1]!;
  umul64(mem[d + R_UMIN_LO]!, mem[d + R_UMIN_HI]!, src[s + R_UMIN_LO]!, src[s + R_UMIN_HI]!);
  over |= product[2]! | product[3]!;
  mem[d + R_UMIN_LO] = product[0]!;
  mem[d + R_UMIN_HI] = product[1]!;
  if (over !== 0) unboundUnsigned(mem, d);
}

/** Signed part of {@link scalarMinMaxMul}: least and greatest product of the ends. */
function signedMul(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  let minLo = -1;
  let minHi = S32_MAX;
  let maxLo = 0;
  let maxHi = S32_MIN;
  for (let i = 0; i < 4; i++) {
    const a = d + (i < 2 ? R_SMIN_LO : R_SMAX_LO);
    const b = s + ((i & 1) === 0 ? R_SMIN_LO : R_SMAX_LO);
    if (smulOverflows(mem[a]!, mem[a + 1]!, src[b]!, src[b + 1]!)) {
      unboundSigned(mem, d);
      return;
    }
    const lo = product[0]!;
    const hi = product[1]!;
    if (slt(lo, hi, minLo, minHi)) {
      minLo = lo;
      minHi = hi;
    }
    if (slt(maxLo, maxHi, lo, hi)) {
      maxLo = lo;
      maxHi = hi;
    }
  }
  mem[d + R_SMIN_LO] = minLo;
  mem[d + R_SMIN_HI] = minHi;
  mem[d + R_SMAX_LO] = maxLo;
  mem[d + R_SMAX_HI] = maxHi;
}

/** Mirrors scalar_min_max_mul(). */
export function scalarMinMaxMul(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  unsignedMul(mem, d, src, s);
  signedMul(mem, d, src, s);
}

/** The signed range is the unsigned one when that does not cross the sign, and unbounded else; then the tnum informs. */
function finishBitwise(mem: Int32Array, d: number): void {
  const uminLo = mem[d + R_UMIN_LO]!;
  const uminHi = mem[d + R_UMIN_HI]!;
  const umaxLo = mem[d + R_UMAX_LO]!;
  const umaxHi = mem[d + R_UMAX_HI]!;
  if (slt(umaxLo, umaxHi, uminLo, uminHi)) {
    unboundSigned(mem, d);
  } else {
    mem[d + R_SMIN_LO] = uminLo;
    mem[d + R_SMIN_HI] = uminHi;
    mem[d + R_SMAX_LO] = umaxLo;
    mem[d + R_SMAX_HI] = umaxHi;
  }
  updateRegBounds(mem, d);
}

/** Both operands are constants: so is the result, which the tnum holds. */
function bothKnown(mem: Int32Array, d: number, src: Int32Array, s: number): boolean {
  if ((src[s + R_MASK_LO]! | src[s + R_MASK_HI]! | mem[d + R_MASK_LO]! | mem[d + R_MASK_HI]!) !== 0) return false;
  markRegKnownRaw(mem, d, mem[d + R_VAL_LO]!, mem[d + R_VAL_HI]!);
  return true;
}

/** Mirrors scalar_min_max_and(). */
export function scalarMinMaxAnd(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  if (bothKnown(mem, d, src, s)) return;
  mem[d + R_UMIN_LO] = mem[d + R_VAL_LO]!;
  mem[d + R_UMIN_HI] = mem[d + R_VAL_HI]!;
  const lo = src[s + R_UMAX_LO]!;
  const hi = src[s + R_UMAX_HI]!;
  if (ult(lo, hi, mem[d + R_UMAX_LO]!, mem[d + R_UMAX_HI]!)) {
    mem[d + R_UMAX_LO] = lo;
    mem[d + R_UMAX_HI] = hi;
  }
  finishBitwise(mem, d);
}

/** Mirrors scalar_min_max_or(). */
export function scalarMinMaxOr(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  if (bothKnown(mem, d, src, s)) return;
  const lo = src[s + R_UMIN_LO]!;
  const hi = src[s + R_UMIN_HI]!;
  if (ult(mem[d + R_UMIN_LO]!, mem[d + R_UMIN_HI]!, lo, hi)) {
    mem[d + R_UMIN_LO] = lo;
    mem[d + R_UMIN_HI] = hi;
  }
  mem[d + R_UMAX_LO] = mem[d + R_VAL_LO]! | mem[d + R_MASK_LO]!;
  mem[d + R_UMAX_HI] = mem[d + R_VAL_HI]! | mem[d + R_MASK_HI]!;
  finishBitwise(mem, d);
}

/** Mirrors scalar_min_max_xor(). */
export function scalarMinMaxXor(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  if (bothKnown(mem, d, src, s)) return;
  mem[d + R_UMIN_LO] = mem[d + R_VAL_LO]!;
  mem[d + R_UMIN_HI] = mem[d + R_VAL_HI]!;
  mem[d + R_UMAX_LO] = mem[d + R_VAL_LO]! | mem[d + R_MASK_LO]!;
  mem[d + R_UMAX_HI] = mem[d + R_VAL_HI]! | mem[d + R_MASK_HI]!;
  finishBitwise(mem, d);
}

/** Value `at` (two words) shifted left in place. */
function shl(mem: Int32Array, at: number, n: number): void {
  const lo = mem[at]!;
  mem[at + 1] = shlHi(lo, mem[at + 1]!, n);
  mem[at] = shlLo(lo, n);
}

/** Value `at` shifted right without sign. */
function ushr(mem: Int32Array, at: number, n: number): void {
  const hi = mem[at + 1]!;
  mem[at] = shrLo(mem[at]!, hi, n, 0);
  mem[at + 1] = ushrHi(hi, n);
}

/** Value `at` shifted right with sign. */
function sshr(mem: Int32Array, at: number, n: number): void {
  const hi = mem[at + 1]!;
  mem[at] = shrLo(mem[at]!, hi, n, hi >> 31);
  mem[at + 1] = sshrHi(hi, n);
}

/** Left shift by a constant below 64. Mirrors scalar_min_max_lsh(). */
export function scalarMinMaxLsh(mem: Int32Array, d: number, n: number): void {
  unboundSigned(mem, d);
  if (n === 32) {
    // The usual way to sign-extend a word is << 32, s>> 32: the 32-bit range comes along.
    mem[d + R_SMIN_LO] = 0;
    mem[d + R_SMIN_HI] = mem[d + R_S32_MIN]!;
    mem[d + R_SMAX_LO] = 0;
    mem[d + R_SMAX_HI] = mem[d + R_S32_MAX]!;
  }
  if (ult(shlLo(1, 63 - n), shlHi(1, 0, 63 - n), mem[d + R_UMAX_LO]!, mem[d + R_UMAX_HI]!)) {
    unboundUnsigned(mem, d);
  } else {
    shl(mem, d + R_UMIN_LO, n);
    shl(mem, d + R_UMAX_LO, n);
  }
  scalar32MinMaxLshRaw(mem, d, n);
  shl(mem, d + R_VAL_LO, n);
  shl(mem, d + R_MASK_LO, n);
  updateRegBounds(mem, d);
}

/** Unsigned right shift by a constant below 64. Mirrors scalar_min_max_rsh(). */
export function scalarMinMaxRsh(mem: Int32Array, d: number, n: number): void {
  unboundSigned(mem, d);
  ushr(mem, d + R_VAL_LO, n);
  ushr(mem, d + R_MASK_LO, n);
  ushr(mem, d + R_UMIN_LO, n);
  ushr(mem, d + R_UMAX_LO, n);
  markReg32Unbounded(mem, d);
  updateRegBounds(mem, d);
}

/** Signed right shift by a constant below 64. Mirrors scalar_min_max_arsh(). */
export function scalarMinMaxArsh(mem: Int32Array, d: number, n: number): void {
  sshr(mem, d + R_SMIN_LO, n);
  sshr(mem, d + R_SMAX_LO, n);
  sshr(mem, d + R_VAL_LO, n);
  sshr(mem, d + R_MASK_LO, n);
  unboundUnsigned(mem, d);
  markReg32Unbounded(mem, d);
  updateRegBounds(mem, d);
}

/** The bytes of a word in reverse order. */
function swab32(w: number): number {
  return (w << 24) | ((w & 0xff00) << 8) | ((w >>> 8) & 0xff00) | (w >>> 24);
}

/**
 * Byte order conversion to `bits` (16, 32 or 64); `swap` is false when the order is right already and
 * only the width changes. Mirrors scalar_byte_swap().
 */
export function scalarByteSwap(mem: Int32Array, d: number, bits: number, swap: boolean): void {
  if (swap) {
    for (let at = d + R_VAL_LO; at <= d + R_MASK_LO; at += R_MASK_LO - R_VAL_LO) {
      const lo = swab32(mem[at]!);
      const hi = swab32(mem[at + 1]!);
      mem[at] = bits === 16 ? lo >>> 16 : bits === 32 ? lo : hi;
      mem[at + 1] = bits === 64 ? lo : 0;
    }
    markRegUnbounded(mem, d);
  }
  if (bits !== 64) coerceRegToSize(mem, d, bits / 8);
}
