// SPDX-License-Identifier: MIT
import type { Insn } from "./insn.js";
import { type InsnForm, imm64Of, insnInfo } from "./isa.js";
import * as op from "./opcode.js";
import { ALU_OPS, ATOMIC_OPS, JMP_OPS, PSEUDO_LOADS, SIGNED_ALU_OPS, SIZES } from "./ops.js";

/*
 * Instructions as llvm-objdump 19 writes them with `--mcpu=v4`, whose registers of 32-bit operations are w registers.
 * What it does not know yet is written as later releases do (load_acquire), or as our assembler reads it.
 */

/** What the caller knows of an instruction in an object. */
export interface LlvmCallbacks {
  /** What a jump's distance leads to, e.g. `main+0x18`; it is written behind it in angle brackets. */
  readonly landing?: (slot: number) => string | undefined;
  /** What a load or call refers to; it is written in the place of the number. */
  readonly reference?: (slot: number) => string | undefined;
  /** Whether to say what LLVM leaves out (offsets of packet loads) or has no grammar for (`ld_pseudo`). */
  readonly complete?: boolean;
}

/** Text of an instruction that is none. */
export const LLVM_UNKNOWN = "<unknown>";

/**
 * The text of the instruction at a slot, without line feed. Never throws.
 * @param next the following slot, looked at for a 64-bit immediate load only
 */
export function llvmInsn(insn: Insn, next?: Insn, slot = 0, callbacks: LlvmCallbacks = {}): string {
  if (insn.opcode === (op.BPF_JMP | op.BPF_CALL | op.BPF_X) && insn.src === 0 && insn.imm === 0)
    return `callx r${insn.dst}`;
  const form = writtenForm(insn, next);
  return form === undefined ? LLVM_UNKNOWN : formText(form, insn, next, slot, callbacks);
}

/**
 * The form of an instruction whose text says all of it: what no text shows is zero, as it must. Numbers that are no good,
 * as a division by zero, can be written all the same.
 */
export function writtenForm(insn: Insn, next: Insn | undefined): InsnForm | undefined {
  const info = insnInfo(insn, next);
  const isNumber = info?.form.imm === "shift" || info?.form.imm === "divisor";
  return info?.faults.every((field) => field === "imm" && isNumber) ? info.form : undefined;
}

const hex = (value: number | bigint): string => (value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);
const signed = (value: number): string => (value < 0 ? hex(value) : `+${hex(value)}`);

/** `r2 + 0x8`, an address. */
function address(base: number, off: number): string {
  return `r${base} ${off < 0 ? "-" : "+"} 0x${Math.abs(off).toString(16)}`;
}

function typedPlace(form: InsnForm, base: number, off: number, sign = "u"): string {
  return `(${sign}${form.width} *)(${address(base, off)})`;
}

const SYMBOLS: ReadonlyMap<string, string> = new Map(
  [...Object.entries(ALU_OPS), ...Object.entries(SIGNED_ALU_OPS), ...Object.entries(JMP_OPS)].map(([name, row]) => [
    name,
    row.symbol,
  ]),
);

function symbolOf({ mnemonic, width }: InsnForm): string {
  return SYMBOLS.get(width === 32 ? mnemonic.slice(0, -2) : mnemonic) ?? "?";
}

