// SPDX-License-Identifier: MIT
import { BTF_HEADER_SIZE, BTF_MAGIC } from "../../../src/btf/format.js";
import type { Rng } from "../fuzz/rng.js";
import { encodeRaw, type RawBtf, type RawHeader, typesLength } from "./raw-btf.js";

/* Changes to a BTF: of single words, of its structure, of the header, of bytes. */

function anyNumber(rng: Rng, near: number): number {
  return (
    rng.weighted<() => number>([
      [4, () => near + 1],
      [4, () => near - 1],
      [3, () => rng.below(8)],
      [3, () => rng.below(40)],
      [2, () => 1 << rng.below(32)],
      [1, () => (1 << rng.below(32)) - 1],
      [1, () => rng.pick([0x000f_ffff, 0x0010_0000, 0x00ff_ffff, 0x0100_0000, 0xffff_ffff, 0x7fff_ffff])],
      [1, () => rng.u32()],
    ])() >>> 0
  );
}

function mutateType(rng: Rng, { types, strings }: RawBtf): void {
  if (types.length === 0) return;
  const type = rng.pick(types);
  rng.weighted<() => void>([
    [3, () => (type.name = rng.chance(0.7) ? rng.below(strings.length) : anyNumber(rng, type.name))],
    [4, () => (type.word = rng.chance(0.6) ? rng.below(types.length + 2) : anyNumber(rng, type.word))],
    [2, () => (type.info = ((type.info & ~0x1f00_0000) | (rng.below(rng.chance(0.9) ? 20 : 32) << 24)) >>> 0)],
    [2, () => (type.info = ((type.info & ~0xffff) | (rng.chance(0.8) ? rng.below(5) : rng.below(65536))) >>> 0)],
    [2, () => (type.info = (type.info ^ 0x8000_0000) >>> 0)],
    [1, () => (type.info = anyNumber(rng, type.info))],
    [
      6,
      () => {
        if (type.rest.length === 0) return;
        const at = rng.below(type.rest.length);
        type.rest[at] = rng.chance(0.6) ? rng.below(types.length + 2) : anyNumber(rng, type.rest[at]!);
      },
    ],
  ])();
}

function mutateOrder(rng: Rng, { types }: RawBtf): void {
  if (types.length === 0) return;
  const at = rng.below(types.length);
  rng.weighted<() => void>([
    [2, () => types.splice(at, 1)],
    [2, () => types.splice(rng.below(types.length + 1), 0, structuredClone(types[at]!))],
    [2, () => ([types[at], types[0]] = [types[0]!, types[at]!])],
    [1, () => types[at]!.rest.pop()],
    [1, () => types[at]!.rest.push(rng.below(types.length + 1))],
  ])();
}

function mutateHeader(rng: Rng, raw: RawBtf): void {
  const { header } = raw;
  const size = BTF_HEADER_SIZE + typesLength(raw) + raw.strings.length;
  const set = (key: keyof RawHeader, near: number): void => {
    header[key] = rng.chance(0.5) ? anyNumber(rng, near) : near + rng.below(9) - 4;
  };
  rng.weighted<() => void>([
    [1, () => set("magic", BTF_MAGIC)],
    [1, () => set("version", 1)],
    [1, () => set("flags", 0)],
    [4, () => (header.hdrLen = rng.chance(0.7) ? rng.below(30) : anyNumber(rng, size))],
    [2, () => set("typeOff", 0)],
    [3, () => set("typeLen", size - 24 - raw.strings.length)],
    [3, () => set("strOff", size - 24 - raw.strings.length)],
    [3, () => set("strLen", raw.strings.length)],
    [2, () => raw.padding.push(...Array.from({ length: 1 + rng.below(12) }, () => (rng.chance(0.98) ? 0 : 1)))],
    [1, () => (raw.strings.last = 65)],
    [1, () => (raw.strings.first = 66)],
  ])();
}

function mutateBytes(rng: Rng, bytes: Uint8Array): Uint8Array {
  const out = bytes.slice(0, rng.chance(0.3) ? rng.below(bytes.length + 1) : bytes.length);
  for (let n = rng.below(4); n > 0 && out.length > 0; n--) {
    const at = rng.below(out.length);
    out[at] = rng.chance(0.5) ? rng.u32() & 0xff : out[at]! ^ (1 << rng.below(8));
  }
  return out;
}

/** The bytes of a BTF after `count` changes. */
export function mutated(rng: Rng, raw: RawBtf, count: number): Uint8Array {
  let bytes = false;
  for (let i = 0; i < count; i++) {
    rng.weighted<() => void>([
      [14, () => mutateType(rng, raw)],
      [3, () => mutateOrder(rng, raw)],
      [2, () => mutateHeader(rng, raw)],
      [
        1,
        () => {
          bytes = true;
        },
      ],
    ])();
  }
  const encoded = encodeRaw(raw);
  return bytes ? mutateBytes(rng, encoded) : encoded;
}
