// SPDX-License-Identifier: MIT
import { BTF_HEADER_SIZE, BTF_KIND, BTF_MAGIC, BTF_VERSION } from "../../../src/btf/format.js";
import type { BtfKind } from "../../../src/btf/types.js";
import { ByteWriter } from "../../../src/util/bytes.js";

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
  readonly bytes: number[] = [0];
  readonly #offsets = new Map<string, number>([["", 0]]);

  add(text: string): number {
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    const at = this.bytes.length;
    for (let i = 0; i < text.length; i++) this.bytes.push(text.charCodeAt(i) & 0xff);
    this.bytes.push(0);
    this.#offsets.set(text, at);
    return at;
  }
}

/** The second word of a `struct btf_type`. */
export function infoOf(kind: BtfKind, vlen = 0, kflag = false): number {
  return (((kflag ? 1 : 0) << 31) | (BTF_KIND[kind] << 24) | vlen) >>> 0;
}

export function encodeRaw({ header, padding, types, strings }: RawBtf): Uint8Array {
  const body = new ByteWriter();
  for (const { name, info, word, rest } of types) {
    body.u32(name).u32(info).u32(word);
    for (const more of rest) body.u32(more);
  }
  const hdrLen = BTF_HEADER_SIZE + padding.length;
  const out = new ByteWriter({ capacity: hdrLen + body.length + strings.bytes.length });
  out
    .u16(header.magic ?? BTF_MAGIC)
    .u8(header.version ?? BTF_VERSION)
    .u8(header.flags ?? 0);
  out.u32(header.hdrLen ?? hdrLen);
  out.u32(header.typeOff ?? 0).u32(header.typeLen ?? body.length);
  out.u32(header.strOff ?? body.length).u32(header.strLen ?? strings.bytes.length);
  out.bytes(Uint8Array.from(padding)).bytes(body.finish()).bytes(Uint8Array.from(strings.bytes));
  return out.finish();
}
