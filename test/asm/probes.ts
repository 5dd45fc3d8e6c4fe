// SPDX-License-Identifier: MIT
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
import { INSN_FORMS, type InsnForm } from "../../src/asm/isa.js";

/** One instruction to ask about: one slot, or the two of a 64-bit immediate load. */
export type Probe = readonly Insn[];

/** An ordinary, valid instruction of a form. */
export function sampleOf(form: InsnForm): Probe {
  const insn: Insn = {
    opcode: form.opcode,
    dst: form.dst === "zero" ? 0 : 1,
    src: typeof form.src === "number" ? form.src : form.src === "zero" ? 0 : 2,
    off: typeof form.off === "number" ? form.off : form.off === "bytes" ? -8 : form.off === "slots" ? 3 : 0,
    imm: typeof form.imm === "number" ? form.imm : form.imm === "zero" ? 0 : 5,
  };
  return form.high === undefined ? [insn] : [insn, highSlot(form.high === "zero" ? 0 : 7)];
}

function highSlot(imm: number): Insn {
  return { opcode: 0, dst: 0, src: 0, off: 0, imm };
}

const REGS = [0, 1, 2, 9, 10, 11, 12, 15];
const OFFS = [0, 1, -1, 2, 8, 16, 24, 32, -8, 100, 32767, -32768];
const IMMS = [0, 1, -1, 2, 16, 32, 33, 63, 64, 100, 0x41, 0xe1, 0x101, 0x110, 65536, 2147483647, -2147483648];
/** Distances that the program around a probe has room for; back they lead to its trap, past the probe itself. */
const SLOTS = [0, 1, 2, 7, -3, -7];

/** Two values of a list, other ones for each row, so that all forms together see every value. */
function pick(values: readonly number[], row: number): number[] {
  return [values[row % values.length]!, values[(row * 5 + 3) % values.length]!];
}

/**
 * Instructions, valid and not, that can be put before a kernel one by one: every form with single
 * fields varied, every opcode with empty fields, every helper. Left out is what the kernel resolves
 * or refuses before it prints: file descriptors, BTF ids, calls of subprograms.
 */
export function probes(): Probe[] {
  const found = new Map<string, Probe>();
  const add = (probe: Probe): void => {
    found.set(JSON.stringify(probe), probe);
  };
  INSN_FORMS.forEach((form, row) => {
    if (["fd", "index", "btf_id"].includes(String(form.imm)) || form.name === "ld_func" || form.name === "call_subprog")
      return;
    const [insn, ...rest] = sampleOf(form) as [Insn, ...Insn[]];
    add([insn, ...rest]);
    for (const dst of pick(REGS, row)) add([{ ...insn, dst }, ...rest]);
    // A call's source selects what is called, and that of a 64-bit load what is loaded.
    if (form.kind !== "call" && form.kind !== "ld_imm64") {
      for (const src of pick(REGS, row + 1)) add([{ ...insn, src }, ...rest]);
    }
    for (const off of pick(form.off === "slots" ? SLOTS : OFFS, row)) add([{ ...insn, off }, ...rest]);
    for (const imm of pick(form.imm === "slots" ? SLOTS : IMMS, row)) add([{ ...insn, imm }, ...rest]);
    if (form.high !== undefined) for (const imm of IMMS) add([insn, highSlot(imm)]);
  });
  for (let opcode = 0; opcode < 256; opcode++) {
    if (opcode !== 0x18) add([{ opcode, dst: 0, src: 0, off: 0, imm: 0 }]);
  }
  for (let imm = -2; imm < 216; imm++) add([{ opcode: 0x85, dst: 0, src: 0, off: 0, imm }]);
  for (const opcode of [0xc3, 0xcb, 0xd3, 0xdb]) {
    for (let imm = 0; imm <= 0x120; imm += 13) add([{ opcode, dst: 1, src: 2, off: -8, imm }]);
  }
  return [...found.values()];
}

/** The bytes of a probe in hexadecimal, slots joined. */
export function hexOf(probe: Probe): string {
  return Array.from(encodeInsns(probe), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
