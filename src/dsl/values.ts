// SPDX-License-Identifier: MIT
import type { JmpOp } from "../asm/ops.js";
import { type BinaryOp, pattern, type Word } from "./arith.js";
import { type Code, commonWord, type IntKind, type Mem, type Operand, promote, wordBits } from "./code.js";
import { Condition } from "./condition.js";
import { CODE, MEMORY, type Memory, type MemoryInfo, READ, type Scope } from "./internals.js";
import { type IntName, type IntType, intRange, s32, s64, u32, u64 } from "./types.js";

/** Something that is an integer while the program runs, whatever its type. */
export interface AnyInt extends Scope {
  readonly type: IntType;
  readonly [READ]: () => Operand;
}

/** What may stand where a program expects an integer. Literals take the type of what they meet. */
export type IntArg = AnyInt | number | bigint;

/** The name of the word that a type is computed in: C's promotions. */
export type WordName<N extends IntName> = N extends "u64" | "be64"
  ? "u64"
  : N extends "s64"
    ? "s64"
    : N extends "s8" | "s16" | "s32" | "char"
      ? "s32"
      : "u32";

/** The word of an argument; literals take the other side's. */
type ArgWord<A, Own extends IntName> = A extends Int<infer N> ? WordName<N> : WordName<Own>;

/** The word in which two meet: the wider; of equal ones the unsigned. */
type Meet<W> = "u64" extends W ? "u64" : "s64" extends W ? "s64" : "u32" extends W ? "u32" : "s32";

/** The type of `own op argument`. */
export type Computed<Own extends IntName, A> = Int<Meet<WordName<Own> | ArgWord<A, Own>>>;

export function isInt(value: unknown): value is AnyInt {
  return typeof value === "object" && value !== null && READ in value;
}

/** The integer type of a word. */
export function wordType({ bits, signed }: Word): IntType {
  if (bits === 64) return signed ? s64 : u64;
  return signed ? s32 : u32;
}

/** Whether a literal must be in the type's range or only fit its bits. */
type LiteralRule = "range" | "bits";

/**
 * A literal as a pattern of the kind's word.
 * @throws InputError at the user's line when it does not fit.
 */
export function literal(code: Code, value: number | bigint, kind: IntKind, rule: LiteralRule): Operand {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw code.fail(`expected an integer, got ${value}${Number.isInteger(value) ? ": write it as a bigint" : ""}`);
  }
  const wide = BigInt(value);
  const name = `${kind.signed ? "s" : "u"}${kind.bits}`;
  const { min, max } = intRange(kind.bits, kind.signed);
  const least = rule === "bits" ? -(1n << BigInt(kind.bits - 1)) : min;
  const most = rule === "bits" ? (1n << BigInt(kind.bits)) - 1n : max;
  if (wide < least || wide > most) {
    throw code.fail(`${value} does not fit ${name}, the type that it meets here: convert with .as(…) first`);
  }
  return { value: pattern(kind.signed ? BigInt.asIntN(kind.bits, wide) : pattern(wide, kind.bits), wordBits(kind)) };
}

/** Any argument as a value of this type. */
export function coerce(code: Code, value: IntArg, kind: IntKind): Operand {
  if (typeof value === "number" || typeof value === "bigint") return literal(code, value, kind, "bits");
  if (!isInt(value)) throw code.fail(`expected an integer, got ${describeValue(value)}`);
  checkOwner(code, value);
  return code.convert(value[READ](), value.type, kind);
}

/** Values and places are of use in their own program only. */
export function checkOwner(code: Code, { [CODE]: owner }: Scope): void {
  if (owner !== code) throw code.fail(`this value belongs to program ${owner.routine.name}`);
}

export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (value instanceof Condition) return "a condition (p.select makes a number of it)";
  if (typeof value === "object" && MEMORY in value) return "memory";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? `"${value}"` : `a ${typeof value}`;
}

/**
 * An integer while the program runs. Operations are done when they are written, in the order of the program, as
 * C does them: types below 32 bits are widened to 32, two types meet in the wider one, of equal ones in
 * the unsigned. Overflow wraps.
 */
export abstract class Int<N extends IntName = IntName> implements AnyInt {
  readonly [CODE]: Code;
  readonly type: IntType<N>;

  /** @internal */
  constructor(code: Code, type: IntType<N>) {
    this[CODE] = code;
    this.type = type;
  }

  /** @internal */
  abstract readonly [READ]: () => Operand;

