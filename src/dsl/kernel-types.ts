// SPDX-License-Identifier: MIT
import { type BtfBuilder, placeBitField } from "../btf/builder.js";
import type { BtfMember } from "../btf/types.js";
import { CoreReloKind } from "../kernel/uapi.js";
import { BugError, InputError } from "../util/errors.js";
import type { CoreRef } from "./codegen/ir.js";
import {
  alignUp,
  type IntName,
  type IntType,
  intRange,
  type KernelArrayType,
  type StructType,
  type TypeDecl,
} from "./types.js";

/*
 * Types of the kernel as a program declares them: only what it uses. They lie in the object as BTF; where members
 * really are is found when it meets a kernel (CO-RE).
 */

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

function checkName(what: string, name: string): void {
  if (!IDENTIFIER.test(name)) throw new InputError(`${what}: "${name}" is not a C identifier`);
}

/** A bit field of a kernel struct. */
export interface BitsType<N extends IntName = IntName> extends TypeDecl {
  readonly kind: "bits";
  readonly base: IntType<N>;
  /** Bits. */
  readonly width: number;
}

/**
 * A bit field: `type name: width` in a kernel struct.
 * @throws InputError when the type does not have so many bits.
 */
export function bits<N extends IntName>(base: IntType<N>, width: number): BitsType<N> {
  if (!Number.isInteger(width) || width < 1 || width > base.bits) {
    throw new InputError(`a bit field of ${base.cName} has 1 to ${base.bits} bits, not ${width}`);
  }
  const { cName, size, align } = base;
  return { kind: "bits", base, width, cName, size, align, toBtf: (btf) => base.toBtf(btf) };
}

/** A member of a struct or union. */
export interface KernelMember {
  readonly name: string;
  readonly type: TypeDecl;
  /** By the object's own types. */
  readonly bitOffset: number;
  /** Width of a bit field, otherwise 0. */
  readonly bitSize: number;
}

/** A struct or union as far as code generation cares. */
export interface Aggregate extends TypeDecl {
  member(name: string): KernelMember | undefined;
  memberNames(): readonly string[];
  /** Place among the members that the BTF gets; known once all programs are written. */
  indexOf(name: string, btf: BtfBuilder): number;
}

/** BTF ids of what may contain itself, by the BTF under construction. */
const written = new WeakMap<BtfBuilder, Map<TypeDecl, number>>();

/** The id of a type that may refer to itself. */
export function recursive(btf: BtfBuilder, type: TypeDecl, write: () => Parameters<BtfBuilder["define"]>[1]): number {
  let ids = written.get(btf);
  if (ids === undefined) {
    ids = new Map();
    written.set(btf, ids);
  }
  const known = ids.get(type);
  if (known !== undefined) return known;
  const id = btf.declare();
  ids.set(type, id);
  btf.define(id, write());
  return id;
}

/** Members that an object uses, of types that give it no others. */
const used = new WeakMap<BtfBuilder, Map<TypeDecl, Set<string>>>();

/** The members of a struct that an object uses; undefined when it does not use the struct. */
export function usedMembers(btf: BtfBuilder, type: TypeDecl): ReadonlySet<string> | undefined {
  return used.get(btf)?.get(type);
}

/** Notes what a relocation refers to. All of an object are noted before the first type is written. */
export function markUsed(btf: BtfBuilder, { relo, root, steps }: CoreRef): void {
  let types = used.get(btf);
  if (types === undefined) {
    types = new Map();
    used.set(btf, types);
  }
  const membersOf = (type: TypeDecl): Set<string> => {
    const members = types.get(type) ?? new Set();
    types.set(type, members);
    return members;
  };
  let at = withoutTypedefs(root);
  const whole = membersOf(at);
  if (relo === CoreReloKind.TYPE_MATCHES) for (const name of aggregateOf(at)?.memberNames() ?? []) whole.add(name);
  for (const step of steps) {
    if (typeof step === "string") membersOf(at).add(step);
    const next = typeof step === "number" ? (at as KernelArrayType).element : aggregateOf(at)?.member(step)?.type;
    if (next === undefined) return; // An enumerator.
    at = withoutTypedefs(next);
  }
}

/** Members of a kernel struct. What points to a struct declared later, or to the same one, stands in a getter. */
// biome-ignore lint/suspicious/noExplicitAny: the compiler must not look at the members before the struct has its type.
export type KernelFields = Readonly<Record<string, any>>;

/** Whether something is a type. */
export function isTypeDecl(value: unknown): value is TypeDecl {
  return typeof value === "object" && value !== null && "toBtf" in value && "cName" in value;
}

/** What a declaration of `bpfsmith btf dump --format ts` says of a type that is no struct (dump/ts.ts). */
type Said =
  | { readonly int: number }
  | { readonly net: number }
  | { readonly bool: true }
  | { readonly float: number }
  | { readonly enum: number }
  | { readonly pointsTo: unknown }
  | { readonly element: unknown }
  | { readonly opaque: string };

