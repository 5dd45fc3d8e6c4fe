// SPDX-License-Identifier: MIT
import { type BtfBuilder, NETWORK_ORDER } from "../btf/builder.js";
import { type BtfIndex, indexBtf } from "../btf/lazy.js";
import { isSignedInt } from "../btf/size.js";
import type { Btf, BtfMember, BtfType } from "../btf/types.js";
import { InputError } from "../util/errors.js";
import {
  type Aggregate,
  type BitsType,
  type Enumerators,
  type IsStruct,
  type KernelEnum,
  type KernelMember,
  type KernelStruct,
  kernelTypedef,
  recursive,
  usedMembers,
  withoutTypedefs,
} from "./kernel-types.js";
import {
  be16,
  be32,
  be64,
  bool,
  char,
  type IntType,
  type KernelArrayType,
  type PtrType,
  ptr,
  s16,
  s32,
  s64,
  type TypeDecl,
  u8,
  u16,
  u32,
  u64,
} from "./types.js";

/*
 * Types of a kernel's BTF in programs. The declarations that `bpfsmith btf dump --format ts` prints say to the compiler what
 * is in it. An object gets of them what it uses: the members that relocations name, and nothing else.
 */

type BtfAggregate = Extract<BtfType, { kind: "struct" | "union" }>;

/** Most anonymous structs and unions in each other. */
const MAX_NESTING = 64;

const UNSIGNED: Readonly<Record<number, IntType>> = { 1: u8, 2: u16, 4: u32, 8: u64 };
const SIGNED: Readonly<Record<number, IntType>> = { 1: char, 2: s16, 4: s32, 8: s64 };
const NETWORK: Readonly<Record<string, IntType>> = { __be16: be16, __be32: be32, __be64: be64 };

/** Kinds of BTF that a name with a tag may stand for. */
const KINDS: Readonly<Record<string, readonly BtfType["kind"][]>> = {
  struct: ["struct", "fwd"],
  union: ["union", "fwd"],
  enum: ["enum", "enum64"],
};

/** Types of one BTF, made when they are asked for. */
class TypeSource {
  readonly btf: BtfIndex;
  readonly #known = new Map<number, TypeDecl>();
  #depth = 0;

  constructor(btf: BtfIndex) {
    this.btf = btf;
  }

  typeOf(id: number): TypeDecl {
    let type = this.#known.get(id);
    if (type !== undefined) return type;
    if (this.#depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    this.#depth++;
    try {
      type = this.#make(id);
    } finally {
      this.#depth--;
    }
    this.#known.set(id, type);
    return type;
  }

  /** The type that a name in C stands for; undefined for none. */
  named(name: string): TypeDecl | undefined {
    const [, tag, rest] = /^(struct|union|enum) (.*)$/.exec(name) ?? [];
    const kinds = tag === undefined ? (["typedef", "int", "float"] as const) : KINDS[tag]!;
    for (const kind of kinds) {
      const [id] = this.btf.idsByName(rest ?? name, kind);
      if (id === undefined) continue;
      const type = this.typeOf(id);
      // Asked for by its own name a typedef is one, and a number has that name.
      const own = this.btf.typeById(id);
      if (own.kind === "int") return { ...type, cName: name, toBtf: (btf) => btf.add(own) };
      return kind === "typedef" && type.cName !== name ? kernelTypedef(name, type) : type;
    }
    return undefined;
  }

  #make(id: number): TypeDecl {
    const type = this.btf.typeById(id);
    switch (type.kind) {
      case "int":
        if (type.encoding === "bool" && type.size === 1) return bool;
        return (
          (isSignedInt(type) ? SIGNED : UNSIGNED)[type.size] ?? opaque(type.name, type.size, (btf) => btf.add(type))
        );
      case "enum":
      case "enum64":
        return enumOf(type);
      case "struct":
      case "union":
        return new BtfStruct(this, id, type);
      case "ptr":
        return type.type === 0 ? ptr() : this.#pointer(type.type);
      case "array":
        return this.#array(type.type, type.nelems);
      case "typedef": {
        const target = (NETWORK_ORDER.test(type.name) ? NETWORK[type.name] : undefined) ?? this.typeOf(type.type);
        // It is the only name that the struct has.
        return target instanceof BtfStruct && target.name === "" ? kernelTypedef(type.name, target) : target;
      }
      case "const":
      case "volatile":
      case "restrict":
      case "typeTag":
        return this.typeOf(type.type);
      case "float":
        return opaque(type.name, type.size, (btf) => btf.add(type));
      case "fwd":
        return opaque(`${type.isUnion ? "union" : "struct"} ${type.name}`, 0, (btf) =>
          btf.fwd(type.name, type.isUnion),
        );
      default:
        return opaque("void", 0, () => 0);
    }
  }

  #pointer(id: number): PtrType {
    const source = this;
    return {
      ...ptr(),
      cName: "pointer",
      get target() {
        const target = source.typeOf(id);
        // A function, for instance.
        return target.kind === "opaque" ? null : target;
      },
      toBtf(btf) {
        const target = source.typeOf(id);
        return btf.ptr(target instanceof BtfStruct ? target.toPointee(btf) : target.toBtf(btf));
      },
    };
  }

  #array(elementId: number, length: number): KernelArrayType {
    const element = this.typeOf(elementId);
    return {
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
  }
}

/** Something that a program can have the address of only. */
function opaque(cName: string, size: number, toBtf: TypeDecl["toBtf"]): TypeDecl {
  return { kind: "opaque", cName, size, align: 1, toBtf };
}

