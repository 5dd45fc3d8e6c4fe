// SPDX-License-Identifier: MIT
import { similarNote } from "../util/similar.js";
import type { Code, Operand } from "./code.js";
import { CODE, FIELD, READ, type Scope } from "./internals.js";
import {
  addressOf,
  describePath,
  elementAt,
  type KernelPath,
  pointee,
  readInt,
  rootPath,
  type Space,
  stepPath,
  wordOf,
} from "./kernel-read.js";
import {
  type Aggregate,
  aggregateOf,
  type BitsType,
  type IsStruct,
  type KernelEnum,
  type KernelStruct,
  type KernelTypedef,
  withoutTypedefs,
} from "./kernel-types.js";
import type { IntName, IntType, KernelArrayType, PtrType, StructType, TypeDecl } from "./types.js";
import { u64 } from "./types.js";
import { coerce, Int, type IntArg, isInt, Value } from "./values.js";

/** A part of a kernel object, or what it points to. `C` is its type. */
export interface KernelRef<C = unknown> extends Scope {
  readonly [FIELD]: KernelPath<C>;
}

/** A struct or union of the kernel, or a pointer to one: its members are there by name. */
export type KernelObject<N extends string, F, C> = {
  readonly [K in keyof F as K extends "~c" ? never : K]: KernelPlace<F[K]>;
} & KernelRef<C> &
  Named<N>;

declare const NAME: unique symbol;

/** For the compiler's messages. */
interface Named<N extends string> {
  readonly [NAME]?: N;
}

/** A pointer to what is no struct, or an array of such. */
export interface KernelElements<C, E> extends KernelRef<C> {
  /**
   * An element. Behind a pointer there is at least the one with index 0.
   * @throws InputError for a literal index outside of an array.
   */
  at(index: IntArg): KernelPlace<E>;
}

/** What stands for a part of a kernel object in a program, of a type that is declared by hand or made from BTF. */
export type KernelPlace<C> = C extends TypeDecl ? DeclaredPlace<C> : GeneratedPlace<C>;

type DeclaredPlace<C extends TypeDecl> =
  C extends IntType<infer N>
    ? KernelInt<N>
    : C extends BitsType<infer N>
      ? KernelInt<N>
      : C extends KernelEnum<infer V>
        ? KernelInt<V[keyof V] extends bigint ? "u64" : "u32">
        : C extends KernelTypedef<infer T>
          ? KernelPlace<T>
          : C extends KernelStruct<infer N, infer F>
            ? KernelObject<N, F, C>
            : C extends StructType<infer F>
              ? KernelObject<string, F, C>
              : C extends PtrType<infer T>
                ? KernelPointer<C, T>
                : C extends KernelArrayType<infer E, number>
                  ? KernelElements<C, E>
                  : KernelRef<C>;

/** What stands for a pointer: its target's members, or elements. */
type KernelPointer<C, T> =
  T extends KernelTypedef<infer U>
    ? KernelPointer<C, U>
    : T extends KernelStruct<infer N, infer F>
      ? KernelObject<N, F, C>
      : T extends StructType<infer F>
        ? KernelObject<string, F, C>
        : unknown extends T
          ? KernelRef<C>
          : T extends TypeDecl
            ? KernelElements<C, T>
            : IsStruct<T> extends true
              ? KernelObject<string, T, C>
              : T extends { readonly "~c"?: unknown }
                ? KernelElements<C, T>
                : KernelRef<C>;

interface UnsignedNames {
  readonly 1: "u8";
  readonly 2: "u16";
  readonly 4: "u32";
  readonly 8: "u64";
}

interface SignedNames {
  readonly 1: "char";
  readonly 2: "s16";
  readonly 4: "s32";
  readonly 8: "s64";
}

interface NetworkNames {
  readonly 2: "be16";
  readonly 4: "be32";
  readonly 8: "be64";
}

/** By a declaration that `bpfsmith btf dump --format ts` printed. */
type GeneratedPlace<T> =
  IsStruct<T> extends true
    ? KernelObject<string, T, KernelStruct<string, T>>
    : T extends { readonly "~c"?: infer B }
      ? SaidPlace<T, NonNullable<B>>
      : KernelRef<T>;

type SaidPlace<T, B> = B extends { readonly int: infer Size; readonly signed: infer Signed }
  ? Size extends keyof UnsignedNames
    ? KernelInt<Signed extends true ? SignedNames[Size] : UnsignedNames[Size]>
    : KernelRef<T>
  : B extends { readonly net: infer Size extends keyof NetworkNames }
    ? KernelInt<NetworkNames[Size]>
    : B extends { readonly bool: true }
      ? KernelInt<"bool">
      : B extends { readonly enum: infer Size }
        ? KernelInt<Size extends 8 ? "u64" : "u32">
        : B extends { readonly pointsTo: infer U }
          ? KernelPointer<PtrType<U>, U>
          : B extends { readonly element: infer E }
            ? KernelElements<T, E>
            : KernelRef<T>;

