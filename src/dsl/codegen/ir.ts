// SPDX-License-Identifier: MIT
import type { AluOp, AtomicOp, JmpOp, SignedAluOp } from "../../asm/ops.js";
import type { Position } from "../position.js";
import type { TypeDecl } from "../types.js";

/*
 * What a program callback is turned into before registers are given out: basic blocks of two-address
 * instructions over virtual registers, close to BPF but for three things: registers are as many as one
 * likes, stack objects have no address yet, and blocks have no order in memory.
 *
 * Registers holding 32-bit values keep their upper half zero.
 */

/** A register: 0–10 are the machine's, {@link FIRST_VIRTUAL} and above wait for one. */
export type Reg = number;

export const FIRST_VIRTUAL = 16;

/** An object on the stack. Its place is known once all of them are. */
export interface StackSlot {
  readonly size: number;
  readonly align: number;
  /** What it is for, in messages. */
  readonly what: string;
}

/** What an address is counted from. */
export type Base = { readonly reg: Reg } | { readonly slot: StackSlot };

/** A second operand: a register, or an immediate that BPF's 32 bits hold (sign-extended). */
export type Source = { readonly reg: Reg } | { readonly imm: number };

export type Bytes = 1 | 2 | 4 | 8;

/** What a 64-bit immediate load refers to. */
export interface DataSymbol {
  readonly kind: "data";
  readonly section: string;
  readonly offset: number;
}

export type Symbol64 =
  | { readonly kind: "map"; readonly map: string }
  | DataSymbol
  | { readonly kind: "extern"; readonly extern: string };

/**
 * What CO-RE puts into an instruction when the object meets a kernel: something about a type, or about what lies
 * at the end of a way into it (members by name, elements by index; the name of an enumerator).
 */
export interface CoreRef {
  /** `CoreReloKind`. */
  readonly relo: number;
  readonly root: TypeDecl;
  readonly steps: readonly (string | number)[];
}

type Op =
  /** `dst = src`, all 64 bits. */
  | { readonly op: "mov"; dst: Reg; src: Reg }
  /** `dst = value`, a 64-bit pattern from 0 to 2^64-1. */
  | { readonly op: "const"; dst: Reg; readonly value: bigint }
  | { readonly op: "symbol"; dst: Reg; readonly symbol: Symbol64 }
  /** `dst = value`, which CO-RE replaces; `wide` ones have 64 bits for it. */
  | { readonly op: "core"; dst: Reg; readonly value: bigint; readonly wide: boolean; readonly core: CoreRef }
  /** `dst = ` the address of a stack object's byte. */
  | { readonly op: "stackAddress"; dst: Reg; readonly slot: StackSlot; readonly offset: number }
  /** `dst op= src`. */
  | {
      readonly op: "alu";
      readonly name: Exclude<AluOp, "mov"> | SignedAluOp;
      readonly bits: 32 | 64;
      dst: Reg;
      src: Source;
      /** What the immediate stands for. */
      readonly core?: CoreRef;
    }
  | { readonly op: "neg"; readonly bits: 32 | 64; dst: Reg }
  /** The lower half, zero-extended: `dst = (u32)src`. */
  | { readonly op: "mov32"; dst: Reg; src: Reg }
  /** From or to network order, truncated to so many bits. */
  | { readonly op: "swap"; readonly bits: 16 | 32 | 64; dst: Reg }
  | {
      readonly op: "load";
      readonly bytes: Bytes;
      dst: Reg;
      base: Base;
      readonly offset: number;
      /** What the offset stands for. */
      readonly core?: CoreRef;
    }
  | { readonly op: "store"; readonly bytes: Bytes; base: Base; readonly offset: number; src: Source }
  /** `fetch` ones leave the old value in `src`. */
  | {
      readonly op: "atomic";
      readonly name: AtomicOp;
      readonly bytes: 4 | 8;
      base: Base;
      readonly offset: number;
      src: Reg;
    }
  /** Takes R1 to R`args`, gives R0, loses R1–R5. Calls a helper by its number, a function of the kernel by its name. */
  | { readonly op: "call"; readonly callee: number | { readonly extern: string }; readonly args: number };

