// SPDX-License-Identifier: MIT
import type { Code, Mem } from "./code.js";
import type { Bytes } from "./codegen/ir.js";
import { Condition } from "./condition.js";
import { CODE, isMemory, MEMORY, type Memory, type MemoryInfo, READ } from "./internals.js";
import type { ArrayType, CType, Fields, IntType, PtrType, StructType, TypeDecl } from "./types.js";
import { isCType, u8, u16, u32, u64 } from "./types.js";
import {
  checkOwner,
  coerce,
  describeValue,
  type IntArg,
  IntPlace,
  isInt,
  literal,
  type Storable,
  storable,
} from "./values.js";

/** A place in memory, with what its type lets one do. */
export type Place<C> =
  C extends IntType<infer N>
    ? IntPlace<N>
    : C extends StructType<infer F>
      ? StructPlace<F>
      : C extends ArrayType<infer E, infer N>
        ? ArrayPlace<E, N>
        : C extends PtrType
          ? IntPlace<"u64">
          : Memory;

/** A struct in memory: its members are places. */
export type StructPlace<F extends Fields> = { readonly [K in keyof F]: Place<F[K]> } & Memory<StructType<F>>;

/** What a place of this type may be filled with: values, texts for `char[]`, objects for structs, or another place. */
export type Init<C> =
  C extends IntType<infer N>
    ? Storable<N>
    : C extends StructType<infer F>
      ? { readonly [K in keyof F]?: Init<F[K]> } | Memory
      : C extends ArrayType<IntType<"char">, number>
        ? string | Memory
        : C extends ArrayType<infer E, number>
          ? readonly Init<E>[] | Memory
          : C extends PtrType
            ? IntArg
            : Memory;

function isIntType(type: CType<unknown>): type is IntType {
  return type.kind === "int";
}

function isArrayType(type: CType<unknown>): type is ArrayType {
  return type.kind === "array";
}

function isStructType(type: CType<unknown>): type is StructType {
  return type.kind === "struct";
}

/** An array in memory. */
export class ArrayPlace<E extends CType<unknown>, N extends number> implements Memory<ArrayType<E, N>> {
  readonly [CODE]: Code;
  readonly [MEMORY]: MemoryInfo<ArrayType<E, N>>;
  readonly length: N;
  readonly #type: ArrayType<E, N>;

  /** @internal */
  constructor(code: Code, type: ArrayType<E, N>, mem: Mem) {
    this[CODE] = code;
    this[MEMORY] = { mem, size: type.size, type };
    this.length = type.length;
    this.#type = type;
  }

