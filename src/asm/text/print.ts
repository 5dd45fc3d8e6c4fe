// SPDX-License-Identifier: MIT
import { disasmInsn } from "../disasm.js";
import { LLVM_UNKNOWN, llvmInsn, pseudoText, writtenForm } from "../disasm-llvm.js";
import { mnemonicInsn } from "../disasm-mnemonic.js";
import type { Insn } from "../insn.js";
import { isKfuncCall, isLdImm64, isSubprogCall } from "../isa.js";
import * as op from "../opcode.js";
import { KEYWORDS } from "./insn-grammar.js";
import { isRegister } from "./operands.js";
import { Kind, LineToken } from "./token.js";

/*
 * Code as text that assembles to the same code again, in any of the dialects. What a dialect cannot say (slots that
 * are no instruction, reserved fields that are not zero) becomes `.insn`.
 */

/** How instructions are written: as the kernel's log has them, as llvm-objdump does, or as mnemonics. */
export const ASM_DIALECTS = ["kernel", "llvm", "mnemonic"] as const;
export type AsmDialect = (typeof ASM_DIALECTS)[number];

/** What the caller knows of the code. */
export interface PrintCallbacks {
  /** The name that a load or call refers to, and what is added to its address. */
  readonly reference?: (slot: number) => { readonly name: string; readonly offset: number } | undefined;
}

/** The lines of the code, one for each instruction, without indentation. */
export function codeLines(insns: readonly Insn[], dialect: AsmDialect, callbacks: PrintCallbacks = {}): string[] {
  const lines: string[] = [];
  for (let slot = 0; slot < insns.length; slot++) {
    const insn = insns[slot]!;
    const next = insns[slot + 1];
    const isPair = isLdImm64(insn);
    const found = callbacks.reference?.(slot);
    const reference = found === undefined ? undefined : referenceText(found.name, found.offset);
    const text = isPair && next === undefined ? undefined : insnText(insn, next, dialect, reference);
    lines.push(text ?? rawText(insn));
    if (text !== undefined && isPair) slot++;
  }
  return lines;
}

function insnText(
  insn: Insn,
  next: Insn | undefined,
  dialect: AsmDialect,
  reference: string | undefined,
): string | undefined {
  const known = { reference: () => reference };
  switch (dialect) {
    case "kernel":
      return kernelText(insn, next, reference);
    case "llvm": {
      // Its calls do not say what kind they are.
      if (reference === undefined && isSubprogCall(insn))
        return isValid(insn, next) ? `call pc${signed(insn.imm)}` : undefined;
      if (reference === undefined && isKfuncCall(insn)) return isValid(insn, next) ? kfuncText(insn) : undefined;
      const text = llvmInsn(insn, next, 0, { ...known, complete: true });
      return text === LLVM_UNKNOWN ? undefined : text;
    }
    case "mnemonic":
      return mnemonicInsn(insn, next, 0, known);
  }
}

function isValid(insn: Insn, next: Insn | undefined): boolean {
  return writtenForm(insn, next) !== undefined;
}

const signed = (value: number): string => (value < 0 ? String(value) : `+${value}`);
const kfuncText = ({ off, imm }: Insn): string => `call kernel-function${off === 0 ? "" : `[${off}]`}#${imm}`;

function kernelText(insn: Insn, next: Insn | undefined, reference: string | undefined): string | undefined {
  if (!isValid(insn, next)) return undefined;
  if (reference !== undefined && !isLdImm64(insn)) return `(85) call ${reference}`;
  return disasmInsn(insn, next, {
    imm: (_, __, value) =>
      reference ?? (insn.src === op.BPF_PSEUDO_IMM64 ? `0x${value.toString(16)}` : pseudoText(insn, next)),
    call: () => (isKfuncCall(insn) && insn.off !== 0 ? `kernel-function[${insn.off}]` : undefined),
  });
}

function rawText({ opcode, dst, src, off, imm }: Insn): string {
  return `.insn 0x${opcode.toString(16).padStart(2, "0")}, ${dst}, ${src}, ${off}, ${imm}`;
}

function referenceText(name: string, offset: number): string {
  if (offset === 0) return symbolText(name);
  return `${symbolText(name)} ${offset < 0 ? "-" : "+"} ${Math.abs(offset)}`;
}

/** Words that mean something else where a name can stand. */
const RESERVED: ReadonlySet<string> = new Set([
  ...KEYWORDS.keys(),
  "local",
  "helper",
  "runtime",
  "kernel",
  "pc",
  "lock",
  "ll",
  "skb",
]);

/** A name as text: in quotation marks where it would be read as something else. */
export function symbolText(name: string): string {
  const isPlain =
    /^[A-Za-z_.$][\w.$]*$/.test(name) && !RESERVED.has(name) && !isRegister(new LineToken(Kind.WORD, name, 0, 0));
  return isPlain ? name : stringText(name);
}

/** A string as text, in quotation marks. */
export function stringText(text: string): string {
  const escaped = text
    .replace(/["\\]/g, "\\$&")
    .replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${escaped}"`;
}
