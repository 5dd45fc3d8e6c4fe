// SPDX-License-Identifier: MIT
import { BugError, InputError, invariant } from "../util/errors.js";
import { alignOf, sizeOf } from "./size.js";
import type { Btf, BtfFuncLinkage, BtfMember, BtfParam, BtfSecInfo, BtfType, BtfVarLinkage } from "./types.js";

/** A member as C declares it: {@link BtfBuilder.struct} finds its place. */
export interface MemberDecl {
  /** Empty for an anonymous struct or union. */
  readonly name: string;
  readonly type: number;
  /** Width of a bit field in bits; left out (or 0) for an ordinary member. */
  readonly bitSize?: number;
}

/** How an aggregate is laid out beyond its members. */
export interface LayoutOptions {
  /** No padding, alignment 1 (`__attribute__((packed))`). */
  readonly packed?: boolean;
  /** Least alignment in bytes (`__attribute__((aligned(n)))`). */
  readonly align?: number;
}

/** The integer types by the names that clang gives them, and the kernel's short names. */
const BASIC_INTS = {
  char: { name: "char", size: 1, encoding: "signed" },
  "signed char": { name: "signed char", size: 1, encoding: "signed" },
  "unsigned char": { name: "unsigned char", size: 1, encoding: "none" },
  short: { name: "short", size: 2, encoding: "signed" },
  "unsigned short": { name: "unsigned short", size: 2, encoding: "none" },
  int: { name: "int", size: 4, encoding: "signed" },
  "unsigned int": { name: "unsigned int", size: 4, encoding: "none" },
  long: { name: "long", size: 8, encoding: "signed" },
  "unsigned long": { name: "unsigned long", size: 8, encoding: "none" },
  "long long": { name: "long long", size: 8, encoding: "signed" },
  "unsigned long long": { name: "unsigned long long", size: 8, encoding: "none" },
  _Bool: { name: "_Bool", size: 1, encoding: "bool" },
} as const;

/** C names of the basic integer types. */
export type BasicIntName = keyof typeof BASIC_INTS;

const KERNEL_INTS = {
  __u8: "unsigned char",
  __u16: "unsigned short",
  __u32: "unsigned int",
  __u64: "unsigned long long",
  __s8: "signed char",
  __s16: "short",
  __s32: "int",
  __s64: "long long",
} as const satisfies Record<string, BasicIntName>;

/** The kernel's typedefs for integers in network order, which say nothing but that. */
export const NETWORK_ORDER = /^__be(?:16|32|64)$/;

/** The kernel's fixed-width integer typedefs. */
export type KernelIntName = keyof typeof KERNEL_INTS;

/**
 * Content of a type as a string, equal for types that may share one id; undefined for kinds where every
 * declaration is its own (functions, variables, sections, tags).
 */
function contentKey(type: BtfType): string | undefined {
  switch (type.kind) {
    case "func":
    case "var":
    case "datasec":
    case "declTag":
      return undefined;
    case "enum64":
      return JSON.stringify({ ...type, values: type.values.map((v) => [v.name, v.value.toString()]) });
    default:
      return JSON.stringify(type, Object.keys(type).concat(NESTED_KEYS).sort());
  }
}

/** Keys of the objects inside types; {@link contentKey} sorts keys so that their order of writing does not matter. */
const NESTED_KEYS = ["name", "type", "bitOffset", "bitSize", "value"];

/**
 * Collects BTF types and hands out their ids. Adding a type whose content stands already gives the
 * standing id, so that makers can be called without care. The builder is itself a readable {@link Btf}.
 */
export class BtfBuilder implements Btf {
  readonly #types: BtfType[];
  /** Ids by content; made when a type is added, since a base that only few types change may have many. */
  #ids: Map<string, number> | undefined;
  readonly #open = new Set<number>();

  /** @param base types to start with; their ids stay. */
  constructor(base?: Btf) {
    this.#types = base === undefined ? [{ kind: "void" }] : [...base.types];
  }

  get types(): readonly BtfType[] {
    return this.#types;
  }

  /** Adds a type (or finds the same one) and gives its id. */
  add(type: BtfType): number {
    const key = contentKey(type);
    const ids = this.#index();
    const known = key === undefined ? undefined : ids.get(key);
    if (known !== undefined) return known;
    const id = this.#types.push(type) - 1;
    if (key !== undefined) ids.set(key, id);
    return id;
  }

  /** Reserves an id for a type that refers to itself; {@link define} must follow before {@link build}. */
  declare(): number {
    const id = this.#types.push({ kind: "void" }) - 1;
    this.#open.add(id);
    return id;
  }

