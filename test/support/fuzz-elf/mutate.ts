// SPDX-License-Identifier: MIT
import type { Rng } from "../fuzz/rng.js";

/*
 * Spoils object files where it hurts: in the fields of headers, symbols, relocations, types and instructions, with
 * numbers that are near limits or that belong elsewhere. What the file's own reader makes of it is not used here.
 */

const EHDR = { size: 64, shoff: 40, shentsize: 58, shnum: 60, shstrndx: 62 } as const;
const SHDR_SIZE = 64;
/** Fields of a section header: offset and bytes. */
const SHDR_FIELDS: readonly (readonly [offset: number, size: number])[] = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 8],
  [24, 8],
  [32, 8],
  [40, 4],
  [44, 4],
  [48, 8],
  [56, 8],
];
/** Fields of a symbol: name, info, other, section, value, size. */
const SYM_FIELDS: readonly (readonly [offset: number, size: number])[] = [
  [0, 4],
  [4, 1],
  [5, 1],
  [6, 2],
  [8, 8],
  [16, 8],
];
const SHT = { PROGBITS: 1, SYMTAB: 2, RELA: 4, REL: 9 } as const;

/** A part of a file. */
interface Part {
  readonly offset: number;
  readonly size: number;
  readonly type: number;
  readonly flags: number;
}

/** Whether the file's identification says so; a spoiled one counts as little-endian. */
const isLittle = (bytes: Uint8Array): boolean => bytes[5] !== 2;

