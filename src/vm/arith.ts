// SPDX-License-Identifier: MIT
import { toU64 } from "./memory.js";

/*
 * What 64-bit halves are bad at: multiplication and division. Registers are pairs of an Int32Array, low half first;
 * an index is that of the low half.
 */

/** r[d] *= r[s], the lower 64 bits. */
export function multiply64(r: Int32Array, d: number, s: number): void {
  const a = r[d]!;
  const b = r[s]!;
  const high = Math.imul(r[d + 1]!, b) + Math.imul(a, r[s + 1]!);
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const middle2 = a0 * b1 + (middle & 0xffff);
  r[d + 1] = (high + a1 * b1 + Math.floor(middle / 0x1_0000) + Math.floor(middle2 / 0x1_0000)) | 0;
  r[d] = Math.imul(a, b);
}

const get = (r: Int32Array, i: number): bigint => toU64(r[i]!, r[i + 1]!);
const getSigned = (r: Int32Array, i: number): bigint => BigInt.asIntN(64, get(r, i));

function set(r: Int32Array, i: number, value: bigint): void {
  r[i] = Number(BigInt.asIntN(32, value));
  r[i + 1] = Number(BigInt.asIntN(32, value >> 32n));
}

/** Both fit in 53 bits, so that numbers divide them exactly. */
const areSmall = (r: Int32Array, d: number, s: number): boolean =>
  r[d + 1]! >>> 0 < 0x20_0000 && r[s + 1]! >>> 0 < 0x20_0000;
const small = (r: Int32Array, i: number): number => r[i + 1]! * 0x1_0000_0000 + (r[i]! >>> 0);

function setSmall(r: Int32Array, i: number, value: number): void {
  r[i] = value | 0;
  r[i + 1] = Math.floor(value / 0x1_0000_0000);
}

/** r[d] /= r[s], unsigned; by zero gives 0. */
export function divide64(r: Int32Array, d: number, s: number): void {
  if ((r[s]! | r[s + 1]!) === 0) {
    r[d] = 0;
    r[d + 1] = 0;
  } else if (areSmall(r, d, s)) setSmall(r, d, Math.floor(small(r, d) / small(r, s)));
  else set(r, d, get(r, d) / get(r, s));
}

/** r[d] %= r[s], unsigned; by zero changes nothing. */
export function modulo64(r: Int32Array, d: number, s: number): void {
  if ((r[s]! | r[s + 1]!) === 0) return;
  if (areSmall(r, d, s)) setSmall(r, d, small(r, d) % small(r, s));
  else set(r, d, get(r, d) % get(r, s));
}

/** r[d] s/= r[s]; by zero gives 0, and the least number by -1 itself. */
export function divideSigned64(r: Int32Array, d: number, s: number): void {
  set(r, d, (r[s]! | r[s + 1]!) === 0 ? 0n : getSigned(r, d) / getSigned(r, s));
}

/** r[d] s%= r[s], with the sign of the dividend; by zero changes nothing. */
export function moduloSigned64(r: Int32Array, d: number, s: number): void {
  if ((r[s]! | r[s + 1]!) !== 0) set(r, d, getSigned(r, d) % getSigned(r, s));
}

/** The bytes of 32 bits the other way round. */
export function swap32(x: number): number {
  return (x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24);
}
