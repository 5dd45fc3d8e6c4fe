// SPDX-License-Identifier: GPL-2.0-only
import { R_MASK_HI, R_MASK_LO, R_S32_MAX, R_S32_MIN, R_U32_MAX, R_U32_MIN, R_VAL_HI, R_VAL_LO } from "../state/reg.js";
import { markReg32KnownRaw, markReg64Unbounded } from "./bounds.js";
import { updateReg32Bounds } from "./sync.js";
import { S32_MAX, S32_MIN } from "./u64.js";

/*
 * What arithmetic makes of the 32-bit ranges. (mem, d) is the destination and becomes the result,
 * (src, s) the source; they must not be the same state. The shifts make the tnum, too; for the
 * bitwise operations it is the result's already.
 */

const U32_MAX = 0xffff_ffff;

/** Mirrors scalar32_min_max_add(). */
export function scalar32MinMaxAdd(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const smin = mem[d + R_S32_MIN]! + src[s + R_S32_MIN]!;
  const smax = mem[d + R_S32_MAX]! + src[s + R_S32_MAX]!;
  const signed = smin === (smin | 0) && smax === (smax | 0);
  mem[d + R_S32_MIN] = signed ? smin : S32_MIN;
  mem[d + R_S32_MAX] = signed ? smax : S32_MAX;
  const umin = (mem[d + R_U32_MIN]! >>> 0) + (src[s + R_U32_MIN]! >>> 0);
  const umax = (mem[d + R_U32_MAX]! >>> 0) + (src[s + R_U32_MAX]! >>> 0);
  // Both or neither may wrap.
  const lost = umin <= U32_MAX && umax > U32_MAX;
  mem[d + R_U32_MIN] = lost ? 0 : umin | 0;
  mem[d + R_U32_MAX] = lost ? -1 : umax | 0;
}

/** Mirrors scalar32_min_max_sub(). */
export function scalar32MinMaxSub(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const smin = mem[d + R_S32_MIN]! - src[s + R_S32_MAX]!;
  const smax = mem[d + R_S32_MAX]! - src[s + R_S32_MIN]!;
  const signed = smin === (smin | 0) && smax === (smax | 0);
  mem[d + R_S32_MIN] = signed ? smin : S32_MIN;
  mem[d + R_S32_MAX] = signed ? smax : S32_MAX;
  const umin = (mem[d + R_U32_MIN]! >>> 0) - (src[s + R_U32_MAX]! >>> 0);
  const umax = (mem[d + R_U32_MAX]! >>> 0) - (src[s + R_U32_MIN]! >>> 0);
  const lost = umin < 0 && umax >= 0;
  mem[d + R_U32_MIN] = lost ? 0 : umin | 0;
  mem[d + R_U32_MAX] = lost ? -1 : umax | 0;
}

/** Mirrors scalar32_min_max_mul(). */
export function scalar32MinMaxMul(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  // Products beyond 2^53 are not exact, but they are beyond 32 bits all the same.
  const umin = (mem[d + R_U32_MIN]! >>> 0) * (src[s + R_U32_MIN]! >>> 0);
  const umax = (mem[d + R_U32_MAX]! >>> 0) * (src[s + R_U32_MAX]! >>> 0);
  const fits = umin <= U32_MAX && umax <= U32_MAX;
  mem[d + R_U32_MIN] = fits ? umin | 0 : 0;
  mem[d + R_U32_MAX] = fits ? umax | 0 : -1;
  const dmin = mem[d + R_S32_MIN]!;
  const dmax = mem[d + R_S32_MAX]!;
  const smin = src[s + R_S32_MIN]!;
  const smax = src[s + R_S32_MAX]!;
  const low = Math.min(dmin * smin, dmin * smax, dmax * smin, dmax * smax);
  const high = Math.max(dmin * smin, dmin * smax, dmax * smin, dmax * smax);
  const signed = low >= S32_MIN && high <= S32_MAX;
  mem[d + R_S32_MIN] = signed ? low : S32_MIN;
  mem[d + R_S32_MAX] = signed ? high : S32_MAX;
}

/** The signed range is the unsigned one when that does not cross the sign, and unbounded else. */
function signedFromUnsigned(mem: Int32Array, d: number): void {
  const umin = mem[d + R_U32_MIN]!;
  const umax = mem[d + R_U32_MAX]!;
  mem[d + R_S32_MIN] = umin <= umax ? umin : S32_MIN;
  mem[d + R_S32_MAX] = umin <= umax ? umax : S32_MAX;
}

