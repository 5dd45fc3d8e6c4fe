// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import t from "tap";
import * as asm from "../../src/asm/index.js";
import { InputError } from "../../src/util/errors.js";
import { hexOf } from "./probes.js";

const fixture = (name: string) => JSON.parse(readFileSync(new URL(`../fixtures/asm/${name}`, import.meta.url), "utf8"));
const llvm = fixture("llvm-19.json") as Record<string, string>;
const kernel = fixture("kernel-6.18.json").probes as Record<string, [string | null, string | null]>;

/** Every constructor with the operands of the recorded samples; what it makes is looked up by its bytes. */
const SIZES = Object.keys(asm.SIZES) as asm.SizeName[];
const NARROW = ["b", "h", "w"] as const;
const WORDS = ["w", "dw"] as const;
const ALU = Object.keys(asm.ALU_OPS) as asm.AluOp[];
const JMP = Object.keys(asm.JMP_OPS) as asm.JmpOp[];
const SALU = Object.keys(asm.SIGNED_ALU_OPS) as asm.SignedAluOp[];
const ATOMIC = Object.keys(asm.ATOMIC_OPS) as asm.AtomicOp[];

const WIDTHS = [16, 32, 64] as const;
const made: (asm.Insn | asm.InsnPair)[] = [
  ...ALU.flatMap((op) => [
    asm.alu64Imm(op, 1, 5),
    asm.alu64Reg(op, 1, 2),
    asm.alu32Imm(op, 1, 5),
    asm.alu32Reg(op, 1, 2),
  ]),
  ...SALU.flatMap((op) => [asm.salu64Imm(op, 1, 5), asm.salu64Reg(op, 1, 2)]),
  ...SALU.flatMap((op) => [asm.salu32Imm(op, 1, 5), asm.salu32Reg(op, 1, 2)]),
  ...([8, 16, 32] as const).map((bits) => asm.movsx64(1, 2, bits)),
  ...([8, 16] as const).map((bits) => asm.movsx32(1, 2, bits)),
  ...WIDTHS.flatMap((bits) => [asm.toLe(1, bits), asm.toBe(1, bits), asm.bswap(1, bits)]),
  asm.neg64(1),
  asm.neg32(1),
  asm.addrSpaceCast(1, 2, 0, 1),
  asm.addrSpaceCast(1, 2, 1, 0),
  ...SIZES.flatMap((size) => [asm.ldx(size, 1, 2, -8), asm.stx(size, 1, 2, -8), asm.stImm(size, 1, -8, 5)]),
  ...NARROW.flatMap((size) => [asm.ldxs(size, 1, 2, -8), asm.ldAbs(size, 5), asm.ldInd(size, 2, 5)]),
  ...ATOMIC.flatMap((op) => WORDS.map((size) => asm.atomic(op, size, 1, 2, -8))),
  ...(["b", "h"] as const).flatMap((size) => [
    asm.atomic("load_acq", size, 1, 2, -8),
    asm.atomic("store_rel", size, 1, 2, -8),
  ]),
  asm.ldImm64(1, 0x7_0000_0005n),
  asm.ldMapFd(1, 5),
  asm.ldMapValue(1, 5, 7),
  asm.ldMapIdx(1, 5),
  asm.ldMapIdxValue(1, 5, 7),
  asm.ldBtfId(1, 5, 7),
  asm.ldFunc(1, 5),
  asm.ja(3),
  asm.jaLong(5),
  asm.mayGoto(3),
  ...JMP.flatMap((op) => [asm.jmpImm(op, 1, 5, 3), asm.jmpReg(op, 1, 2, 3), asm.jmp32Imm(op, 1, 5, 3)]),
  ...JMP.map((op) => asm.jmp32Reg(op, 1, 2, 3)),
  asm.callHelper(5),
  asm.callSubprog(5),
  asm.callKfunc(5),
  asm.exit(),
];

t.test("every form has a constructor, and LLVM knows what it makes", async (t) => {
  const names = new Set<string>();
  for (const one of made) {
    const [insn, next] = "opcode" in one ? [one] : one;
    const name = asm.insnInfo(insn!, next)?.form.name ?? "no form";
    names.add(name);
    t.ok(llvm[hexOf(next ? [insn!, next] : [insn!])] !== undefined, `${name} is among the recorded samples`);
  }
  t.same(
    asm.INSN_FORMS.map(({ name }) => name).filter((name) => !names.has(name)),
    [],
  );
});