  /** Fills the array: with a text (`char[]`), with all its elements, or with a copy of another place. */
  set(value: Init<ArrayType<E, N>>): void {
    const code = this[CODE];
    code.mark();
    fill(code, this.#type, this[MEMORY].mem, value);
  }

  /**
   * The element with this index. A literal index is checked here; one computed at run time by the kernel's
   * verifier, which must be able to see its bounds (`i.and(63)`, a loop's counter).
   * @throws InputError for a literal index outside.
   */
  at(index: IntArg): Place<E> {
    const code = this[CODE];
    code.mark();
    const { mem } = this[MEMORY];
    const { size } = this.#type.element;
    if (!isInt(index)) {
      const at = Number(index);
      if (!Number.isInteger(at) || at < 0 || at >= this.length) {
        throw code.fail(`index ${index} is outside of an array of ${this.length} elements`);
      }
      return makePlace(code, this.#type.element, { ...mem, offset: mem.offset + at * size });
    }
    if (mem.readOnly !== undefined) {
      throw code.fail("an index into the context must be a plain number: the kernel wants to know it beforehand");
    }
    const wide = code.convert(index[READ](), index.type, u64);
    const offset = code.binary("mul", 64, wide, { value: BigInt(size) });
    // The variable part first: the fixed offset then stands in the instructions.
    const base = code.addressOf({ ...mem, offset: "slot" in mem.base ? mem.offset : 0 });
    const address = code.binary("add", 64, { reg: base }, offset);
    const rest = "slot" in mem.base ? 0 : mem.offset;
    const align = Math.min(mem.align, lowestBit(size), lowestBit(mem.offset) || 8);
    return makePlace(code, this.#type.element, { ...mem, base: { reg: code.toReg(address) }, offset: rest, align });
  }
}

/** The largest power of two that divides a number; 0 for 0. */
function lowestBit(n: number): number {
  return n & -n;
}

const structPrototypes = new WeakMap<StructType, object>();

interface StructObject extends Memory {
  readonly [CODE]: Code;
}

function structPrototype(type: StructType): object {
  let prototype = structPrototypes.get(type);
  if (prototype === undefined) {
    prototype = {};
    for (const field of type.places) {
      Object.defineProperty(prototype, field.name, {
        enumerable: true,
        get(this: StructObject) {
          const { mem } = this[MEMORY];
          return makePlace(this[CODE], field.type, { ...mem, offset: mem.offset + field.offset });
        },
      });
    }
    structPrototypes.set(type, prototype);
  }
  return prototype;
}

/** The object that stands for a place of this type. */
export function makePlace<C extends CType<unknown>>(code: Code, type: C, mem: Mem): Place<C> {
  const info: MemoryInfo = { mem, size: type.size, type };
  if (isIntType(type)) return new IntPlace(code, type, mem) as Place<C>;
  if (isArrayType(type)) return new ArrayPlace(code, type, mem) as Place<C>;
  if (isStructType(type)) {
    return Object.create(structPrototype(type), { [CODE]: { value: code }, [MEMORY]: { value: info } }) as Place<C>;
  }
  return new IntPlace(code, u64, mem) as Place<C>;
}

/* Filling. */

const CHUNKS: readonly (IntType & { readonly size: Bytes })[] = [u64, u32, u16, u8] as never;
/** Copying more than this takes too many instructions to be done without saying so. */
const MAX_COPY = 256;

/** Calls back for the largest aligned chunks that cover some bytes of all of these places. */
function chunks(mems: readonly Mem[], from: number, to: number, visit: (type: IntType, offset: number) => void): void {
  const suits = (type: IntType, at: number): boolean =>
    at + type.size <= to && mems.every((mem) => type.size <= mem.align && (mem.offset + at) % type.size === 0);
  for (let at = from; at < to; ) {
    const type = CHUNKS.find((chunk) => suits(chunk, at)) ?? u8;
    visit(type, at);
    at += type.size;
  }
}

function within(mem: Mem, offset: number): Mem {
  return { ...mem, offset: mem.offset + offset };
}

function fillZero(code: Code, mem: Mem, from: number, to: number): void {
  chunks([mem], from, to, (type, at) => {
    code.store(within(mem, at), type, { value: 0n });
  });
}

/** Copies memory of the same size. */
export function copyMemory(code: Code, to: Mem, from: Mem, size: number): void {
  if (size > MAX_COPY) {
    throw code.fail(`copying ${size} bytes would take too many instructions (at most ${MAX_COPY} bytes are copied)`);
  }
  chunks([to, from], 0, size, (type, at) => {
    code.store(within(to, at), type, code.load(within(from, at), type));
  });
}

function fillText(code: Code, mem: Mem, type: ArrayType, text: string): void {
  const view = new DataView(new ArrayBuffer(type.size));
  try {
    type.encode(text, view, 0);
  } catch (error) {
    throw code.fail((error as Error).message);
  }
  chunks([mem], 0, type.size, (chunk, at) => {
    const value = chunk.decode(view, at);
    code.store(within(mem, at), chunk, literal(code, value as number | bigint, chunk, "range"));
  });
}

/** Fills a place; what the value leaves out becomes zero, padding too. */
export function fill(code: Code, type: CType<unknown>, mem: Mem, value: unknown): void {
  if (isMemory(value) && !isInt(value)) {
    copyMemory(code, mem, sameSize(code, type, value, "this"), type.size);
  } else if (isIntType(type)) {
    code.store(mem, type, storable(code, type, scalar(code, type, value)));
  } else if (isStructType(type)) {
    fillStruct(code, type, mem, value);
  } else if (isArrayType(type)) {
    fillArray(code, type, mem, value);
  } else {
    code.store(mem, u64, coerce(code, scalar(code, type, value) as IntArg, u64));
  }
}

/** The place of a memory that must be as large as the type. */
function sameSize(code: Code, type: CType<unknown>, value: Memory, what: string): Mem {
  checkOwner(code, value);
  const { mem, size, type: other } = value[MEMORY];
  if (size === type.size) return mem;
  throw code.fail(`${what} must be ${type.cName} of ${type.size} bytes, got ${other?.cName ?? "memory"} of ${size}`);
}

function scalar(code: Code, type: CType<unknown>, value: unknown): IntArg | boolean | Condition {
  const isScalar = typeof value === "number" || typeof value === "bigint" || isInt(value);
  const isBool = type.cName === "_Bool" && (typeof value === "boolean" || value instanceof Condition);
  if (isScalar || isBool) return value as IntArg | boolean | Condition;
  throw code.fail(`expected a value of type ${type.cName}, got ${describeValue(value)}`);
}

function fillStruct(code: Code, type: StructType, mem: Mem, value: unknown): void {
  if (typeof value !== "object" || value === null || value instanceof Condition || isInt(value)) {
    throw code.fail(`expected members of ${type.cName}, got ${describeValue(value)}`);
  }
  const given = new Map(Object.entries(value));
  for (const name of given.keys()) {
    if (!type.places.some((field) => field.name === name)) throw code.fail(`${type.cName} has no member ${name}`);
  }
  let end = 0;
  for (const field of type.places) {
    const member: unknown = given.get(field.name);
    if (member === undefined) continue;
    fillZero(code, mem, end, field.offset);
    fill(code, field.type, within(mem, field.offset), member);
    end = field.offset + field.type.size;
  }
  fillZero(code, mem, end, type.size);
}

function fillArray(code: Code, type: ArrayType, mem: Mem, value: unknown): void {
  if (typeof value === "string") {
    fillText(code, mem, type, value);
    return;
  }
  if (!Array.isArray(value) || value.length !== type.length) {
    throw code.fail(`expected ${type.length} elements for ${type.cName}, got ${describeValue(value)}`);
  }
  value.forEach((element: unknown, i) => {
    fill(code, type.element, within(mem, i * type.element.size), element);
  });
}

/** A stack object of its own for a type. Eight bytes at a time are cheapest, so larger ones are aligned to that. */
function stackAlign(type: CType<unknown>): number {
  return type.size >= 8 ? 8 : type.align;
}

/** A new object on the stack, filled with a value or zeros. */
export function stackPlace<C extends CType<unknown>>(
  code: Code,
  type: C,
  value: Init<C> | undefined,
  uninitialized = false,
): Place<C> {
  if (!isCType(type)) throw code.fail(`${(type as TypeDecl).cName} lies in the kernel's memory only`);
  const align = stackAlign(type);
  const mem: Mem = { base: { slot: code.stackSlot(type.size, align, type.cName) }, offset: 0, align };
  if (value !== undefined) fill(code, type, mem, value);
  else if (!uninitialized) fillZero(code, mem, 0, type.size);
  return makePlace(code, type, mem);
}

/** Runs `use` with the address of an argument: that of the place given, or of a temporary holding the value. */
export function withArgument<T>(
  code: Code,
  type: CType<unknown>,
  value: unknown,
  what: string,
  use: (address: number) => T,
): T {
  if (isMemory(value) && !isInt(value)) return use(code.addressOf(sameSize(code, type, value, what)));
  const align = stackAlign(type);
  return code.withTemporary(type.size, align, what, (slot) => {
    const mem: Mem = { base: { slot }, offset: 0, align };
    fill(code, type, mem, value);
    return use(code.addressOf(mem));
  });
}

/** A part of a memory of which the size is known at run time only, for helpers that take one. */
export class SizedMemory implements Memory {
  readonly [CODE]: Code;
  readonly [MEMORY]: MemoryInfo;
  /** @internal */
  readonly bytes: IntArg;

  constructor(memory: Memory, bytes: IntArg) {
    this[CODE] = memory[CODE];
    this[MEMORY] = memory[MEMORY];
    this.bytes = bytes;
  }
}

/**
 * The first bytes of a memory, as an argument for helpers. A size known at run time only must be provably
 * in bounds for the verifier.
 * @throws InputError for a literal size that the memory does not have.
 */
export function sized(memory: Memory, bytes: IntArg): Memory {
  if (!isInt(bytes) && (bytes < 0 || bytes > memory[MEMORY].size)) {
    memory[CODE].mark();
    throw memory[CODE].fail(`${bytes} bytes of a memory of ${memory[MEMORY].size}`);
  }
  return new SizedMemory(memory, bytes);
}
