// SPDX-License-Identifier: GPL-2.0-only
import fc from "fast-check";
import t from "tap";
import * as op from "../../../src/asm/opcode.js";
import { isScalarBranchTaken, revOpcode } from "../../../src/verifier/num/branch.js";
import { regsRefineCondOp } from "../../../src/verifier/num/refine.js";
import { regBoundsSync } from "../../../src/verifier/num/sync.js";
import {
  type Bounds,
  bounds,
  excludes,
  known,
  reg,
  s32,
  s64,
  show,
  U64,
  u32,
  u64,
  unbounded,
  valueAndBounds,
  word64,
} from "./registers.js";

const CONDITIONS: Readonly<Record<number, (x: bigint, y: bigint, sx: bigint, sy: bigint) => boolean>> = {
  [op.BPF_JEQ]: (x, y) => x === y,
  [op.BPF_JNE]: (x, y) => x !== y,
  [op.BPF_JSET]: (x, y) => (x & y) !== 0n,
  [op.BPF_JGT]: (x, y) => x > y,
  [op.BPF_JGE]: (x, y) => x >= y,
  [op.BPF_JLT]: (x, y) => x < y,
  [op.BPF_JLE]: (x, y) => x <= y,
  [op.BPF_JSGT]: (_x, _y, sx, sy) => sx > sy,
  [op.BPF_JSGE]: (_x, _y, sx, sy) => sx >= sy,
  [op.BPF_JSLT]: (_x, _y, sx, sy) => sx < sy,
  [op.BPF_JSLE]: (_x, _y, sx, sy) => sx <= sy,
};
const OPCODES = Object.keys(CONDITIONS).map(Number);

/** What the instruction does with two values. */
function holds(opcode: number, isJmp32: boolean, x: bigint, y: bigint): boolean {
  const f = CONDITIONS[opcode]!;
  return isJmp32 ? f(u32(x), u32(y), s32(x), s32(y)) : f(x, y, s64(x), s64(y));
}

/** Bounds that tell each other what they know, as registers are between instructions. */
function synced(b: Bounds): Int32Array {
  const mem = reg(b);
  regBoundsSync(mem, 0);
  return mem;
}

t.test("bounds that inform each other still allow the value", (t) => {
  fc.assert(
    fc.property(valueAndBounds, ({ x, b }) => {
      const after = bounds(synced(b));
      const why = excludes(after, x);
      if (why !== "") throw new Error(`0x${x.toString(16)} is lost from ${why}: ${show(b)} -> ${show(after)}`);
      // Ranges may grow (the kernel overwrites the 64-bit ones of a sign-extended word), known bits stay known.
      if ((after.mask & ~b.mask) !== 0n) throw new Error(show(after));
    }),
    { numRuns: 20_000 },
  );
  t.end();
});

t.test("a value known in one domain becomes known in all", (t) => {
  const v = 0x1_8000_0001n;
  const want = known(v);
  t.strictSame(bounds(synced({ ...unbounded, umin: v, umax: v })), want);
  t.strictSame(bounds(synced({ ...unbounded, smin: s64(v), smax: s64(v) })), want);
  t.strictSame(bounds(synced({ ...unbounded, value: v, mask: 0n })), want);
  // The only member of the tnum within the range.
  t.strictSame(bounds(synced({ ...unbounded, value: 0n, mask: 0xf0n, umin: 0x32n, umax: 0x41n })), known(0x40n));
  t.end();
});

t.test("a comparison goes the way that was foretold", (t) => {
  let told = 0;
  fc.assert(
    fc.property(valueAndBounds, valueAndBounds, fc.constantFrom(...OPCODES), fc.boolean(), (a, b, opcode, is32) => {
      const m1 = synced(a.b);
      const m2 = synced(b.b);
      const taken = isScalarBranchTaken(m1, 0, m2, 0, opcode, is32);
      if (taken < 0) return;
      told++;
      if (holds(opcode, is32, a.x, b.x) !== (taken === 1)) {
        throw new Error(`0x${opcode.toString(16)} on 0x${a.x.toString(16)}, 0x${b.x.toString(16)}`);
      }
    }),
    { numRuns: 20_000 },
  );
  t.ok(told > 5000, `${told} were foretold`);
  t.end();
});

