// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";
import { LazyBtf } from "./lazy.js";
import type { Btf, BtfMember, BtfType } from "./types.js";

/** Pointers of a BPF program are 64 bits wide. */
export const PTR_SIZE = 8;

/** Longest chain of typedefs, modifiers and arrays that is followed; the kernel's MAX_RESOLVE_DEPTH. */
const MAX_RESOLVE_DEPTH = 32;

/**
 * The type with this id.
 * @throws InputError when the id is not in the BTF.
 */
export function typeById(btf: Btf, id: number): BtfType {
  const type = btf.types[id];
  if (type === undefined) throw new InputError(`BTF type id ${id} is out of range (0-${btf.types.length - 1})`);
  return type;
}

/**
 * Follows `typedef`, `const`, `volatile`, `restrict` and `typeTag` to the type that they stand for, and
 * gives its id.
 * @throws InputError when an id is out of range or the chain is longer than 32.
 */
export function resolveId(btf: Btf, id: number): number {
  let at = id;
  for (let depth = 0; depth < MAX_RESOLVE_DEPTH; depth++) {
    const type = typeById(btf, at);
    switch (type.kind) {
      case "typedef":
      case "const":
      case "volatile":
      case "restrict":
      case "typeTag":
        at = type.type;
        break;
      default:
        return at;
    }
  }
  throw new InputError(`BTF type id ${id}: chain of modifiers longer than ${MAX_RESOLVE_DEPTH}, probably a loop`);
}

/** {@link resolveId}, giving the type itself. */
export function resolveType(btf: Btf, id: number): BtfType {
  return typeById(btf, resolveId(btf, id));
}

/**
 * Bytes that a value of the type takes.
 * @throws InputError for types without a size (void, forward declarations, functions) and for malformed BTF.
 */
export function sizeOf(btf: Btf, id: number): number {
  let nelems = 1;
  let at = id;
  for (let depth = 0; depth < MAX_RESOLVE_DEPTH; depth++) {
    const type = resolveType(btf, at);
    switch (type.kind) {
      case "int":
      case "float":
      case "struct":
      case "union":
      case "enum":
      case "enum64":
      case "datasec": {
        const size = type.size * nelems;
        if (size > 0xffffffff) throw new InputError(`BTF type id ${id} is larger than 4 GiB`);
        return size;
      }
      case "ptr":
        return PTR_SIZE * nelems;
      case "array":
        nelems *= type.nelems;
        at = type.type;
        break;
      case "var":
        at = type.type;
        break;
      default:
        throw new InputError(`BTF type id ${id} has no size (${type.kind}${"name" in type ? ` ${type.name}` : ""})`);
    }
  }
  throw new InputError(`BTF type id ${id}: arrays nested deeper than ${MAX_RESOLVE_DEPTH}, probably a loop`);
}

/**
 * Alignment of the type in bytes, as clang's BPF target lays it out. A struct whose members stand where
 * natural alignment forbids is packed: 1.
 * @throws InputError as {@link sizeOf} does.
 */
export function alignOf(btf: Btf, id: number): number {
  return alignBelow(btf, id, 0, new Map());
}

/** @param known Of structs that were seen: one may be a member of very many others. */
function alignBelow(btf: Btf, id: number, depth: number, known: Map<number, number>): number {
  if (depth > MAX_RESOLVE_DEPTH) throw new InputError(`BTF type id ${id}: nested deeper than ${MAX_RESOLVE_DEPTH}`);
  const type = resolveType(btf, id);
  switch (type.kind) {
    case "int":
      return Math.min(type.size, 16);
    case "float":
    case "enum":
    case "enum64":
      return Math.min(type.size, PTR_SIZE);
    case "ptr":
      return PTR_SIZE;
    case "array":
    case "var":
      return alignBelow(btf, type.type, depth + 1, known);
    case "struct":
    case "union": {
      const struct = resolveId(btf, id);
      let align = known.get(struct);
      if (align === undefined) {
        align = alignOfStruct(btf, type, depth, known);
        known.set(struct, align);
      }
      return align;
    }
    default:
      throw new InputError(`BTF type id ${id} has no alignment (${type.kind})`);
  }
}

function alignOfStruct(
  btf: Btf,
  type: BtfType & { readonly kind: "struct" | "union" },
  depth: number,
  known: Map<number, number>,
): number {
  let align = 1;
  for (const member of type.members) {
    const want = alignBelow(btf, member.type, depth + 1, known);
    if (member.bitSize === 0 && member.bitOffset % (want * 8) !== 0) return 1;
    align = Math.max(align, want);
  }
  return type.size % align === 0 ? align : 1;
}

/** A member found by name, its place counted from the outermost struct. */
export interface FoundMember {
  readonly member: BtfMember;
  /** Bits from the start of the struct that was asked. */
  readonly bitOffset: number;
}

/**
 * Finds a member of a struct or union by name, looking into anonymous members as C does.
 * Gives undefined when there is none.
 * @throws InputError when the type is no struct or union.
 */
export function findMember(btf: Btf, id: number, name: string): FoundMember | undefined {
  return findBelow(btf, id, name, 0, new Set());
}

/** @param searched Structs without such a member: one may be in very many others. */
function findBelow(btf: Btf, id: number, name: string, depth: number, searched: Set<number>): FoundMember | undefined {
  const type = resolveType(btf, id);
  if (type.kind !== "struct" && type.kind !== "union") {
    throw new InputError(`BTF type id ${id} is no struct or union but ${type.kind}`);
  }
  if (depth > MAX_RESOLVE_DEPTH) throw new InputError(`BTF type id ${id}: nested deeper than ${MAX_RESOLVE_DEPTH}`);
  const struct = resolveId(btf, id);
  if (searched.has(struct)) return undefined;
  for (const member of type.members) {
    if (member.name === name) return { member, bitOffset: member.bitOffset };
    if (member.name !== "") continue;
    const inner = resolveType(btf, member.type);
    if (inner.kind !== "struct" && inner.kind !== "union") continue;
    const found = findBelow(btf, member.type, name, depth + 1, searched);
    if (found !== undefined) return { member: found.member, bitOffset: member.bitOffset + found.bitOffset };
  }
  searched.add(struct);
  return undefined;
}

/** Whether values of the integer type have a sign (libbpf: BTF_INT_SIGNED). */
export function isSignedInt(type: Extract<BtfType, { kind: "int" }>): boolean {
  return type.encoding === "signed" || type.encoding === "signedChar";
}

/** Id of the first type of this kind and name; undefined when there is none. */
export function findType(btf: Btf, kind: BtfType["kind"], name: string): number | undefined {
  if (btf instanceof LazyBtf) return btf.idsByName(name, kind)[0];
  const id = btf.types.findIndex((type) => type.kind === kind && "name" in type && type.name === name);
  return id < 0 ? undefined : id;
}
