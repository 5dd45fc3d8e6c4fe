// SPDX-License-Identifier: MIT
import * as b from "../../asm/build.js";
import type { Insn } from "../../asm/insn.js";
import { Code, type Label } from "../../asm/labels.js";
import { R10 } from "../../asm/opcode.js";
import { JMP_OPS, type SignedAluOp, type SizeName } from "../../asm/ops.js";
import { Limit } from "../../kernel/limits.js";
import { BugError, invariant } from "../../util/errors.js";
import type { Position } from "../position.js";
import { placeBlocks, tidyBlocks } from "./blocks.js";
import type { Base, Block, Bytes, CoreRef, End, Instruction, Routine, StackSlot, Symbol64 } from "./ir.js";
import { dropDeadCode, findUndefinedRead, type UndefinedRead } from "./liveness.js";
import { allocateRegisters } from "./regalloc.js";

/** What an instruction refers to. */
export type Reference = Symbol64 | { readonly kind: "kfunc"; readonly extern: string };

type Noted = Reference | { readonly kind: "core"; readonly core: CoreRef };

/** Machine code of one routine. */
export interface Emitted {
  readonly insns: readonly Insn[];
  readonly refs: readonly { readonly insn: number; readonly value: Reference }[];
  readonly core: readonly { readonly insn: number; readonly value: CoreRef }[];
  readonly lines: readonly { readonly insn: number; readonly value: Position }[];
  /** Bytes of stack in use. */
  readonly stack: number;
}

/** More stack than there is. */
export class StackOverflow extends Error {
  override readonly name = "StackOverflow";
  readonly bytes: number;
  /** The objects, largest first. */
  readonly slots: readonly StackSlot[];

  constructor(bytes: number, slots: readonly StackSlot[]) {
    super(`${bytes} bytes of stack`);
    this.bytes = bytes;
    this.slots = slots;
  }
}

const SIZE_NAMES = { 1: "b", 2: "h", 4: "w", 8: "dw" } as const satisfies Record<Bytes, SizeName>;

/** Places stack objects below the frame pointer, in the order they are met. */
class StackFrame {
  readonly #places = new Map<StackSlot, number>();
  #depth = 0;

  /** Offset from R10 of the object's first byte. */
  offsetOf(slot: StackSlot): number {
    let place = this.#places.get(slot);
    if (place === undefined) {
      this.#depth = Math.ceil((this.#depth + slot.size) / slot.align) * slot.align;
      place = -this.#depth;
      this.#places.set(slot, place);
    }
    return place;
  }

  get bytes(): number {
    return Math.ceil(this.#depth / Limit.BPF_REG_SIZE) * Limit.BPF_REG_SIZE;
  }

  check(): void {
    if (this.bytes <= Limit.MAX_BPF_STACK) return;
    const slots = [...this.#places.keys()].sort((a, b) => b.size - a.size);
    throw new StackOverflow(this.bytes, slots);
  }
}

class Emitter {
  readonly #code = new Code<Noted, Position>();
  readonly #frame = new StackFrame();
  readonly #labels = new Map<Block, Label>();
  #at: Position | null = null;

  run(blocks: readonly Block[]): Emitted {
    for (const block of blocks) this.#labels.set(block, this.#code.newLabel(`block ${block.id}`));
    this.#measureStack(blocks);
    blocks.forEach((block, i) => {
      this.#code.bind(this.#labels.get(block)!);
      for (const insn of block.body) {
        this.#mark(insn.at);
        this.#instruction(insn);
      }
      invariant(block.end !== null, "a block without end reached the emitter");
      this.#end(block.end, blocks[i + 1]);
    });
    const { insns, refs: noted, marks } = this.#code.layout({ longJumps: true });
    const refs = noted.flatMap(({ insn, value }) => (value.kind === "core" ? [] : [{ insn, value }]));
    const core = noted.flatMap(({ insn, value }) => (value.kind === "core" ? [{ insn, value: value.core }] : []));
    return { insns, refs, core, lines: marks, stack: this.#frame.bytes };
  }

  /** Gives every stack object its place first, so that too much of it is noticed before offsets are used. */
  #measureStack(blocks: readonly Block[]): void {
    for (const block of blocks) {
      for (const insn of block.body) {
        if (insn.op === "stackAddress") this.#frame.offsetOf(insn.slot);
        else if ("base" in insn && "slot" in insn.base) this.#frame.offsetOf(insn.base.slot);
      }
    }
    this.#frame.check();
  }

  #mark(at: Position | null): void {
    if (at === null || at === this.#at) return;
    const before = this.#at;
    this.#at = at;
    if (before !== null && at.file === before.file && at.line === before.line && at.column === before.column) return;
    this.#code.mark(at);
  }

  #address(base: Base, offset: number): readonly [number, number] {
    return "reg" in base ? [base.reg, offset] : [R10, this.#frame.offsetOf(base.slot) + offset];
  }

  #instruction(insn: Instruction): void {
    const code = this.#code;
    switch (insn.op) {
      case "mov":
        code.emit(b.mov64Reg(insn.dst, insn.src));
        return;
      case "mov32":
        code.emit(b.mov32Reg(insn.dst, insn.src));
        return;
      case "const":
        code.emit(constant(insn.dst, insn.value));
        return;
      case "symbol":
        code.ref(symbol(insn.dst, insn.symbol), insn.symbol);
        return;
      case "core":
        this.#relocated(
          insn.wide ? b.ldImm64(insn.dst, insn.value) : b.mov64Imm(insn.dst, Number(insn.value)),
          insn.core,
        );
        return;
      case "stackAddress":
        code.emit(
          b.mov64Reg(insn.dst, R10),
          b.alu64Imm("add", insn.dst, this.#frame.offsetOf(insn.slot) + insn.offset),
        );
        return;
      case "neg":
        code.emit(insn.bits === 64 ? b.neg64(insn.dst) : b.neg32(insn.dst));
        return;
      case "swap":
        code.emit(b.toBe(insn.dst, insn.bits));
        return;
      case "alu":
        this.#relocated(alu(insn), insn.core);
        return;
      case "call":
        if (typeof insn.callee === "number") code.emit(b.callHelper(insn.callee));
        else code.ref(b.callKfunc(0), { kind: "kfunc", ...insn.callee });
        return;
      default:
        this.#memory(insn);
    }
  }

  /** An instruction that CO-RE may change. */
  #relocated(insn: Insn | readonly Insn[], core: CoreRef | undefined): void {
    if (core === undefined) this.#code.emit(insn);
    else this.#code.ref(insn, { kind: "core", core });
  }