/** Whether a declaration made from BTF stands for a struct or union: its members are the kernel's. */
export type IsStruct<T> = T extends object
  ? T extends (...args: never) => unknown
    ? false
    : "~c" extends keyof T
      ? T extends { readonly "~c"?: infer B }
        ? NonNullable<B> extends Said
          ? false
          : true
        : false
      : true
  : false;

declare const FIELDS: unique symbol;

/** A struct or union of the kernel; `F` says which members the program knows. */
export interface KernelStruct<N extends string = string, F = object> extends TypeDecl {
  readonly kind: "kernel";
  /** As in C; what follows `___` tells versions of a type apart (a flavour). */
  readonly name: N;
  readonly [FIELDS]?: F;
}

/** A {@link KernelStruct} whose members the program declares. */
class DeclaredStruct implements Aggregate, KernelStruct {
  readonly kind = "kernel";
  readonly name: string;
  readonly cName: string;
  readonly #tag: "struct" | "union";
  readonly #fields: KernelFields;
  #laid: { members: Map<string, KernelMember>; size: number; align: number } | null = null;
  #busy = false;

  constructor(tag: "struct" | "union", name: string, fields: KernelFields) {
    checkName(tag, name);
    for (const member of Object.keys(fields)) checkName(`${tag} ${name}`, member);
    this.name = name;
    this.cName = `${tag} ${name}`;
    this.#tag = tag;
    this.#fields = fields;
  }