/** Sections as the headers have them, those that lie in the file. */
export function partsOf(bytes: Uint8Array): Part[] {
  const little = isLittle(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shoff = Number(view.getBigUint64(EHDR.shoff, little));
  const count = view.getUint16(EHDR.shnum, little);
  const parts: Part[] = [];
  for (let i = 0; i < count; i++) {
    const at = shoff + i * SHDR_SIZE;
    if (at + SHDR_SIZE > bytes.length) break;
    const [offset, size] = [24, 32].map((field) => Number(view.getBigUint64(at + field, little))) as [number, number];
    const type = view.getUint32(at + 4, little);
    if (size > 0 && offset + size <= bytes.length)
      parts.push({ offset, size, type, flags: view.getUint32(at + 8 + (little ? 0 : 4), little) });
  }
  return parts;
}

/** One file of a campaign, and what the others have to give. */
export class Spoiler {
  readonly #rng: Rng;
  readonly #seeds: readonly Uint8Array[];
  readonly #parts: readonly (readonly Part[])[];

  /** @param seeds Sound ELF64 files of either byte order. */
  constructor(rng: Rng, seeds: readonly Uint8Array[]) {
    this.#rng = rng;
    this.#seeds = seeds;
    this.#parts = seeds.map(partsOf);
  }

  next(): Uint8Array {
    const rng = this.#rng;
    const which = rng.below(this.#seeds.length);
    let bytes = this.#seeds[which]!.slice();
    const parts = this.#parts[which]!;
    const times = rng.chance(0.6) ? 1 : 1 + rng.below(6);
    for (let n = 0; n < times; n++) this.#spoil(bytes, parts);
    if (rng.chance(0.03)) bytes = bytes.slice(0, rng.below(bytes.length));
    return bytes;
  }

  #spoil(bytes: Uint8Array, parts: readonly Part[]): void {
    const rng = this.#rng;
    rng.weighted<() => void>([
      [3, () => this.#ehdr(bytes)],
      [14, () => this.#shdr(bytes)],
      [12, () => this.#entry(bytes, parts, SHT.SYMTAB, 24, SYM_FIELDS)],
      [
        10,
        () =>
          this.#entry(bytes, parts, SHT.REL, 16, [
            [0, 8],
            [8, 4],
            [12, 4],
          ]),
      ],
      [30, () => this.#word(bytes, parts)],
      [12, () => this.#byte(bytes, parts)],
      [4, () => this.#move(bytes, parts)],
      [3, () => this.#splice(bytes, parts)],
    ])();
  }

  /** A number that finds mistakes. */
  #number(): bigint {
    const rng = this.#rng;
    return rng.pick<() => bigint>([
      () => BigInt(rng.below(8)),
      () => BigInt(rng.below(300)),
      () => BigInt(rng.u32()),
      () => 0xffff_ffffn,
      () => 0x7fff_ffffn,
      () => 0x8000_0000n,
      () => (1n << 64n) - 1n - BigInt(rng.below(16)),
      () => 1n << BigInt(rng.below(64)),
      () => 0xff00n + BigInt(rng.below(256)),
    ])();
  }

  #write(bytes: Uint8Array, at: number, size: number): void {
    if (at < 0 || at + size > bytes.length) return;
    let value = this.#number();
    if (this.#rng.chance(0.4)) value += this.#read(bytes, at, size) - BigInt(this.#rng.below(4));
    const last = isLittle(bytes) ? 0 : size - 1;
    for (let i = 0; i < size; i++) bytes[at + i] = Number((value >> BigInt(8 * Math.abs(last - i))) & 0xffn);
  }

  #read(bytes: Uint8Array, at: number, size: number): bigint {
    let value = 0n;
    const last = isLittle(bytes) ? size - 1 : 0;
    for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(bytes[at + Math.abs(last - i)]!);
    return value;
  }

  #ehdr(bytes: Uint8Array): void {
    const [at, size] = this.#rng.pick([
      [4, 1],
      [5, 1],
      [16, 2],
      [18, 2],
      [EHDR.shoff, 8],
      [EHDR.shentsize, 2],
      [EHDR.shnum, 2],
      [EHDR.shstrndx, 2],
    ] as const);
    this.#write(bytes, at, size);
  }

  #shdr(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer);
    const little = isLittle(bytes);
    const count = view.getUint16(EHDR.shnum, little);
    const shoff = Number(view.getBigUint64(EHDR.shoff, little));
    const [field, size] = this.#rng.pick(SHDR_FIELDS);
    const at = shoff + this.#rng.below(Math.max(1, count)) * SHDR_SIZE + field;
    // Another section's field is a plausible one.
    const other = shoff + this.#rng.below(Math.max(1, count)) * SHDR_SIZE + field;
    if (this.#rng.chance(0.4) && Math.max(at, other) + size <= bytes.length) bytes.copyWithin(at, other, other + size);
    else this.#write(bytes, at, size);
  }

  #entry(
    bytes: Uint8Array,
    parts: readonly Part[],
    type: number,
    entry: number,
    fields: readonly (readonly [number, number])[],
  ): void {
    const tables = parts.filter((part) => part.type === type && part.size >= entry);
    if (tables.length === 0) {
      this.#byte(bytes, parts);
      return;
    }
    const { offset, size } = this.#rng.pick(tables);
    const [field, width] = this.#rng.pick(fields);
    this.#write(bytes, offset + this.#rng.below(Math.floor(size / entry)) * entry + field, width);
  }

  /** A word of types, line table, data or instructions. */
  #word(bytes: Uint8Array, parts: readonly Part[]): void {
    const { offset, size } = this.#rng.pick(parts);
    const width = this.#rng.pick([4, 4, 4, 2, 8]);
    // Headers are at the beginning.
    const slots = Math.floor(size / 4);
    const slot = this.#rng.below(Math.max(1, this.#rng.chance(0.2) ? Math.min(slots, 12) : slots));
    this.#write(bytes, offset + slot * 4, width);
  }

  #byte(bytes: Uint8Array, parts: readonly Part[]): void {
    const { offset, size } = this.#rng.pick(parts);
    const at = offset + this.#rng.below(size);
    if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << this.#rng.below(8));
  }

  /** Content of one place stands in another of the same file. */
  #move(bytes: Uint8Array, parts: readonly Part[]): void {
    const from = this.#rng.pick(parts);
    const to = this.#rng.pick(parts);
    const length = Math.min(from.size, to.size, 1 + this.#rng.below(64));
    const start = from.offset + this.#rng.below(from.size - length + 1);
    bytes.copyWithin(to.offset + this.#rng.below(to.size - length + 1), start, start + length);
  }

  /** Content of another file's section. */
  #splice(bytes: Uint8Array, parts: readonly Part[]): void {
    const which = this.#rng.below(this.#seeds.length);
    const theirs = this.#parts[which]!;
    if (theirs.length === 0) return;
    const from = this.#rng.pick(theirs);
    const to = this.#rng.pick(parts);
    const content = this.#seeds[which]!.subarray(from.offset, from.offset + Math.min(from.size, to.size));
    bytes.set(content, to.offset);
  }
}
