// SPDX-License-Identifier: MIT
import { dataSpec, dataVariable } from "../model/make.js";
import type { DataRef, DataSpec, DataVariable } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { dataSectionKind, R_BPF, SHT, STB, STT } from "./format.js";
import { ELF_LIMITS } from "./limits.js";
import { bindingOf, isExtern, isHidden, isStrong, type ObjectFile, relocatedValue } from "./object-file.js";
import type { ElfRelocation, ElfSection, ElfSymbol } from "./read-elf.js";
import type { FunctionTable } from "./read-symbols.js";

/**
 * Reads the sections of global data: content, variables, and the addresses inside.
 * @param maps names of the maps by their offset in `.maps`.
 */
export function readData(file: ObjectFile, functions: FunctionTable, maps: ReadonlyMap<number, string>): DataSpec[] {
  let total = 0;
  return file.sections.data.map((section) => {
    total += section.size;
    if (total > ELF_LIMITS.dataSize) {
      throw new InputError(`global data of more than ${ELF_LIMITS.dataSize} bytes`, { section: section.name });
    }
    const zero = section.type === SHT.NOBITS;
    return dataSpec({
      section: section.name,
      content: zero ? new Uint8Array(section.size) : new Uint8Array(section.content),
      align: alignmentOf(section),
      variables: readVariables(file, section),
      refs: zero ? [] : readRefs(file, section, functions, maps),
      btfDatasecId: file.types?.datasec(section.name) ?? 0,
    });
  });
}

function alignmentOf(section: ElfSection): number {
  const { align } = section;
  return align > 0 && align <= ELF_LIMITS.align && Number.isInteger(Math.log2(align)) ? align : 1;
}

/** The variables that BTF names, and those that only the symbol table knows. */
function readVariables(file: ObjectFile, section: ElfSection): DataVariable[] {
  const symbols = file.symbols.get(section.index) ?? [];
  const global = new Map<string, ElfSymbol>();
  for (const symbol of symbols) if (isStrong(symbol)) global.set(symbol.name, symbol);
  const variables: DataVariable[] = [];
  const typed = new Set<string>();
  const { types } = file;
  const datasec = types?.types[types.datasec(section.name) ?? 0];
  if (types !== null && datasec?.kind === "datasec") {
    for (const { type: btfVarId, offset, size } of datasec.vars) {
      const variable = types.types[btfVarId];
      if (variable?.kind !== "var" || variable.linkage === "extern") continue;
      const { name, linkage } = variable;
      typed.add(name);
      variables.push(dataVariable({ name, offset, size, btfVarId, linkage, ...bindingOf(global.get(name)) }));
    }
  }
  for (const symbol of symbols) {
    const { name, value: offset, size } = symbol;
    if (symbol.type !== STT.OBJECT || typed.has(name)) continue;
    if (offset + size > section.size) {
      throw new InputError(`symbol ${name} reaches beyond its section`, { section: section.name });
    }
    const linkage = symbol.bind === STB.LOCAL || isHidden(symbol) ? "static" : "global";
    variables.push(dataVariable({ name, offset, size, linkage, ...bindingOf(symbol) }));
  }
  return variables.sort((a, b) => a.offset - b.offset);
}

/** The addresses that the section holds. Loaders pass them over, and so what cannot be said of them is left out. */
function readRefs(
  file: ObjectFile,
  section: ElfSection,
  functions: FunctionTable,
  maps: ReadonlyMap<number, string>,
): DataRef[] {
  const refs = new Map<number, DataRef>();
  for (const relocation of file.elf.relocations.get(section.index) ?? []) {
    const ref = readRef(file, section, relocation, functions, maps);
    if (ref !== undefined) refs.set(ref.offset, ref);
  }
  return [...refs.values()].sort((a, b) => a.offset - b.offset);
}

function readRef(
  file: ObjectFile,
  section: ElfSection,
  relocation: ElfRelocation,
  functions: FunctionTable,
  maps: ReadonlyMap<number, string>,
): DataRef | undefined {
  const { offset, symbol, type } = relocation;
  const size = type === R_BPF.ABS64 ? 8 : 4;
  if (type !== R_BPF.ABS64 && type !== R_BPF.ABS32 && type !== R_BPF.NODYLD32) return undefined;
  if (offset + size > section.size) {
    throw new InputError(`relocation at offset ${offset} reaches beyond the section`, { section: section.name });
  }
  const place = { offset, size } as const;
  if (isExtern(symbol)) return { ...place, kind: "extern", extern: symbol.name };
  const value = relocatedValue(relocation, section.content.subarray(offset, offset + size), file.elf.littleEndian);
  const target = file.elf.sections[symbol.section];
  if (target === undefined || symbol.section === 0) return undefined;
  if (target === file.sections.maps) {
    const map = maps.get(value);
    return map === undefined ? undefined : { ...place, kind: "map", map };
  }
  const func = functions.startingAt(target.index, value);
  if (func !== undefined) return { ...place, kind: "func", func };
  if (dataSectionKind(target.name) === undefined || !file.sections.data.includes(target)) return undefined;
  if (value < 0 || value > target.size) return undefined;
  return { ...place, kind: "data", section: target.name, target: value };
}
