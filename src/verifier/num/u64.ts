// SPDX-License-Identifier: GPL-2.0-only

/*
 * 64-bit quantities as two int32 words. Comparisons are functions (small enough to be inlined);
 * sums and differences are written out where they are needed, as a function cannot give back two
 * words without memory. Products do go through memory: {@link product}.
 */

export const S32_MIN = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;

/** Unsigned a < b. */
export function ult(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
}

/** Signed a < b. */
export function slt(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi < bHi;
}

/** Unsigned a < b of 32-bit words. */
export function ult32(a: number, b: number): boolean {
  return a >>> 0 < b >>> 0;
}

/** Carry out of the low words of a sum: `lo` is `(aLo + bLo) | 0`. */
export function carry(lo: number, aLo: number): number {
  return lo >>> 0 < aLo >>> 0 ? 1 : 0;
}

/** Low word of a << n, n = 0–63. */
export function shlLo(lo: number, n: number): number {
  return n > 31 ? 0 : lo << n;
}

/** High word of a << n, n = 0–63. */
export function shlHi(lo: number, hi: number, n: number): number {
  if (n > 31) return lo << (n - 32);
  return n === 0 ? hi : (hi << n) | (lo >>> (32 - n));
}

/** Low word of a >> n, either kind, n = 0–63; `fill` is what comes in above the high word: 0 or -1. */
export function shrLo(lo: number, hi: number, n: number, fill: number): number {
  if (n > 31) return n === 32 ? hi : (hi >>> (n - 32)) | (fill << (64 - n));
  return n === 0 ? lo : (lo >>> n) | (hi << (32 - n));
}

/** High word of an unsigned a >> n, n = 0–63. */
export function ushrHi(hi: number, n: number): number {
  return n > 31 ? 0 : hi >>> n;
}

/** High word of a signed a >> n, n = 0–63. */
export function sshrHi(hi: number, n: number): number {
  return n > 31 ? hi >> 31 : hi >> n;
}

/** The last product of {@link umul64}: 128 bits, lowest word first. */
export const product = new Int32Array(4);

/** Unsigned 64×64 → 128 bits, into {@link product}. */
export function umul64(aLo: number, aHi: number, bLo: number, bHi: number): void {
  // Base 2^16 digits: column sums stay far below 2^53.
  const a0 = aLo & 0xffff;
  const a1 = aLo >>> 16;
  const a2 = aHi & 0xffff;
  const a3 = aHi >>> 16;
  const b0 = bLo & 0xffff;
  const b1 = bLo >>> 16;
  const b2 = bHi & 0xffff;
  const b3 = bHi >>> 16;
  const c0 = a0 * b0;
  const c1 = a1 * b0 + a0 * b1 + Math.floor(c0 / 0x1_0000);
  const c2 = a2 * b0 + a1 * b1 + a0 * b2 + Math.floor(c1 / 0x1_0000);
  const c3 = a3 * b0 + a2 * b1 + a1 * b2 + a0 * b3 + Math.floor(c2 / 0x1_0000);
  const c4 = a3 * b1 + a2 * b2 + a1 * b3 + Math.floor(c3 / 0x1_0000);
  const c5 = a3 * b2 + a2 * b3 + Math.floor(c4 / 0x1_0000);
  const c6 = a3 * b3 + Math.floor(c5 / 0x1_0000);
  product[0] = (c0 & 0xffff) | (c1 << 16);
  product[1] = (c2 & 0xffff) | (c3 << 16);
  product[2] = (c4 & 0xffff) | (c5 << 16);
  product[3] = c6;
}

/**
 * Signed 64×64, the low 64 bits into the first two words of {@link product}; true when the product
 * does not fit in 64 bits. Mirrors check_mul_overflow() on s64.
 */
export function smulOverflows(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  umul64(aLo, aHi, bLo, bHi);
  // The signed high half is the unsigned one less b when a is negative, and less a when b is.
  let hLo = product[2]!;
  let hHi = product[3]!;
  if (aHi < 0) {
    const lo = (hLo - bLo) | 0;
    hHi = (hHi - bHi - (hLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
    hLo = lo;
  }
  if (bHi < 0) {
    const lo = (hLo - aLo) | 0;
    hHi = (hHi - aHi - (hLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
    hLo = lo;
  }
  const sign = product[1]! >> 31;
  return hLo !== sign || hHi !== sign;
}

/** Position of the highest set bit plus one, 0 for zero. Mirrors fls64(). */
export function fls64(lo: number, hi: number): number {
  return hi !== 0 ? 64 - Math.clz32(hi) : 32 - Math.clz32(lo);
}

/** Two words as an unsigned BigInt; for texts and other edges only. */
export function toU64(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** Two words as a signed BigInt; for texts and other edges only. */
export function toS64(lo: number, hi: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo >>> 0);
}
