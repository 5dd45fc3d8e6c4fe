// SPDX-License-Identifier: MIT
import { ByteReader } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import {
  BTF_HEADER_SIZE,
  BTF_KIND,
  BTF_MAGIC,
  BTF_MAX_SIZE,
  BTF_MAX_TYPE,
  BTF_MIN_HEADER_SIZE,
  BTF_TYPE_SIZE,
  BTF_VERSION,
} from "./format.js";

/** The two sections of a BTF blob, its types not yet decoded. */
export interface BtfSections {
  /** The type section: nothing but 32-bit words, here in the machine's byte order. */
  readonly words: Uint32Array;
  /** Bytes of the type section behind the last whole word; more than 0 is malformed. */
  readonly rest: number;
  /** The string section. */
  readonly strings: Uint8Array;
  readonly littleEndian: boolean;
}

/** Whether this machine is little-endian. */
export const HOST_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/**
 * Reads the header and finds the sections.
 * @param split whether the blob continues another one: its string section then need not begin with a NUL.
 * @throws InputError for a malformed header and for sections that do not fit.
 */
export function readSections(bytes: Uint8Array, { split = false } = {}): BtfSections {
  if (bytes.length > BTF_MAX_SIZE) {
    throw new InputError(`BTF: ${bytes.length} bytes is larger than the limit of ${BTF_MAX_SIZE}`);
  }
  const littleEndian = readMagic(bytes);
  const { types, strings } = readHeader(new ByteReader(bytes, { what: "BTF header", littleEndian }));
  const first = split ? 0 : strings[0];
  // A split blob may have no strings of its own.
  const last = split && strings.length === 0 ? 0 : strings[strings.length - 1];
  if (first !== 0 || last !== 0) throw new InputError("BTF string section must begin and end with a NUL byte");
  return { words: asWords(types, littleEndian), rest: types.length % 4, strings, littleEndian };
}

function readMagic(bytes: Uint8Array): boolean {
  const magic = new ByteReader(bytes, { what: "BTF header" }).u16("magic");
  if (magic === BTF_MAGIC) return true;
  const swapped = ((BTF_MAGIC & 0xff) << 8) | (BTF_MAGIC >> 8);
  if (magic === swapped) return false;
  throw new InputError(
    `BTF header: magic at offset 0 is 0x${magic.toString(16)}, expected 0x${BTF_MAGIC.toString(16)}`,
  );
}

function readHeader(reader: ByteReader): { types: Uint8Array; strings: Uint8Array } {
  reader.skip(2, "magic");
  const version = reader.u8("version");
  if (version !== BTF_VERSION) throw new InputError(`BTF header: version ${version}, expected ${BTF_VERSION}`);
  const flags = reader.u8("flags");
  if (flags !== 0) throw new InputError(`BTF header: flags 0x${flags.toString(16)}, expected 0`);
  const headerLength = reader.u32("hdr_len");
  // libbpf does not look at it; the kernel makes do without the upper bytes of str_len, the last field.
  if (headerLength < BTF_MIN_HEADER_SIZE) {
    throw new InputError(`BTF header: hdr_len ${headerLength}, expected ${BTF_HEADER_SIZE} or more`);
  }
  const typeOff = reader.u32("type_off");
  const typeLen = reader.u32("type_len");
  const strOff = reader.u32("str_off");
  const strLen = reader.u32("str_len");
  if (typeOff % 4 !== 0) throw new InputError(`BTF header: type_off ${typeOff} is not a multiple of 4`);
  if (typeOff + typeLen > strOff) {
    throw new InputError(`BTF header: types at ${typeOff}, ${typeLen} bytes, overlap strings at ${strOff}`);
  }
  const types = reader.slice(headerLength + typeOff, typeLen, "type section");
  const strings = reader.slice(headerLength + strOff, strLen, "string section");
  return { types, strings };
}

