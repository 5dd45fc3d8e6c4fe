// SPDX-License-Identifier: MIT
import { BTF_HEADER_SIZE, BTF_KIND, BTF_MAGIC, BTF_TYPE_SIZE, BTF_VERSION } from "../../../src/btf/format.js";
import type { BtfKind } from "../../../src/btf/types.js";

/* A BTF whose every word can be anything: what the project's own writer refuses to write. */

/** One type: `struct btf_type` and the words that follow it. */
export interface RawType {
  /** Offset of the name. */
  name: number;
  info: number;
  /** Size or type. */
  word: number;
  rest: number[];
}

/** Words of the header, where they are not what they should be. */
export interface RawHeader {
  magic?: number;
  version?: number;
  flags?: number;
  hdrLen?: number;
  typeOff?: number;
  typeLen?: number;
  strOff?: number;
  strLen?: number;
}

export interface RawBtf {
  header: RawHeader;
  /** Bytes of the header beyond those of `struct btf_header`. */
  padding: number[];
  types: RawType[];
  strings: StringPool;
}

/** Strings one behind the other, one character a byte. */
export class StringPool {
  readonly #texts: string[] = [""];
  readonly #offsets = new Map<string, number>([["", 0]]);
  /** Bytes, NULs included. */
  length = 1;
  /** The first byte, where it is not NUL. */
  first = 0;
  /** A byte behind the last string. */
  last: number | null = null;

  add(text: string): number {
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    const at = this.length;
    this.#texts.push(text);
    this.length += text.length + 1;
    this.#offsets.set(text, at);
    return at;
  }

  /** The section's bytes. */
  get bytes(): Uint8Array {
    const end = this.last === null ? "" : String.fromCharCode(this.last);
    const bytes = Buffer.from(`${this.#texts.join("\0")}\0${end}`, "latin1");
    if (this.first !== 0) bytes[0] = this.first;
    return bytes;
  }
}

/** The second word of a `struct btf_type`. */
export function infoOf(kind: BtfKind, vlen = 0, kflag = false): number {
  return (((kflag ? 1 : 0) << 31) | (BTF_KIND[kind] << 24) | vlen) >>> 0;
}

/** Bytes of the types. */
export function typesLength({ types }: RawBtf): number {
  let length = 0;
  for (const { rest } of types) length += BTF_TYPE_SIZE + rest.length * 4;
  return length;
}

export function encodeRaw(raw: RawBtf): Uint8Array {
  const { header, padding, types } = raw;
  const strings = raw.strings.bytes;
  const typeLen = typesLength(raw);
  const hdrLen = BTF_HEADER_SIZE + padding.length;
  const out = Buffer.alloc(hdrLen + typeLen + strings.length);
  let at = 0;
  const u32 = (value: number): void => {
    at = out.writeUInt32LE(value >>> 0, at);
  };
  u32((header.magic ?? BTF_MAGIC) & 0xffff);
  out[2] = header.version ?? BTF_VERSION;
  out[3] = header.flags ?? 0;
  u32(header.hdrLen ?? hdrLen);
  u32(header.typeOff ?? 0);
  u32(header.typeLen ?? typeLen);
  u32(header.strOff ?? typeLen);
  u32(header.strLen ?? strings.length);
  out.set(padding, at);
  at = hdrLen;
  for (const { name, info, word, rest } of types) {
    u32(name);
    u32(info);
    u32(word);
    for (const more of rest) u32(more);
  }
  out.set(strings, at);
  return out;
}