  #value(word: Word): Operand {
    return this[CODE].convert(this[READ](), this.type, word);
  }

  #meet(other: IntArg): Word {
    const own = promote(this.type);
    return isInt(other) ? commonWord(own, promote(other.type)) : own;
  }

  #argument(other: IntArg, word: Word, rule: LiteralRule): Operand {
    const code = this[CODE];
    return typeof other === "number" || typeof other === "bigint"
      ? literal(code, other, word, rule)
      : coerce(code, other, word);
  }

  #arithmetic<A extends IntArg>(op: BinaryOp, signedOp: BinaryOp, other: A, rule: LiteralRule): Computed<N, A> {
    this[CODE].mark();
    const word = this.#meet(other);
    const left = this.#value(word);
    const right = this.#argument(other, word, rule);
    if ((op === "div" || op === "mod") && !isInt(other) && BigInt(other) === 0n)
      throw this[CODE].fail("division by zero");
    const result = this[CODE].binary(word.signed ? signedOp : op, word.bits, left, right);
    return new Value(this[CODE], wordType(word), result) as unknown as Computed<N, A>;
  }

  #shift(op: BinaryOp, count: IntArg): Int<WordName<N>> {
    const code = this[CODE];
    code.mark();
    const word = promote(this.type);
    const left = this.#value(word);
    let right: Operand;
    if (isInt(count)) {
      // The machine looks at the lowest bits only, which every conversion leaves alone.
      right = count[READ]();
    } else {
      if (count < 0 || count >= word.bits) {
        throw code.fail(`a shift of ${word.bits} bits goes from 0 to ${word.bits - 1}, got ${count}`);
      }
      right = literal(code, count, word, "range");
    }
    return new Value(code, wordType(word), code.binary(op, word.bits, left, right)) as unknown as Int<WordName<N>>;
  }

  #compare(test: JmpOp, signedTest: JmpOp, other: IntArg, rule: LiteralRule): Condition {
    this[CODE].mark();
    const word = this.#meet(other);
    const left = this.#value(word);
    const right = this.#argument(other, word, rule);
    return new Condition(this[CODE].compare(word.signed ? signedTest : test, word.bits, left, right));
  }

  add<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("add", "add", other, "bits");
  }

  sub<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("sub", "sub", other, "bits");
  }

  mul<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("mul", "mul", other, "bits");
  }

  /** Quotient, towards zero. Division by zero gives 0. Signed division needs Linux 6.6. */
  div<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("div", "sdiv", other, "range");
  }

  /** Remainder, with the dividend's sign; that of a division by zero is the dividend. Signed needs Linux 6.6. */
  mod<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("mod", "smod", other, "range");
  }

  /** Bitwise and. */
  and<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("and", "and", other, "bits");
  }

  /** Bitwise or. */
  or<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("or", "or", other, "bits");
  }

  /** Bitwise exclusive or. */
  xor<A extends IntArg>(other: A): Computed<N, A> {
    return this.#arithmetic("xor", "xor", other, "bits");
  }

  /** All bits inverted. */
  not(): Int<WordName<N>> {
    return this.#arithmetic("xor", "xor", -1, "bits") as unknown as Int<WordName<N>>;
  }

  /** The negative. */
  neg(): Int<WordName<N>> {
    const code = this[CODE];
    code.mark();
    const word = promote(this.type);
    return new Value(code, wordType(word), code.negate(word.bits, this.#value(word))) as unknown as Int<WordName<N>>;
  }

  /** Shifts left. A count at run time is taken modulo the width, 32 or 64. */
  shl(count: IntArg): Int<WordName<N>> {
    return this.#shift("lsh", count);
  }

  /** Shifts right, keeping the sign of signed types. A count at run time is taken modulo the width. */
  shr(count: IntArg): Int<WordName<N>> {
    return this.#shift(promote(this.type).signed ? "arsh" : "rsh", count);
  }

  eq(other: IntArg): Condition {
    return this.#compare("jeq", "jeq", other, "bits");
  }

  ne(other: IntArg): Condition {
    return this.#compare("jne", "jne", other, "bits");
  }

  lt(other: IntArg): Condition {
    return this.#compare("jlt", "jslt", other, "range");
  }

  le(other: IntArg): Condition {
    return this.#compare("jle", "jsle", other, "range");
  }

  gt(other: IntArg): Condition {
    return this.#compare("jgt", "jsgt", other, "range");
  }

  ge(other: IntArg): Condition {
    return this.#compare("jge", "jsge", other, "range");
  }

  /** As C's cast: truncated or extended to another type. */
  as<M extends IntName>(type: IntType<M>): Int<M> {
    const code = this[CODE];
    code.mark();
    return new Value(code, type, code.convert(this[READ](), this.type, type));
  }
}

/** A computed integer; it never changes. */
export class Value<N extends IntName = IntName> extends Int<N> {
  readonly [READ]: () => Operand;

  /** @internal */
  constructor(code: Code, type: IntType<N>, operand: Operand) {
    super(code, type);
    this[READ] = () => operand;
  }
}

/** What may be stored as this type: integers, and for `bool` also booleans and conditions. */
export type Storable<N extends IntName> = IntArg | (N extends "bool" ? boolean | Condition : never);

/** Types that atomic operations work on. */
type AtomicName = "u32" | "s32" | "u64" | "s64";

/** Turns a condition or boolean into 0 or 1, and everything else into a value whose low bits are one of the type. */
export function storable(code: Code, type: IntType, value: IntArg | boolean | Condition): Operand {
  if (typeof value === "boolean" || value instanceof Condition) {
    if (type.name !== "bool") throw code.fail(`expected an integer, got ${describeValue(value)}`);
    if (typeof value === "boolean") return { value: value ? 1n : 0n };
    return select(code, value, { value: 1n }, { value: 0n });
  }
  if (type.name === "bool" && !(isInt(value) && value.type.name === "bool")) {
    if (!isInt(value)) return { value: BigInt(value) === 0n ? 0n : 1n };
    const test = code.compare("jne", wordBits(value.type), value[READ](), { value: 0n });
    return select(code, new Condition(test), { value: 1n }, { value: 0n });
  }
  // Only so many bits are stored: a wider value need not be cut first.
  if (isInt(value) && value.type.bits >= type.bits) return value[READ]();
  return coerce(code, value, type);
}

/** One of two values, in a register. */
export function select(code: Code, condition: Condition, yes: Operand, no: Operand): Operand {
  const dst = code.newReg();
  const give = (operand: Operand) => () => {
    if ("reg" in operand) code.emit({ op: "mov", dst, src: operand.reg });
    else code.emit({ op: "const", dst, value: operand.value });
  };
  code.ifElse(Condition.testOf(condition), give(yes), give(no));
  return { reg: dst };
}

/** A variable in a register: it can be set again and again. */
export class Variable<N extends IntName = IntName> extends Int<N> {
  readonly #reg: number;
  readonly [READ]: () => Operand;

  /** @internal */
  constructor(code: Code, type: IntType<N>, initial: Operand) {
    super(code, type);
    this.#reg = code.newReg();
    this.#write(initial);
    // A copy, so that a value read now stays what it is when the variable is set.
    this[READ] = () => ({ reg: code.copy(this.#reg) });
  }

  #write(operand: Operand): void {
    if ("reg" in operand) this[CODE].emit({ op: "mov", dst: this.#reg, src: operand.reg });
    else this[CODE].emit({ op: "const", dst: this.#reg, value: operand.value });
  }

  /** The value it has now. */
  get(): Int<N> {
    this[CODE].mark();
    return new Value(this[CODE], this.type, this[READ]());
  }

  set(value: Storable<N>): void {
    this[CODE].mark();
    this.#write(isInt(value) ? coerce(this[CODE], value, this.type) : storable(this[CODE], this.type, value));
  }
}

/** An integer in memory. Using it reads it anew each time; `get()` keeps the value it has now. */
export class IntPlace<N extends IntName = IntName> extends Int<N> implements Memory<IntType<N>> {
  readonly [MEMORY]: MemoryInfo<IntType<N>>;
  readonly [READ]: () => Operand;

  /** @internal */
  constructor(code: Code, type: IntType<N>, mem: Mem) {
    super(code, type);
    this[MEMORY] = { mem, size: type.size, type };
    this[READ] = () => code.load(mem, type);
  }

  /** The value it has now. */
  get(): Int<N> {
    this[CODE].mark();
    return new Value(this[CODE], this.type, this[READ]());
  }

  /** Stores a value, truncated to the type. */
  set(value: Storable<N>): void {
    const code = this[CODE];
    code.mark();
    code.store(this[MEMORY].mem, this.type, storable(code, this.type, value));
  }

  #atomic(name: "add" | "fetch_add" | "xchg", value: IntArg): Operand {
    const code = this[CODE];
    code.mark();
    if (this.type.bits < 32 || this.type.bigEndian) {
      throw code.fail(`atomic operations work on u32, s32, u64 and s64, not on ${this.type.name}`);
    }
    const bytes = this.type.bits === 64 ? 8 : 4;
    return code.atomic(name, this[MEMORY].mem, bytes, coerce(code, value, this.type));
  }

  /** Adds atomically: safe when other CPUs change the same memory. */
  atomicAdd(this: IntPlace<AtomicName>, value: IntArg): void {
    this.#atomic("add", value);
  }

  /** Adds atomically and gives the value before. */
  fetchAdd<M extends AtomicName>(this: IntPlace<M>, value: IntArg): Int<M> {
    return new Value(this[CODE], this.type, this.#atomic("fetch_add", value));
  }

  /** Stores atomically and gives the value before. */
  exchange<M extends AtomicName>(this: IntPlace<M>, value: IntArg): Int<M> {
    return new Value(this[CODE], this.type, this.#atomic("xchg", value));
  }
}
