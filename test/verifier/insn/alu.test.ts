// SPDX-License-Identifier: GPL-2.0-only
import fc from "fast-check";
import t from "tap";
import * as build from "../../../src/asm/build.js";
import type { Insn } from "../../../src/asm/insn.js";
import * as op from "../../../src/asm/opcode.js";
import { ALU_OPS, type AluOp, SIGNED_ALU_OPS } from "../../../src/asm/ops.js";
import { Errno } from "../../../src/kernel/errno.js";
import { checkAluOp } from "../../../src/verifier/insn/alu.js";
import { regBoundsSync } from "../../../src/verifier/num/sync.js";
import { regAt } from "../../../src/verifier/state/reg.js";
import {
  type Bounds,
  bounds,
  excludes,
  put,
  s32,
  s64,
  show,
  U64,
  u32,
  u64,
  valueAndBounds,
  word64,
} from "../num/registers.js";
import { envAt } from "./one-insn.js";

/* What the processor does, by the text of RFC 9669, section 4.1. */

function divide(x: bigint, y: bigint, signed: boolean, bits: number): bigint {
  if (y === 0n) return 0n;
  const sx = BigInt.asIntN(bits, x);
  const sy = BigInt.asIntN(bits, y);
  return signed ? sx / sy : x / y;
}

function modulo(x: bigint, y: bigint, signed: boolean, bits: number): bigint {
  if (y === 0n) return x;
  const sx = BigInt.asIntN(bits, x);
  const sy = BigInt.asIntN(bits, y);
  return signed ? sx % sy : x % y;
}

function binary(opcode: number, x: bigint, y: bigint, bits: number, signed: boolean): bigint {
  const shift = y & BigInt(bits - 1);
  switch (opcode) {
    case op.BPF_ADD:
      return x + y;
    case op.BPF_SUB:
      return x - y;
    case op.BPF_MUL:
      return x * y;
    case op.BPF_DIV:
      return divide(x, y, signed, bits);
    case op.BPF_MOD:
      return modulo(x, y, signed, bits);
    case op.BPF_OR:
      return x | y;
    case op.BPF_AND:
      return x & y;
    case op.BPF_XOR:
      return x ^ y;
    case op.BPF_LSH:
      return x << shift;
    case op.BPF_RSH:
      return x >> shift;
    case op.BPF_ARSH:
      return BigInt.asIntN(bits, x) >> shift;
    default:
      return y;
  }
}

function swapBytes(x: bigint, bits: number): bigint {
  let out = 0n;
  for (let i = 0; i < bits; i += 8) out = (out << 8n) | ((x >> BigInt(i)) & 0xffn);
  return out;
}

/** The value that the instruction leaves in its destination, which held x; y is in the source register. */
function execute(insn: Insn, x: bigint, y: bigint): bigint {
  const wide = op.bpfClass(insn.opcode) === op.BPF_ALU64;
  const opcode = op.bpfOp(insn.opcode);
  const bits = wide ? 64 : 32;
  const cut = (v: bigint): bigint => BigInt.asUintN(bits, v);
  if (opcode === op.BPF_NEG) return cut(-x);
  if (opcode === op.BPF_END) {
    const part = BigInt.asUintN(insn.imm, x);
    const swap = wide || op.bpfSrc(insn.opcode) === op.BPF_TO_BE;
    return swap ? swapBytes(part, insn.imm) : part;
  }
  let source = op.bpfSrc(insn.opcode) === op.BPF_X ? y : u64(BigInt(insn.imm));
  if (opcode === op.BPF_MOV && insn.off !== 0) source = BigInt.asIntN(insn.off, source);
  const signed = insn.off === op.BPF_SIGNED_OFF;
  return cut(binary(opcode, cut(x), cut(source), bits, signed));
}

const DST = 1;
const SRC = 2;
const names = Object.keys(ALU_OPS) as AluOp[];
const imm32 = word64.map((v) => Number(s32(v)));
const isShift = (name: AluOp): boolean => name === "lsh" || name === "rsh" || name === "arsh";
const fit = (name: AluOp, imm: number, bits: number): number =>
  isShift(name) ? imm & (bits - 1) : (name === "div" || name === "mod") && imm === 0 ? 1 : imm;