/** One instruction; `at` is the user's line that asked for it. */
export type Instruction = Op & { readonly at: Position | null };

/** How a block ends. */
export type End =
  | { readonly op: "goto"; to: Block; readonly at: Position | null }
  | {
      readonly op: "branch";
      readonly test: JmpOp;
      readonly bits: 32 | 64;
      left: Reg;
      right: Source;
      yes: Block;
      no: Block;
      readonly at: Position | null;
    }
  /** Goes on, or out once the kernel wants the loop ended (may_goto). */
  | { readonly op: "mayGoto"; go: Block; out: Block; readonly at: Position | null }
  /** Returns R0. */
  | { readonly op: "exit"; readonly at: Position | null };

/** A basic block. `end` is null only while it is being written. */
export interface Block {
  readonly id: number;
  readonly body: Instruction[];
  end: End | null;
  /** How many loops it stands in: the weight of its registers when one has to give way. */
  readonly depth: number;
}

/** A program in this form. `blocks` stand in the order of writing, entry first. */
export interface Routine {
  readonly name: string;
  blocks: Block[];
  /** The next free virtual register. */
  nextReg: Reg;
}

/** Blocks that may follow. */
export function successors(block: Block): readonly Block[] {
  const { end } = block;
  if (end === null || end.op === "exit") return [];
  if (end.op === "mayGoto") return [end.go, end.out];
  return end.op === "goto" ? [end.to] : [end.yes, end.no];
}

/** Registers that a call leaves undefined, its result included. */
export const CALL_CLOBBERS: readonly Reg[] = [0, 1, 2, 3, 4, 5];

function sourceRegs(source: Source): readonly Reg[] {
  return "reg" in source ? [source.reg] : [];
}

function baseRegs(base: Base): readonly Reg[] {
  return "reg" in base ? [base.reg] : [];
}

/** Registers an instruction reads. */
export function usesOf(insn: Instruction): readonly Reg[] {
  switch (insn.op) {
    case "const":
    case "symbol":
    case "core":
    case "stackAddress":
      return [];
    case "mov":
    case "mov32":
      return [insn.src];
    case "alu":
      return [insn.dst, ...sourceRegs(insn.src)];
    case "neg":
    case "swap":
      return [insn.dst];
    case "load":
      return baseRegs(insn.base);
    case "store":
      return [...baseRegs(insn.base), ...sourceRegs(insn.src)];
    case "atomic":
      return [...baseRegs(insn.base), insn.src];
    case "call":
      return [1, 2, 3, 4, 5].slice(0, insn.args);
  }
}

/** Registers an instruction writes or loses. */
export function defsOf(insn: Instruction): readonly Reg[] {
  switch (insn.op) {
    case "store":
      return [];
    case "atomic":
      return insn.name.startsWith("fetch_") || insn.name === "xchg" ? [insn.src] : [];
    case "call":
      return CALL_CLOBBERS;
    default:
      return [insn.dst];
  }
}

/** Registers the end of a block reads. */
export function endUses(end: End | null): readonly Reg[] {
  if (end?.op === "exit") return [0];
  return end?.op === "branch" ? [end.left, ...sourceRegs(end.right)] : [];
}

/** Whether an instruction does nothing but give its `dst` a value. */
export function isPure(insn: Instruction): boolean {
  return insn.op !== "store" && insn.op !== "atomic" && insn.op !== "call";
}

/** Renames the registers of an instruction in place. */
export function renameRegs(insn: Instruction, rename: (reg: Reg) => Reg): void {
  if ("dst" in insn) insn.dst = rename(insn.dst);
  if ("src" in insn) {
    if (typeof insn.src === "number") insn.src = rename(insn.src);
    else if ("reg" in insn.src) insn.src = { reg: rename(insn.src.reg) };
  }
  if ("base" in insn && "reg" in insn.base) insn.base = { reg: rename(insn.base.reg) };
}

/** Renames the registers of a block's end in place. */
export function renameEnd(end: End | null, rename: (reg: Reg) => Reg): void {
  if (end === null || end.op !== "branch") return;
  end.left = rename(end.left);
  if ("reg" in end.right) end.right = { reg: rename(end.right.reg) };
}