  /** Gives a {@link declare}d id its type. */
  define(id: number, type: BtfType): void {
    invariant(this.#open.delete(id), `BTF type id ${id} was not declared, or defined twice`);
    this.#types[id] = type;
    const key = contentKey(type);
    const ids = this.#index();
    if (key !== undefined && !ids.has(key)) ids.set(key, id);
  }

  #index(): Map<string, number> {
    if (this.#ids !== undefined) return this.#ids;
    const ids = new Map<string, number>();
    this.#types.forEach((type, id) => {
      const key = this.#open.has(id) ? undefined : contentKey(type);
      if (key !== undefined && !ids.has(key)) ids.set(key, id);
    });
    this.#ids = ids;
    return ids;
  }

  /**
   * Replaces a standing type by another one of the same kind, e.g. a datasec once its offsets are known.
   * For kinds that are never shared (func, var, datasec, declTag) only.
   */
  replace(id: number, type: BtfType): void {
    invariant(contentKey(type) === undefined && this.#types[id]?.kind === type.kind, `BTF type id ${id} is shared`);
    this.#types[id] = type;
  }

  /** A basic C integer type, e.g. `unsigned int`. */
  int(name: BasicIntName): number {
    const { size, encoding } = BASIC_INTS[name];
    return this.add({ kind: "int", name, size, bits: encoding === "bool" ? 8 : size * 8, bitOffset: 0, encoding });
  }

  /** A typedef of the kernel's headers, e.g. `__u32`. */
  kernelInt(name: KernelIntName): number {
    return this.typedef(name, this.int(KERNEL_INTS[name]));
  }

  ptr(type: number): number {
    return this.add({ kind: "ptr", type });
  }

  /** The index type is clang's `__ARRAY_SIZE_TYPE__`. */
  array(type: number, nelems: number): number {
    const indexType = this.add({
      kind: "int",
      name: "__ARRAY_SIZE_TYPE__",
      size: 4,
      bits: 32,
      bitOffset: 0,
      encoding: "none",
    });
    return this.add({ kind: "array", type, indexType, nelems });
  }

  typedef(name: string, type: number): number {
    return this.add({ kind: "typedef", name, type });
  }

  modifier(kind: "const" | "volatile" | "restrict", type: number): number {
    return this.add({ kind, type });
  }

  typeTag(name: string, type: number): number {
    return this.add({ kind: "typeTag", name, type });
  }

  declTag(name: string, type: number, componentIdx = -1): number {
    return this.add({ kind: "declTag", name, type, componentIdx });
  }

  fwd(name: string, isUnion = false): number {
    return this.add({ kind: "fwd", name, isUnion });
  }

  /** An enum of 32-bit values. It is signed when a value is negative. */
  enum(name: string, values: readonly { readonly name: string; readonly value: number }[]): number {
    return this.add({ kind: "enum", name, size: 4, signed: values.some((v) => v.value < 0), values });
  }

  /** A struct laid out as C does. An empty name makes it anonymous. */
  struct(name: string, members: readonly MemberDecl[], options: LayoutOptions = {}): number {
    return this.add(this.layout("struct", name, members, options));
  }

  /** A union laid out as C does. */
  union(name: string, members: readonly MemberDecl[], options: LayoutOptions = {}): number {
    return this.add(this.layout("union", name, members, options));
  }

  /** Lays an aggregate out without adding it (for {@link define}). */
  layout(
    kind: "struct" | "union",
    name: string,
    members: readonly MemberDecl[],
    options: LayoutOptions = {},
  ): Extract<BtfType, { kind: "struct" | "union" }> {
    const packed = options.packed === true;
    let align = options.align ?? 1;
    let end = 0;
    const placed: BtfMember[] = members.map((decl) => {
      const unitBits = sizeOf(this, decl.type) * 8;
      const memberAlign = packed ? 1 : alignOf(this, decl.type);
      const bitSize = decl.bitSize ?? 0;
      if (bitSize < 0 || bitSize > unitBits) {
        throw new InputError(`member ${decl.name}: bit field of ${bitSize} bits in a type of ${unitBits} bits`);
      }
      align = Math.max(align, memberAlign);
      const from = kind === "union" ? 0 : end;
      const bitOffset = bitSize === 0 ? roundUp(from, memberAlign * 8) : placeBitField(from, bitSize, unitBits, packed);
      end = Math.max(end, bitOffset + (bitSize === 0 ? unitBits : bitSize));
      return { name: decl.name, type: decl.type, bitOffset, bitSize };
    });
    return { kind, name, size: roundUp(end, align * 8) / 8, members: placed };
  }

  funcProto(returnType: number, params: readonly BtfParam[]): number {
    return this.add({ kind: "funcProto", returnType, params });
  }

  /** `protoId` is the id of a `funcProto`. Every call makes a new function. */
  func(name: string, protoId: number, linkage: BtfFuncLinkage): number {
    return this.add({ kind: "func", name, type: protoId, linkage });
  }

  /** Every call makes a new variable. */
  var(name: string, type: number, linkage: BtfVarLinkage = "global"): number {
    return this.add({ kind: "var", name, type, linkage });
  }

  /** Every call makes a new section. */
  datasec(name: string, size: number, vars: readonly BtfSecInfo[]): number {
    return this.add({ kind: "datasec", name, size, vars });
  }

  /** The types gathered so far, as a value of its own that later additions do not change. */
  build(): Btf {
    if (this.#open.size > 0) throw new BugError(`BTF type ids declared but not defined: ${[...this.#open].join(", ")}`);
    return { types: [...this.#types] };
  }
}

function roundUp(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}

/** A bit field moves to the next unit of its type when it would straddle one, unless it is packed. */
export function placeBitField(from: number, bitSize: number, unitBits: number, packed: boolean): number {
  if (packed) return from;
  const unitEnd = roundUp(from + 1, unitBits);
  return from + bitSize > unitEnd ? unitEnd : from;
}
