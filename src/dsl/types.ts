// SPDX-License-Identifier: MIT
import type { BtfBuilder, KernelIntName } from "../btf/builder.js";
import type { Codec } from "../model/codec.js";
import { InputError } from "../util/errors.js";

/** A type as C knows it: how it lies in memory and how BTF describes it. */
export interface TypeDecl {
  readonly kind: "int" | "ptr" | "array" | "struct" | "enum" | "typedef" | "bits" | "kernel" | "opaque";
  /** As C writes it, e.g. `unsigned int` or `struct event`. */
  readonly cName: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes. */
  readonly align: number;
  /** Adds the type to a BTF under construction and gives its id. */
  toBtf(btf: BtfBuilder): number;
}

/**
 * A C type: how its values look in TypeScript (`T`), in memory (size, alignment, codec) and in BTF.
 * One declaration serves programs and user space alike.
 */
export interface CType<T> extends TypeDecl, Codec<T> {
  readonly kind: "int" | "ptr" | "array" | "struct";
}

/** The TypeScript type of a C type's values. */
export type JsOf<C> = C extends CType<infer T> ? T : never;

/* Integers. */

const INTS = {
  u8: { bits: 8, signed: false, bigEndian: false, cName: "__u8" },
  u16: { bits: 16, signed: false, bigEndian: false, cName: "__u16" },
  u32: { bits: 32, signed: false, bigEndian: false, cName: "__u32" },
  u64: { bits: 64, signed: false, bigEndian: false, cName: "__u64" },
  s8: { bits: 8, signed: true, bigEndian: false, cName: "__s8" },
  s16: { bits: 16, signed: true, bigEndian: false, cName: "__s16" },
  s32: { bits: 32, signed: true, bigEndian: false, cName: "__s32" },
  s64: { bits: 64, signed: true, bigEndian: false, cName: "__s64" },
  be16: { bits: 16, signed: false, bigEndian: true, cName: "__be16" },
  be32: { bits: 32, signed: false, bigEndian: true, cName: "__be32" },
  be64: { bits: 64, signed: false, bigEndian: true, cName: "__be64" },
  char: { bits: 8, signed: true, bigEndian: false, cName: "char" },
  bool: { bits: 8, signed: false, bigEndian: false, cName: "_Bool" },
} as const satisfies Record<string, { bits: 8 | 16 | 32 | 64; signed: boolean; bigEndian: boolean; cName: string }>;

/** Names of the integer types. */
export type IntName = keyof typeof INTS;

/** How an integer type's values look in TypeScript: 64 bits are bigints, `bool` is boolean, others numbers. */
export type IntJs<N extends IntName> = N extends "u64" | "s64" | "be64" ? bigint : N extends "bool" ? boolean : number;

/** An integer type. */
export interface IntType<N extends IntName = IntName> extends CType<IntJs<N>> {
  readonly kind: "int";
  readonly name: N;
  readonly bits: 8 | 16 | 32 | 64;
  readonly signed: boolean;
  /** Stored in network byte order; programs and user space see host order. */
  readonly bigEndian: boolean;
}

/** The least and greatest value of an integer of so many bits. */
export function intRange(bits: number, signed: boolean): { readonly min: bigint; readonly max: bigint } {
  const span = 1n << BigInt(bits);
  return signed ? { min: -(span >> 1n), max: (span >> 1n) - 1n } : { min: 0n, max: span - 1n };
}

function decodeInt(name: IntName, view: DataView, at: number): bigint | number | boolean {
  const { bits, signed, bigEndian } = INTS[name];
  const little = !bigEndian;
  switch (bits) {
    case 8: {
      const value = signed ? view.getInt8(at) : view.getUint8(at);
      return name === "bool" ? value !== 0 : value;
    }
    case 16:
      return signed ? view.getInt16(at, little) : view.getUint16(at, little);
    case 32:
      return signed ? view.getInt32(at, little) : view.getUint32(at, little);
    case 64:
      return signed ? view.getBigInt64(at, little) : view.getBigUint64(at, little);
  }
}

function encodeInt(name: IntName, value: bigint | number | boolean, view: DataView, at: number): void {
  const { bits, signed, bigEndian } = INTS[name];
  if (typeof value === "number" && !Number.isInteger(value)) {
    throw new InputError(`expected an integer for ${name}, got ${value}`);
  }
  const wide = BigInt(value);
  const { min, max } = intRange(name === "bool" ? 1 : bits, signed);
  if (wide < min || wide > max) throw new InputError(`${value} does not fit ${name} (${min} to ${max})`);
  const little = !bigEndian;
  if (bits === 64) view.setBigUint64(at, BigInt.asUintN(64, wide), little);
  else if (bits === 32) view.setUint32(at, Number(BigInt.asUintN(32, wide)), little);
  else if (bits === 16) view.setUint16(at, Number(BigInt.asUintN(16, wide)), little);
  else view.setUint8(at, Number(BigInt.asUintN(8, wide)));
}