t.test("operands stand where their names say", async (t) => {
  const text = (one: asm.Insn | asm.InsnPair) => llvm[hexOf("opcode" in one ? [one] : one)];
  t.equal(text(asm.alu64Imm("add", 1, 5)), "r1 += 5");
  t.equal(text(asm.alu32Reg("arsh", 1, 2)), "w1 s>>= w2");
  t.equal(text(asm.salu64Reg("smod", 1, 2)), "r1 s%= r2");
  t.equal(text(asm.movsx64(1, 2, 16)), "r1 = (s16)r2");
  t.equal(text(asm.bswap(1, 32)), "r1 = bswap32 r1");
  t.equal(text(asm.toBe(1, 16)), "r1 = be16 r1");
  t.equal(text(asm.ldx("dw", 1, 2, -8)), "r1 = *(u64 *)(r2 - 8)");
  t.equal(text(asm.ldxs("h", 1, 2, -8)), "r1 = *(s16 *)(r2 - 8)");
  t.equal(text(asm.stx("dw", 1, 2, -8)), "*(u64 *)(r1 - 8) = r2");
  t.equal(text(asm.stImm("w", 1, -8, 5)), "*(u32 *)(r1 - 8) = 5");
  t.equal(text(asm.atomic("fetch_or", "dw", 1, 2, -8)), "r2 = atomic_fetch_or((u64 *)(r1 - 8), r2)");
  t.equal(text(asm.atomic("cmpxchg", "dw", 1, 2, -8)), "r0 = cmpxchg_64(r1 - 8, r0, r2)");
  t.equal(text(asm.ldImm64(1, 0x7_0000_0005n)), "r1 = 30064771077 ll");
  t.equal(text(asm.addrSpaceCast(1, 2, 0, 1)), "r1 = addr_space_cast(r2, 0, 1)");
  t.equal(text(asm.jmp32Reg("jsle", 1, 2, 3)), "if w1 s<= w2 goto +3");
  t.equal(text(asm.jmpImm("jset", 1, 5, 3)), "if r1 & 5 goto +3");
  t.equal(text(asm.jaLong(5)), "gotol +5");
  t.equal(text(asm.mayGoto(3)), "may_goto +3");
  // Newer than LLVM 19, so the kernel says it.
  t.equal(kernel[hexOf([asm.atomic("load_acq", "h", 1, 2, -8)])]?.[0], "(cb) r1 = load_acquire((u16 *)(r2 -8))");
  t.equal(kernel[hexOf([asm.atomic("store_rel", "dw", 1, 2, -8)])]?.[0], "(db) store_release((u64 *)(r1 -8), r2)");
});

t.test("64-bit immediates keep every bit", async (t) => {
  for (const value of [0n, -1n, 1n << 63n, -(1n << 63n), (1n << 64n) - 1n, 0x8000_0000n, 0xdead_beef_8765_4321n]) {
    const [insn, next] = asm.ldImm64(1, value);
    t.equal(asm.imm64Of(insn, next), BigInt.asUintN(64, value));
    t.equal(new DataView(asm.encodeInsns([insn]).buffer).getUint32(4, true), Number(BigInt.asUintN(32, value)));
  }
  t.equal(asm.imm64Of(...asm.ldImm64(1, -2)), 0xffff_ffff_ffff_fffen);
});

t.test("32-bit operands may be given unsigned", async (t) => {
  t.same(asm.mov32Imm(1, 0xffff_ffff), asm.mov32Imm(1, -1));
  t.same(asm.jmp32Imm("jeq", 1, 0x8000_0000, 0), asm.jmp32Imm("jeq", 1, -0x8000_0000, 0));
  t.same(asm.stImm("w", 10, -4, 0xdead_beef), asm.stImm("w", 10, -4, 0xdead_beef | 0));
  t.same(asm.mov64Imm(1, -0), asm.mov64Imm(1, 0));
});

t.test("operands that do not fit are refused", async (t) => {
  const wrong: readonly [() => unknown, RegExp][] = [
    [() => asm.mov64Imm(11, 0), /destination must be a register 0 to 10, got 11/],
    [() => asm.mov64Reg(0, -1), /source must be a register/],
    [() => asm.mov64Imm(0, 0xffff_ffff), /from -2147483648 to 2147483647, got 4294967295/],
    [() => asm.mov32Imm(0, 0x1_0000_0000), /from -2147483648 to 4294967295/],
    [() => asm.mov64Imm(0, 1.5), /integer/],
    [() => asm.mov64Imm(0, Number.NaN), /integer/],
    [() => asm.stImm("dw", 10, -8, 0x8000_0000), /from -2147483648/],
    [() => asm.ldx("dw", 0, 1, 32768), /offset must be an integer from -32768 to 32767, got 32768/],
    [() => asm.ja(-32769), /offset/],
    [() => asm.jaLong(2 ** 31), /long jump offset/],
    [() => asm.ldImm64(0, 1n << 64n), /does not fit 64 bits/],
    [() => asm.ldImm64(0, 2 ** 53), /safe integer or a bigint/],
    [() => asm.movsx64(0, 1, 64 as 32), /8, 16 or 32/],
    [() => asm.movsx32(0, 1, 32 as 16), /8 or 16/],
    [() => asm.bswap(0, 8 as 16), /16, 32 or 64/],
    [() => asm.atomic("add", "h", 1, 2, 0), /atomic add works on w or dw, got h/],
    [() => asm.ldxs("dw" as "w", 0, 1, 0), /no sign-extending load of 64 bits/],
    [() => asm.addrSpaceCast(0, 1, 1, 1), /from 1 to 1|got 1 to 1/],
    [() => asm.rawInsn(256), /opcode must be an integer from 0 to 255/],
    [() => asm.rawInsn(0, 16), /destination must be an integer from 0 to 15/],
  ];
  for (const [build, message] of wrong) {
    t.throws(build, { message });
    t.throws(build, InputError);
  }
});
