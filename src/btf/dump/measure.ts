// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { BtfIndex } from "../lazy.js";
import { MAX_NESTING } from "../limits.js";
import type { BtfType } from "../types.js";

/** Names under which C's `long` goes; its size tells that of a pointer. */
const LONG_NAMES = [
  "long",
  "long int",
  "int long",
  "unsigned long",
  "long unsigned",
  "unsigned long int",
  "unsigned int long",
  "long unsigned int",
  "long int unsigned",
  "int unsigned long",
  "int long unsigned",
];

/** Longest chain of typedefs, modifiers and arrays whose size is looked for, as libbpf's btf__resolve_size() has it. */
const MAX_SIZE_CHAIN = 32;

/** In the place of an alignment, which is 8 at most. */
const BEING_FOUND = 255;

type Aggregate = Extract<BtfType, { kind: "struct" | "union" }>;

/** Sizes and alignments as libbpf finds them: as a C compiler would lay the types out, from what BTF says. */
export class Measure {
  readonly pointerSize: 4 | 8;
  readonly #btf: BtfIndex;
  /** Alignments found, by type id, plus one; 0 for those not looked for yet. */
  readonly #aligns: Uint8Array;

  constructor(btf: BtfIndex) {
    this.#btf = btf;
    this.pointerSize = pointerSize(btf);
    this.#aligns = new Uint8Array(btf.types.length);
  }

  /**
   * Alignment in bytes; 0 when the type has none (void, functions, forward declarations), 1 for a struct whose
   * members stand where natural alignment forbids. Mirrors btf__align_of().
   * @throws InputError for a type that contains itself, or nesting beyond reason.
   */
  alignOf(id: number, depth = 0): number {
    const known = this.#aligns[id]!;
    if (known === BEING_FOUND) throw new InputError(`BTF type id ${id} contains itself`);
    if (known > 0) return known - 1;
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    this.#aligns[id] = BEING_FOUND;
    const align = this.#align(this.#btf.typeById(id), depth + 1);
    this.#aligns[id] = align + 1;
    return align;
  }

  #align(type: BtfType, depth: number): number {
    switch (type.kind) {
      case "int":
      case "enum":
      case "enum64":
      case "float":
        return Math.min(this.pointerSize, type.size);
      case "ptr":
        return this.pointerSize;
      case "typedef":
      case "volatile":
      case "const":
      case "restrict":
      case "typeTag":
      case "array":
        return this.alignOf(type.type, depth);
      case "struct":
      case "union":
        return this.#aggregateAlign(type, depth);
      default:
        return 0;
    }
  }

  #aggregateAlign(type: Aggregate, depth: number): number {
    let most = 1;
    for (const member of type.members) {
      const align = this.alignOf(member.type, depth);
      if (align === 0) return 0;
      most = Math.max(most, align);
      if (member.bitSize === 0 && member.bitOffset % (8 * align) !== 0) return 1;
    }
    return type.size % most === 0 ? most : 1;
  }

  /** Whether the members stand where only a packed struct has them. Mirrors btf_is_struct_packed(). */
  isPacked(type: Aggregate): boolean {
    let most = 1;
    for (const member of type.members) {
      const align = this.alignOf(member.type);
      if (align !== 0 && member.bitSize === 0 && member.bitOffset % (8 * align) !== 0) return true;
      most = Math.max(most, align);
    }
    return type.size % most !== 0;
  }

  /** Size in bytes; undefined for types without one and beyond 4 GiB. Mirrors btf__resolve_size(). */
  sizeOf(id: number): number | undefined {
    let count = 1;
    let at = id;
    for (let i = 0; i < MAX_SIZE_CHAIN && count <= 0xffffffff; i++) {
      const type = this.#btf.typeById(at);
      switch (type.kind) {
        case "int":
        case "float":
        case "struct":
        case "union":
        case "enum":
        case "enum64":
        case "datasec":
          return count * type.size <= 0xffffffff ? count * type.size : undefined;
        case "ptr":
          return count * this.pointerSize;
        case "array":
          count *= type.nelems;
          at = type.type;
          break;
        case "typedef":
        case "volatile":
        case "const":
        case "restrict":
        case "var":
        case "declTag":
        case "typeTag":
          at = type.type;
          break;
        default:
          return undefined;
      }
    }
    return undefined;
  }
}

function pointerSize(btf: BtfIndex): 4 | 8 {
  const ids = LONG_NAMES.flatMap((name) => btf.idsByName(name, "int")).sort((a, b) => a - b);
  for (const id of ids) {
    const type = btf.typeById(id);
    if (type.kind === "int" && (type.size === 4 || type.size === 8)) return type.size;
  }
  return 8;
}
