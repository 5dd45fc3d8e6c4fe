// SPDX-License-Identifier: MIT
import type { JmpOp } from "../asm/ops.js";
import { type InputError, invariant } from "../util/errors.js";
import {
  type BinaryOp,
  foldBinary,
  foldCompare,
  isCommutative,
  isShift,
  mirrored,
  pattern,
  simplify,
  type Word,
} from "./arith.js";
import {
  type Base,
  type Block,
  type Bytes,
  type CoreRef,
  type DataSymbol,
  FIRST_VIRTUAL,
  type Instruction,
  type Reg,
  type Routine,
  type Source,
  type StackSlot,
  type Symbol64,
} from "./codegen/ir.js";
import type { Test } from "./condition.js";
import { disagreement, type Flow, joined, NO_RECORDS, type OpenRecord, withoutRecord, withRecord } from "./flow.js";
import { callerPosition, errorAt, type Position, type SourceMapper, shortPlace } from "./position.js";

/** A value while a program is built: in a register, or known already (a pattern of its width). */
export type Operand = { readonly reg: Reg } | { readonly value: bigint };

/** An integer type as far as code generation cares. */
export interface IntKind {
  readonly bits: 8 | 16 | 32 | 64;
  readonly signed: boolean;
}

/** A place in memory. */
export interface Mem {
  readonly base: Base;
  readonly offset: number;
  /** What the base's address is known to be a multiple of, up to 8. */
  readonly align: number;
  /** The record that the memory belongs to. */
  readonly record?: OpenRecord;
  /** Why it cannot be written, when it cannot. */
  readonly readOnly?: string;
  /** What CO-RE makes of the offset. */
  readonly core?: CoreRef;
}

/** An instruction without its line. */
type Unplaced<T> = T extends unknown ? Omit<T, "at"> : never;

/** What a program's surroundings provide and collect. */
export interface Surroundings {
  readonly mapper: SourceMapper | undefined;
  /** The licence allows GPL-only helpers. */
  readonly gpl: boolean;
  /** Registers the use of a map and gives the name that refers to it. */
  useMap(map: unknown, fail: (message: string) => InputError): string;
  /** Registers the use of something of the kernel's and gives the name that refers to it. */
  useExtern(extern: unknown, fail: (message: string) => InputError): string;
  /** Puts a constant string into `.rodata`. */
  useString(program: string, text: string): Symbol64;
  /** The place of a global variable. */
  useGlobal(variable: unknown, fail: (message: string) => InputError): DataSymbol;
}

const S32_MIN = -0x8000_0000n;
const S32_MAX = 0x7fff_ffffn;
const S16 = { min: -0x8000, max: 0x7fff } as const;

/**
 * Writes one program: values become registers, statements instructions, in the order of the calls.
 * Everything that users see stands on top of this.
 */
export class Code {
  readonly routine: Routine;
  readonly surroundings: Surroundings;
  /** The context, copied out of R1. */
  readonly ctx: Reg;
  #block: Block;
  #at: Position | null;
  #depth = 0;
  #flow: Flow = NO_RECORDS;
  #finished = false;
  /** What the kernel lets the program return; null for anything. */
  #results: readonly number[] | null = null;
  readonly #returns = new Map<bigint, Block>();
  readonly #freeTemporaries: StackSlot[] = [];

