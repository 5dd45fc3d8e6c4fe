// SPDX-License-Identifier: MIT
import { BtfBuilder } from "../btf/builder.js";
import { type BtfExt, readBtfExt } from "../btf/ext.js";
import { type BtfBlob, readBtfBlob } from "../btf/read.js";
import { findType } from "../btf/size.js";
import type { BtfSecInfo } from "../btf/types.js";
import { dataSpec, dataVariable, objectSpec } from "../model/make.js";
import type { DataSpec, DataVariable, MapSpec, ObjectSpec } from "../model/spec.js";
import { decodeUtf8 } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import { dataSectionKind, SECTION, SHT, STB, STT } from "./format.js";
import { ELF_LIMITS } from "./limits.js";
import { readMapDef } from "./map-def.js";
import { checkObject } from "./object-layout.js";
import { type ElfFile, type ElfSection, type ElfSymbol, readElf } from "./read-elf.js";
import { type CodeContext, isCode, isHidden, isStrong, readFunctions } from "./read-functions.js";

/** How an object is read. */
export interface ReadObjectOptions {
  /** The object's name; libbpf takes the file's name up to the first dot. */
  readonly name: string;
}

/**
 * Reads an object file that this library or clang wrote.
 * @throws InputError for anything malformed, and for what is not supported yet: externs (kernel symbols,
 *   kernel configuration, kfuncs), CO-RE relocations, maps with initial elements, struct_ops maps.
 */
export function readObject(bytes: Uint8Array, options: ReadObjectOptions): ObjectSpec {
  const elf = readElf(bytes, (section) => isCode(section) || section.name === SECTION.MAPS);
  const sections = sectionsByName(elf);
  if (sections.has(SECTION.LEGACY_MAPS)) {
    throw new InputError("maps defined without BTF are not supported", { section: SECTION.LEGACY_MAPS });
  }
  const debug = readDebugInfo(sections);
  const symbols = symbolsBySection(elf.symbols);
  const builder = debug === null ? null : new BtfBuilder(debug.blob.btf);
  if (builder !== null) completeDatasecs(builder, sections, symbols);
  const maps = readMaps(elf, sections, symbols, builder);
  const data = readData(elf, symbols, builder);
  const context: CodeContext = {
    elf,
    symbols,
    maps: new Map(maps.map(({ spec, offset }) => [offset, spec.name])),
    functionNames: functionNames(symbols),
    ext: debug?.ext ?? null,
    btf: builder,
    budget: { insns: 0 },
  };
  const spec = objectSpec({
    name: options.name,
    license: readLicense(sections.get(SECTION.LICENSE)),
    functions: elf.sections.filter(isCode).flatMap((section) => readFunctions(context, section)),
    maps: maps.map((map) => map.spec),
    data,
    btf: builder?.build() ?? null,
  });
  checkObject(spec);
  return spec;
}

/** The sections that loaders look up by name, which must be there once only. */
function sectionsByName(elf: ElfFile): Map<string, ElfSection> {
  const result = new Map<string, ElfSection>();
  for (const section of elf.sections) {
    if (section.type !== SHT.PROGBITS && section.type !== SHT.NOBITS) continue;
    if (result.has(section.name))
      throw new InputError("the file has two sections of this name", { section: section.name });
    result.set(section.name, section);
  }
  return result;
}

function symbolsBySection(symbols: readonly ElfSymbol[]): Map<number, ElfSymbol[]> {
  const result = new Map<number, ElfSymbol[]>();
  for (const symbol of symbols) {
    const list = result.get(symbol.section);
    if (list === undefined) result.set(symbol.section, [symbol]);
    else list.push(symbol);
  }
  return result;
}

function functionNames(symbols: ReadonlyMap<number, readonly ElfSymbol[]>): Map<number, Map<number, string>> {
  const result = new Map<number, Map<number, string>>();
  for (const [section, list] of symbols) {
    const functions = list.filter((symbol) => symbol.type === STT.FUNC);
    result.set(section, new Map(functions.map((symbol) => [symbol.value, symbol.name])));
  }
  return result;
}

function readDebugInfo(sections: ReadonlyMap<string, ElfSection>): { blob: BtfBlob; ext: BtfExt | null } | null {
  const btf = sections.get(SECTION.BTF);
  if (btf === undefined) return null;
  const blob = readBtfBlob(btf.content);
  const ext = sections.get(SECTION.BTF_EXT);
  if (ext === undefined) return { blob, ext: null };
  const info = readBtfExt(ext.content, blob);
  if (info.coreRelos.some((section) => section.records.length > 0)) {
    throw new InputError("CO-RE relocations are not supported yet", { section: SECTION.BTF_EXT });
  }
  return { blob, ext: info };
}

