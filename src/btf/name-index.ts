// SPDX-License-Identifier: MIT

import { kindHasName } from "./decode.js";
import { BTF_KIND } from "./format.js";
import type { BtfKind } from "./types.js";

/** Bytes of a name that are hashed: names are short, and a crafted section may hold one that has no end. */
const HASHED_BYTES = 64;
/** Searches that go through all types; from the next one on an index answers. */
const SCANS = 3;

const kindNumber = (info: number): number => (info >>> 24) & 0x1f;

/** The strings that a BTF's names are in: its own section behind the base's. */
export class NameBytes {
  readonly bytes: Uint8Array;
  /** Offset of the first of the own strings: where the base's end. */
  readonly start: number;
  readonly #base: NameBytes | undefined;

  constructor(bytes: Uint8Array, base?: NameBytes) {
    this.bytes = bytes;
    this.#base = base;
    this.start = base?.end ?? 0;
  }

  /** Offset behind the last string. */
  get end(): number {
    return this.start + this.bytes.length;
  }

  /** Whether the string at an offset is this one; an offset outside has none. */
  equals(offset: number, name: Uint8Array): boolean {
    if (this.#base !== undefined && offset < this.start) return this.#base.equals(offset, name);
    const at = offset - this.start;
    return this.bytes[at + name.length] === 0 && this.#startsWith(at, name);
  }

  /** {@link equals} for many offsets: compares a long string once, however many types have it. */
  matcher(name: Uint8Array): (offset: number) => boolean {
    if (name.length <= HASHED_BYTES) return (offset) => this.equals(offset, name);
    const known = new Map<number, boolean>();
    return (offset) => {
      let equal = known.get(offset);
      if (equal === undefined) {
        equal = this.equals(offset, name);
        known.set(offset, equal);
      }
      return equal;
    };
  }

  /** Hash of the string at an offset. */
  hash(offset: number): number {
    if (this.#base !== undefined && offset < this.start) return this.#base.hash(offset);
    return hashBytes(this.bytes, offset - this.start);
  }

  /** A test of which strings, by offset, have these bytes somewhere. One pass over the section prepares it. */
  containing(part: Uint8Array): (offset: number) => boolean {
    const inBase = this.#base?.containing(part);
    // Where the part stands, ascending, and where the string around it begins.
    const hits = findBytes(this.bytes, part);
    const begins = hits.map((at) => this.bytes.lastIndexOf(0, at) + 1);
    const last = hits.at(-1) ?? -1;
    return (offset) => {
      if (inBase !== undefined && offset < this.start) return inBase(offset);
      const at = offset - this.start;
      if (at > last) return false;
      let low = 0;
      for (let high = hits.length; low < high; ) {
        const middle = (low + high) >>> 1;
        if (hits[middle]! < at) low = middle + 1;
        else high = middle;
      }
      return begins[low]! <= at;
    };
  }

  #startsWith(at: number, part: Uint8Array): boolean {
    for (let i = 0; i < part.length; i++) if (this.bytes[at + i] !== part[i]) return false;
    return true;
  }
}

/** Every place where the part begins, overlapping ones too (Horspool: what cannot be its end is leapt over). */
function findBytes(bytes: Uint8Array, part: Uint8Array): number[] {
  const end = part.length - 1;
  const leap = new Uint8Array(256).fill(Math.min(255, part.length));
  for (let i = 0; i < end; i++) leap[part[i]!] = Math.min(255, end - i);
  const hits: number[] = [];
  for (let at = end; at < bytes.length; at += leap[bytes[at]!]!) {
    let i = 0;
    while (i <= end && bytes[at - i] === part[end - i]) i++;
    if (i > end) hits.push(at - end);
  }
  return hits;
}

/** FNV-1a up to a NUL or the end. */
function hashBytes(bytes: Uint8Array, from: number): number {
  const end = Math.min(bytes.length, from + HASHED_BYTES);
  let hash = 0x811c9dc5;
  for (let i = from; i < end; i++) {
    const byte = bytes[i]!;
    if (byte === 0) break;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash ^ (hash >>> 15);
}

/**
 * Finds the types of one section by name. The first searches look at every type, which is all that a program
 * with one question needs; whoever asks more gets a hash index.
 */
export class NameIndex {
  readonly #words: Uint32Array;
  readonly #offsets: Uint32Array;
  readonly #names: NameBytes;
  #searches = 0;
  /** First type of each chain of equal hashes, and the one that follows each type; index + 1, 0 at the end. */
  #heads: Uint32Array | undefined;
  #next: Uint32Array | undefined;

  constructor(words: Uint32Array, offsets: Uint32Array, names: NameBytes) {
    this.#words = words;
    this.#offsets = offsets;
    this.#names = names;
  }

  /** Indices of the types with this name and kind, ascending; anonymous types are not found. */
  find(name: Uint8Array, kind?: BtfKind): number[] {
    if (name.length === 0) return [];
    const wanted = kind === undefined ? undefined : BTF_KIND[kind];
    if (this.#heads === undefined && this.#searches++ < SCANS) return this.#scan(name, wanted);
    this.#heads ??= this.#index();
    const found: number[] = [];
    const matches = this.#names.matcher(name);
    let at = this.#heads[hashBytes(name, 0) & (this.#heads.length - 1)]!;
    for (; at !== 0; at = this.#next![at - 1]!) {
      if (this.#isNamed(at - 1, wanted) && matches(this.#words[this.#offsets[at - 1]!]!)) found.push(at - 1);
    }
    return found;
  }

  /** Indices of the types whose names have these bytes somewhere, ascending. */
  findContaining(part: Uint8Array): number[] {
    const has = this.#names.containing(part);
    const found: number[] = [];
    for (let i = 0; i < this.#offsets.length; i++) {
      const offset = this.#words[this.#offsets[i]!]!;
      if (offset !== 0 && has(offset) && this.#isNamed(i, undefined)) found.push(i);
    }
    return found;
  }

  #scan(name: Uint8Array, kind: number | undefined): number[] {
    const words = this.#words;
    const offsets = this.#offsets;
    const { bytes, start } = this.#names;
    const first = name[0]!;
    const length = name.length;
    const matches = this.#names.matcher(name);
    const found: number[] = [];
    // Most programs come this way once, uncompiled at first: two bytes tell nearly all names apart.
    for (let i = 0; i < offsets.length; i++) {
      const offset = words[offsets[i]!]!;
      if (offset < start) {
        if (matches(offset) && this.#isNamed(i, kind)) found.push(i);
      } else {
        const at = offset - start;
        if (bytes[at] !== first || bytes[at + length] !== 0) continue;
        if (matches(offset) && this.#isNamed(i, kind)) found.push(i);
      }
    }
    return found;
  }

  /** Whether a type has a name at all and is of the kind, if one is given. */
  #isNamed(index: number, kind: number | undefined): boolean {
    const at = this.#offsets[index]!;
    const info = this.#words[at + 1]!;
    if (this.#words[at] === 0) return false;
    return kind === undefined ? kindHasName(info) : kindNumber(info) === kind && kindHasName(info);
  }

  #index(): Uint32Array {
    const count = this.#offsets.length;
    const heads = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(16, count))));
    const next = new Uint32Array(count);
    // From the last one backwards, so that chains are ascending.
    for (let i = count - 1; i >= 0; i--) {
      const offset = this.#words[this.#offsets[i]!]!;
      if (offset === 0) continue;
      const slot = this.#names.hash(offset) & (heads.length - 1);
      next[i] = heads[slot]!;
      heads[slot] = i + 1;
    }
    this.#next = next;
    return heads;
  }
}