function enumOf(type: Extract<BtfType, { kind: "enum" | "enum64" }>): KernelEnum {
  return {
    kind: "enum",
    name: type.name,
    signed: type.signed,
    values: Object.fromEntries(type.values.map(({ name, value }) => [name, value])),
    cName: `enum ${type.name}`,
    size: type.size,
    align: type.size,
    toBtf: (btf) => btf.add(type),
  };
}

/** A struct or union of a kernel. */
class BtfStruct implements Aggregate {
  readonly kind = "kernel";
  readonly name: string;
  readonly cName: string;
  readonly size: number;
  /** It is never laid out anew. */
  readonly align = 1;
  readonly #source: TypeSource;
  readonly #type: BtfAggregate;
  #members: ReadonlyMap<string, KernelMember> | undefined;

  constructor(source: TypeSource, id: number, type: BtfAggregate) {
    this.#source = source;
    this.#type = type;
    this.name = type.name;
    this.cName = `${type.kind} ${type.name === "" ? `without a name (type id ${id})` : type.name}`;
    this.size = type.size;
  }

  /** All members with those of anonymous structs and unions inside. */
  get #all(): ReadonlyMap<string, KernelMember> {
    if (this.#members === undefined) {
      const members = new Map<string, KernelMember>();
      this.#collect(members, this.#type, 0, 0);
      this.#members = members;
    }
    return this.#members;
  }

  #collect(members: Map<string, KernelMember>, type: BtfAggregate, start: number, depth: number): void {
    if (depth > MAX_NESTING) throw new InputError(`BTF: ${this.cName} is nested deeper than ${MAX_NESTING}`);
    for (const member of type.members) {
      const bitOffset = start + member.bitOffset;
      if (member.name === "") {
        const inner = withoutTypedefs(this.#source.typeOf(member.type));
        if (inner instanceof BtfStruct) this.#collect(members, inner.#type, bitOffset, depth + 1);
      } else if (!members.has(member.name)) {
        members.set(member.name, this.#member(member, bitOffset));
      }
    }
  }

  /** The type is made when it is asked for: it may lead far. */
  #member({ name, type: id, bitSize }: BtfMember, bitOffset: number): KernelMember {
    const source = this.#source;
    return {
      name,
      bitOffset,
      bitSize,
      get type() {
        const type = source.typeOf(id);
        return bitSize === 0 ? type : bitField(type, bitSize);
      },
    };
  }

  member(name: string): KernelMember | undefined {
    return this.#all.get(name);
  }

  memberNames(): readonly string[] {
    return [...this.#all.keys()];
  }

  /** The members that an object uses, as the kernel wants them: in the order of their places. */
  #used(btf: BtfBuilder): KernelMember[] {
    const names = [...(usedMembers(btf, this) ?? [])];
    return names.map((name) => this.member(name)!).sort((a, b) => a.bitOffset - b.bitOffset);
  }

  indexOf(name: string, btf: BtfBuilder): number {
    return this.#used(btf).findIndex((member) => member.name === name);
  }

  toBtf(btf: BtfBuilder): number {
    return recursive(btf, this, () => ({
      kind: this.#type.kind,
      name: this.name,
      size: this.size,
      members: this.#used(btf).map(({ name, type, bitOffset, bitSize }) => ({
        name,
        type: type.toBtf(btf),
        bitOffset,
        bitSize,
      })),
    }));
  }

  /** For a pointer to it: only the name, where nothing of it is used. */
  toPointee(btf: BtfBuilder): number {
    if (usedMembers(btf, this) !== undefined || this.name === "") return this.toBtf(btf);
    return btf.fwd(this.name, this.#type.kind === "union");
  }
}

function bitField(type: TypeDecl, width: number): TypeDecl {
  const { kind, size, align, cName } = type;
  // An enum's bits are an integer.
  const isSigned = kind === "enum" && (type as KernelEnum).signed;
  const base = kind === "int" ? (type as IntType) : (isSigned ? SIGNED : UNSIGNED)[size];
  if (base === undefined) return type;
  const bits: BitsType = { kind: "bits", base, width, cName, size, align, toBtf: (btf) => type.toBtf(btf) };
  return bits;
}

/** A type of a kernel by its name in C: `struct task_struct`, `enum pid_type`, `pid_t`. */
export type BtfTypes<Types> = {
  readonly [K in keyof Types & string]: IsStruct<Types[K]> extends true
    ? KernelStruct<K, Types[K]>
    : Types[K] extends { readonly "~c"?: infer B }
      ? NonNullable<B> extends { readonly enum: number; readonly values: infer V extends Enumerators }
        ? KernelEnum<V>
        : TypeDecl
      : TypeDecl;
};

/**
 * The types of a BTF, for programs. The compiler knows them by the module that `bpfsmith btf dump --format ts` prints, whose
 * `Types` has all of them:
 *
 *     const kernel = btfTypes<Types>(kernelTypes());   // of bpfsmith/load: those of this machine
 *     const Task = kernel["struct task_struct"];
 *
 * An object made with them holds the members that it uses, and is loaded on other kernels, too.
 * @param source the types, or a function that gives them when the first one is asked for.
 * @throws InputError (when a type is asked for) for a type that is not there.
 */
export function btfTypes<Types>(source: Btf | (() => Btf | null)): BtfTypes<Types> {
  let types: TypeSource | undefined;
  const open = (): TypeSource => {
    const btf = typeof source === "function" ? source() : source;
    if (btf === null) throw new InputError("the kernel's types are not at hand: this machine does not tell them");
    return new TypeSource(indexBtf(btf));
  };
  return new Proxy<object>(
    {},
    {
      get(_, name) {
        if (typeof name === "symbol") return undefined;
        types ??= open();
        const type = types.named(name);
        if (type !== undefined) return type;
        throw new InputError(`the BTF has no type ${name}`);
      },
    },
  ) as BtfTypes<Types>;
}