  constructor(name: string, at: Position | null, surroundings: Surroundings) {
    this.routine = { name, blocks: [], nextReg: FIRST_VIRTUAL };
    this.surroundings = surroundings;
    this.#at = at;
    this.#block = this.newBlock();
    this.startBlock(this.#block);
    this.ctx = this.newReg();
    this.emit({ op: "mov", dst: this.ctx, src: 1 });
  }

  /* Lines and errors. */

  /** Every call of the user's begins with this: what follows belongs to the user's line. */
  mark(): void {
    this.#at = callerPosition() ?? this.#at;
    if (this.#finished) throw this.fail("this program is finished: p and its values can only be used in its callback");
  }

  get at(): Position | null {
    return this.#at;
  }

  /** Runs the user's callback; afterwards instructions belong to the line that passed it. */
  inside<T>(callback: () => T): T {
    const at = this.#at;
    const result = callback();
    this.#at = at;
    return result;
  }

  /** An error at the user's line. */
  fail(message: string, at: Position | null = this.#at): InputError {
    return errorAt(message, at, this.surroundings.mapper);
  }

  /** A place for use inside messages. */
  describe(at: Position | null): string {
    return shortPlace(at, this.surroundings.mapper);
  }

  /* Instructions and blocks. */

  newReg(): Reg {
    return this.routine.nextReg++;
  }

  emit(insn: Unplaced<Instruction>): void {
    this.#block.body.push({ ...insn, at: this.#at } as Instruction);
  }

  /** A block that nothing leads to yet; it stands where {@link startBlock} is called for it. */
  newBlock(): Block {
    return { id: this.routine.blocks.length, body: [], end: null, depth: this.#depth };
  }

  startBlock(block: Block): void {
    this.routine.blocks.push(block);
    this.#block = block;
  }

  goto(to: Block): void {
    this.#block.end = { op: "goto", to, at: this.#at };
  }

  /** Continues writing at code that cannot be reached. */
  #startUnreachable(): void {
    this.startBlock(this.newBlock());
    this.#flow = null;
  }

  /** Whether the program can get to where we are writing. */
  get reachable(): boolean {
    return this.#flow !== null;
  }

  /* Values. */

  /** The value in a register. */
  toReg(operand: Operand): Reg {
    if ("reg" in operand) return operand.reg;
    const dst = this.newReg();
    this.emit({ op: "const", dst, value: operand.value });
    return dst;
  }

  /** The value as a second operand: an immediate when 32 bits hold it. */
  toSource(operand: Operand, bits: 32 | 64): Source {
    if ("reg" in operand) return operand;
    const signed = BigInt.asIntN(bits, operand.value);
    if (signed >= S32_MIN && signed <= S32_MAX) return { imm: Number(signed) };
    return { reg: this.toReg(operand) };
  }

  /** A copy that later writes to the register do not change. */
  copy(reg: Reg): Reg {
    const dst = this.newReg();
    this.emit({ op: "mov", dst, src: reg });
    return dst;
  }

  #alu(op: BinaryOp, bits: 32 | 64, left: Reg, src: Source): Reg {
    const dst = this.copy(left);
    this.emit({ op: "alu", name: op, bits, dst, src });
    return dst;
  }

  /** `left op right`, both of this width already. */
  binary(op: BinaryOp, bits: 32 | 64, left: Operand, right: Operand): Operand {
    if ("value" in left && "value" in right) return { value: foldBinary(op, bits, left.value, right.value) };
    if ("value" in right && isShift(op)) return this.#shift(op, bits, left, right.value & BigInt(bits - 1));
    if ("value" in left && isCommutative(op)) return this.binary(op, bits, right, left);
    if ("value" in right && "reg" in left) {
      const cheaper = simplify(op, bits, right.value);
      if (cheaper?.kind === "same") return left;
      if (cheaper?.kind === "constant") return { value: cheaper.value };
      if (cheaper?.kind === "other") return this.binary(cheaper.op, bits, left, { value: cheaper.value });
    }
    return { reg: this.#alu(op, bits, this.toReg(left), this.#divisor(op, bits, right)) };
  }

  /** Shifts by an immediate below the width: the verifier refuses larger ones. */
  #shift(op: BinaryOp, bits: 32 | 64, left: Operand, count: bigint): Operand {
    if (count === 0n) return left;
    return { reg: this.#alu(op, bits, this.toReg(left), { imm: Number(count) }) };
  }

  /** The right operand. The verifier refuses a division by the immediate 0, not one by a register that holds it. */
  #divisor(op: BinaryOp, bits: 32 | 64, right: Operand): Source {
    const isZero = "value" in right && right.value === 0n;
    const divides = op === "div" || op === "mod" || op === "sdiv" || op === "smod";
    return isZero && divides ? { reg: this.toReg(right) } : this.toSource(right, bits);
  }

  negate(bits: 32 | 64, operand: Operand): Operand {
    if ("value" in operand) return { value: pattern(-operand.value, bits) };
    const dst = this.copy(operand.reg);
    this.emit({ op: "neg", bits, dst });
    return { reg: dst };
  }

  /** Reverses the bytes: between host and network order. */
  swap(bits: 16 | 32 | 64, operand: Operand): Operand {
    if ("value" in operand) {
      const view = new DataView(new ArrayBuffer(8));
      view.setBigUint64(0, pattern(operand.value, bits) << BigInt(64 - bits));
      return { value: pattern(view.getBigUint64(0, true), bits) };
    }
    const dst = this.copy(operand.reg);
    this.emit({ op: "swap", bits, dst });
    return { reg: dst };
  }

  /** Sign-extends the low bits within a word. */
  #extendSign(operand: Reg, from: number, bits: 32 | 64): Reg {
    const dst = this.copy(operand);
    const imm = bits - from;
    this.emit({ op: "alu", name: "lsh", bits, dst, src: { imm } });
    this.emit({ op: "alu", name: "arsh", bits, dst, src: { imm } });
    return dst;
  }

