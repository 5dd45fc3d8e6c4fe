// SPDX-License-Identifier: MIT
import type { Insn } from "../../asm/insn.js";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_B,
  BPF_CALL,
  BPF_DW,
  BPF_H,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_ST,
  BPF_STX,
  BPF_W,
  bpfClass,
  bpfMode,
  bpfSrc,
  sizeBytes,
} from "../../asm/opcode.js";
import { InputError } from "../../util/errors.js";
import type { CoreValue } from "./value.js";

/** The number of the helper that a poisoned instruction calls: 0xbad2310, "bad relo". */
export const CORE_POISON_HELPER = 195896080;

const POISON: Insn = { opcode: BPF_JMP | BPF_CALL, dst: 0, src: 0, off: 0, imm: CORE_POISON_HELPER };

/** The largest offset that a load or store can have. */
const MAX_OFF = 0x7fff;

/** What was done to an instruction. */
export type CorePatch =
  /** A new immediate (32 bits, or 64 of an `ld_imm64`) or offset; for a load or store perhaps another width. */
  | {
      readonly kind: "imm" | "imm64" | "off";
      readonly before: bigint;
      readonly after: bigint;
      /** Bytes, when the width changed. */
      readonly size: { readonly before: number; readonly after: number } | null;
    }
  /** Replaced by an invalid call; `cause` says whether the target has nothing, or a field of another width. */
  | { readonly kind: "poison"; readonly cause: "missing" | "resized" };

/**
 * Puts a relocation's value into the instruction at slot `at` (libbpf: bpf_core_patch_insn()).
 * @throws InputError when the instruction is none that can be relocated, does not hold the expected value,
 * or cannot hold the new one.
 */
export function patchInsn(insns: Insn[], at: number, value: CoreValue): CorePatch {
  const insn = insns[at];
  if (insn === undefined) throw new InputError(`the function ends before instruction ${at}`);
  switch (bpfClass(insn.opcode)) {
    case BPF_ALU:
    case BPF_ALU64:
      if (bpfSrc(insn.opcode) !== BPF_K) break;
      return patchAlu(insns, at, insn, value);
    case BPF_LDX:
    case BPF_ST:
    case BPF_STX:
      return patchAccess(insns, at, insn, value);
    case BPF_LD:
      return patchLdImm64(insns, at, insn, value);
  }
  throw new InputError(`no instruction that can be relocated, its opcode is 0x${insn.opcode.toString(16)}`);
}

function expectValue(value: CoreValue, got: number | bigint): bigint {
  const before = BigInt.asUintN(64, BigInt(got));
  if (value.validate && before !== value.before) {
    throw new InputError(
      `the instruction holds ${BigInt.asIntN(64, before)}, expected ${BigInt.asIntN(64, value.before)} (to become ${BigInt.asIntN(64, value.after)})`,
    );
  }
  return before;
}

function poison(insns: Insn[], at: number, slots: number, cause: "missing" | "resized"): CorePatch {
  for (let i = at; i < at + slots; i++) insns[i] = POISON;
  return { kind: "poison", cause };
}

function patchAlu(insns: Insn[], at: number, insn: Insn, value: CoreValue): CorePatch {
  if (value.poison) return poison(insns, at, 1, "missing");
  const before = expectValue(value, insn.imm);
  insns[at] = { ...insn, imm: Number(BigInt.asIntN(32, value.after)) };
  return { kind: "imm", before, after: value.after, size: null };
}

function patchAccess(insns: Insn[], at: number, insn: Insn, value: CoreValue): CorePatch {
  if (value.poison) return poison(insns, at, 1, "missing");
  const before = expectValue(value, insn.off);
  if (value.after > MAX_OFF) throw new InputError(`the new offset ${value.after} is beyond ${MAX_OFF}`);
  if (value.badResize) return poison(insns, at, 1, "resized");
  const off = Number(value.after);
  if (value.sizeBefore === value.sizeAfter) {
    insns[at] = { ...insn, off };
    return { kind: "off", before, after: value.after, size: null };
  }
  const bytes = sizeBytes(insn.opcode);
  if (bytes !== value.sizeBefore) {
    throw new InputError(`the instruction accesses ${bytes} bytes of a field of ${value.sizeBefore}`);
  }
  const size = sizeBits(value.sizeAfter);
  insns[at] = { ...insn, opcode: bpfMode(insn.opcode) | size | bpfClass(insn.opcode), off };
  return { kind: "off", before, after: value.after, size: { before: bytes, after: value.sizeAfter } };
}

function sizeBits(bytes: number): number {
  switch (bytes) {
    case 1:
      return BPF_B;
    case 2:
      return BPF_H;
    case 4:
      return BPF_W;
    case 8:
      return BPF_DW;
    default:
      throw new InputError(`no instruction accesses ${bytes} bytes at once, the size of the field on the target`);
  }
}

function patchLdImm64(insns: Insn[], at: number, insn: Insn, value: CoreValue): CorePatch {
  const next = insns[at + 1];
  if (insn.opcode !== BPF_LD_IMM64 || next === undefined) throw new InputError("no whole 64-bit immediate load");
  if (insn.src !== 0 || insn.off !== 0 || next.opcode !== 0 || next.dst !== 0 || next.src !== 0 || next.off !== 0) {
    throw new InputError("the 64-bit immediate load is not one of a plain number");
  }
  if (value.poison) return poison(insns, at, 2, "missing");
  const before = expectValue(value, (BigInt(next.imm) << 32n) | BigInt(insn.imm >>> 0));
  insns[at] = { ...insn, imm: Number(BigInt.asIntN(32, value.after)) };
  insns[at + 1] = { ...next, imm: Number(BigInt.asIntN(32, value.after >> 32n)) };
  return { kind: "imm64", before, after: value.after, size: null };
}