/** The bytes as words: themselves when they are aligned and in the machine's order, else a copy. */
function asWords(bytes: Uint8Array, littleEndian: boolean): Uint32Array {
  const count = bytes.length >>> 2;
  if (littleEndian === HOST_LITTLE_ENDIAN && bytes.byteOffset % 4 === 0) {
    return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = new Uint32Array(count);
  for (let i = 0; i < count; i++) words[i] = view.getUint32(i * 4, littleEndian);
  return words;
}

/** What stands behind a type's head: words in any case, and words for each of its parts. By BTF_KIND_*. */
const FIXED_WORDS = new Uint8Array(32);
export const PART_WORDS = new Uint8Array(32);
FIXED_WORDS[BTF_KIND.int] = 1;
FIXED_WORDS[BTF_KIND.array] = 3;
FIXED_WORDS[BTF_KIND.var] = 1;
FIXED_WORDS[BTF_KIND.declTag] = 1;
PART_WORDS[BTF_KIND.struct] = 3;
PART_WORDS[BTF_KIND.union] = 3;
PART_WORDS[BTF_KIND.enum] = 2;
PART_WORDS[BTF_KIND.enum64] = 3;
PART_WORDS[BTF_KIND.funcProto] = 2;
PART_WORDS[BTF_KIND.datasec] = 3;

const HEAD_WORDS = BTF_TYPE_SIZE / 4;

/**
 * Where each type begins, in words from the start of the type section: one pass over the types' heads.
 * @param firstId id of the first type: 1, or how many types the base has.
 * @throws InputError for an unknown kind, a type that is cut, or more types than BTF can number.
 */
export function typeOffsets({ words, rest }: BtfSections, firstId = 1): Uint32Array {
  const end = words.length;
  // Types are three words at least, so this is enough and no more than the section's own size.
  const offsets = new Uint32Array(Math.floor(end / HEAD_WORDS));
  let count = 0;
  let at = 0;
  while (at + HEAD_WORDS <= end) {
    const info = words[at + 1]!;
    const kind = (info >>> 24) & 0x1f;
    const next = at + HEAD_WORDS + FIXED_WORDS[kind]! + PART_WORDS[kind]! * (info & 0xffff);
    if (next > end || kind === 0 || kind > BTF_KIND.enum64) break;
    offsets[count++] = at;
    at = next;
  }
  if (at !== end || rest !== 0) throw unreadable(words, rest, at, firstId + count);
  if (firstId + count - 1 > BTF_MAX_TYPE) throw new InputError(`BTF: more than ${BTF_MAX_TYPE} types`);
  return offsets.subarray(0, count);
}

/** Says why the type at this word cannot be stepped over. */
function unreadable(words: Uint32Array, rest: number, at: number, id: number): InputError {
  const left = (words.length - at) * 4 + rest;
  const error = (text: string) => new InputError(`${typePlace(id, at)}: ${text}`);
  if (left < BTF_TYPE_SIZE) return error(`expected ${BTF_TYPE_SIZE} bytes, but only ${left} bytes are left`);
  const info = words[at + 1]!;
  const kind = (info >>> 24) & 0x1f;
  if (kind === 0 || kind > BTF_KIND.enum64) return error(`unknown kind ${kind}`);
  const parts = PART_WORDS[kind]! * 4;
  const wanted = parts > 0 ? `${info & 0xffff} parts of ${parts} bytes` : `${FIXED_WORDS[kind]! * 4} more bytes`;
  return error(`expected ${wanted}, but only ${left - BTF_TYPE_SIZE} bytes are left`);
}

/** How messages name a type of the section. */
export function typePlace(id: number, word: number): string {
  return `BTF type id ${id} (offset ${word * 4} in the type section)`;
}

/** Kinds whose head refers to a type; function prototypes refer to what they return, which is not counted. */
const HEAD_REFERS = new Uint8Array(32);
for (const kind of ["ptr", "typedef", "volatile", "const", "restrict", "typeTag", "func", "var", "declTag"] as const) {
  HEAD_REFERS[BTF_KIND[kind]] = 1;
}
/** Where the reference stands in a part. */
const PART_REFERENCE = new Uint8Array(32).fill(1);
PART_REFERENCE[BTF_KIND.datasec] = 0;

/**
 * Marks the types that others refer to as their type, element, member, parameter or variable.
 * @param marks by type id, base included; references out of range are passed over.
 */
export function markReferenced(words: Uint32Array, offsets: Uint32Array, marks: Uint8Array): void {
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i]!;
    const info = words[at + 1]!;
    const kind = (info >>> 24) & 0x1f;
    if (HEAD_REFERS[kind] === 1) marks[words[at + 2]!] = 1;
    if (kind === BTF_KIND.array) {
      marks[words[at + 3]!] = 1;
      marks[words[at + 4]!] = 1;
    }
    // Enumerators refer to nothing.
    const step = kind === BTF_KIND.enum || kind === BTF_KIND.enum64 ? 0 : PART_WORDS[kind]!;
    if (step === 0) continue;
    const end = at + HEAD_WORDS + (info & 0xffff) * step;
    for (let ref = at + HEAD_WORDS + PART_REFERENCE[kind]!; ref < end; ref += step) marks[words[ref]!] = 1;
  }
}