  /** The value of one integer type as another, as C's casts do. Values up to 32 bits stand in words of 32. */
  convert(operand: Operand, from: IntKind, to: IntKind): Operand {
    if ("value" in operand) {
      const number = from.signed ? BigInt.asIntN(wordBits(from), operand.value) : operand.value;
      const narrowed = to.signed ? BigInt.asIntN(to.bits, number) : BigInt.asUintN(to.bits, number);
      return { value: pattern(narrowed, wordBits(to)) };
    }
    if (to.bits === 64) {
      return from.bits < 64 && from.signed ? { reg: this.#extendSign(operand.reg, 32, 64) } : operand;
    }
    if (to.bits === 32) return from.bits === 64 ? this.#truncate(operand.reg) : operand;
    const fits = from.signed === to.signed ? from.bits <= to.bits : !from.signed && from.bits < to.bits;
    if (fits) return operand;
    if (to.signed) return { reg: this.#extendSign(operand.reg, to.bits, 32) };
    return { reg: this.#alu("and", 32, operand.reg, { imm: to.bits === 8 ? 0xff : 0xffff }) };
  }

  #truncate(reg: Reg): Operand {
    const dst = this.newReg();
    this.emit({ op: "mov32", dst, src: reg });
    return { reg: dst };
  }

  /** Compares two values of this width. */
  compare(test: JmpOp, bits: 32 | 64, left: Operand, right: Operand): Test {
    if ("value" in left) {
      if ("value" in right) return { kind: "constant", value: foldCompare(test, bits, left.value, right.value) };
      return this.compare(mirrored(test), bits, right, left);
    }
    return { kind: "compare", test, bits, left: left.reg, right: this.toSource(right, bits) };
  }

  /* Memory. */

  #checkRecord(mem: Mem): void {
    const { record } = mem;
    if (record === undefined || this.#flow === null || this.#flow.get(record) === "open") return;
    throw this.fail(
      `this record of ${record.map} is gone: it was submitted or discarded at ${this.describe(record.closedAt)}`,
    );
  }

  /** A place whose offset fits an instruction. */
  #reachableMem(mem: Mem, size: number): Mem {
    this.#checkRecord(mem);
    if (mem.offset >= S16.min && mem.offset + size <= S16.max) return mem;
    return { ...mem, base: { reg: this.addressOf(mem) }, offset: 0, core: undefined };
  }

  /** The address in a register. */
  addressOf(mem: Mem): Reg {
    this.#checkRecord(mem);
    const dst = this.newReg();
    if ("slot" in mem.base) {
      this.emit({ op: "stackAddress", dst, slot: mem.base.slot, offset: mem.offset });
      return dst;
    }
    this.emit({ op: "mov", dst, src: mem.base.reg });
    if (mem.core !== undefined) return this.coreAlu("add", dst, BigInt(mem.offset), mem.core);
    if (mem.offset !== 0) {
      this.emit({ op: "alu", name: "add", bits: 64, dst, src: this.toSource({ value: BigInt(mem.offset) }, 64) });
    }
    return dst;
  }

  /** Reads an integer. Signed ones of less than 32 bits come sign-extended to a word. */
  load(mem: Mem, kind: IntKind & { readonly bigEndian: boolean }): Operand {
    const { base, offset, core } = this.#reachableMem(mem, kind.bits / 8);
    const dst = this.newReg();
    this.emit({ op: "load", bytes: (kind.bits / 8) as Bytes, dst, base, offset, ...(core && { core }) });
    if (kind.bigEndian && kind.bits !== 8) return this.swap(kind.bits, { reg: dst });
    if (kind.signed && kind.bits < 32) return { reg: this.#extendSign(dst, kind.bits, 32) };
    return { reg: dst };
  }

  /** Writes the low bits of a value. */
  store(mem: Mem, kind: IntKind & { readonly bigEndian: boolean }, operand: Operand): void {
    this.checkWritable(mem);
    const { base, offset } = this.#reachableMem(mem, kind.bits / 8);
    const swapped = kind.bigEndian && kind.bits !== 8 ? this.swap(kind.bits, operand) : operand;
    const bytes = (kind.bits / 8) as Bytes;
    // Only so many bits are stored: of a narrow constant the sign does not matter.
    const src =
      "value" in swapped && bytes < 8
        ? { imm: Number(BigInt.asIntN(32, pattern(swapped.value, kind.bits))) }
        : this.toSource(swapped, 64);
    this.emit({ op: "store", bytes, base, offset, src });
  }

  checkWritable(mem: Mem): void {
    if (mem.readOnly !== undefined) throw this.fail(mem.readOnly);
  }

  /** An atomic operation of 4 or 8 bytes; gives the old value when fetching. */
  atomic(name: "add" | "and" | "or" | "xor" | "fetch_add" | "xchg", mem: Mem, bytes: 4 | 8, operand: Operand): Operand {
    this.checkWritable(mem);
    const { base, offset } = this.#reachableMem(mem, bytes);
    const src = this.copy(this.toReg(operand));
    this.emit({ op: "atomic", name, bytes, base, offset, src });
    return { reg: src };
  }

  /** A stack object that lives as long as the program. */
  stackSlot(size: number, align: number, what: string): StackSlot {
    return { size, align, what };
  }

  /** A stack object for the time of `use`; its place is used again afterwards. */
  withTemporary<T>(size: number, align: number, what: string, use: (slot: StackSlot) => T): T {
    const at = this.#freeTemporaries.findIndex((slot) => slot.size === size && slot.align >= align);
    const slot = at < 0 ? this.stackSlot(size, align, what) : this.#freeTemporaries.splice(at, 1)[0]!;
    const result = use(slot);
    this.#freeTemporaries.push(slot);
    return result;
  }

  /* Calls. */

  /**
   * Calls a helper, by its number, or a function of the kernel with values that are in place already; gives R0 in
   * a register of its own.
   */
  call(callee: number | { readonly extern: string }, args: readonly Reg[]): Reg {
    invariant(args.length <= 5, "a call takes at most five arguments");
    args.forEach((src, i) => {
      this.emit({ op: "mov", dst: i + 1, src });
    });
    this.emit({ op: "call", callee, args: args.length });
    return this.copy(0);
  }

  /* CO-RE. */

  /** A number that CO-RE finds out; `value` is what it is by the object's own types. */
  core(core: CoreRef, value: bigint, wide = false): Reg {
    const dst = this.newReg();
    this.emit({ op: "core", dst, value, wide, core });
    return dst;
  }

  /** `left op` a number that CO-RE finds out. */
  coreAlu(op: BinaryOp, left: Reg, value: bigint, core: CoreRef): Reg {
    const dst = this.copy(left);
    this.emit({ op: "alu", name: op, bits: 64, dst, src: { imm: Number(value) }, core });
    return dst;
  }

  symbol(symbol: Symbol64): Reg {
    const dst = this.newReg();
    this.emit({ op: "symbol", dst, symbol });
    return dst;
  }

  /* Control flow. */

  /** Goes on, unless the kernel wants the loop ended. */
  mayGoto(go: Block, out: Block): void {
    this.#block.end = { op: "mayGoto", go, out, at: this.#at };
  }

  branch(test: Test, yes: Block, no: Block): void {
    switch (test.kind) {
      case "constant":
        this.goto(test.value ? yes : no);
        return;
      case "not":
        this.branch(test.operand, no, yes);
        return;
      case "compare": {
        const { test: op, bits, left, right } = test;
        this.#block.end = { op: "branch", test: op, bits, left, right, yes, no, at: this.#at };
        return;
      }
      default: {
        const second = this.newBlock();
        if (test.kind === "and") this.branch(test.left, second, no);
        else this.branch(test.left, yes, second);
        this.startBlock(second);
        this.branch(test.right, yes, no);
      }
    }
  }

  /**
   * `if (test) then else otherwise`. `changes` says what is known of records on either side besides.
   */
  ifElse(test: Test, then: () => void, otherwise: () => void, changes: BranchChanges = {}): void {
    const yes = this.newBlock();
    const no = this.newBlock();
    const join = this.newBlock();
    const before = this.#flow;
    this.branch(test, yes, no);
    const afterThen = this.#side(yes, changes.yes?.(before) ?? before, then, join);
    const afterElse = this.#side(no, changes.no?.(before) ?? before, otherwise, join);
    this.#checkJoin(afterThen, afterElse, "of this branch");
    this.startBlock(join);
    this.#flow = joined(afterThen, afterElse);
  }

  #side(block: Block, flow: Flow, body: () => void, join: Block): Flow {
    this.startBlock(block);
    this.#flow = flow;
    this.inside(body);
    this.goto(join);
    return this.#flow;
  }

  /** Several ways that meet again; `decide` leads to the first block of each. */
  ways(bodies: readonly (() => void)[], decide: (starts: readonly Block[]) => void): void {
    const starts = bodies.map(() => this.newBlock());
    const join = this.newBlock();
    const before = this.#flow;
    decide(starts);
    let after: Flow = null;
    bodies.forEach((body, i) => {
      const flow = this.#side(starts[i]!, before, body, join);
      this.#checkJoin(after, flow, "of this switch");
      after = joined(after, flow);
    });
    this.startBlock(join);
    this.#flow = after;
  }

  #checkJoin(a: Flow, b: Flow, where: string): void {
    const record = disagreement(a, b);
    if (record === undefined) return;
    throw this.fail(
      `the record of ${record.map} reserved at ${this.describe(record.at)} is submitted or discarded on one side ${where} ` +
        "and still open on the other: call submit() or discard() exactly once on each path",
    );
  }

