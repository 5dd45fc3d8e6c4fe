// SPDX-License-Identifier: MIT
import { encodeUtf8 } from "../../util/bytes.js";
import { InputError } from "../../util/errors.js";
import type { BtfIndex } from "../lazy.js";
import { MAX_NESTING } from "../limits.js";
import type { BtfKind, BtfType } from "../types.js";

/** Anonymous types, and what refers to them, stand last. */
const LAST_RANK = 10;

/** Names of a type by which headers are ordered. */
interface SortKey {
  readonly rank: number;
  /** The name of the type that it refers to in the end. */
  readonly name: string;
  readonly ownName: string;
}

/** Of anonymous types that refer to none. */
const ANONYMOUS: SortKey = { rank: LAST_RANK, name: "", ownName: "" };

/** Whether a type of this kind cannot be written as C, nor leads to one that can. */
function definesNothing(kind: BtfKind): boolean {
  return kind === "void" || kind === "func" || kind === "var" || kind === "datasec" || kind === "declTag";
}

/**
 * Ids of the types that C knows, in an order that does not depend on how the BTF was made, so that the headers of
 * two kernels can be compared: constants, integers, structs, functions, each by name. It is that of bpftool 7.5
 * (sort_btf_c()).
 */
export function sortedIds(btf: BtfIndex): Uint32Array {
  const ids: number[] = [];
  const keys: SortKey[] = [];
  for (let id = 1; id < btf.types.length; id++) {
    const kind = btf.kindById(id);
    if (definesNothing(kind)) continue;
    const key = kind === "funcProto" ? ANONYMOUS : sortKey(btf, id);
    if (key === undefined) continue;
    ids.push(id);
    keys.push(key);
  }
  const ordinals = nameOrdinals(keys);
  // Rank and both names in one number: 2^4 * 2^21 * 2^21 fits into the 53 bits of a double.
  const numbers = Float64Array.from(
    keys,
    ({ rank, name, ownName }) => (rank * ordinals.size + ordinals.get(name)!) * ordinals.size + ordinals.get(ownName)!,
  );
  const hashes = new TypeHashes(btf);
  const sorted = new Uint32Array(ids.length);
  let at = 0;
  for (const group of groups(ids, numbers)) {
    if (group.length > 1) hashes.sort(group);
    sorted.set(group, at);
    at += group.length;
  }
  return sorted;
}

/** The ids of equal numbers together, the lowest number first. */
function groups(ids: readonly number[], numbers: Float64Array): number[][] {
  const byNumber = new Map<number, number[]>();
  numbers.forEach((number, i) => {
    const group = byNumber.get(number);
    if (group === undefined) byNumber.set(number, [ids[i]!]);
    else group.push(ids[i]!);
  });
  return Array.from(Float64Array.from(byNumber.keys()).sort(), (number) => byNumber.get(number)!);
}

/** The place of each name among all, in the order of their characters. */
function nameOrdinals(keys: readonly SortKey[]): Map<string, number> {
  const names = new Set<string>();
  for (const { name, ownName } of keys) names.add(name).add(ownName);
  return new Map([...names].sort().map((name, i) => [name, i]));
}

const nameOf = (type: BtfType): string => ("name" in type ? type.name : "");

/** The key of a type; undefined when it defines nothing and leads to what is defined before it would be. */
function sortKey(btf: BtfIndex, id: number): SortKey | undefined {
  const ownName = nameOf(btf.typeById(id));
  let hasName = false;
  let rank: number | undefined;
  let at = id;
  for (let depth = 0; depth < MAX_NESTING; depth++) {
    const type = btf.typeById(at);
    const name = nameOf(type);
    if (name !== "") hasName = true;
    switch (type.kind) {
      case "array":
      case "typeTag":
      case "const":
      case "ptr":
      case "volatile":
      case "restrict":
      case "typedef":
      case "declTag":
        // What is named only further on is no definition of that name.
        if (!hasName) rank ??= LAST_RANK;
        at = type.type;
        break;
      case "enum":
      case "enum64": {
        // Constants without a name of their own go by the first of them.
        const first = at === id && name === "" ? (type.values[0]?.name ?? "") : name;
        return rank === undefined ? { rank: hasName ? 1 : 0, name: first, ownName } : undefined;
      }
      default:
        if (rank !== undefined && (name !== "" || type.kind === "void") && type.kind !== "fwd") return undefined;
        return { rank: rank ?? rankOf(type.kind, hasName), name, ownName };
    }
  }
  throw new InputError(`BTF type id ${id}: chain longer than ${MAX_NESTING}`);
}

