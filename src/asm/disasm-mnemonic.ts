// SPDX-License-Identifier: MIT
import { pseudoText, writtenForm } from "./disasm-llvm.js";
import type { Insn } from "./insn.js";
import { type InsnForm, imm64Of } from "./isa.js";
import * as op from "./opcode.js";

/* Instructions as mnemonics with operands, as ubpf and texts about RFC 9669 write them. */

/** What the caller knows of an instruction in an object. */
export interface MnemonicCallbacks {
  /** What a load or call refers to; it is written in the place of the number. */
  readonly reference?: (slot: number) => string | undefined;
}

/**
 * The text of the instruction at a slot, without line feed; undefined for one that is not valid. Numbers are decimal,
 * jumps are distances.
 * @param next the following slot, looked at for a 64-bit immediate load only
 */
export function mnemonicInsn(insn: Insn, next?: Insn, slot = 0, callbacks: MnemonicCallbacks = {}): string | undefined {
  if (insn.opcode === (op.BPF_JMP | op.BPF_CALL | op.BPF_X) && insn.src === 0 && insn.imm === 0)
    return `call %r${insn.dst}`;
  const form = writtenForm(insn, next);
  if (form === undefined) return undefined;
  const operands = operandsOf(form, insn, next, slot, callbacks);
  const word = form.kind === "call" && operands.length === 1 && operands[0]!.named ? "call" : form.mnemonic;
  return operands.length === 0 ? word : `${word} ${operands.map(({ text }) => text).join(", ")}`;
}

interface Operand {
  readonly text: string;
  /** Whether it is a name in the place of a number. */
  readonly named?: boolean;
}

const reg = (num: number): Operand => ({ text: `%r${num}` });
const number = (value: number | bigint): Operand => ({ text: String(value) });
const distance = (value: number): Operand => ({ text: value < 0 ? String(value) : `+${value}` });
const place = (base: number, off: number): Operand => ({ text: `[%r${base}${off < 0 ? off : `+${off}`}]` });

function operandsOf(
  form: InsnForm,
  insn: Insn,
  next: Insn | undefined,
  slot: number,
  callbacks: MnemonicCallbacks,
): Operand[] {
  const { dst, src, off, imm } = insn;
  const second = form.src === "zero" ? number(imm) : reg(src);
  switch (form.kind) {
    case "alu":
      return [reg(dst), second];
    case "neg":
    case "end":
      return [reg(dst)];
    case "movsx":
    case "addr_space_cast":
      return [reg(dst), reg(src)];
    case "ldx":
    case "ldxs":
      return [reg(dst), place(src, off)];
    case "stx":
      return [place(dst, off), reg(src)];
    case "st":
      return [place(dst, off), number(imm)];
    case "atomic":
      return imm === op.BPF_LOAD_ACQ ? [reg(dst), place(src, off)] : [place(dst, off), reg(src)];
    case "ld_abs":
      return [number(imm)];
    case "ld_ind":
      return [reg(src), number(imm)];
    case "ld_imm64":
      return [reg(dst), wide(form, insn, next, callbacks.reference?.(slot))];
    case "ja":
      return [distance(form.imm === "slots" ? imm : off)];
    case "may_goto":
      return [distance(off)];
    case "jmp":
      return [reg(dst), second, distance(off)];
    case "call":
      return [callee(form, insn, callbacks.reference?.(slot))];
    case "exit":
      return [];
  }
}

function wide(form: InsnForm, insn: Insn, next: Insn | undefined, reference: string | undefined): Operand {
  if (reference !== undefined) return { text: reference, named: true };
  if (form.src !== op.BPF_PSEUDO_IMM64) return { text: pseudoText(insn, next) };
  return { text: `0x${imm64Of(insn, next ?? insn).toString(16)}` };
}

function callee(form: InsnForm, { off, imm }: Insn, reference: string | undefined): Operand {
  if (reference !== undefined) return { text: reference, named: true };
  if (form.src === op.BPF_PSEUDO_CALL) return distance(imm);
  return { text: off === 0 ? String(imm) : `[${off}] ${imm}` };
}
