// SPDX-License-Identifier: MIT
import { readBtfExt } from "../../btf/ext.js";
import {
  BTF_EXT_HEADER_SIZE,
  BTF_MAGIC,
  BTF_VERSION,
  CORE_RELO_SIZE,
  FUNC_INFO_SIZE,
  LINE_COL_BITS,
  LINE_INFO_SIZE,
} from "../../btf/format.js";
import { ByteWriter } from "../../util/bytes.js";
import { InputError } from "../../util/errors.js";
import type { InputObject } from "./input.js";
import type { ExtPart, OutputSection } from "./output.js";
import type { TypeIds } from "./types.js";

/** Bytes of a record, and which of its words is a type id. */
const PARTS: readonly { readonly part: ExtPart; readonly size: number; readonly typeWord: number }[] = [
  { part: "funcInfo", size: FUNC_INFO_SIZE, typeWord: 1 },
  { part: "lineInfo", size: LINE_INFO_SIZE, typeWord: -1 },
  { part: "coreRelos", size: CORE_RELO_SIZE, typeWord: 1 },
];

/** Gives a text's offset in the string section of the output. */
export type AddText = (text: string) => number;

/**
 * Takes over the .BTF.ext of an input whose types are merged: as words, to which only the final ids are missing.
 * @throws InputError for anything malformed.
 */
export function mergeExt(input: InputObject, ids: TypeIds, addText: AddText): void {
  const { btfExt, types } = input;
  if (btfExt === null || types === null) return;
  const stringAt = (offset: number) => types.stringAt(offset);
  const { littleEndian } = types;
  const ext = readBtfExt(btfExt, { btf: types, stringAt, strings: new Uint8Array(1), littleEndian });
  const idOf = (id: number) => {
    if (id >= types.length) throw new InputError(`type id ${id} is out of range`, { section: ".BTF.ext" });
    return ids(id);
  };
  const place = (part: ExtPart, name: string) => {
    const section = input.sections.find((one) => one.name === name);
    if (section === undefined) throw new InputError(`section ${name} does not exist`, { section: ".BTF.ext" });
    const { out, offset } = section;
    let words = out?.ext.get(part);
    if (out !== null && words === undefined) {
      words = [];
      out.ext.set(part, words);
    }
    return { offset, words: words ?? [] };
  };
  for (const { section, records } of ext.funcInfo) {
    const { offset, words } = place("funcInfo", section);
    for (const { insnOff, typeId } of records) words.push(offset + insnOff, idOf(typeId));
  }
  for (const { section, records } of ext.lineInfo) {
    const { offset, words } = place("lineInfo", section);
    for (const { insnOff, file, text, line, column } of records) {
      words.push(offset + insnOff, addText(file), addText(text), ((line << LINE_COL_BITS) | column) >>> 0);
    }
  }
  for (const { section, records } of ext.coreRelos) {
    const { offset, words } = place("coreRelos", section);
    for (const { insnOff, typeId, access, kind } of records) {
      words.push(offset + insnOff, idOf(typeId), addText(access), kind);
    }
  }
}

/**
 * Gives what writes the .BTF.ext of all sections once the ids are final; the names of the sections go to the
 * strings now. Undefined when there is nothing to write.
 */
export function planExt(
  sections: readonly OutputSection[],
  addText: AddText,
): ((ids: TypeIds, littleEndian: boolean) => Uint8Array) | undefined {
  const plan = PARTS.map(({ part, size, typeWord }) => {
    const filled = sections.flatMap((section) => {
      const words = section.ext.get(part);
      return words === undefined || words.length === 0 ? [] : [{ name: addText(section.name), words }];
    });
    return { size, typeWord, filled };
  });
  if (plan.every(({ filled }) => filled.length === 0)) return undefined;
  return (ids, littleEndian) => {
    const parts = plan.map(({ size, typeWord, filled }) => {
      const out = new ByteWriter({ littleEndian });
      if (filled.length > 0) out.u32(size);
      const wordsEach = size / 4;
      for (const { name, words } of filled) {
        out.u32(name).u32(words.length / wordsEach);
        for (const [i, word] of words.entries()) out.u32(i % wordsEach === typeWord ? ids(word) : word);
      }
      return out.finish();
    });
    const out = new ByteWriter({ littleEndian });
    out.u16(BTF_MAGIC).u8(BTF_VERSION).u8(0).u32(BTF_EXT_HEADER_SIZE);
    let at = 0;
    for (const part of parts) {
      out.u32(at).u32(part.length);
      at += part.length;
    }
    for (const part of parts) out.bytes(part);
    return out.finish();
  };
}