function rankOf(kind: BtfKind, hasName: boolean): number {
  switch (kind) {
    case "int":
    case "float":
      return 2;
    case "struct":
    case "union":
      return hasName ? 3 : LAST_RANK;
    case "funcProto":
      return hasName ? 4 : LAST_RANK;
    default:
      return LAST_RANK;
  }
}

/**
 * 64-bit hashes of what is in a type, which tell types of one name apart (btf_type_disambig_hash()). Halves are
 * kept as numbers: there are too many of them for BigInts.
 */
class TypeHashes {
  readonly #btf: BtfIndex;
  /** By id, twice: without and with the members. */
  readonly #known = new Map<number, readonly [hi: number, lo: number]>();
  readonly #names = new Map<string, readonly [hi: number, lo: number]>();

  constructor(btf: BtfIndex) {
    this.#btf = btf;
  }

  /** Orders ids, which ascend, by hash as an unsigned number, then by id. */
  sort(ids: number[]): void {
    // Of a function's prototype nothing is hashed, and there are very many.
    const zero: number[] = [];
    const hashed: { id: number; hi: number; lo: number }[] = [];
    for (const id of ids) {
      const [hi, lo] = this.#btf.kindById(id) === "funcProto" ? NO_HASH : this.#hash(id, true, 0);
      if (hi === 0 && lo === 0) zero.push(id);
      else hashed.push({ id, hi, lo });
    }
    hashed.sort((a, b) => a.hi - b.hi || a.lo - b.lo || a.id - b.id);
    zero.forEach((id, i) => {
      ids[i] = id;
    });
    hashed.forEach(({ id }, i) => {
      ids[zero.length + i] = id;
    });
  }

  #hash(id: number, members: boolean, depth: number): readonly [hi: number, lo: number] {
    const key = id * 2 + (members ? 1 : 0);
    let hash = this.#known.get(key);
    if (hash === undefined) {
      if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id}: chain longer than ${MAX_NESTING}`);
      hash = this.#compute(this.#btf.typeById(id), members, depth + 1);
      this.#known.set(key, hash);
    }
    return hash;
  }

  #compute(type: BtfType, members: boolean, depth: number): readonly [hi: number, lo: number] {
    const hash = new Hash();
    this.#addName(hash, nameOf(type));
    switch (type.kind) {
      case "enum":
      case "enum64":
        for (const { name } of type.values) this.#addName(hash, name);
        break;
      case "struct":
      case "union":
        if (!members) break;
        for (const member of type.members) {
          this.#addName(hash, member.name);
          hash.add(...this.#hash(member.type, false, depth));
        }
        break;
      case "typeTag":
      case "const":
      case "ptr":
      case "volatile":
      case "restrict":
      case "typedef":
      case "declTag":
        hash.add(...this.#hash(type.type, members, depth));
        break;
      case "array":
        hash.add(0, type.nelems);
        hash.add(...this.#hash(type.type, members, depth));
    }
    return [hash.hi, hash.lo];
  }

  #addName(hash: Hash, name: string): void {
    if (name === "") return;
    let known = this.#names.get(name);
    if (known === undefined) {
      const ofName = new Hash();
      // C's char is signed.
      for (const byte of encodeUtf8(name)) ofName.add(byte > 127 ? 0xffffffff : 0, ((byte << 24) >> 24) >>> 0);
      known = [ofName.hi, ofName.lo];
      this.#names.set(name, known);
    }
    hash.add(...known);
  }
}

const NO_HASH = [0, 0] as const;

/** `hash = hash * 31 + value` modulo 2^64. */
class Hash {
  hi = 0;
  lo = 0;

  add(hi: number, lo: number): void {
    const sum = this.lo * 31 + lo;
    this.lo = sum >>> 0;
    this.hi = (this.hi * 31 + hi + Math.floor(sum / 2 ** 32)) >>> 0;
  }
}
