// SPDX-License-Identifier: MIT
import { BtfBuilder } from "../btf/builder.js";
import { type BtfExt, type FuncInfo, type LineInfo, writeBtfExt } from "../btf/ext.js";
import { findType } from "../btf/size.js";
import { StringTable } from "../btf/strings.js";
import type { Btf, BtfSecInfo } from "../btf/types.js";
import { writeBtf } from "../btf/write.js";
import type { DataSpec, FunctionSpec, MapSpec, ObjectSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { SECTION } from "./format.js";
import { addMapStruct, readMapDef } from "./map-def.js";
import type { CodeSection } from "./object-layout.js";

/** The debug information of an object, ready for its file or for the kernel. */
export interface ObjectBtf {
  /** The object's types with the definitions of its maps and the layout of its data sections filled in. */
  readonly btf: Btf;
  /** Finished; knows the file names and texts of all line records. */
  readonly strings: StringTable;
  /** Section `.BTF`, which is also what BPF_BTF_LOAD gets. */
  readonly blob: Uint8Array;
  /** Section `.BTF.ext`; null when there is nothing to say, since libbpf refuses an empty one. */
  readonly ext: Uint8Array | null;
  /** Size in bytes of each map's definition, in the order of the maps. */
  readonly mapDefSizes: readonly number[];
  /** BTF_KIND_DATASEC ids by section name. */
  readonly datasecs: ReadonlyMap<string, number>;
}

/**
 * Completes and encodes the types of an object. Ids of the object's own types stay what they are.
 * Null when the object has neither types nor maps.
 */
export function encodeObjectBtf(spec: ObjectSpec, layout: readonly CodeSection[]): ObjectBtf | null {
  if (spec.btf === null && spec.maps.length === 0) return null;
  const builder = new BtfBuilder(spec.btf ?? undefined);
  const mapDefSizes = addMaps(builder, spec.maps);
  const datasecs = new Map<string, number>();
  for (const data of spec.data) {
    const id = addDatasec(builder, data);
    if (id !== 0) datasecs.set(data.section, id);
  }
  hideForeignVariables(builder, spec);
  const btf = builder.build();
  const strings = new StringTable();
  const ext = spec.btf === null ? null : encodeExt(layout, strings);
  return { btf, strings, blob: writeBtf(btf, strings), ext, mapDefSizes, datasecs };
}

/** The func_info record of a function that starts at `insnOff`; none when it has no BTF. */
export function funcInfoOf(func: FunctionSpec, insnOff: number): FuncInfo[] {
  return func.btfFuncId === 0 ? [] : [{ insnOff, typeId: func.btfFuncId }];
}

/** The line_info records of a function that starts at `offset`; `unit` is what an instruction slot counts. */
export function lineInfoOf(func: FunctionSpec, offset: number, unit: number): LineInfo[] {
  return func.lines.map((line) => ({
    insnOff: (offset + line.insn) * unit,
    file: line.file,
    text: line.text,
    line: line.line,
    column: line.column,
  }));
}

/** .BTF.ext counts instructions in bytes. */
const EXT_UNIT = 8;

function encodeExt(layout: readonly CodeSection[], strings: StringTable): Uint8Array | null {
  const ext: BtfExt = {
    funcInfo: layout.map(({ name, functions }) => ({
      section: name,
      records: functions.flatMap(({ func, offset }) => funcInfoOf(func, offset * EXT_UNIT)),
    })),
    lineInfo: layout.map(({ name, functions }) => ({
      section: name,
      records: functions.flatMap(({ func, offset }) => lineInfoOf(func, offset, EXT_UNIT)),
    })),
    coreRelos: [],
  };
  const sections = [...ext.funcInfo, ...ext.lineInfo];
  return sections.some((section) => section.records.length > 0) ? writeBtfExt(ext, strings) : null;
}

/** Gives each map a variable that defines it and lays the variables out in DATASEC `.maps`. */
function addMaps(builder: BtfBuilder, maps: readonly MapSpec[]): number[] {
  if (maps.length === 0) return [];
  let offset = 0;
  const sizes: number[] = [];
  const vars: BtfSecInfo[] = [];
  for (const map of maps) {
    const { id, size } = addMap(builder, map);
    vars.push({ type: id, offset, size });
    sizes.push(size);
    offset += size;
  }
  setDatasec(builder, findType(builder, "datasec", SECTION.MAPS) ?? 0, SECTION.MAPS, offset, vars);
  return sizes;
}

function addMap(builder: BtfBuilder, map: MapSpec): { id: number; size: number } {
  const standing = builder.types[map.btfVarId];
  if (map.btfVarId !== 0 && standing?.kind === "var" && defines(builder, map)) {
    return { id: map.btfVarId, size: structSize(builder, standing.type) };
  }
  const structId = addMapStruct(builder, map);
  const size = structSize(builder, structId);
  // A variable whose definition no longer says what the map is gets a new one.
  if (standing?.kind === "var") {
    builder.replace(map.btfVarId, { ...standing, name: map.name, type: structId });
    return { id: map.btfVarId, size };
  }
  return { id: builder.var(map.name, structId), size };
}

/** Whether the map's variable says exactly what the map's spec says. */
function defines(btf: Btf, map: MapSpec): boolean {
  const defined = readMapDef(btf, map.btfVarId);
  const text = (value: unknown) => JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? `${v}n` : v));
  const comparable = (m: MapSpec): unknown[] => [
    [m.type, m.keySize, m.valueSize, m.maxEntries, m.flags, m.extra, m.keyTypeId, m.valueTypeId, m.pinning],
    m.inner === null ? null : comparable(m.inner),
  ];
  return defined.name === map.name && text(comparable(defined)) === text(comparable(map));
}