/** clang leaves sizes of sections and offsets of global variables to the loader: they stand in the ELF symbols. */
function completeDatasecs(
  builder: BtfBuilder,
  sections: ReadonlyMap<string, ElfSection>,
  symbols: ReadonlyMap<number, readonly ElfSymbol[]>,
): void {
  builder.types.forEach((type, id) => {
    if (type.kind !== "datasec") return;
    const section = sections.get(type.name);
    if (section === undefined) return;
    const fill = type.size === 0;
    const byName = new Map<string, ElfSymbol>();
    for (const symbol of symbols.get(section.index) ?? []) {
      if (isStrong(symbol)) byName.set(symbol.name, symbol);
    }
    const vars: BtfSecInfo[] = type.vars.map((info) => {
      const variable = builder.types[info.type];
      if (variable?.kind !== "var")
        throw new InputError(`BTF type id ${info.type} is no variable`, { section: type.name });
      const symbol = variable.linkage === "global" ? byName.get(variable.name) : undefined;
      if (symbol === undefined) return info;
      // A hidden variable is global for the linker only.
      if (isHidden(symbol)) builder.replace(info.type, { ...variable, linkage: "static" });
      return fill ? { ...info, offset: symbol.value } : info;
    });
    vars.sort((a, b) => a.offset - b.offset);
    builder.replace(id, { ...type, size: fill ? section.size : type.size, vars });
  });
}

function readMaps(
  elf: ElfFile,
  sections: ReadonlyMap<string, ElfSection>,
  symbols: ReadonlyMap<number, readonly ElfSymbol[]>,
  builder: BtfBuilder | null,
): { spec: MapSpec; offset: number }[] {
  const section = sections.get(SECTION.MAPS);
  if (section === undefined) return [];
  const place = { section: SECTION.MAPS };
  if (builder === null)
    throw new InputError("map definitions need BTF, but the file has none (compile with -g)", place);
  if ((elf.relocations.get(section.index) ?? []).length > 0) {
    throw new InputError("maps with initial elements are not supported yet", place);
  }
  const id = findType(builder, "datasec", SECTION.MAPS);
  const datasec = id === undefined ? undefined : builder.types[id];
  if (datasec?.kind !== "datasec") throw new InputError("BTF does not describe this section", place);
  const offsets = new Map<string, number>();
  for (const symbol of symbols.get(section.index) ?? []) {
    if (symbol.type === STT.OBJECT) offsets.set(symbol.name, symbol.value);
  }
  return datasec.vars.map((info) => {
    const spec = readMapDef(builder, info.type);
    return { spec, offset: offsets.get(spec.name) ?? info.offset };
  });
}

function readData(
  elf: ElfFile,
  symbols: ReadonlyMap<number, readonly ElfSymbol[]>,
  builder: BtfBuilder | null,
): DataSpec[] {
  let total = 0;
  const result: DataSpec[] = [];
  for (const section of elf.sections) {
    const kind = dataSectionKind(section.name);
    if (kind === undefined || section.size === 0) continue;
    if (section.type !== (kind === "bss" ? SHT.NOBITS : SHT.PROGBITS)) continue;
    total += section.size;
    if (total > ELF_LIMITS.dataSize) {
      throw new InputError(`global data of more than ${ELF_LIMITS.dataSize} bytes`, { section: section.name });
    }
    const id = builder === null ? undefined : findType(builder, "datasec", section.name);
    result.push(
      dataSpec({
        section: section.name,
        content: kind === "bss" ? new Uint8Array(section.size) : new Uint8Array(section.content),
        variables: readVariables(section, symbols.get(section.index) ?? [], builder, id ?? 0),
        btfDatasecId: id ?? 0,
      }),
    );
  }
  return result;
}

/** The variables that BTF names, and those that only the symbol table knows. */
function readVariables(
  section: ElfSection,
  symbols: readonly ElfSymbol[],
  builder: BtfBuilder | null,
  datasecId: number,
): DataVariable[] {
  const variables: DataVariable[] = [];
  const typed = new Set<string>();
  const datasec = builder?.types[datasecId];
  if (datasec?.kind === "datasec") {
    for (const info of datasec.vars) {
      const variable = builder?.types[info.type];
      const name = variable?.kind === "var" ? variable.name : "";
      typed.add(name);
      const linkage = variable?.kind === "var" && variable.linkage === "static" ? "static" : "global";
      variables.push(dataVariable({ name, offset: info.offset, size: info.size, btfVarId: info.type, linkage }));
    }
  }
  for (const symbol of symbols) {
    if (symbol.type !== STT.OBJECT || typed.has(symbol.name)) continue;
    if (symbol.value + symbol.size > section.size) {
      throw new InputError(`symbol ${symbol.name} reaches beyond its section`, { section: section.name });
    }
    const linkage = symbol.bind === STB.LOCAL || isHidden(symbol) ? "static" : "global";
    variables.push(dataVariable({ name: symbol.name, offset: symbol.value, size: symbol.size, linkage }));
  }
  return variables.sort((a, b) => a.offset - b.offset);
}

function readLicense(section: ElfSection | undefined): string {
  if (section === undefined) return "";
  const end = section.content.indexOf(0);
  return decodeUtf8(end < 0 ? section.content : section.content.subarray(0, end));
}
