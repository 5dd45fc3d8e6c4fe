// SPDX-License-Identifier: MIT
import { stringTableReader } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import { readSections, typeOffsets } from "./blob.js";
import { TypeDecoder } from "./decode.js";
import type { BtfBlob } from "./read.js";
import { StringTable } from "./strings.js";
import type { Btf, BtfType } from "./types.js";
import { assembleBtf, writeTypes } from "./write.js";

/*
 * Split BTF: a blob that continues another one, as a kernel module's continues vmlinux. Its first type has the id
 * after the base's last one, its first string the offset behind the base's strings, and both may refer to the base.
 */

/**
 * Reads a .BTF section that is split from `base`. What it gives holds the base's types too, so ids mean what they
 * say and everything that takes a `Btf` takes it; its own begin at `base.btf.types.length`. It can be a base itself.
 * For a kernel module's BTF, of which little is needed, there is `openBtf`.
 * @throws InputError with the offset for anything malformed.
 */
export function readSplitBtf(bytes: Uint8Array, base: BtfBlob): BtfBlob {
  const sections = readSections(bytes, { split: true });
  if (sections.littleEndian !== base.littleEndian)
    throw new InputError("split BTF has another byte order than its base");
  const firstString = base.strings.length;
  const ownString = stringTableReader(sections.strings, "BTF string section");
  const stringAt = (at: number) => (at < firstString ? base.stringAt(at) : ownString(at - firstString));
  const types: BtfType[] = [...base.btf.types];
  const firstId = types.length;
  const offsets = typeOffsets(sections, firstId);
  const decoder = new TypeDecoder(sections.words, stringAt, firstId + offsets.length);
  for (let i = 0; i < offsets.length; i++) types.push(decoder.decode(firstId + i, offsets[i]!));
  const strings = new Uint8Array(firstString + sections.strings.length);
  strings.set(base.strings);
  strings.set(sections.strings, firstString);
  return { btf: { types }, stringAt, strings, littleEndian: base.littleEndian };
}

/**
 * Writes what `btf` has beyond `base` as split BTF, in the base's byte order. A `BtfBuilder` that was begun with the base's
 * types makes such a one.
 * @throws InputError when the base's types are not those that `btf` begins with, and as `writeBtf` does.
 */
export function writeSplitBtf(btf: Btf, base: BtfBlob): Uint8Array {
  const firstId = base.btf.types.length;
  if (base.btf.types.some((type, id) => btf.types[id] !== type)) {
    throw new InputError("split BTF must begin with the types of its base");
  }
  const strings = new StringTable(base.strings);
  const types = writeTypes(btf, strings, firstId, base.littleEndian);
  return assembleBtf(types, strings.finish().subarray(base.strings.length), base.littleEndian);
}