  /** A loop: `head` leads on to `body` or out; `step` runs after each round. */
  loop(parts: LoopParts): void {
    const out = this.newBlock();
    const before = this.#flow;
    this.#depth++;
    const head = this.newBlock();
    const body = this.newBlock();
    const step = this.newBlock();
    this.goto(head);
    this.startBlock(head);
    parts.head(body, out);
    this.#checkJoin(before, this.#flow, "of this loop's condition");
    this.startBlock(body);
    const leave = (to: Block, what: string) => () => {
      this.#checkJoin(before, this.#flow, what);
      this.goto(to);
      this.#startUnreachable();
    };
    this.inside(() => parts.body({ break: leave(out, "of break()"), continue: leave(step, "of continue()") }));
    this.#checkJoin(before, this.#flow, "of a round of this loop");
    this.goto(step);
    this.startBlock(step);
    parts.step(head, out, body);
    this.#depth--;
    this.startBlock(out);
    this.#flow = before;
  }

  /** From here on the program may return these numbers only. */
  limitResults(results: readonly number[] | null): void {
    this.#results = results;
  }

  #checkResult(operand: Operand): void {
    if (this.#results === null || !("value" in operand) || this.#flow === null) return;
    const result = Number(BigInt.asIntN(64, operand.value));
    if (this.#results.includes(result)) return;
    throw this.fail(`the kernel lets this program return ${this.#results.join(", ")} only, not ${result}`);
  }

  /** Ends the program with a result. */
  return(operand: Operand): void {
    this.#checkResult(operand);
    if (this.#flow !== null) {
      const open = [...this.#flow.keys()][0];
      if (open !== undefined) throw this.#unfinished(open);
    }
    if ("value" in operand) {
      let tail = this.#returns.get(operand.value);
      if (tail === undefined) {
        tail = { id: -1 - this.#returns.size, body: [], end: { op: "exit", at: this.#at }, depth: 0 };
        tail.body.push({ op: "const", dst: 0, value: operand.value, at: this.#at });
        this.#returns.set(operand.value, tail);
      }
      this.goto(tail);
    } else {
      this.emit({ op: "mov", dst: 0, src: operand.reg });
      this.#block.end = { op: "exit", at: this.#at };
    }
    this.#startUnreachable();
  }

  #unfinished(record: OpenRecord): InputError {
    const state =
      this.#flow?.get(record) === "unchecked" ? "never checked for null" : "neither submitted nor discarded";
    return this.fail(
      `the program ends here, but the record of ${record.map} reserved at ${this.describe(record.at)} is ${state}: ` +
        "every record must be submitted or discarded exactly once on each path",
    );
  }

  /** The finished routine. Writing must have ended with {@link return}. */
  finish(): Routine {
    this.#finished = true;
    // The unreachable rest after the last return.
    this.#block.end ??= { op: "exit", at: this.#at };
    const last = this.routine.blocks.findLast((block) => block !== this.#block)?.end;
    const falls = last?.op === "goto" ? last.to : undefined;
    const tails = [...this.#returns.values()].sort((a, b) => Number(b === falls) - Number(a === falls));
    this.routine.blocks.push(...tails);
    return this.routine;
  }

  /* Records. */

  openRecord(map: string): OpenRecord {
    const record: OpenRecord = { map, at: this.#at, closedAt: null };
    this.#flow = withRecord(this.#flow, record, "unchecked");
    return record;
  }

  /** What the two sides of a record's null check know. */
  recordBranches(record: OpenRecord): BranchChanges {
    if (this.#flow !== null && this.#flow.get(record) !== "unchecked") {
      throw this.fail(`the record of ${record.map} reserved at ${this.describe(record.at)} was checked already`);
    }
    return {
      yes: (flow) => withRecord(flow, record, "open"),
      no: (flow) => withoutRecord(flow, record),
    };
  }

  /** Submits or discards. */
  closeRecord(record: OpenRecord): void {
    if (this.#flow !== null && this.#flow.get(record) !== "open") {
      throw this.fail(
        `this record of ${record.map} was submitted or discarded already, at ${this.describe(record.closedAt)}`,
      );
    }
    record.closedAt = this.#at;
    this.#flow = withoutRecord(this.#flow, record);
  }
}

/** The word that values of an integer type are computed in. */
export function wordBits(kind: IntKind): 32 | 64 {
  return kind.bits === 64 ? 64 : 32;
}

/** The word that C's promotions give. Types below 32 bits become 32-bit ones of their own signedness. */
export function promote(kind: IntKind): Word {
  return { bits: wordBits(kind), signed: kind.signed };
}

/** The word in which two promoted types meet: the wider; of equal ones the unsigned. */
export function commonWord(a: Word, b: Word): Word {
  if (a.bits !== b.bits) return a.bits > b.bits ? a : b;
  return a.signed ? b : a;
}

/** What each side of a branch knows of records, given what was known before. */
export interface BranchChanges {
  readonly yes?: (flow: Flow) => Flow;
  readonly no?: (flow: Flow) => Flow;
}

/** Ways out of a loop's round. */
export interface LoopControl {
  /** Leaves the loop. */
  break(): void;
  /** Goes on with the next round. */
  continue(): void;
}

export interface LoopParts {
  head(body: Block, out: Block): void;
  body(control: LoopControl): void;
  step(head: Block, out: Block, body: Block): void;
}