const insn: fc.Arbitrary<Insn> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom(...names), imm32).map(([n, k]) => build.alu64Imm(n, DST, fit(n, k, 64))),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom(...names), imm32).map(([n, k]) => build.alu32Imm(n, DST, fit(n, k, 32))),
  },
  { weight: 8, arbitrary: fc.constantFrom(...names).map((n) => build.alu64Reg(n, DST, SRC)) },
  { weight: 8, arbitrary: fc.constantFrom(...names).map((n) => build.alu32Reg(n, DST, SRC)) },
  { weight: 1, arbitrary: fc.constantFrom(build.salu64Reg("sdiv", DST, SRC), build.salu32Reg("smod", DST, SRC)) },
  { weight: 2, arbitrary: fc.constantFrom(build.neg64(DST), build.neg32(DST)) },
  { weight: 2, arbitrary: fc.constantFrom<8 | 16 | 32>(8, 16, 32).map((w) => build.movsx64(DST, SRC, w)) },
  { weight: 2, arbitrary: fc.constantFrom<8 | 16>(8, 16).map((w) => build.movsx32(DST, SRC, w)) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(build.toLe, build.toBe, build.bswap), fc.constantFrom<16 | 32 | 64>(16, 32, 64))
      .map(([f, w]) => f(DST, w)),
  },
);

/** Bounds of the destination after the instruction; the path put aside counts where it is the one taken. */
function after(i: Insn, a: Bounds, b: Bounds, x: bigint): Bounds {
  const env = envAt([i]);
  const mem = env.cur().cur().mem;
  put(mem, regAt(DST), a);
  put(mem, regAt(SRC), b);
  regBoundsSync(mem, regAt(DST));
  regBoundsSync(mem, regAt(SRC));
  if (checkAluOp(env, 0) !== 0) throw new Error(`refused: ${env.log.toString()}`);
  // An AND or OR of 0 or -1 walks both values on their own: the other path starts over with 0.
  const forked = env.stack.pop();
  if (forked === undefined || u32(x) !== 0n) return bounds(mem, regAt(DST));
  env.curState = forked.st;
  if (checkAluOp(env, 0) !== 0) throw new Error("refused on the other path");
  return bounds(forked.st.cur().mem, regAt(DST));
}

t.test("the result of every operation is within the bounds of the result", (t) => {
  fc.assert(
    fc.property(insn, valueAndBounds, valueAndBounds, (i, a, b) => {
      const result = execute(i, a.x, b.x);
      const got = after(i, a.b, b.b, a.x);
      const why = excludes(got, result);
      if (why !== "") {
        const text = `opcode ${i.opcode.toString(16)} off ${i.off} imm ${i.imm} on ${a.x.toString(16)}, ${b.x.toString(16)}`;
        throw new Error(`${text}: ${result.toString(16)} is not in the ${why} of ${show(got)}`);
      }
    }),
    { numRuns: 40_000 },
  );
  t.end();
});

t.test("with a register as both operands", (t) => {
  const same = fc
    .tuple(fc.constantFrom(...names), fc.boolean())
    .map(([n, w]) => (w ? build.alu64Reg : build.alu32Reg)(n, DST, DST));
  fc.assert(
    fc.property(same, valueAndBounds, (i, a) => excludes(after(i, a.b, a.b, a.x), execute(i, a.x, a.x)) === ""),
    { numRuns: 5000 },
  );
  t.end();
});

t.test("operations on constants give constants, but for division", (t) => {
  fc.assert(
    fc.property(insn, word64, word64, (i, x, y) => {
      const divides = [op.BPF_DIV, op.BPF_MOD].includes(op.bpfOp(i.opcode) as 0x30 | 0x90);
      const width = op.bpfClass(i.opcode) === op.BPF_ALU64 ? 64n : 32n;
      const tooFar = [op.BPF_LSH, op.BPF_RSH, op.BPF_ARSH].includes(op.bpfOp(i.opcode) as 0x60) && y >= width;
      if (divides || (tooFar && op.bpfSrc(i.opcode) === op.BPF_X)) return true;
      const one = (v: bigint): Bounds => ({
        ...bounds(new Int32Array(64)),
        umin: v,
        umax: v,
        value: v,
        smin: s64(v),
        smax: s64(v),
        u32min: u32(v),
        u32max: u32(v),
        s32min: s32(v),
        s32max: s32(v),
      });
      const got = after(i, one(x), one(y), x);
      const want = execute(i, x, y);
      return (
        got.mask === 0n && got.value === want && got.umin === want && got.smax === s64(want) && got.s32min === s32(want)
      );
    }),
    { numRuns: 10_000 },
  );
  t.end();
});

