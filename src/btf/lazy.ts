// SPDX-License-Identifier: MIT
import { encodeUtf8, stringTableReader } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import { markReferenced, readSections, typeOffsets } from "./blob.js";
import { kindHasName, kindOfInfo, TypeDecoder } from "./decode.js";
import { lazyArray } from "./lazy-array.js";
import { NameBytes, NameIndex } from "./name-index.js";
import type { Btf, BtfKind, BtfType } from "./types.js";

/** BTF that is asked for single types. */
export interface BtfIndex extends Btf {
  /** Bytes of types and names, for types that are decoded about; what limits are measured by. */
  readonly byteLength: number;
  /** @throws InputError when the id is out of range or the type malformed. */
  typeById(id: number): BtfType;
  /** Ids of the types with this name (and kind), ascending. Anonymous types are not found. */
  idsByName(name: string, kind?: BtfKind): readonly number[];
  /** @throws InputError when the id is out of range. */
  kindById(id: number): BtfKind;
  /** The type's name, empty for an anonymous one. @throws InputError as {@link typeById}. */
  nameById(id: number): string;
}

/** Types of a part share the bits of their ids above these. */
const PART_BITS = 6;
const PART_MASK = (1 << PART_BITS) - 1;

const VOID: BtfType = { kind: "void" };

/**
 * BTF whose types are decoded when they are asked for, for a kernel's, of which a program needs little: opening
 * it is one pass over the heads of the types, finding a name one over their names. `types` is there for whoever
 * takes a {@link Btf}; its elements, too, are decoded when first read.
 *
 * A split BTF continues its base: its ids and the offsets of its strings begin where the base's end.
 */
export class LazyBtf implements BtfIndex {
  readonly base: LazyBtf | undefined;
  /** Id of the first type of its own: 1, or how many the base has. */
  readonly firstId: number;
  /** Number of types with void and the base's, one more than the last id. */
  readonly length: number;
  readonly littleEndian: boolean;
  readonly byteLength: number;
  #types: readonly BtfType[] | undefined;
  /** Types decoded so far, in parts that are made when needed: an array of all would take longer than opening. */
  readonly #decoded: (BtfType | undefined)[][] = [];
  readonly #words: Uint32Array;
  readonly #offsets: Uint32Array;
  readonly #ownString: (offset: number) => string;
  readonly #decoder: TypeDecoder;
  readonly #nameBytes: NameBytes;
  readonly #names: NameIndex;

  /** @throws InputError for a malformed header or types that cannot be told apart. */
  constructor(bytes: Uint8Array, base?: LazyBtf) {
    const sections = readSections(bytes, { split: base !== undefined });
    this.base = base;
    this.firstId = base?.length ?? 1;
    this.littleEndian = sections.littleEndian;
    this.#words = sections.words;
    this.byteLength = (base?.byteLength ?? 0) + sections.words.byteLength + sections.strings.length;
    this.#offsets = typeOffsets(sections, this.firstId);
    this.length = this.firstId + this.#offsets.length;
    this.#ownString = stringTableReader(sections.strings, "BTF string section");
    this.#decoder = new TypeDecoder(this.#words, (offset) => this.stringAt(offset), this.length);
    this.#nameBytes = new NameBytes(sections.strings, base === undefined ? undefined : base.#nameBytes);
    this.#names = new NameIndex(this.#words, this.#offsets, this.#nameBytes);
  }

  /** Every type, decoded when first read. */
  get types(): readonly BtfType[] {
    this.#types ??= lazyArray(this.length, (id) => this.typeById(id));
    return this.#types;
  }

  /** Offset behind the last string: where a split BTF's own strings begin. */
  get stringsEnd(): number {
    return this.#nameBytes.end;
  }

  /** The string at an offset, in the base's section or its own. @throws InputError when it is outside. */
  stringAt(offset: number): string {
    if (this.base === undefined) return this.#ownString(offset);
    const { stringsEnd } = this.base;
    return offset < stringsEnd ? this.base.stringAt(offset) : this.#ownString(offset - stringsEnd);
  }

  typeById(id: number): BtfType {
    if (!(id >= 0 && id < this.length)) throw this.#outOfRange(id);
    let part = this.#decoded[id >>> PART_BITS];
    if (part === undefined) {
      part = [];
      this.#decoded[id >>> PART_BITS] = part;
    }
    let type = part[id & PART_MASK];
    if (type === undefined) {
      type = this.#decode(id);
      part[id & PART_MASK] = type;
    }
    return type;
  }

