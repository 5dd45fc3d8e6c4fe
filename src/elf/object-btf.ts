// SPDX-License-Identifier: MIT
import { BtfBuilder } from "../btf/builder.js";
import { type BtfExt, type CoreRelo, type FuncInfo, type LineInfo, writeBtfExt } from "../btf/ext.js";
import { StringTable } from "../btf/strings.js";
import type { Btf } from "../btf/types.js";
import { writeBtf } from "../btf/write.js";
import type { FunctionSpec, ObjectSpec } from "../model/spec.js";
import { addDatasec, addExterns, addMaps, addStructOps, type MapLayout } from "./object-datasecs.js";
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
  /** Where the definitions of the maps stand in section `.maps`. */
  readonly maps: MapLayout;
  /** BTF_KIND_DATASEC ids by section name. */
  readonly datasecs: ReadonlyMap<string, number>;
}

/**
 * Completes and encodes the types of an object. Ids of the object's own types stay what they are, and what is
 * complete already stays as it is. Null when the object has neither types nor maps.
 * @throws InputError when something names a type that is not what it should be.
 */
export function encodeObjectBtf(spec: ObjectSpec, layout: readonly CodeSection[]): ObjectBtf | null {
  if (spec.btf === null && spec.maps.length === 0) return null;
  const builder = new BtfBuilder(spec.btf ?? undefined);
  const maps = addMaps(builder, spec.maps);
  const datasecs = new Map<string, number>();
  for (const data of spec.data) {
    const id = addDatasec(builder, data);
    if (id !== 0) datasecs.set(data.section, id);
  }
  addExterns(builder, spec.externs);
  addStructOps(builder, spec.structOps);
  const btf = builder.build();
  const littleEndian = spec.endianness === "little";
  const strings = new StringTable(spec.btfStrings ?? undefined);
  const ext = spec.btf === null ? null : encodeExt(layout, strings, littleEndian);
  return { btf, strings, blob: writeBtf(btf, strings, littleEndian), ext, maps, datasecs };
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

function encodeExt(layout: readonly CodeSection[], strings: StringTable, littleEndian: boolean): Uint8Array | null {
  const ext: BtfExt = {
    funcInfo: layout.map(({ name, functions }) => ({
      section: name,
      records: functions.flatMap(({ func, offset }) => funcInfoOf(func, offset * EXT_UNIT)),
    })),
    lineInfo: layout.map(({ name, functions }) => ({
      section: name,
      records: functions.flatMap(({ func, offset }) => lineInfoOf(func, offset, EXT_UNIT)),
    })),
    coreRelos: layout.map(({ name, functions }) => ({
      section: name,
      records: functions.flatMap(({ func, offset }) => coreRelosOf(func, offset)),
    })),
  };
  const sections = [...ext.funcInfo, ...ext.lineInfo, ...ext.coreRelos];
  return sections.some((section) => section.records.length > 0) ? writeBtfExt(ext, strings, littleEndian) : null;
}

function coreRelosOf(func: FunctionSpec, offset: number): CoreRelo[] {
  return func.core.map(({ insn, ...relo }) => ({ ...relo, insnOff: (offset + insn) * EXT_UNIT }));
}
