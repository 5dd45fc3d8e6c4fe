// SPDX-License-Identifier: MIT
import { decodeUtf8, encodeUtf8 } from "../../util/bytes.js";
import { InputError } from "../../util/errors.js";

/** Names are 32-bit offsets, of which half are enough for anybody. */
const MAX_BYTES = 0x7fffffff;

/** Smallest number of slots in the hash table; a power of two. */
const FIRST_SLOTS = 1024;

/**
 * A string section under construction that takes its strings as bytes out of other string sections and keeps
 * each once. Nothing is decoded: merging many sections handles every string many times.
 */
export class StringPool {
  #bytes: Uint8Array;
  #length: number;
  /** Offset of a string, or -1; the slot follows from the string's hash (open addressing). */
  #slots = new Int32Array(FIRST_SLOTS).fill(-1);
  #count = 0;

  /**
   * @param initial a string section to start with; its strings keep their offsets. It must end with NUL.
   * Without one the pool holds the empty string.
   */
  constructor(initial: Uint8Array = new Uint8Array(1)) {
    this.#bytes = new Uint8Array(Math.max(1024, initial.length));
    this.#bytes.set(initial);
    this.#length = initial.length;
    for (let at = 0; at < initial.length; ) {
      const end = initial.indexOf(0, at);
      const slot = this.#find(initial, at, end);
      // Of two strings that are the same the first one stands for both.
      if (this.#slots[slot] === -1) this.#occupy(slot, at);
      at = end + 1;
    }
  }

  /** Bytes of the section so far. */
  get length(): number {
    return this.#length;
  }

  /** The section's bytes, not copied: valid until the next string is added. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The string at an offset of this section. */
  text(at: number): string {
    return decodeUtf8(this.#bytes.subarray(at, this.#bytes.indexOf(0, at)));
  }

  /** Offset of the string that stands in `from` at an offset and goes to the next NUL; adds it when it is new. */
  add(from: Uint8Array, at: number): number {
    const end = from.indexOf(0, at);
    const slot = this.#find(from, at, end);
    const known = this.#slots[slot]!;
    return known >= 0 ? known : this.#append(slot, from, at, end);
  }

  /** {@link add} for a text. */
  addText(text: string): number {
    return this.add(encodeUtf8(`${text}\0`), 0);
  }

  /**
   * The offset that stands for the string at an offset of this section: that of its first occurrence. What
   * begins in the middle of another string is entered as a string of its own, where it stands.
   */
  canonical(at: number): number {
    const end = this.#bytes.indexOf(0, at);
    const slot = this.#find(this.#bytes, at, end);
    const known = this.#slots[slot]!;
    if (known >= 0) return known;
    this.#occupy(slot, at);
    return at;
  }

  /** The slot where the string is, or the free one where it belongs. */
  #find(from: Uint8Array, at: number, end: number): number {
    let hash = end - at;
    for (let i = at; i < end; i++) hash = (Math.imul(hash, 31) + from[i]!) | 0;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = Math.imul(hash ^ (hash >>> 15), 0x9e3779b1) >>> 0;
    for (slot = (slot ^ (slot >>> 13)) & mask; ; slot = (slot + 1) & mask) {
      const known = slots[slot]!;
      if (known === -1 || this.#same(known, from, at, end)) return slot;
    }
  }

  #same(known: number, from: Uint8Array, at: number, end: number): boolean {
    const bytes = this.#bytes;
    for (let i = at; i < end; i++, known++) if (bytes[known] !== from[i]) return false;
    return bytes[known] === 0;
  }

  #append(slot: number, from: Uint8Array, at: number, end: number): number {
    const offset = this.#length;
    const need = offset + (end - at) + 1;
    if (need > MAX_BYTES) throw new InputError("BTF strings of more than 2 GiB");
    if (need > this.#bytes.length) {
      const bigger = new Uint8Array(Math.max(need, this.#bytes.length * 2));
      bigger.set(this.bytes);
      this.#bytes = bigger;
    }
    // Growing leaves zeros behind the string.
    this.#bytes.set(from.subarray(at, end), offset);
    this.#length = need;
    this.#occupy(slot, offset);
    return offset;
  }

  #occupy(slot: number, offset: number): void {
    this.#slots[slot] = offset;
    this.#count++;
    if (this.#count * 2 <= this.#slots.length) return;
    const old = this.#slots;
    this.#slots = new Int32Array(old.length * 2).fill(-1);
    for (const known of old) {
      if (known >= 0) this.#slots[this.#find(this.#bytes, known, this.#bytes.indexOf(0, known))] = known;
    }
  }
}