  kindById(id: number): BtfKind {
    if (id === 0) return "void";
    if (this.base !== undefined && id < this.firstId) return this.base.kindById(id);
    // Opening has refused unknown kinds.
    return kindOfInfo(this.#words[this.#offsetOf(id) + 1]!)!;
  }

  nameById(id: number): string {
    if (id === 0) return "";
    if (this.base !== undefined && id < this.firstId) return this.base.nameById(id);
    const at = this.#offsetOf(id);
    const offset = this.#words[at]!;
    return offset === 0 || !kindHasName(this.#words[at + 1]!) ? "" : this.stringAt(offset);
  }

  idsByName(name: string, kind?: BtfKind): readonly number[] {
    const below = this.base?.idsByName(name, kind) ?? [];
    const own = this.ownIdsByName(name, kind);
    return own.length === 0 ? below : [...below, ...own];
  }

  /** Ids of its own types (not the base's) whose names have this text somewhere, ascending. */
  ownIdsByNamePart(part: string): readonly number[] {
    return this.#names.findContaining(encodeUtf8(part)).map((index) => this.firstId + index);
  }

  /** Ids of its own types (not the base's) with this name, ascending. */
  ownIdsByName(name: string, kind?: BtfKind): readonly number[] {
    return this.#names.find(encodeUtf8(name), kind).map((index) => this.firstId + index);
  }

  /**
   * Marks by id the types that others refer to (but for what functions return), without decoding any.
   * @param marks one for each type, the base's included.
   */
  markReferenced(marks: Uint8Array): void {
    this.base?.markReferenced(marks);
    markReferenced(this.#words, this.#offsets, marks);
  }

  #offsetOf(id: number): number {
    const offset = this.#offsets[id - this.firstId];
    if (offset === undefined) throw this.#outOfRange(id);
    return offset;
  }

  #outOfRange(id: number): InputError {
    return new InputError(`BTF type id ${id} is out of range (0-${this.length - 1})`);
  }

  #decode(id: number): BtfType {
    if (id === 0) return VOID;
    if (this.base !== undefined && id < this.firstId) return this.base.typeById(id);
    return this.#decoder.decode(id, this.#offsetOf(id));
  }
}

/**
 * Opens a BTF blob of either byte order without decoding its types.
 * @param options.base the BTF that this one continues (a kernel module's: vmlinux).
 * @throws InputError for a malformed header or types that cannot be told apart; what is wrong inside of a type
 *   comes to light when it is asked for.
 */
export function openBtf(bytes: Uint8Array, options: { readonly base?: LazyBtf } = {}): LazyBtf {
  return new LazyBtf(bytes, options.base);
}

/** Gives any BTF the questions of a lazy one. */
export function indexBtf(btf: Btf): BtfIndex {
  if (btf instanceof LazyBtf) return btf;
  return new DecodedIndex(btf.types);
}

/** Longer names count as this long: several types may have one. */
const LONG_NAME = 32;

/** Bytes that a type takes in a blob, about. */
function bytesOf(type: BtfType): number {
  const ofName = (name: string): number => Math.min(name.length, LONG_NAME);
  let bytes = "name" in type ? 16 + ofName(type.name) : 16;
  const add = (parts: readonly { readonly name: string }[]): void => {
    for (const { name } of parts) bytes += 12 + ofName(name);
  };
  if ("members" in type) add(type.members);
  if ("values" in type) add(type.values);
  if ("params" in type) add(type.params);
  if ("vars" in type) bytes += 12 * type.vars.length;
  return bytes;
}

/** {@link BtfIndex} over types that are all there. */
class DecodedIndex implements BtfIndex {
  readonly types: readonly BtfType[];
  #byName: Map<string, number[]> | undefined;
  #byteLength: number | undefined;

  constructor(types: readonly BtfType[]) {
    this.types = types;
  }

  typeById(id: number): BtfType {
    const type = this.types[id];
    if (type === undefined) throw new InputError(`BTF type id ${id} is out of range (0-${this.types.length - 1})`);
    return type;
  }

  get byteLength(): number {
    this.#byteLength ??= this.types.reduce((sum, type) => sum + bytesOf(type), 0);
    return this.#byteLength;
  }

  kindById(id: number): BtfKind {
    return this.typeById(id).kind;
  }

  nameById(id: number): string {
    const type = this.typeById(id);
    return "name" in type ? type.name : "";
  }

  idsByName(name: string, kind?: BtfKind): readonly number[] {
    this.#byName ??= this.#index();
    const ids = this.#byName.get(name) ?? [];
    return kind === undefined ? ids : ids.filter((id) => this.types[id]?.kind === kind);
  }

  #index(): Map<string, number[]> {
    const byName = new Map<string, number[]>();
    this.types.forEach((_, id) => {
      const name = this.nameById(id);
      if (name === "") return;
      const ids = byName.get(name);
      if (ids === undefined) byName.set(name, [id]);
      else ids.push(id);
    });
    return byName;
  }
}