  #memory(insn: Extract<Instruction, { op: "load" | "store" | "atomic" }>): void {
    const [reg, offset] = this.#address(insn.base, insn.offset);
    const size = SIZE_NAMES[insn.bytes];
    if (insn.op === "load") this.#relocated(b.ldx(size, insn.dst, reg, offset), insn.core);
    else if (insn.op === "atomic") this.#code.emit(b.atomic(insn.name, size, reg, insn.src, offset));
    else if ("reg" in insn.src) this.#code.emit(b.stx(size, reg, insn.src.reg, offset));
    else this.#code.emit(b.stImm(size, reg, offset, insn.src.imm));
  }

  #label(block: Block): Label {
    const label = this.#labels.get(block);
    if (label === undefined) throw new BugError(`jump to block ${block.id}, which has no place`);
    return label;
  }

  #end(end: End, next: Block | undefined): void {
    const code = this.#code;
    if (end.op === "goto") {
      if (end.to === next) return;
      this.#mark(end.at);
      code.branch(b.ja(0), this.#label(end.to));
      return;
    }
    this.#mark(end.at);
    if (end.op === "exit") {
      code.emit(b.exit());
      return;
    }
    if (end.op === "mayGoto") {
      code.branch(b.mayGoto(0), this.#label(end.out));
      if (end.go !== next) code.branch(b.ja(0), this.#label(end.go));
      return;
    }
    const { inverse } = JMP_OPS[end.test];
    if (end.yes === next && inverse !== null) {
      code.branch(branch({ ...end, test: inverse }), this.#label(end.no));
      return;
    }
    code.branch(branch(end), this.#label(end.yes));
    if (end.no !== next) code.branch(b.ja(0), this.#label(end.no));
  }
}

function symbol(dst: number, what: Symbol64): readonly Insn[] {
  switch (what.kind) {
    case "map":
      return b.ldMapFd(dst, 0);
    case "data":
      return b.ldMapValue(dst, 0, what.offset);
    case "extern":
      return b.ldImm64(dst, 0n);
  }
}

function branch({ test, bits, left, right }: Extract<End, { op: "branch" }>): Insn {
  if ("reg" in right) return (bits === 64 ? b.jmpReg : b.jmp32Reg)(test, left, right.reg, 0);
  return (bits === 64 ? b.jmpImm : b.jmp32Imm)(test, left, right.imm, 0);
}

function isSigned(name: string): name is SignedAluOp {
  return name === "sdiv" || name === "smod";
}

function alu({ name, bits, dst, src }: Extract<Instruction, { op: "alu" }>): Insn {
  if (isSigned(name)) {
    if ("reg" in src) return (bits === 64 ? b.salu64Reg : b.salu32Reg)(name, dst, src.reg);
    return (bits === 64 ? b.salu64Imm : b.salu32Imm)(name, dst, src.imm);
  }
  if ("reg" in src) return (bits === 64 ? b.alu64Reg : b.alu32Reg)(name, dst, src.reg);
  return (bits === 64 ? b.alu64Imm : b.alu32Imm)(name, dst, src.imm);
}

/** The shortest way to a 64-bit constant. */
function constant(dst: number, value: bigint): readonly Insn[] {
  const signed = BigInt.asIntN(64, value);
  if (BigInt.asIntN(32, signed) === signed) return [b.mov64Imm(dst, Number(signed))];
  if (BigInt.asUintN(32, value) === value) return [b.mov32Imm(dst, Number(value))];
  return b.ldImm64(dst, value);
}

/** A value is used where the program can get without computing it. */
export class UndefinedValue extends Error {
  override readonly name = "UndefinedValue";
  readonly read: UndefinedRead;

  constructor(read: UndefinedRead) {
    super(`register ${read.reg}`);
    this.read = read;
  }
}

/**
 * Makes machine code of a routine, which is used up by it.
 * @throws UndefinedValue when a value may be used before it is computed; StackOverflow when its stack objects and spilled values take more than 512 bytes.
 */
export function emitRoutine(routine: Routine): Emitted {
  tidyBlocks(routine);
  dropDeadCode(routine);
  tidyBlocks(routine);
  const read = findUndefinedRead(routine);
  if (read !== undefined) throw new UndefinedValue(read);
  allocateRegisters(routine);
  // Copies that turned out to be none may have left blocks empty.
  tidyBlocks(routine);
  return new Emitter().run(placeBlocks(routine));
}