function intToBtf(name: IntName, btf: BtfBuilder): number {
  const { cName, bigEndian, bits } = INTS[name];
  if (name === "char") return btf.int("char");
  if (name === "bool") return btf.int("_Bool");
  if (bigEndian) return btf.typedef(cName, btf.kernelInt(`__u${bits}` as KernelIntName));
  return btf.kernelInt(cName as KernelIntName);
}

function int<N extends IntName>(name: N): IntType<N> {
  const { bits, signed, bigEndian, cName } = INTS[name];
  return {
    kind: "int",
    name,
    cName,
    bits,
    signed,
    bigEndian,
    size: bits / 8,
    align: bits / 8,
    decode: (view, at) => decodeInt(name, view, at) as IntJs<N>,
    encode: (value, view, at) => encodeInt(name, value, view, at),
    toBtf: (btf) => intToBtf(name, btf),
  };
}

export const u8 = int("u8");
export const u16 = int("u16");
export const u32 = int("u32");
export const u64 = int("u64");
export const s8 = int("s8");
export const s16 = int("s16");
export const s32 = int("s32");
export const s64 = int("s64");
/** Two bytes in network order; read and written as host-order numbers everywhere. */
export const be16 = int("be16");
/** Four bytes in network order; read and written as host-order numbers everywhere. */
export const be32 = int("be32");
/** Eight bytes in network order; read and written as host-order bigints everywhere. */
export const be64 = int("be64");
/** C's `char`: a signed byte; an array of them is a string. */
export const char = int("char");
export const bool = int("bool");

/* Pointers. */

/** An address. Programs cannot follow it; helpers such as `probeReadKernel` can, and members of kernel structs do. */
export interface PtrType<T = unknown> extends CType<bigint> {
  readonly kind: "ptr";
  /** What it points to; null when nobody knows. */
  readonly target: (T & TypeDecl) | null;
}

/** A pointer to a type, or to nobody knows what (`void *`). */
export function ptr<T extends TypeDecl>(target: T): PtrType<T>;
export function ptr(): PtrType;
export function ptr(target?: TypeDecl): PtrType {
  return {
    kind: "ptr",
    target: target ?? null,
    cName: `${target?.cName ?? "void"} *`,
    size: 8,
    align: 8,
    decode: (view, at) => view.getBigUint64(at, true),
    encode: (value, view, at) => encodeInt("u64", value, view, at),
    toBtf: (btf) => btf.ptr(target?.toBtf(btf) ?? 0),
  };
}

/* Arrays. */

/** An array in the kernel's memory, of elements that user space does not see. */
export interface KernelArrayType<E extends TypeDecl = TypeDecl, N extends number = number> extends TypeDecl {
  readonly kind: "array";
  readonly element: E;
  readonly length: N;
}

/** An array of a fixed number of elements. */
export interface ArrayType<E extends CType<unknown> = CType<unknown>, N extends number = number, T = unknown>
  extends CType<T> {
  readonly kind: "array";
  readonly element: E;
  readonly length: N;
}

/** How arrays look in TypeScript: `char[]` is a string, others are arrays. */
export type ArrayJs<E extends CType<unknown>> =
  E extends IntType<infer Name> ? (Name extends "char" ? string : JsOf<E>[]) : JsOf<E>[];

const utf8 = { decoder: new TextDecoder(), encoder: new TextEncoder() };

function stringCodec(length: number): Codec<string> {
  return {
    size: length,
    decode(view, at) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
      const end = bytes.indexOf(0);
      // A copy: TextDecoder refuses shared memory, which a mapped ring buffer is.
      return utf8.decoder.decode(bytes.slice(0, end < 0 ? length : end));
    },
    encode(value, view, at) {
      const text = utf8.encoder.encode(value);
      if (text.length > length) {
        throw new InputError(`"${value}" takes ${text.length} bytes and does not fit char[${length}]`);
      }
      const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
      bytes.fill(0);
      bytes.set(text);
    },
  };
}

function elementsCodec<T>(element: CType<T>, length: number): Codec<T[]> {
  return {
    size: element.size * length,
    decode: (view, at) => Array.from({ length }, (_, i) => element.decode(view, at + i * element.size)),
    encode(values, view, at) {
      if (values.length !== length) {
        throw new InputError(`expected ${length} elements of ${element.cName}, got ${values.length}`);
      }
      values.forEach((value, i) => {
        element.encode(value, view, at + i * element.size);
      });
    },
  };
}

function checkLength(length: number, what: string): void {
  if (!Number.isInteger(length) || length < 1 || length > 0x7fff_ffff) {
    throw new InputError(`${what} needs a length of at least 1, got ${length}`);
  }
}

/** Whether values of the type have a form in TypeScript. */
export function isCType(type: TypeDecl): type is CType<unknown> {
  return "decode" in type;
}

/**
 * `element[length]`. An array of `char` is a NUL-padded string in TypeScript.
 * @throws InputError when the length is no positive integer.
 */