/** All ranges within 0–7, or as near to a multiple of 2^32. */
function* smallRanges(base: bigint): Generator<Bounds> {
  for (let low = 0n; low < 8n; low++) {
    for (let high = low; high < 8n; high++) {
      yield { ...unbounded, umin: u64(base + low), umax: u64(base + high) };
    }
  }
}

t.test("of small ranges every comparison that is decided is foretold", (t) => {
  const apart = [op.BPF_JGT, op.BPF_JGE, op.BPF_JLT, op.BPF_JLE, op.BPF_JSGT, op.BPF_JSGE, op.BPF_JSLT, op.BPF_JSLE];
  for (const base of [0n, U64 - 7n, 0x1_0000_0000n]) {
    for (const a of smallRanges(base)) {
      for (const b of smallRanges(base)) {
        const m1 = synced(a);
        const m2 = synced(b);
        for (const opcode of apart) {
          for (const is32 of [false, true]) {
            const outcomes = new Set<boolean>();
            for (let x = a.umin; x <= a.umax; x++) {
              for (let y = b.umin; y <= b.umax; y++) outcomes.add(holds(opcode, is32, x, y));
            }
            const want = outcomes.size === 2 ? -1 : outcomes.has(true) ? 1 : 0;
            if (isScalarBranchTaken(m1, 0, m2, 0, opcode, is32) !== want) {
              t.fail(`0x${opcode.toString(16)}: ${show(a)} ${show(b)}`);
              return t.end();
            }
          }
        }
      }
    }
  }
  t.pass();
  t.end();
});

t.test("what a comparison says keeps the values that made it so", (t) => {
  fc.assert(
    fc.property(valueAndBounds, valueAndBounds, fc.constantFrom(...OPCODES), fc.boolean(), (a, b, opcode, is32) => {
      const m1 = synced(a.b);
      const m2 = synced(b.b);
      const actual = holds(opcode, is32, a.x, b.x) ? opcode : revOpcode(opcode);
      regsRefineCondOp(m1, 0, m2, 0, actual, is32);
      regBoundsSync(m1, 0);
      regBoundsSync(m2, 0);
      const why = excludes(bounds(m1), a.x) || excludes(bounds(m2), b.x);
      if (why !== "") {
        throw new Error(
          `0x${actual.toString(16)} 0x${a.x.toString(16)} 0x${b.x.toString(16)}: ${why} of ${show(a.b)}, ${show(b.b)}`,
        );
      }
    }),
    { numRuns: 20_000 },
  );
  t.end();
});

t.test("bounds move to a constant that was compared with", (t) => {
  fc.assert(
    fc.property(word64, (k) => {
      const refined = (opcode: number): Bounds => {
        const mem = reg(unbounded);
        regsRefineCondOp(mem, 0, reg(known(k)), 0, opcode, false);
        regBoundsSync(mem, 0);
        return bounds(mem);
      };
      if (show(refined(op.BPF_JEQ)) !== show(known(k))) return false;
      if (refined(op.BPF_JLE).umax !== k || refined(op.BPF_JGE).umin !== k) return false;
      if (k > 0n && refined(op.BPF_JLT).umax !== k - 1n) return false;
      if (k < U64 && refined(op.BPF_JGT).umin !== k + 1n) return false;
      if (refined(op.BPF_JSLE).smax !== s64(k) || refined(op.BPF_JSGE).smin !== s64(k)) return false;
      return refined(op.BPF_JSET | op.BPF_X).mask === (~k & U64);
    }),
    { numRuns: 2000 },
  );
  t.end();
});
