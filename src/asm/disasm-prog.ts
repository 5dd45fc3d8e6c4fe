// SPDX-License-Identifier: MIT
import { type DisasmCallbacks, disasmInsn } from "./disasm.js";
import { encodeInsns, type Insn } from "./insn.js";
import { isLdImm64 } from "./isa.js";
import * as op from "./opcode.js";

/*
 * Whole programs as `bpftool prog dump xlated` writes them: after the kernel's translation, where
 * maps stand by id and calls by address. Programs that were never loaded list in the same style,
 * with `reference` saying what their instructions refer to.
 */

/** A source line and the first slot that belongs to it. */
export interface ListingLine {
  /** Slot index. */
  readonly insn: number;
  readonly text: string;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  /** 1-based. */
  readonly column: number;
}

/** What a listing shows beyond the instructions; everything may be left out. */
export interface ListingOptions {
  /** Adds a row with the bytes after each instruction (`opcodes`). */
  readonly opcodes?: boolean;
  /** Source lines in ascending order of `insn`. */
  readonly lines?: readonly ListingLine[];
  /** Adds file, line and column to the source lines (`linum`). */
  readonly linum?: boolean;
  /** The C prototype of the function that begins at a slot, e.g. `int hello(void * ctx)`. */
  readonly signature?: (slot: number) => string | undefined;
  /** Name of the kernel symbol at exactly that address, for calls (/proc/kallsyms). */
  readonly symbol?: (address: bigint) => string | undefined;
  /** Address of `__bpf_call_base`, to which a translated call's immediate is relative; 0 when hidden. */
  readonly callBase?: bigint;
  /** Addresses of the compiled subprograms (`jited_ksyms`); empty for an interpreted program. */
  readonly subprogs?: readonly bigint[];
  /**
   * For a program as it stands in an object: what the instruction at a slot refers to, e.g.
   * `map[events]` for a 64-bit load or a function's name for a call; undefined where nothing is
   * known. Given, distances of calls are read as before loading, from the immediate.
   */
  readonly reference?: (slot: number) => string | undefined;
}

/** The listing, every row ended by a line feed. */
export function disasmProgram(insns: readonly Insn[], options: ListingOptions = {}): string {
  const rows: string[] = [];
  const nextLine = lineCursor(options.lines ?? []);
  let slot = 0;
  const callbacks: DisasmCallbacks = {
    imm: (insn, next, value) => options.reference?.(slot) ?? immText(insn, next, value),
    call: (insn) => (options.reference ? unloadedCallText(insn, options.reference(slot)) : callText(insn, options)),
  };
  for (; slot < insns.length; slot++) {
    const insn = insns[slot]!;
    const next = insns[slot + 1];
    const signature = options.signature?.(slot);
    if (signature !== undefined && signature !== "") rows.push(`${signature}:`);
    const line = nextLine(slot);
    if (line !== undefined) rows.push(lineText(line, options.linum ?? false));
    rows.push(`${String(slot).padStart(4)}: ${disasmInsn(insn, next, callbacks)}`);
    const isPair = isLdImm64(insn) && next !== undefined;
    if (options.opcodes) rows.push(`       ${(isPair ? [insn, next] : [insn]).map(bytesText).join(" ")}`);
    if (isPair) slot++;
  }
  return rows.map((row) => `${row}\n`).join("");
}

/**
 * Answers slot by slot which line to print, as bpftool asks libbpf: the last line at or before the
 * slot, going on by one line each time one was printed.
 */
function lineCursor(lines: readonly ListingLine[]): (slot: number) => ListingLine | undefined {
  let printed = 0;
  return (slot) => {
    let at = printed;
    while (at < lines.length && lines[at]!.insn <= slot) at++;
    if (at === printed) return undefined;
    printed++;
    return lines[at - 1];
  };
}

function lineText(line: ListingLine, linum: boolean): string {
  const text = `; ${line.text.replace(/^[ \t\n\v\f\r]+/, "")}`;
  return linum ? `${text} [file:${line.file} line_num:${line.line} line_col:${line.column}]` : text;
}

function bytesText(insn: Insn): string {
  return Array.from(encodeInsns([insn]), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function immText(insn: Insn, next: Insn, value: bigint): string {
  const id = insn.imm >>> 0;
  const offset = next.imm >>> 0;
  switch (insn.src) {
    case op.BPF_PSEUDO_MAP_FD:
      return `map[id:${id}]`;
    case op.BPF_PSEUDO_MAP_VALUE:
      return `map[id:${id}][0]+${offset}`;
    case op.BPF_PSEUDO_MAP_IDX_VALUE:
      return `map[idx:${id}]+${offset}`;
    case op.BPF_PSEUDO_FUNC:
      return `subprog[${insn.imm < 0 ? "" : "+"}${insn.imm}]`;
    default:
      return `0x${value.toString(16)}`;
  }
}

/** A call before loading: the distance is the immediate, the name is the reference's. */
function unloadedCallText(insn: Insn, name: string | undefined): string | undefined {
  if (insn.src !== op.BPF_PSEUDO_CALL) return name;
  const distance = `${insn.imm < 0 ? "" : "+"}${insn.imm}`;
  return name === undefined ? distance : `${distance}#${name}`;
}

function callText(insn: Insn, options: ListingOptions): string {
  const subprogs = options.subprogs ?? [];
  const isSubprog = insn.src === op.BPF_PSEUDO_CALL;
  const address =
    (isSubprog ? subprogs[insn.imm >>> 0] : undefined) ??
    BigInt.asUintN(64, (options.callBase ?? 0n) + BigInt(insn.imm));
  const name = options.symbol?.(address);
  if (!isSubprog) return name ?? `0x${address.toString(16)}`;
  const distance = `${insn.off < 0 ? "" : "+"}${insn.off}`;
  return subprogs.length === 0 ? distance : `${distance}#${name ?? `0x${address.toString(16)}`}`;
}
