// SPDX-License-Identifier: MIT
import { readBtf } from "../read.js";
import type { Btf } from "../types.js";
import { writeBtf } from "../write.js";
import { dedupTypes } from "./dedup.js";
import { BtfWords } from "./words.js";

/**
 * The types of several .BTF sections in one, each once. The result is, to the byte, what libbpf's
 * `btf__add_btf` and `btf__dedup` give.
 * @param base a .BTF section that the result is split from: what stands in it is not repeated.
 * @throws InputError for malformed sections.
 */
export function mergeBtf(sections: readonly Uint8Array[], base?: Uint8Array): Uint8Array {
  const words = new BtfWords(base === undefined ? undefined : BtfWords.read(base));
  for (const section of sections) words.append(section);
  dedupTypes(words);
  return words.toBytes();
}

/** BTF without duplicates. */
export interface DedupedBtf {
  readonly btf: Btf;
  /** The new id of each old one. */
  readonly ids: Int32Array;
}

/**
 * Leaves of every type one, and makes forward declarations what they declare ({@link dedupTypes}).
 * @throws InputError as `writeBtf` and `dedupTypes` do.
 */
export function dedupBtf(btf: Btf): DedupedBtf {
  const words = new BtfWords();
  words.append(writeBtf(btf));
  const ids = dedupTypes(words);
  return { btf: readBtf(words.toBytes()), ids };
}

/**
 * Removes from split BTF what is twice in it or stands in its base.
 * @throws InputError for malformed sections.
 */
export function dedupSplitBtf(section: Uint8Array, base: Uint8Array): Uint8Array {
  const words = new BtfWords(BtfWords.read(base));
  words.appendSplit(section);
  dedupTypes(words);
  return words.toBytes();
}