/** Mirrors scalar32_min_max_and(). */
export function scalar32MinMaxAnd(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const value = mem[d + R_VAL_LO]!;
  if ((mem[d + R_MASK_LO]! | src[s + R_MASK_LO]!) === 0) {
    markReg32KnownRaw(mem, d, value);
    return;
  }
  mem[d + R_U32_MIN] = value;
  if (mem[d + R_U32_MAX]! >>> 0 > src[s + R_U32_MAX]! >>> 0) mem[d + R_U32_MAX] = src[s + R_U32_MAX]!;
  signedFromUnsigned(mem, d);
}

/** Mirrors scalar32_min_max_or(). */
export function scalar32MinMaxOr(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const value = mem[d + R_VAL_LO]!;
  const mask = mem[d + R_MASK_LO]!;
  if ((mask | src[s + R_MASK_LO]!) === 0) {
    markReg32KnownRaw(mem, d, value);
    return;
  }
  if (mem[d + R_U32_MIN]! >>> 0 < src[s + R_U32_MIN]! >>> 0) mem[d + R_U32_MIN] = src[s + R_U32_MIN]!;
  mem[d + R_U32_MAX] = value | mask;
  signedFromUnsigned(mem, d);
}

/** Mirrors scalar32_min_max_xor(). */
export function scalar32MinMaxXor(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const value = mem[d + R_VAL_LO]!;
  const mask = mem[d + R_MASK_LO]!;
  if ((mask | src[s + R_MASK_LO]!) === 0) {
    markReg32KnownRaw(mem, d, value);
    return;
  }
  mem[d + R_U32_MIN] = value;
  mem[d + R_U32_MAX] = value | mask;
  signedFromUnsigned(mem, d);
}

/** The 32-bit ranges of a left shift by `n` bits, 0–63. Mirrors __scalar32_min_max_lsh() for a constant shift. */
export function scalar32MinMaxLshRaw(mem: Int32Array, d: number, n: number): void {
  mem[d + R_S32_MIN] = S32_MIN;
  mem[d + R_S32_MAX] = S32_MAX;
  if (n > 31 || mem[d + R_U32_MAX]! >>> 0 > 2 ** (31 - n)) {
    mem[d + R_U32_MIN] = 0;
    mem[d + R_U32_MAX] = -1;
  } else {
    mem[d + R_U32_MIN] = mem[d + R_U32_MIN]! << n;
    mem[d + R_U32_MAX] = mem[d + R_U32_MAX]! << n;
  }
}

/** The lower half of the tnum, given shifted, becomes the tnum; 64-bit bounds are to be found anew. */
function finishShift(mem: Int32Array, d: number, value: number, mask: number): void {
  mem[d + R_VAL_LO] = value;
  mem[d + R_VAL_HI] = 0;
  mem[d + R_MASK_LO] = mask;
  mem[d + R_MASK_HI] = 0;
  markReg64Unbounded(mem, d);
  updateReg32Bounds(mem, d);
}

/** Left shift by a constant below 32. Mirrors scalar32_min_max_lsh(). */
export function scalar32MinMaxLsh(mem: Int32Array, d: number, n: number): void {
  scalar32MinMaxLshRaw(mem, d, n);
  finishShift(mem, d, mem[d + R_VAL_LO]! << n, mem[d + R_MASK_LO]! << n);
}

/** Unsigned right shift by a constant below 32. Mirrors scalar32_min_max_rsh(). */
export function scalar32MinMaxRsh(mem: Int32Array, d: number, n: number): void {
  mem[d + R_S32_MIN] = S32_MIN;
  mem[d + R_S32_MAX] = S32_MAX;
  mem[d + R_U32_MIN] = mem[d + R_U32_MIN]! >>> n;
  mem[d + R_U32_MAX] = mem[d + R_U32_MAX]! >>> n;
  finishShift(mem, d, mem[d + R_VAL_LO]! >>> n, mem[d + R_MASK_LO]! >>> n);
}

/** Signed right shift by a constant below 32. Mirrors scalar32_min_max_arsh(). */
export function scalar32MinMaxArsh(mem: Int32Array, d: number, n: number): void {
  mem[d + R_S32_MIN] = mem[d + R_S32_MIN]! >> n;
  mem[d + R_S32_MAX] = mem[d + R_S32_MAX]! >> n;
  mem[d + R_U32_MIN] = 0;
  mem[d + R_U32_MAX] = -1;
  finishShift(mem, d, mem[d + R_VAL_LO]! >> n, mem[d + R_MASK_LO]! >> n);
}
