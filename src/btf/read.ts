// SPDX-License-Identifier: MIT
import { stringTableReader } from "../util/bytes.js";
import { readSections, typeOffsets } from "./blob.js";
import { TypeDecoder } from "./decode.js";
import type { Btf, BtfType } from "./types.js";

/** A .BTF section taken apart. */
export interface BtfBlob {
  readonly btf: Btf;
  /**
   * The string at an offset of the string section (for .BTF.ext).
   * @throws InputError when the offset is outside.
   */
  readonly stringAt: (offset: number) => string;
  /** The string section as it stands, for `StringTable` to begin with where every offset must stay. */
  readonly strings: Uint8Array;
  readonly littleEndian: boolean;
}

/**
 * Reads a .BTF section of either byte order. All type references are checked to be in range; whether the
 * types make sense together is the validator's business. For BTF that is large and of which little is needed,
 * a kernel's, there is `openBtf`.
 * @throws InputError with the offset for anything malformed.
 */
export function readBtf(bytes: Uint8Array): Btf {
  return readBtfBlob(bytes).btf;
}

/** {@link readBtf}, giving access to the string section too. */
export function readBtfBlob(bytes: Uint8Array): BtfBlob {
  const sections = readSections(bytes);
  const { words, strings, littleEndian } = sections;
  const stringAt = stringTableReader(strings, "BTF string section");
  const offsets = typeOffsets(sections);
  const decoder = new TypeDecoder(words, stringAt, offsets.length + 1);
  const types: BtfType[] = [{ kind: "void" }];
  for (let i = 0; i < offsets.length; i++) types.push(decoder.decode(i + 1, offsets[i]!));
  return { btf: { types }, stringAt, strings, littleEndian };
}
