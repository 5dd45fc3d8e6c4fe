// SPDX-License-Identifier: MIT
import { BugError, InputError } from "./errors.js";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** UTF-8 bytes of a string. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text of UTF-8 bytes; malformed sequences become U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** How a {@link ByteReader} reads. */
export interface ReaderOptions {
  /** What the bytes are, for messages: `ELF header`, `.BTF section`. */
  readonly what: string;
  /** Default true. */
  readonly littleEndian?: boolean;
}

/**
 * Reads fixed-width fields one after the other and never past the end. Every method that reads takes the
 * name of the field, for the message.
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly what: string;
  readonly littleEndian: boolean;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array, options: ReaderOptions) {
    this.bytes = bytes;
    this.what = options.what;
    this.littleEndian = options.littleEndian ?? true;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes from the start to the next field. */
  get offset(): number {
    return this.#offset;
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Bytes from the next field to the end. */
  get remaining(): number {
    return this.bytes.length - this.#offset;
  }

  /**
   * Moves to an offset; the end itself is allowed.
   * @throws InputError when the offset is outside.
   */
  seek(offset: number, field: string): void {
    if (!Number.isInteger(offset) || offset < 0 || offset > this.bytes.length) {
      throw new InputError(`${this.what}: ${field} is at offset ${offset}, but there are only ${this.length} bytes`);
    }
    this.#offset = offset;
  }

  /** Steps over bytes without looking at them. */
  skip(count: number, field: string): void {
    this.#take(count, field);
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(1, field));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(2, field), this.littleEndian);
  }

  i16(field: string): number {
    return this.#view.getInt16(this.#take(2, field), this.littleEndian);
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(4, field), this.littleEndian);
  }

  i32(field: string): number {
    return this.#view.getInt32(this.#take(4, field), this.littleEndian);
  }

  u64(field: string): bigint {
    return this.#view.getBigUint64(this.#take(8, field), this.littleEndian);
  }

  i64(field: string): bigint {
    return this.#view.getBigInt64(this.#take(8, field), this.littleEndian);
  }

  /**
   * A 64-bit count of bytes or an offset as a number.
   * @throws InputError beyond 2^53-1.
   */
  size64(field: string): number {
    const at = this.#offset;
    const value = this.u64(field);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new InputError(`${this.what}: ${field} at offset ${at} is impossibly large: ${value}`);
    }
    return Number(value);
  }

  /** The next bytes, not copied. */
  take(count: number, field: string): Uint8Array {
    const at = this.#take(count, field);
    return this.bytes.subarray(at, at + count);
  }

  /**
   * Bytes somewhere else, not copied; the place of reading stays.
   * @throws InputError when they are not all inside.
   */
  slice(offset: number, count: number, field: string): Uint8Array {
    if (!Number.isInteger(offset) || !Number.isInteger(count) || offset < 0 || count < 0) {
      throw new InputError(`${this.what}: ${field} has an impossible place: offset ${offset}, ${count} bytes`);
    }
    if (offset + count > this.bytes.length) {
      throw new InputError(
        `${this.what}: ${field} (offset ${offset}, ${count} bytes) does not fit in the ${this.length} bytes there are`,
      );
    }
    return this.bytes.subarray(offset, offset + count);
  }

  #take(count: number, field: string): number {
    const at = this.#offset;
    if (!(count >= 0 && at + count <= this.bytes.length)) {
      throw new InputError(
        `${this.what}: expected ${field} (${count} bytes) at offset ${at}, but only ${this.remaining} bytes are left`,
      );
    }
    this.#offset = at + count;
    return at;
  }
}

/**
 * Strings may share their ends, so a small crafted table can stand for gigabytes of text. What is decoded
 * in all is held below this many times the table's size.
 */
const STRING_BUDGET_FACTOR = 16;

/** From this many strings on it pays to decode the whole table at once. */
const STRINGS_BEFORE_WHOLE = 256;
/** Strings up to this length are cut from the whole again each time: looking them up would take longer. */
const SHORT_STRING = 64;

/**
 * The table as one text in which each byte is one character, so that offsets mean the same; undefined when it
 * holds longer sequences. (Decoding never makes more characters than bytes, so equal lengths say it.)
 */
function bytewiseText(table: Uint8Array): string | undefined {
  const text = decoder.decode(table);
  return text.length === table.length ? text : undefined;
}

/**
 * Gives the NUL-terminated strings of a string table by their offsets; decodes each long one once.
 * The function that it returns throws InputError when an offset is outside, a string does not end inside,
 * or the strings overlap beyond reason.
 */
export function stringTableReader(table: Uint8Array, what: string): (offset: number) => string {
  const cache = new Map<number, string>();
  let budget = table.length * STRING_BUDGET_FACTOR;
  let whole: string | undefined;
  const first = (offset: number): string => {
    if (offset < 0 || offset >= table.length) {
      throw new InputError(`${what}: string offset ${offset} is outside of the table of ${table.length} bytes`);
    }
    const end = table.indexOf(0, offset);
    if (end < 0) throw new InputError(`${what}: string at offset ${offset} is not terminated by NUL`);
    budget -= end - offset;
    if (budget < 0) throw new InputError(`${what}: strings overlap beyond reason`);
    if (cache.size === STRINGS_BEFORE_WHOLE) whole = bytewiseText(table);
    const text = whole === undefined ? decoder.decode(table.subarray(offset, end)) : whole.slice(offset, end);
    cache.set(offset, text);
    return text;
  };
  return (offset) => {
    if (whole !== undefined && offset >= 0 && offset < whole.length) {
      const end = whole.indexOf("\0", offset);
      if (end >= 0 && end - offset <= SHORT_STRING) return whole.slice(offset, end);
    }
    return cache.get(offset) ?? first(offset);
  };
}

/** Writes fixed-width fields one after the other into a buffer that grows. Values are taken modulo their width. */
export class ByteWriter {
  readonly littleEndian: boolean;
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(options: { readonly littleEndian?: boolean; readonly capacity?: number } = {}) {
    this.littleEndian = options.littleEndian ?? true;
    this.#bytes = new Uint8Array(Math.max(16, options.capacity ?? 256));
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far, which is the offset of the next field. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, this.littleEndian);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, this.littleEndian);
    return this;
  }

  i32(value: number): this {
    const at = this.#grow(4);
    this.#view.setInt32(at, value, this.littleEndian);
    return this;
  }

  u64(value: bigint | number): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value), this.littleEndian);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  zeros(count: number): this {
    this.#grow(count);
    return this;
  }

  /** Zeros up to the next multiple of `to`. */
  align(to: number): this {
    const rest = this.#length % to;
    return rest === 0 ? this : this.zeros(to - rest);
  }

  /** Overwrites four bytes that stand already. */
  patchU32(at: number, value: number): this {
    if (at < 0 || at + 4 > this.#length) throw new BugError(`patch at ${at} is outside of ${this.#length} bytes`);
    this.#view.setUint32(at, value, this.littleEndian);
    return this;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Makes room and gives its offset. Call it before touching the buffer: growing replaces buffer and view. */
  #grow(count: number): number {
    const at = this.#length;
    const need = at + count;
    if (need > this.#bytes.length) {
      const bigger = new Uint8Array(Math.max(need, this.#bytes.length * 2));
      bigger.set(this.#bytes);
      this.#bytes = bigger;
      this.#view = new DataView(bigger.buffer);
    }
    this.#length = need;
    return at;
  }
}