function formText(form: InsnForm, insn: Insn, next: Insn | undefined, slot: number, callbacks: LlvmCallbacks): string {
  const { dst, src, off, imm } = insn;
  const letter = form.width === 64 ? "r" : "w";
  const landing = (distance: number): string => {
    const known = callbacks.landing?.(slot + 1 + distance);
    return known === undefined ? signed(distance) : `${signed(distance)} <${known}>`;
  };
  switch (form.kind) {
    case "alu":
      return `${letter}${dst} ${symbolOf(form)} ${form.src === "zero" ? hex(imm) : `${letter}${src}`}`;
    case "neg":
      return `${letter}${dst} = -${letter}${dst}`;
    case "end":
      return `r${dst} = ${form.mnemonic} r${dst}`;
    case "movsx":
      return `${letter}${dst} = (s${off})${letter}${src}`;
    case "addr_space_cast":
      return `r${dst} = addr_space_cast(r${src}, ${hex(imm >>> 16)}, ${hex(imm & 0xffff)})`;
    case "ldx":
      return `${letter}${dst} = *${typedPlace(form, src, off)}`;
    case "ldxs":
      return `r${dst} = *${typedPlace(form, src, off, "s")}`;
    case "stx":
      return `*${typedPlace(form, dst, off)} = ${letter}${src}`;
    case "st":
      return `*${typedPlace(form, dst, off)} = ${hex(imm)}`;
    case "atomic":
      return atomicText(form, insn, letter);
    case "ld_abs":
      return `r0 = *(u${form.width} *)skb[${hex(imm)}]`;
    case "ld_ind": {
      const shown = imm === 0 || !callbacks.complete ? `r${src}` : address(src, imm);
      return `r0 = *(u${form.width} *)skb[${shown}]`;
    }
    case "ld_imm64": {
      const reference = callbacks.reference?.(slot);
      if (reference !== undefined) return `r${dst} = ${reference} ll`;
      if (src === op.BPF_PSEUDO_IMM64) return `r${dst} = ${hex(BigInt.asIntN(64, imm64Of(insn, next ?? insn)))} ll`;
      return callbacks.complete
        ? `r${dst} = ${pseudoText(insn, next)} ll`
        : `ld_pseudo r${dst}, ${hex(src)}, ${hex(imm >>> 0)}`;
    }
    case "ja":
      return form.imm === "slots" ? `gotol ${landing(imm)}` : `goto ${landing(off)}`;
    case "may_goto":
      return `may_goto ${landing(off)}`;
    case "jmp":
      return `if ${letter}${dst} ${symbolOf(form)} ${form.src === "zero" ? hex(imm) : `${letter}${src}`} goto ${landing(off)}`;
    case "call":
      return `call ${callbacks.reference?.(slot) ?? hex(imm)}`;
    case "exit":
      return "exit";
  }
}

/** `map_fd[5]`, `map_value[5]+8`: a load that the kernel completes, as our assembler reads it. */
export function pseudoText(insn: Insn, next: Insn | undefined): string {
  const name = Object.entries(PSEUDO_LOADS).find(([, { src }]) => src === insn.src)?.[0] ?? "?";
  const high = next?.imm ?? 0;
  const tail =
    high === 0 && insn.src !== op.BPF_PSEUDO_MAP_VALUE && insn.src !== op.BPF_PSEUDO_MAP_IDX_VALUE ? "" : high;
  if (tail === "") return `${name}[${insn.imm}]`;
  return insn.src === op.BPF_PSEUDO_BTF_ID
    ? `${name}[${insn.imm}, ${high}]`
    : `${name}[${insn.imm}]${high < 0 ? high : `+${high}`}`;
}

const FETCHING: ReadonlyMap<number, string> = new Map(
  (["add", "or", "and", "xor"] as const).map((name) => [ATOMIC_OPS[`fetch_${name}`], name]),
);
const LOCKED: ReadonlyMap<number, string> = new Map(
  (["add", "or", "and", "xor"] as const).map((name) => [ATOMIC_OPS[name], ALU_OPS[name].symbol]),
);

function atomicText(form: InsnForm, { dst, src, off, imm }: Insn, letter: string): string {
  const place = typedPlace(form, dst, off);
  const sign = LOCKED.get(imm);
  // Whatever is not fetched is written with 64-bit registers' names only when it is 64 bits wide.
  if (sign !== undefined) return `lock *${place} ${sign} ${letter}${src}`;
  const fetched = FETCHING.get(imm);
  if (fetched !== undefined) return `${letter}${src} = atomic_fetch_${fetched}(${place}, ${letter}${src})`;
  const size = form.width === SIZES.dw.bytes * 8 ? "_64" : "32_32";
  switch (imm) {
    case op.BPF_XCHG:
      return `${letter}${src} = xchg${size}(${address(dst, off)}, ${letter}${src})`;
    case op.BPF_CMPXCHG:
      return `${letter}0 = cmpxchg${size}(${address(dst, off)}, ${letter}0, ${letter}${src})`;
    case op.BPF_LOAD_ACQ:
      return `${letter}${dst} = load_acquire(${typedPlace(form, src, off)})`;
    default:
      return `store_release(${place}, ${letter}${src})`;
  }
}
