// SPDX-License-Identifier: GPL-2.0-only
import fc from "fast-check";
import { RegType } from "../../../src/kernel/bpf-types.js";
import * as R from "../../../src/verifier/state/reg.js";

/*
 * Registers of tests, seen as BigInts: made of bounds, read back, and asked whether a value is one
 * that they allow. A register with room for others behind it is one Int32Array.
 */

export const U64 = (1n << 64n) - 1n;
const U32 = (1n << 32n) - 1n;

export const s64 = (v: bigint): bigint => BigInt.asIntN(64, v);
export const u64 = (v: bigint): bigint => v & U64;
export const u32 = (v: bigint): bigint => v & U32;
export const s32 = (v: bigint): bigint => BigInt.asIntN(32, v);

export interface Bounds {
  value: bigint;
  mask: bigint;
  umin: bigint;
  umax: bigint;
  smin: bigint;
  smax: bigint;
  u32min: bigint;
  u32max: bigint;
  s32min: bigint;
  s32max: bigint;
}

export const unbounded: Bounds = {
  value: 0n,
  mask: U64,
  umin: 0n,
  umax: U64,
  smin: -(1n << 63n),
  smax: (1n << 63n) - 1n,
  u32min: 0n,
  u32max: U32,
  s32min: -(1n << 31n),
  s32max: (1n << 31n) - 1n,
};

export const known = (v: bigint): Bounds => ({
  value: u64(v),
  mask: 0n,
  umin: u64(v),
  umax: u64(v),
  smin: s64(v),
  smax: s64(v),
  u32min: u32(v),
  u32max: u32(v),
  s32min: s32(v),
  s32max: s32(v),
});

export const lo = (v: bigint): number => Number(s32(v));
export const hi = (v: bigint): number => Number(s32(v >> 32n));

/** Writes a scalar with these bounds at `o`. */
export function put(mem: Int32Array, o: number, b: Bounds): void {
  mem.fill(0, o, o + R.REG_WORDS);
  mem[o + R.R_TYPE] = RegType.SCALAR_VALUE;
  const wide = [b.value, b.mask, b.smin, b.smax, b.umin, b.umax];
  wide.forEach((v, i) => {
    mem[o + R.R_VAL_LO + 2 * i] = lo(v);
    mem[o + R.R_VAL_LO + 2 * i + 1] = hi(v);
  });
  [b.s32min, b.s32max, b.u32min, b.u32max].forEach((v, i) => {
    mem[o + R.R_S32_MIN + i] = lo(v);
  });
}

/** A scalar with these bounds in an array of its own. */
export function reg(b: Bounds): Int32Array {
  const mem = new Int32Array(R.REG_WORDS);
  put(mem, 0, b);
  return mem;
}

const wide = (mem: Int32Array, at: number): bigint => (BigInt(mem[at + 1]! >>> 0) << 32n) | BigInt(mem[at]! >>> 0);

export function bounds(mem: Int32Array, o = 0): Bounds {
  return {
    value: wide(mem, o + R.R_VAL_LO),
    mask: wide(mem, o + R.R_MASK_LO),
    umin: wide(mem, o + R.R_UMIN_LO),
    umax: wide(mem, o + R.R_UMAX_LO),
    smin: s64(wide(mem, o + R.R_SMIN_LO)),
    smax: s64(wide(mem, o + R.R_SMAX_LO)),
    u32min: BigInt(mem[o + R.R_U32_MIN]! >>> 0),
    u32max: BigInt(mem[o + R.R_U32_MAX]! >>> 0),
    s32min: BigInt(mem[o + R.R_S32_MIN]!),
    s32max: BigInt(mem[o + R.R_S32_MAX]!),
  };
}

/** Which domain does not allow the 64-bit value, or "". */
export function excludes(b: Bounds, x: bigint): string {
  if ((b.value & b.mask) !== 0n) return "a malformed tnum";
  if ((x & ~b.mask & U64) !== b.value) return "tnum";
  if (x < b.umin || x > b.umax) return "u64";
  if (s64(x) < b.smin || s64(x) > b.smax) return "s64";
  if (u32(x) < b.u32min || u32(x) > b.u32max) return "u32";
  if (s32(x) < b.s32min || s32(x) > b.s32max) return "s32";
  return "";
}

export function show(b: Bounds): string {
  const hex = (v: bigint) => (v < 0n ? `-0x${(-v).toString(16)}` : `0x${v.toString(16)}`);
  return Object.entries(b)
    .map(([name, v]) => `${name}=${hex(v as bigint)}`)
    .join(" ");
}

/** Numbers as programs have them: mostly near zero, powers of two and the ends of the domains. */
export const word64: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: 0n, max: U64 }),
  fc
    .tuple(
      fc.constantFrom(0n, 1n << 7n, 1n << 15n, 1n << 31n, 1n << 32n, 1n << 47n, 1n << 63n),
      fc.integer({ min: -20, max: 20 }),
    )
    .map(([base, d]) => u64(base + BigInt(d))),
  fc.tuple(fc.integer({ min: 0, max: 63 }), fc.bigInt({ min: 0n, max: U64 })).map(([n, v]) => v >> BigInt(n)),
  fc.tuple(fc.integer({ min: 0, max: 63 }), fc.bigInt({ min: 0n, max: U64 })).map(([n, v]) => u64(~(v >> BigInt(n)))),
);

const distance = fc.oneof(
  fc.constant(0n),
  fc.bigInt({ min: 0n, max: 16n }),
  fc.tuple(fc.integer({ min: 0, max: 64 }), fc.bigInt({ min: 0n, max: U64 })).map(([n, v]) => v >> BigInt(n)),
);

/** Some bits that nothing is known of: none, low ones, any. */
const mask64 = fc.oneof(
  fc.constant(0n),
  fc.constant(U64),
  fc.integer({ min: 0, max: 64 }).map((n) => (1n << BigInt(n)) - 1n),
  fc.bigInt({ min: 0n, max: U64 }),
  fc.tuple(fc.bigInt({ min: 0n, max: U64 }), fc.bigInt({ min: 0n, max: U64 })).map(([a, b]) => a & b),
);

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** A value, and bounds in every domain that allow it but know nothing of each other. */
export const valueAndBounds: fc.Arbitrary<{ x: bigint; b: Bounds }> = fc
  .tuple(word64, mask64, fc.array(distance, { minLength: 8, maxLength: 8 }), fc.integer({ min: 0, max: 31 }))
  .map(([x, mask, d, open]) => {
    const keep = (bit: number): boolean => (open & (1 << bit)) === 0;
    const b: Bounds = { ...unbounded };
    if (keep(0)) Object.assign(b, { value: x & ~mask & U64, mask });
    if (keep(1)) Object.assign(b, { umin: max(x - d[0]!, 0n), umax: min(x + d[1]!, U64) });
    if (keep(2)) {
      Object.assign(b, { smin: max(s64(x) - d[2]!, unbounded.smin), smax: min(s64(x) + d[3]!, unbounded.smax) });
    }
    if (keep(3)) Object.assign(b, { u32min: max(u32(x) - d[4]!, 0n), u32max: min(u32(x) + d[5]!, U32) });
    if (keep(4)) {
      Object.assign(b, {
        s32min: max(s32(x) - d[6]!, unbounded.s32min),
        s32max: min(s32(x) + d[7]!, unbounded.s32max),
      });
    }
    return { x, b };
  });