/** All ranges of a few small numbers, at a place. */
function* ranges(base: bigint, size: bigint): Generator<[bigint, bigint]> {
  for (let low = 0n; low < size; low++) for (let high = low; high < size; high++) yield [base + low, base + high];
}

t.test("every pair of small ranges: sound, and sums and differences are exact", (t) => {
  for (const base of [0n, -2n, 0x7fff_ffffn - 1n]) {
    for (const [a0, a1] of ranges(base, 4n)) {
      for (const [b0, b1] of ranges(-1n, 3n)) {
        const a = { ...bounds(new Int32Array(64)), ...signedRange(a0, a1) };
        const b = { ...bounds(new Int32Array(64)), ...signedRange(b0, b1) };
        for (const name of names) {
          for (const make of [build.alu64Reg, build.alu32Reg]) {
            const i = make(name, DST, SRC);
            let least = 1n << 64n;
            let most = -(1n << 64n);
            for (let x = a0; x <= a1; x++) {
              const got = after(i, a, b, u64(x));
              for (let y = b0; y <= b1; y++) {
                const result = execute(i, u64(x), u64(y));
                const why = excludes(got, result);
                if (why !== "") {
                  t.fail(`${name} ${make.name} ${x} ${y}: ${why} of ${show(got)}`);
                  return t.end();
                }
                if (s64(result) < least) least = s64(result);
                if (s64(result) > most) most = s64(result);
              }
              if (make === build.alu64Reg && x === a1 && (name === "add" || name === "sub")) {
                if (got.smin !== least || got.smax !== most) {
                  t.fail(`${name} [${a0}, ${a1}] [${b0}, ${b1}]: ${show(got)}`);
                  return t.end();
                }
              }
            }
          }
        }
      }
    }
  }
  t.pass();
  t.end();
});

function signedRange(low: bigint, high: bigint): Bounds {
  return {
    value: 0n,
    mask: U64,
    umin: 0n,
    umax: U64,
    smin: low,
    smax: high,
    u32min: 0n,
    u32max: 0xffff_ffffn,
    s32min: -(1n << 31n),
    s32max: (1n << 31n) - 1n,
  };
}

t.test("reserved fields and impossible operands are refused in the kernel's words", (t) => {
  const cases: [Insn, string, number][] = [
    [{ ...build.alu64Imm("div", DST, 1), imm: 0 }, "div by zero\n", Errno.EINVAL],
    [{ ...build.alu32Imm("lsh", DST, 1), imm: 32 }, "invalid shift 32\n", Errno.EINVAL],
    [{ ...build.alu64Imm("arsh", DST, 1), imm: -1 }, "invalid shift -1\n", Errno.EINVAL],
    [{ ...build.alu64Imm("add", DST, 1), off: 1 }, "BPF_ALU uses reserved fields\n", Errno.EINVAL],
    [{ ...build.alu64Reg("add", DST, SRC), imm: 1 }, "BPF_ALU uses reserved fields\n", Errno.EINVAL],
    [{ ...build.mov64Reg(DST, SRC), off: 4 }, "BPF_MOV uses reserved fields\n", Errno.EINVAL],
    [{ ...build.mov32Reg(DST, SRC), off: 32 }, "BPF_MOV uses reserved fields\n", Errno.EINVAL],
    [{ ...build.neg64(DST), imm: 1 }, "BPF_NEG uses reserved fields\n", Errno.EINVAL],
    [{ ...build.bswap(DST, 16), imm: 8 }, "BPF_END uses reserved fields\n", Errno.EINVAL],
    [{ ...build.alu64Imm("add", DST, 1), opcode: 0xe7 }, "invalid BPF_ALU opcode e0\n", Errno.EINVAL],
    [build.alu64Imm("add", 3, 1), "R3 !read_ok\n", Errno.EACCES],
    [build.mov64Imm(10, 1), "frame pointer is read only\n", Errno.EACCES],
    [build.alu32Imm("add", 10, 1), "frame pointer is read only\n", Errno.EACCES],
  ];
  for (const [i, text, errno] of cases) {
    const env = envAt([i]);
    const mem = env.cur().cur().mem;
    put(mem, regAt(DST), signedRange(0n, 1n));
    put(mem, regAt(SRC), signedRange(0n, 1n));
    t.equal(checkAluOp(env, 0), -errno, text);
    t.equal(env.log.toString(), text);
  }
  t.equal(Object.keys(SIGNED_ALU_OPS).length, 2);
  t.end();
});
