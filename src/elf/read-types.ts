// SPDX-License-Identifier: MIT
import { type BtfExt, readBtfExt } from "../btf/ext.js";
import { type BtfBlob, readBtfBlob } from "../btf/read.js";
import type { BtfSecInfo, BtfType } from "../btf/types.js";
import { InputError } from "../util/errors.js";
import { SECTION, SHT, STT } from "./format.js";
import { isHidden, isStrong, type ObjectSections, ObjectTypes } from "./object-file.js";
import type { ElfFile, ElfSymbol } from "./read-elf.js";

/** Debug information as the file has it. */
export interface DebugInfo {
  readonly types: ObjectTypes;
  readonly ext: BtfExt | null;
}

/**
 * Reads `.BTF` and `.BTF.ext`. Null without, and also when they are malformed but nothing needs them: libbpf goes on
 * without them then.
 * @param needed what cannot do without BTF, for the message; undefined when nothing does.
 * @param warn is told what is wrong with debug information that is left out.
 * @throws InputError when they are needed and malformed or missing.
 */
export function readDebugInfo(
  sections: ObjectSections,
  needed: string | undefined,
  warn: (message: string) => void,
): DebugInfo | null {
  const { btf, btfExt } = sections;
  if (btf === undefined) {
    if (needed === undefined) return null;
    throw new InputError(`${needed} BTF, but the file has none (compile with -g)`, { section: SECTION.BTF });
  }
  let blob: BtfBlob;
  try {
    if (btf.type !== SHT.PROGBITS) throw new InputError("the section does not hold data", { section: SECTION.BTF });
    blob = readBtfBlob(btf.content);
  } catch (error) {
    tolerate(error, needed, warn);
    return null;
  }
  const types = new ObjectTypes(blob.btf, blob.strings);
  if (btfExt === undefined) return { types, ext: null };
  try {
    return { types, ext: readBtfExt(btfExt.content, blob) };
  } catch (error) {
    tolerate(error, needed, warn);
    return { types, ext: null };
  }
}

function tolerate(error: unknown, needed: string | undefined, warn: (message: string) => void): void {
  if (!(error instanceof InputError) || needed !== undefined) throw error;
  warn(`left out, since malformed: ${error.message}`);
}

/**
 * Fills in what clang leaves to the loader, for it stands in the ELF symbols: sizes of sections, offsets of global
 * variables, and that hidden ones are static (libbpf: bpf_object_fixup_btf()).
 * @throws InputError when a section or a variable's symbol is not there.
 */
export function completeDatasecs(types: ObjectTypes, elf: ElfFile): void {
  let variables: Map<string, ElfSymbol> | undefined;
  types.types.forEach((type, id) => {
    // What stands in these is in no section of the file.
    if (type.kind !== "datasec" || type.name === SECTION.KCONFIG || type.name === SECTION.KSYMS) return;
    variables ??= globalVariables(elf);
    completeDatasec(types, elf, variables, type, id);
  });
}

function completeDatasec(
  types: ObjectTypes,
  elf: ElfFile,
  variables: ReadonlyMap<string, ElfSymbol>,
  datasec: Extract<BtfType, { kind: "datasec" }>,
  id: number,
): void {
  const place = { section: datasec.name };
  const fill = datasec.size === 0;
  let { size } = datasec;
  if (fill) {
    size = elf.sections.find((section) => section.name === datasec.name)?.size ?? 0;
    if (size === 0) throw new InputError("BTF describes this section, which the file does not hold", place);
  }
  let sorted = true;
  let last = 0;
  const vars = datasec.vars.map((info): BtfSecInfo => {
    const completed = completeVariable(types, variables, info, fill, datasec.name);
    sorted &&= completed.offset >= last;
    last = completed.offset;
    return completed;
  });
  if (!sorted) vars.sort((a, b) => a.offset - b.offset);
  if (fill || !sorted) types.types[id] = { ...datasec, size, vars };
}

function completeVariable(
  types: ObjectTypes,
  variables: ReadonlyMap<string, ElfSymbol>,
  info: BtfSecInfo,
  fill: boolean,
  section: string,
): BtfSecInfo {
  const variable = types.types[info.type];
  if (variable?.kind !== "var") throw new InputError(`BTF type id ${info.type} is no variable`, { section });
  if (variable.linkage !== "global") return info;
  const symbol = variables.get(variable.name);
  if (symbol === undefined) throw new InputError(`variable ${variable.name} has no symbol`, { section });
  if (isHidden(symbol)) types.types[info.type] = { ...variable, linkage: "static" };
  return fill ? { ...info, offset: symbol.value } : info;
}

/** The first symbol of each name counts. */
function globalVariables(elf: ElfFile): Map<string, ElfSymbol> {
  const result = new Map<string, ElfSymbol>();
  for (const symbol of elf.symbols) {
    if (symbol.type === STT.OBJECT && isStrong(symbol) && !result.has(symbol.name)) result.set(symbol.name, symbol);
  }
  return result;
}