/** An integer of the kernel's. Using it reads it anew each time, with all pointers on the way; `get()` keeps its value. */
export class KernelInt<N extends IntName = IntName> extends Int<N> implements KernelRef<IntType<N>> {
  readonly [FIELD]: KernelPath<IntType<N>>;
  readonly [READ]: () => Operand;

  /** @internal */
  constructor(code: Code, type: IntType<N>, path: KernelPath) {
    super(code, type);
    this[FIELD] = path as KernelPath<IntType<N>>;
    this[READ] = () => readInt(code, path, type);
  }

  /** The value it has now. */
  get(): Int<N> {
    this[CODE].mark();
    return new Value(this[CODE], this.type, this[READ]());
  }
}

class Elements implements KernelElements<unknown, unknown> {
  readonly [CODE]: Code;
  readonly [FIELD]: KernelPath;

  constructor(code: Code, path: KernelPath) {
    this[CODE] = code;
    this[FIELD] = path;
  }

  at(index: IntArg): never {
    const code = this[CODE];
    code.mark();
    const path = this[FIELD];
    const type = withoutTypedefs(path.type);
    if (type.kind === "array") {
      const { element, length } = type as KernelArrayType;
      if (!isInt(index)) {
        const at = Number(index);
        // One without a length is as long as its struct makes it.
        if (!Number.isInteger(at) || at < 0 || (length > 0 && at >= length)) {
          throw code.fail(`index ${index} is outside of ${describePath(path)}, an array of ${length} elements`);
        }
        return kernelPlace(code, stepPath(path, at, element, at * element.size * 8)) as never;
      }
      return this.#element(element, index);
    }
    return this.#element((type as PtrType).target as TypeDecl, index);
  }

  #element(element: TypeDecl, index: IntArg): never {
    const code = this[CODE];
    const path = this[FIELD];
    const wide = coerce(code, index, u64);
    return makeKernelPlace(
      code,
      elementAt(code, () => addressOf(code, path), element, wide, path.space),
    ) as never;
  }
}

interface ObjectTarget extends KernelRef {
  /** The path that members are counted from. */
  readonly inside: () => KernelPath;
  readonly aggregate: Aggregate;
}

const members: ProxyHandler<ObjectTarget> = {
  get(target, key) {
    if (typeof key === "symbol") return Reflect.get(target, key) as unknown;
    const { aggregate, [CODE]: code } = target;
    const member = aggregate.member(key);
    if (member === undefined) {
      code.mark();
      const names = aggregate.memberNames();
      const known = names.length > 20 ? similarNote(key, names) : `: it has ${names.join(", ") || "none"}`;
      throw code.fail(`${aggregate.cName} is declared without a member ${key}${known}`);
    }
    return makeKernelPlace(code, stepPath(target.inside(), key, member.type, member.bitOffset));
  },
  has: (target, key) => typeof key === "symbol" && key in target,
};

/** The object that stands for the end of a way. */
export function kernelPlace<C extends TypeDecl>(code: Code, path: KernelPath<C>): KernelPlace<C> {
  return makeKernelPlace(code, path) as KernelPlace<C>;
}

function makeKernelPlace(code: Code, path: KernelPath): unknown {
  const word = wordOf(path.type);
  if (word !== undefined) return new KernelInt(code, word, path);
  const plain = withoutTypedefs(path.type);
  if (plain.kind === "array") return new Elements(code, path);
  const isPointer = plain.kind === "ptr";
  const target = isPointer ? (plain as PtrType).target : plain;
  if (target === null) return { [CODE]: code, [FIELD]: path };
  const aggregate = aggregateOf(target as TypeDecl);
  if (aggregate === undefined) return isPointer ? new Elements(code, path) : { [CODE]: code, [FIELD]: path };
  const inside = isPointer ? () => pointee(code, path as KernelPath<PtrType>)! : () => path;
  return new Proxy<ObjectTarget>({ [CODE]: code, [FIELD]: path, inside, aggregate }, members);
}

/** A kernel object of which the address is known. */
export function objectAt<C extends TypeDecl>(code: Code, type: C, address: Operand, space: Space): KernelPlace<C> {
  return kernelPlace(
    code,
    rootPath(type, () => address, space),
  );
}

export function isKernelRef(value: unknown): value is KernelRef {
  return typeof value === "object" && value !== null && FIELD in value;
}