  /** Where C puts the members. It is asked for late, since types that are declared later may be among them. */
  get #layout() {
    if (this.#laid !== null) return this.#laid;
    if (this.#busy) throw new InputError(`${this.cName} contains itself: a pointer can, ptr(…)`);
    this.#busy = true;
    try {
      this.#laid = this.#lay();
    } finally {
      this.#busy = false;
    }
    return this.#laid;
  }

  #lay() {
    const members = new Map<string, KernelMember>();
    let end = 0;
    let align = 1;
    for (const name of Object.keys(this.#fields)) {
      const type: unknown = this.#fields[name];
      if (!isTypeDecl(type)) throw new InputError(`${this.cName}: member ${name} has no type, but ${typeof type}`);
      const from = this.#tag === "union" ? 0 : end;
      const bitSize = type.kind === "bits" ? (type as BitsType).width : 0;
      const bitOffset =
        bitSize === 0 ? alignUp(from, type.align * 8) : placeBitField(from, bitSize, type.size * 8, false);
      align = Math.max(align, type.align);
      end = Math.max(end, bitOffset + (bitSize === 0 ? type.size * 8 : bitSize));
      members.set(name, { name, type, bitOffset, bitSize });
    }
    return { members, size: alignUp(end, align * 8) / 8, align };
  }

  get size(): number {
    return this.#layout.size;
  }

  get align(): number {
    return this.#layout.align;
  }

  member(name: string): KernelMember | undefined {
    return this.#layout.members.get(name);
  }

  memberNames(): readonly string[] {
    return Object.keys(this.#fields);
  }

  indexOf(name: string): number {
    return this.memberNames().indexOf(name);
  }

  toBtf(btf: BtfBuilder): number {
    return recursive(btf, this, () => {
      const members = [...this.#layout.members.values()].map(
        ({ name, type, bitOffset, bitSize }): BtfMember => ({ name, type: type.toBtf(btf), bitOffset, bitSize }),
      );
      return { kind: this.#tag, name: this.name, size: this.size, members };
    });
  }
}

/**
 * `struct name` of the kernel, with the members that the program uses, in any order. Where they are, and how large
 * the struct is, does not matter: that is found out when the object meets a kernel (as with clang's
 * `preserve_access_index`). A member of an anonymous struct or union is declared like any other. What points to
 * the struct itself, or to one that is declared later, stands in a getter:
 *
 *     const Task = kernelStruct("task_struct", {
 *       tgid: s32,
 *       comm: array(char, 16),
 *       get real_parent() {
 *         return ptr(Task);
 *       },
 *     });
 *
 * @param name a suffix `___…` is not part of the kernel's name: several versions of one struct can be declared.
 * @throws InputError when a name is no C identifier.
 */
export function kernelStruct<const N extends string, F extends KernelFields>(name: N, fields: F): KernelStruct<N, F> {
  return new DeclaredStruct("struct", name, fields) as TypeDecl as KernelStruct<N, F>;
}

/** `union name` of the kernel, as {@link kernelStruct}. */
export function kernelUnion<const N extends string, F extends KernelFields>(name: N, fields: F): KernelStruct<N, F> {
  return new DeclaredStruct("union", name, fields) as TypeDecl as KernelStruct<N, F>;
}

/** A struct that users may also have in their own memory, as one of the kernel's. */
class PlainStruct implements Aggregate {
  readonly kind = "struct";
  readonly #type: StructType;

  constructor(type: StructType) {
    this.#type = type;
  }

  get cName(): string {
    return this.#type.cName;
  }

  get size(): number {
    return this.#type.size;
  }

  get align(): number {
    return this.#type.align;
  }

  member(name: string): KernelMember | undefined {
    const place = this.#type.places.find((field) => field.name === name);
    return place && { name, type: place.type, bitOffset: place.offset * 8, bitSize: 0 };
  }

  memberNames(): readonly string[] {
    return this.#type.places.map((field) => field.name);
  }

  indexOf(name: string): number {
    return this.memberNames().indexOf(name);
  }

  toBtf(btf: BtfBuilder): number {
    return this.#type.toBtf(btf);
  }
}

/* Enums and typedefs. */

/** Enumerators and what they are where the program was written. */
export type Enumerators = Readonly<Record<string, number | bigint>>;

/** An enum of the kernel. */
export interface KernelEnum<V extends Enumerators = Enumerators> extends TypeDecl {
  readonly kind: "enum";
  readonly name: string;
  /** Whether it has negative values. */
  readonly signed: boolean;
  readonly values: V;
}

/**
 * `enum name` of the kernel, with the enumerators that the program uses. Bigints make an enum of 64 bits.
 * @throws InputError when a name is no C identifier, or a value does not fit.
 */
export function kernelEnum<const V extends Enumerators>(name: string, values: V): KernelEnum<V> {
  for (const each of [name, ...Object.keys(values)]) checkName(`enum ${name}`, each);
  const all = Object.values(values).map(BigInt);
  const isWide = Object.values(values).some((value) => typeof value === "bigint");
  const signed = all.some((value) => value < 0n);
  const size = isWide ? 8 : 4;
  const { min, max } = intRange(size * 8, signed);
  for (const value of all) {
    if (value < min || value > max) {
      throw new InputError(
        `enum ${name}: ${value} does not fit ${size * 8} bits${isWide ? "" : ": write it as a bigint"}`,
      );
    }
  }
  const entries = Object.entries(values);
  return {
    kind: "enum",
    name,
    signed,
    values,
    cName: `enum ${name}`,
    size,
    align: size,
    toBtf: (btf) =>
      isWide
        ? btf.add({
            kind: "enum64",
            name,
            size,
            signed,
            values: entries.map(([name, value]) => ({ name, value: BigInt(value) })),
          })
        : btf.add({
            kind: "enum",
            name,
            size,
            signed,
            values: entries.map(([name, value]) => ({ name, value: Number(value) })),
          }),
  };
}

/** A typedef of the kernel. */
export interface KernelTypedef<T extends TypeDecl = TypeDecl> extends TypeDecl {
  readonly kind: "typedef";
  readonly target: T;
}

/**
 * `typedef target name` of the kernel.
 * @throws InputError when the name is no C identifier.
 */
export function kernelTypedef<T extends TypeDecl>(name: string, target: T): KernelTypedef<T> {
  checkName("typedef", name);
  return {
    kind: "typedef",
    target,
    cName: name,
    get size() {
      return target.size;
    },
    get align() {
      return target.align;
    },
    toBtf: (btf) => btf.typedef(name, target.toBtf(btf)),
  };
}

/* What code generation asks. */

/** The type that typedefs lead to. */
export function withoutTypedefs(type: TypeDecl): TypeDecl {
  let at = type;
  while (at.kind === "typedef") at = (at as KernelTypedef).target;
  return at;
}

/** A type's members; undefined for what has none. */
export function aggregateOf(type: TypeDecl): Aggregate | undefined {
  const plain = withoutTypedefs(type);
  if (plain.kind === "kernel") return plain as TypeDecl as Aggregate;
  return plain.kind === "struct" ? new PlainStruct(plain as TypeDecl as StructType) : undefined;
}

/** A step of a way into a type: a member's name, an element's index. */
export type Step = string | number;

/**
 * The numbers by which BTF knows a way into a type, e.g. `0:1:3`. The first one counts objects of the type itself,
 * as an index into an array of them would.
 */
export function accessString(btf: BtfBuilder, root: TypeDecl, steps: readonly Step[]): string {
  let at = root;
  const numbers = steps.map((step) => {
    const type = withoutTypedefs(at);
    if (typeof step === "number") {
      at = (type as KernelArrayType).element;
      return step;
    }
    const aggregate = aggregateOf(type);
    if (aggregate === undefined) {
      const index = Object.keys((type as KernelEnum).values).indexOf(step);
      if (index < 0) throw new BugError(`${type.cName} has no ${step}`);
      return index;
    }
    at = aggregate.member(step)!.type;
    return aggregate.indexOf(step, btf);
  });
  return (withoutTypedefs(root).kind === "enum" && steps.length > 0 ? numbers : [0, ...numbers]).join(":");
}
