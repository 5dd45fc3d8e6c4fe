// SPDX-License-Identifier: GPL-2.0-only
import fc from "fast-check";
import t from "tap";
import * as tnum from "../../../src/verifier/num/tnum.js";
import { R_MASK_LO, R_VAL_LO } from "../../../src/verifier/state/reg.js";
import { bounds, hi, lo, reg, U64, u64, unbounded, word64 } from "./registers.js";

interface T {
  value: bigint;
  mask: bigint;
}

const WIDTH = 4;

/** All tnums of four bits, moved to `shift` (so that they lie across the words at 30). */
function* tnums(shift = 0n): Generator<T> {
  for (let mask = 0n; mask < 1n << BigInt(WIDTH); mask++) {
    for (let value = 0n; value < 1n << BigInt(WIDTH); value++) {
      if ((value & mask) === 0n) yield { value: value << shift, mask: mask << shift };
    }
  }
}

/** The numbers that a tnum stands for, in order. */
function members(a: T): bigint[] {
  const found: bigint[] = [];
  for (let sub = a.mask; ; sub = (sub - 1n) & a.mask) {
    found.push(a.value | sub);
    if (sub === 0n) break;
  }
  return found.reverse();
}

const allows = (a: T, x: bigint): boolean => (x & ~a.mask & U64) === a.value;

/** The least tnum that holds all of the numbers. */
function hull(xs: bigint[]): T {
  let mask = 0n;
  for (const x of xs) mask |= x ^ xs[0]!;
  return { value: xs[0]! & ~mask, mask };
}

const inReg = (a: T): Int32Array => reg({ ...unbounded, ...a });
const show = (a: T): string => `(${a.value.toString(16)}; ${a.mask.toString(16)})`;

function binary(op: (m: Int32Array, d: number, s: Int32Array, o: number) => void, a: T, b: T): T {
  const mem = inReg(a);
  op(mem, 0, inReg(b), 0);
  const { value, mask } = bounds(mem);
  return { value, mask };
}

const exact = [
  { name: "add", op: tnum.tnumAdd, f: (x: bigint, y: bigint) => u64(x + y) },
  { name: "sub", op: tnum.tnumSub, f: (x: bigint, y: bigint) => u64(x - y) },
  { name: "and", op: tnum.tnumAnd, f: (x: bigint, y: bigint) => x & y },
  { name: "or", op: tnum.tnumOr, f: (x: bigint, y: bigint) => x | y },
  { name: "xor", op: tnum.tnumXor, f: (x: bigint, y: bigint) => x ^ y },
];

for (const { name, op, f } of exact) {
  t.test(`${name} is the least tnum that holds all results, for all pairs of four bits`, (t) => {
    for (const shift of [0n, 30n, 60n]) {
      for (const a of tnums(shift)) {
        for (const b of tnums(shift)) {
          const results = members(a).flatMap((x) => members(b).map((y) => f(x, y)));
          const got = binary(op, a, b);
          const want = hull(results);
          if (got.value !== want.value || got.mask !== want.mask) {
            t.fail(`${show(a)} ${show(b)}: ${show(got)} instead of ${show(want)}`);
            return t.end();
          }
        }
      }
    }
    t.pass();
    t.end();
  });
}

t.test("a product is held, and exact by a constant power of two", (t) => {
  for (const [sa, sb] of [
    [0n, 0n],
    [30n, 0n],
    [30n, 30n],
    [60n, 1n],
  ] as const) {
    for (const a of tnums(sa)) {
      for (const b of tnums(sb)) {
        const got = binary(tnum.tnumMul, a, b);
        const results = members(a).flatMap((x) => members(b).map((y) => u64(x * y)));
        const power = a.mask === 0n && (a.value & (a.value - 1n)) === 0n;
        const want = hull(results);
        const bad = results.find((x) => !allows(got, x)) !== undefined || (got.value & got.mask) !== 0n;
        if (bad || (power && (got.value !== want.value || got.mask !== want.mask))) {
          t.fail(`${show(a)} * ${show(b)} = ${show(got)}`);
          return t.end();
        }
      }
    }
  }
  t.pass();
  t.end();
});

t.test("products of wide tnums hold a product of members", (t) => {
  fc.assert(
    fc.property(word64, word64, word64, word64, (x, y, ma, mb) => {
      const got = binary(tnum.tnumMul, { value: x & ~ma, mask: ma }, { value: y & ~mb, mask: mb });
      return allows(got, u64(x * y)) && (got.value & got.mask) === 0n;
    }),
    { numRuns: 3000 },
  );
  t.end();
});

t.test("step finds the next member", (t) => {
  for (const shift of [0n, 30n]) {
    for (const a of tnums(shift)) {
      const all = members(a);
      for (let z = 0n; z < 1n << BigInt(WIDTH + 1); z++) {
        for (const at of [z << shift, (z << shift) + 1n]) {
          tnum.tnumStep(inReg(a), 0, lo(at), hi(at));
          const got = (BigInt(tnum.step[1]! >>> 0) << 32n) | BigInt(tnum.step[0]! >>> 0);
          const want = all.find((x) => x > at) ?? all[all.length - 1]!;
          if (got !== want) {
            t.fail(`${show(a)} after ${at.toString(16)}: ${got.toString(16)} instead of ${want.toString(16)}`);
            return t.end();
          }
        }
      }
    }
  }
  t.pass();
  t.end();
});

t.test("a range is known of a tnum", (t) => {
  fc.assert(
    fc.property(word64, word64, word64, (a, b, x) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      const mem = inReg({ value: 0n, mask: U64 });
      tnum.tnumIntersectRange(mem, 0, lo(low), hi(low), lo(high), hi(high));
      const got = bounds(mem);
      const inside = x >= low && x <= high;
      // Exactly the bits above the highest that differs are known.
      const want = hull([low, high]);
      const top = BigInt((low ^ high).toString(2).length);
      const exactly = low === high ? got.mask === 0n : got.mask === (1n << top) - 1n;
      return (
        allows(got, low) &&
        allows(got, high) &&
        (!inside || allows(got, x)) &&
        exactly &&
        (want.mask & ~got.mask) === 0n
      );
    }),
    { numRuns: 3000 },
  );
  t.end();
});

t.test("subsets, for all pairs of four bits", (t) => {
  for (const a of tnums(30n)) {
    for (const b of tnums(30n)) {
      const want = members(b).every((x) => allows(a, x));
      if (tnum.tnumIn(inReg(a), 0, inReg(b), 0) !== want) {
        t.fail(`${show(b)} in ${show(a)}`);
        return t.end();
      }
    }
  }
  t.pass();
  t.end();
});

t.test("the log's notation", (t) => {
  const mem = inReg({ value: 0xf00000000n, mask: 0xffn });
  const text = tnum.tnumStrn(mem[R_VAL_LO]!, mem[R_VAL_LO + 1]!, mem[R_MASK_LO]!, mem[R_MASK_LO + 1]!);
  t.equal(text, "(0xf00000000; 0xff)");
  t.equal(tnum.tnumStrn(0, 0, -1, -1), "(0x0; 0xffffffffffffffff)");
  t.end();
});