function structSize(btf: Btf, id: number): number {
  const type = btf.types[id];
  if (type?.kind !== "struct") throw new InputError(`BTF type id ${id} defines a map but is no struct`);
  return type.size;
}

function setDatasec(builder: BtfBuilder, id: number, name: string, size: number, vars: readonly BtfSecInfo[]): number {
  if (id === 0) return builder.datasec(name, size, vars);
  if (builder.types[id]?.kind !== "datasec") throw new InputError(`BTF type id ${id} is no data section`);
  builder.replace(id, { kind: "datasec", name, size, vars });
  return id;
}

function addDatasec(builder: BtfBuilder, data: DataSpec): number {
  const vars = data.variables
    .filter((variable) => variable.btfVarId !== 0 && variable.size > 0)
    .map(({ btfVarId, offset, size }) => ({ type: btfVarId, offset, size }))
    .sort((a, b) => a.offset - b.offset);
  for (const { type } of vars) {
    if (builder.types[type]?.kind !== "var") {
      throw new InputError(`BTF type id ${type} is no variable`, { section: data.section });
    }
  }
  if (data.content.length === 0 || (vars.length === 0 && data.btfDatasecId === 0)) return data.btfDatasecId;
  return setDatasec(builder, data.btfDatasecId, data.section, data.content.length, vars);
}

/**
 * libbpf looks up the symbol of every global variable of a data section. Sections that the object does not
 * hold any more have no symbols: their variables become static, which libbpf passes over.
 */
function hideForeignVariables(builder: BtfBuilder, spec: ObjectSpec): void {
  const own = new Set<string>([SECTION.MAPS, SECTION.LICENSE, SECTION.KCONFIG, SECTION.KSYMS]);
  for (const data of spec.data) own.add(data.section);
  for (const type of builder.types) {
    if (type.kind !== "datasec" || own.has(type.name)) continue;
    for (const { type: id } of type.vars) {
      const variable = builder.types[id];
      if (variable?.kind === "var") builder.replace(id, { ...variable, linkage: "static" });
    }
  }
}

/** Name of the variable that holds the licence, for its symbol. */
export function licenseSymbol(btf: Btf | null): string {
  const id = btf === null ? undefined : findType(btf, "datasec", SECTION.LICENSE);
  const section = id === undefined ? undefined : btf?.types[id];
  const first = section?.kind === "datasec" ? section.vars[0]?.type : undefined;
  const variable = first === undefined ? undefined : btf?.types[first];
  return variable?.kind === "var" ? variable.name : "_license";
}
