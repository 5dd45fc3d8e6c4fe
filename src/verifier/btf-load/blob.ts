// SPDX-License-Identifier: GPL-2.0-only
import { BTF_KIND, BTF_MAX_NAME_OFFSET, BTF_TYPE_SIZE } from "../../btf/format.js";
import { Limit } from "../../kernel/limits.js";

/** sizeof(struct btf_header), of which a shorter header leaves the rest zero. */
export interface BtfHeader {
  readonly magic: number;
  readonly version: number;
  readonly flags: number;
  readonly hdrLen: number;
  readonly typeOff: number;
  readonly typeLen: number;
  readonly strOff: number;
  readonly strLen: number;
}

const ALPHA = 1;
const DIGIT = 2;
const PRINT = 4;

/** What lib/ctype.c of the kernel says of a byte: it knows Latin-1. */
const CTYPE = Uint8Array.from({ length: 256 }, (_, c) => {
  const latin = c >= 0xc0 && c !== 0xd7 && c !== 0xf7;
  const alpha = latin || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a);
  const digit = c >= 0x30 && c <= 0x39;
  const print = (c >= 0x20 && c <= 0x7e) || c >= 0xa0;
  return (alpha ? ALPHA : 0) | (digit ? DIGIT : 0) | (print ? PRINT : 0);
});

const UNDERSCORE = 0x5f;
const DOT = 0x2e;

/** Characters of names that are kept for the next message. */
const KEPT = 1 << 20;
/** Bytes that are made characters in one go. */
const PIECE = 2048;
/** Longest part of a name that comes into a message. */
const SHOWN = Limit.BPF_VERIFIER_TMP_LOG_SIZE;

/**
 * The bytes of a BTF with the types found in them. A type is known by its id (0 is void); what the checks of the
 * running type see before it counts stands at id {@link count}.
 */
export class LoadedBtf {
  readonly bytes: Uint8Array;
  readonly header: BtfHeader;
  private readonly view: DataView;
  /** First byte of the strings. */
  private readonly strings: number;
  private readonly infos: Uint32Array;
  private readonly words: Uint32Array;
  private readonly names: Uint32Array;
  private readonly offsets: Uint32Array;
  private readonly shown = new Map<number, string>();
  private shownLength = 0;
  /** Types, void included: btf->nr_types. */
  count = 1;

  constructor(bytes: Uint8Array, header: BtfHeader) {
    this.bytes = bytes;
    this.header = header;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.strings = header.hdrLen + header.strOff;
    const room = Math.floor(header.typeLen / BTF_TYPE_SIZE) + 2;
    this.infos = new Uint32Array(room);
    this.words = new Uint32Array(room);
    this.names = new Uint32Array(room);
    this.offsets = new Uint32Array(room);
  }

  /** The 32-bit word at `offset` of the bytes. */
  u32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  /** Puts the `struct btf_type` at `offset` at id {@link count}, without counting it. */
  look(offset: number): void {
    const at = this.count;
    this.names[at] = this.u32(offset);
    this.infos[at] = this.u32(offset + 4);
    this.words[at] = this.u32(offset + 8);
    this.offsets[at] = offset + BTF_TYPE_SIZE;
  }

  /** Whether there is a type of this id: btf_type_by_id() is not NULL. */
  has(id: number): boolean {
    return id < this.count;
  }

  info(id: number): number {
    return this.infos[id]!;
  }

  kind(id: number): number {
    return (this.infos[id]! >>> 24) & 0x1f;
  }

  vlen(id: number): number {
    return this.infos[id]! & 0xffff;
  }

  kflag(id: number): boolean {
    return this.infos[id]! >>> 31 !== 0;
  }

  /** `t->size` or `t->type`. */
  word(id: number): number {
    return this.words[id]!;
  }

  nameOff(id: number): number {
    return this.names[id]!;
  }

  /** Offset of what follows the `struct btf_type`. */
  rest(id: number): number {
    return this.offsets[id]!;
  }

  /** Mirrors btf_type_is_modifier(). */
  isModifier(id: number): boolean {
    const kind = this.kind(id);
    return (kind >= BTF_KIND.typedef && kind <= BTF_KIND.restrict) || kind === BTF_KIND.typeTag;
  }

  /** Mirrors btf_type_skip_modifiers(). */
  skipModifiers(id: number): number {
    while (this.isModifier(id)) id = this.word(id);
    return id;
  }

  /** Mirrors __btf_member_bit_offset(): of the member at `member` of a struct. */
  bitOffset(struct: number, member: number): number {
    const offset = this.u32(member + 8);
    return this.kflag(struct) ? offset & 0xffffff : offset;
  }

  /** Mirrors btf_name_offset_valid(). */
  nameOffsetValid(offset: number): boolean {
    return offset <= BTF_MAX_NAME_OFFSET && offset < this.header.strLen;
  }

  /** Whether the string at a valid offset is empty. */
  isEmpty(offset: number): boolean {
    return this.bytes[this.strings + offset] === 0;
  }

  /** Mirrors btf_name_valid_identifier(). */
  validIdentifier(offset: number): boolean {
    const { bytes } = this;
    let at = this.strings + offset;
    const limit = at + Limit.KSYM_NAME_LEN;
    for (let allowed = ALPHA; ; allowed = ALPHA | DIGIT) {
      const c = bytes[at]!;
      if ((CTYPE[c]! & allowed) === 0 && c !== UNDERSCORE && c !== DOT) return false;
      at++;
      if (bytes[at] === 0) return true;
      if (at >= limit) return false;
    }
  }

  /** Mirrors btf_name_valid_section(). */
  validSection(offset: number): boolean {
    const { bytes } = this;
    let at = this.strings + offset;
    const limit = at + Limit.KSYM_NAME_LEN;
    if (bytes[at] === 0) return false;
    for (; bytes[at] !== 0 && at < limit; at++) if ((CTYPE[bytes[at]!]! & PRINT) === 0) return false;
    return bytes[at] === 0;
  }

  /** A string, one character a byte, as far as a message can show it. Mirrors __btf_name_by_offset(). */
  shownName(offset: number): string {
    if (offset === 0) return "(anon)";
    if (offset >= this.header.strLen) return "(invalid-name-offset)";
    let text = this.shown.get(offset);
    if (text === undefined) {
      text = this.text(offset, SHOWN);
      this.remember(offset, text);
    }
    return text;
  }

  /** Names may share their ends: short bytes hold very many long ones. */
  private remember(offset: number, text: string): void {
    this.shownLength += text.length;
    if (this.shownLength > KEPT) {
      this.shown.clear();
      this.shownLength = text.length;
    }
    this.shown.set(offset, text);
  }

  /** Whether the string at a valid offset is this one, one character a byte. */
  textIs(offset: number, text: string): boolean {
    const { bytes } = this;
    const from = this.strings + offset;
    for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text.charCodeAt(i)) return false;
    return bytes[from + text.length] === 0;
  }

  /** The string at a valid offset, one character a byte. */
  text(offset: number, most = Number.MAX_SAFE_INTEGER): string {
    const { bytes } = this;
    const from = this.strings + offset;
    const end = Math.min(bytes.indexOf(0, from), from + most);
    let text = "";
    for (let at = from; at < end; at += PIECE) {
      // Spreading would go through an iterator, which takes ten times as long.
      text += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(end, at + PIECE)) as unknown as number[]);
    }
    return text;
  }
}