export function array<E extends CType<unknown>, const N extends number>(
  element: E,
  length: N,
): ArrayType<E, N, ArrayJs<E>>;
/** An array in a kernel struct. */
export function array<E extends TypeDecl, const N extends number>(element: E, length: N): KernelArrayType<E, N>;
export function array(element: TypeDecl, length: number): TypeDecl {
  checkLength(length, `an array of ${element.cName}`);
  const isText = element.kind === "int" && (element as unknown as IntType).name === "char";
  const codec = (): Codec<unknown> =>
    (isText ? stringCodec(length) : elementsCodec(element as CType<unknown>, length)) as Codec<unknown>;
  const type: KernelArrayType = {
    kind: "array",
    element,
    length,
    cName: `${element.cName}[${length}]`,
    get size() {
      return element.size * length;
    },
    get align() {
      return element.align;
    },
    toBtf: (btf) => btf.array(element.toBtf(btf), length),
  };
  return isCType(element) ? { ...type, ...codec() } : type;
}

/**
 * `unsigned char[length]`, a Uint8Array in TypeScript (always a copy).
 * @throws InputError when the length is no positive integer.
 */
export function bytes<const N extends number>(length: N): ArrayType<IntType<"u8">, N, Uint8Array> {
  checkLength(length, "an array of bytes");
  return {
    kind: "array",
    element: u8,
    length,
    cName: `${u8.cName}[${length}]`,
    size: length,
    align: 1,
    decode: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, length).slice(),
    encode(value, view, at) {
      if (value.length !== length) throw new InputError(`expected ${length} bytes, got ${value.length}`);
      new Uint8Array(view.buffer, view.byteOffset + at, length).set(value);
    },
    toBtf: (btf) => btf.array(u8.toBtf(btf), length),
  };
}

/* Structs. */

/** Members of a struct in the order of memory. */
export type Fields = Readonly<Record<string, CType<unknown>>>;

/** How a struct looks in TypeScript. */
export type StructJs<F extends Fields> = { -readonly [K in keyof F]: JsOf<F[K]> };

/** A member's type and its place in bytes. */
export interface FieldPlace {
  readonly name: string;
  readonly type: CType<unknown>;
  readonly offset: number;
}

/** A struct with C's layout. */
export interface StructType<F extends Fields = Fields> extends CType<StructJs<F>> {
  readonly kind: "struct";
  readonly name: string;
  readonly fields: F;
  readonly places: readonly FieldPlace[];
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Rounds up to a multiple. */
export function alignUp(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}

function layout(fields: Fields, packed: boolean): { places: FieldPlace[]; size: number; align: number } {
  let end = 0;
  let align = 1;
  const places = Object.entries(fields).map(([name, type]) => {
    const fieldAlign = packed ? 1 : type.align;
    align = Math.max(align, fieldAlign);
    const offset = alignUp(end, fieldAlign);
    end = offset + type.size;
    return { name, type, offset };
  });
  return { places, size: alignUp(end, align), align };
}

/**
 * `struct name { … }` with the layout that C gives it; `packed` leaves all padding out.
 * @throws InputError when a name is no C identifier, or for a struct without members.
 */
export function struct<F extends Fields>(name: string, fields: F, options: { packed?: boolean } = {}): StructType<F> {
  for (const each of [name, ...Object.keys(fields)]) {
    if (!IDENTIFIER.test(each)) throw new InputError(`struct ${name}: "${each}" is not a C identifier`);
  }
  const packed = options.packed === true;
  const { places, size, align } = layout(fields, packed);
  if (places.length === 0) throw new InputError(`struct ${name} has no members`);
  return {
    kind: "struct",
    name,
    fields,
    places,
    cName: `struct ${name}`,
    size,
    align,
    decode(view, at) {
      const value: Record<string, unknown> = {};
      for (const field of places) value[field.name] = field.type.decode(view, at + field.offset);
      return value as StructJs<F>;
    },
    encode(value, view, at) {
      // Padding too: the kernel hashes all bytes of a key.
      new Uint8Array(view.buffer, view.byteOffset + at, size).fill(0);
      for (const field of places) encodeField(name, field, value, view, at);
    },
    toBtf: (btf) =>
      btf.add({
        kind: "struct",
        name,
        size,
        members: places.map((field) => ({
          name: field.name,
          type: field.type.toBtf(btf),
          bitOffset: field.offset * 8,
          bitSize: 0,
        })),
      }),
  };
}

function encodeField(structName: string, field: FieldPlace, value: object, view: DataView, at: number): void {
  const member = (value as Record<string, unknown>)[field.name];
  if (member === undefined) throw new InputError(`struct ${structName}: no value for member ${field.name}`);
  try {
    field.type.encode(member, view, at + field.offset);
  } catch (error) {
    if (error instanceof InputError) {
      throw new InputError(`struct ${structName}, member ${field.name}: ${error.message}`, {}, { cause: error });
    }
    throw error;
  }
}
