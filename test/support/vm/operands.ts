// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import type { Insn } from "../../../src/asm/insn.js";
import { INSN_FORMS, type InsnForm } from "../../../src/asm/isa.js";
import * as op from "../../../src/asm/opcode.js";
import type { SizeName } from "../../../src/asm/ops.js";
import type { ProgramLoad } from "../../../src/model/load.js";
import { mapLoad, programLoad } from "./program.js";

/*
 * One program for each instruction form, which takes pairs of operands out of a map's value, so that nothing is known
 * to the verifier, and puts what the instruction made of them behind.
 */

const OPERANDS: readonly bigint[] = [
  0n,
  1n,
  7n,
  31n,
  32n,
  63n,
  64n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x0123_4567_89ab_cdefn,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_ffff_ffffn,
];
const IMMEDIATES = [0, 1, -1, 2, 7, 31, 32, 63, 0x7fff_ffff, -0x8000_0000, 0x1234_5678];

const sizes: Readonly<Record<number, SizeName>> = { 8: "b", 16: "h", 32: "w", 64: "dw" };
/** Bytes of a pair's place: two operands, three results. */
const ROW = 40;

const COMPUTED = new Set(["alu", "neg", "end", "movsx", "ldx", "ldxs", "stx", "st", "atomic", "jmp"]);

/** The forms of which there are programs: what computes, loads, stores and compares. */
export const computedForms: readonly InsnForm[] = INSN_FORMS.filter(({ kind }) => COMPUTED.has(kind));

/** Immediates that a form takes. */
function immediates({ imm, width }: InsnForm): readonly number[] {
  if (typeof imm === "number") return [imm];
  if (imm === "operand") return IMMEDIATES;
  if (imm === "shift") return IMMEDIATES.filter((value) => value >= 0 && value < width);
  if (imm === "divisor") return IMMEDIATES.filter((value) => value !== 0);
  return [0];
}

/** What is done with a pair: R6 and R7 hold it, R9 points to its place, R0 to R5 and R8 are free. */
function body(form: InsnForm, imm: number): Insn[] {
  const src = typeof form.src === "number" ? form.src : 0;
  const off = typeof form.off === "number" ? form.off : 0;
  const uses = (use: string | number): boolean => typeof use === "string" && use !== "zero";
  const regs = { dst: uses(form.dst) ? 6 : 0, src: uses(form.src) ? 7 : src };
  const insn = (parts: Partial<Insn>): Insn => ({ opcode: form.opcode, ...regs, off, imm, ...parts });
  const size = sizes[form.width]!;
  switch (form.kind) {
    case "jmp":
      return [asm.mov64Imm(8, 0), insn({ off: 1 }), asm.mov64Imm(8, 1), asm.mov64Reg(6, 8)];
    case "ldx":
    case "ldxs":
      return [asm.stx("dw", 10, 6, -8), insn({ src: 10, off: -8 })];
    case "stx":
      return [asm.stx("dw", 10, 6, -8), insn({ dst: 10, off: -8 }), asm.ldx("dw", 6, 10, -8)];
    case "st":
      return [asm.stx("dw", 10, 6, -8), insn({ dst: 10, off: -8 }), asm.ldx("dw", 6, 10, -8)];
    case "atomic":
      if (form.imm === op.BPF_LOAD_ACQ) return [asm.stx("dw", 10, 6, -8), insn({ src: 10, off: -8 })];
      return [
        asm.stx("dw", 10, 6, -8),
        // Compared by cmpxchg: equal for half of the pairs where it can be.
        asm.mov64Reg(0, 6),
        asm.alu64Imm("and", 0, size === "dw" ? -2 : -1),
        insn({ dst: 10, off: -8 }),
        asm.ldx("dw", 6, 10, -8),
      ];
    default:
      return [insn({})];
  }
}

/** Pairs in front of which a program has instructions, of one form. */
export interface OperandProgram {
  readonly load: ProgramLoad;
  /** What the map's value holds before a run. */
  readonly value: Uint8Array;
  readonly cases: number;
}

/** The program of a form. */
export function operandProgram(form: InsnForm): OperandProgram {
  const takesTwo = form.src !== "zero" && typeof form.src !== "number";
  const rows: [bigint, bigint, number][] = [];
  for (const a of OPERANDS) {
    for (const imm of immediates(form)) for (const b of takesTwo ? OPERANDS : [0n]) rows.push([a, b, imm]);
  }
  const value = new Uint8Array(rows.length * ROW);
  const view = new DataView(value.buffer);
  const insns: Insn[] = [...asm.ldMapValue(9, 0, 0)];
  rows.forEach(([a, b, imm], i) => {
    view.setBigUint64(i * ROW, a, true);
    view.setBigUint64(i * ROW + 8, b, true);
    insns.push(
      asm.mov64Imm(0, 0),
      asm.ldx("dw", 6, 9, i * ROW),
      asm.ldx("dw", 7, 9, i * ROW + 8),
      ...body(form, imm),
      asm.stx("dw", 9, 6, i * ROW + 16),
      asm.stx("dw", 9, 7, i * ROW + 24),
      asm.stx("dw", 9, 0, i * ROW + 32),
    );
  });
  insns.push(asm.mov64Imm(0, 0), asm.exit());
  return {
    load: programLoad(insns, [mapLoad("ARRAY", 4, value.length, 1, { name: "io" })]),
    value,
    cases: rows.length,
  };
}
