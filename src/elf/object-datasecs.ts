// SPDX-License-Identifier: MIT
import type { BtfBuilder } from "../btf/builder.js";
import { findType, resolveType } from "../btf/size.js";
import type { Btf, BtfSecInfo } from "../btf/types.js";
import type { DataSpec, ExternSpec, MapSpec, StructOpsSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { SECTION } from "./format.js";
import { addMapStruct, POINTER_SIZE, readMapDef } from "./map-def.js";

/*
 * The DATASECs of an object: what stands where in sections of variables. A section that is described already, as in
 * an object that was read, stays as it is.
 */

/** A map's definition in section `.maps`; bytes. */
export interface MapPlace {
  readonly offset: number;
  /** With its initial values, which stand behind the definition. */
  readonly size: number;
  /** Of member `values` from the definition's start; the definition's end without one. */
  readonly valuesOffset: number;
}

/** Section `.maps`. */
export interface MapLayout {
  readonly size: number;
  /** In the order of the object's maps. */
  readonly places: readonly MapPlace[];
}

/** Gives each map a variable that defines it and lays the variables out in DATASEC `.maps`. */
export function addMaps(builder: BtfBuilder, maps: readonly MapSpec[]): MapLayout {
  if (maps.length === 0) return { size: 0, places: [] };
  const ids = maps.map((map) => addMap(builder, map));
  const needs = maps.map((map, i) => spaceOf(builder, map, ids[i]!));
  const standingId = findType(builder, "datasec", SECTION.MAPS) ?? 0;
  const standing = builder.types[standingId];
  if (standing?.kind === "datasec") {
    const infos = new Map(standing.vars.map((info) => [info.type, info]));
    const own = standing.vars.filter(({ type }) => !isExternVariable(builder, type));
    const known = ids.map((id) => infos.get(id));
    if (own.length === maps.length && known.every((info, i) => info !== undefined && info.size >= needs[i]!.size)) {
      const places = known.map((info, i) => ({ ...needs[i]!, offset: info!.offset, size: info!.size }));
      return { size: standing.size, places };
    }
  }
  let size = 0;
  const places = needs.map((need): MapPlace => {
    const offset = size;
    size += need.size;
    return { ...need, offset };
  });
  const vars = places.map(({ offset, size }, i): BtfSecInfo => ({ type: ids[i]!, offset, size }));
  setDatasec(builder, standingId, SECTION.MAPS, size, vars);
  return { size, places };
}

function isExternVariable(btf: Btf, id: number): boolean {
  const type = btf.types[id];
  return type?.kind === "var" && type.linkage === "extern";
}

/** Id of the variable that defines the map. */
function addMap(builder: BtfBuilder, map: MapSpec): number {
  const standing = builder.types[map.btfVarId];
  if (map.btfVarId !== 0 && standing?.kind === "var" && defines(builder, map)) return map.btfVarId;
  const structId = addMapStruct(builder, map);
  // A variable whose definition no longer says what the map is gets a new one.
  if (standing?.kind === "var") {
    builder.replace(map.btfVarId, { ...standing, name: map.name, type: structId });
    return map.btfVarId;
  }
  return builder.var(map.name, structId);
}

/** Whether the map's variable says exactly what the map's spec says. */
function defines(btf: Btf, map: MapSpec): boolean {
  const defined = readMapDef(btf, map.btfVarId);
  return defined.name === map.name && sameDefinition(defined, map);
}

const DEFINED = [
  "type",
  "keySize",
  "valueSize",
  "maxEntries",
  "flags",
  "extra",
  "numaNode",
  "keyTypeId",
  "valueTypeId",
  "pinning",
] as const satisfies readonly (keyof MapSpec)[];

function sameDefinition(a: MapSpec, b: MapSpec): boolean {
  if (DEFINED.some((key) => a[key] !== b[key])) return false;
  return a.inner === null || b.inner === null ? a.inner === b.inner : sameDefinition(a.inner, b.inner);
}

function spaceOf(btf: Btf, map: MapSpec, varId: number): Omit<MapPlace, "offset"> {
  const struct = resolveType(btf, variableType(btf, varId));
  if (struct.kind !== "struct") throw new InputError(`BTF type id ${varId} defines a map but is no struct`);
  const last = struct.members.at(-1);
  const valuesOffset = last?.name === "values" ? Math.floor(last.bitOffset / 8) : struct.size;
  const slots = (map.initial.at(-1)?.index ?? -1) + 1;
  return { size: Math.max(struct.size, valuesOffset + slots * POINTER_SIZE), valuesOffset };
}

function variableType(btf: Btf, id: number): number {
  const variable = btf.types[id];
  if (variable?.kind !== "var") throw new InputError(`BTF type id ${id} is no variable`);
  return variable.type;
}

function setDatasec(builder: BtfBuilder, id: number, name: string, size: number, vars: readonly BtfSecInfo[]): number {
  if (id === 0) return builder.datasec(name, size, vars);
  if (builder.types[id]?.kind !== "datasec") throw new InputError(`BTF type id ${id} is no data section`);
  builder.replace(id, { kind: "datasec", name, size, vars });
  return id;
}

/** Whether the DATASEC describes exactly these variables; extern ones, which are nowhere, do not count. */
function describes(btf: Btf, id: number, size: number, vars: readonly BtfSecInfo[]): boolean {
  const standing = btf.types[id];
  if (standing?.kind !== "datasec" || standing.size !== size) return false;
  const own = standing.vars.filter(({ type }) => !isExternVariable(btf, type));
  const text = ({ type, offset, size }: BtfSecInfo) => `${type} ${offset} ${size}`;
  const wanted = new Set(vars.map(text));
  return own.length === vars.length && own.every((info) => wanted.has(text(info)));
}

/** Describes a section of global data and gives the DATASEC's id, 0 when there is nothing to say. */
export function addDatasec(builder: BtfBuilder, data: DataSpec): number {
  const vars = data.variables
    .filter((variable) => variable.btfVarId !== 0)
    .map(({ btfVarId, offset, size }) => ({ type: btfVarId, offset, size }))
    .sort((a, b) => a.offset - b.offset);
  for (const { type } of vars) {
    if (builder.types[type]?.kind !== "var") {
      throw new InputError(`BTF type id ${type} is no variable`, { section: data.section });
    }
  }
  const id = data.btfDatasecId;
  if (data.content.length === 0 || (vars.length === 0 && id === 0)) return id;
  if (describes(builder, id, data.content.length, vars)) return id;
  const sized = vars.filter(({ size }) => size > 0);
  return setDatasec(builder, id, data.section, data.content.length, sized);
}

/** Puts each extern into the DATASEC that says where its value comes from. */
export function addExterns(builder: BtfBuilder, externs: readonly ExternSpec[]): void {
  if (externs.length === 0) return;
  const placed = new Set(
    builder.types.flatMap((type) => (type.kind === "datasec" ? type.vars.map((v) => v.type) : [])),
  );
  for (const { name, section, kind, btfId, size } of externs) {
    if (btfId === 0) continue;
    const type = builder.types[btfId];
    if (type?.kind !== kind || type.linkage !== "extern") {
      throw new InputError(`extern ${name}: BTF type id ${btfId} is no extern ${kind}`, { section });
    }
    if (section === "" || placed.has(btfId)) continue;
    const id = findType(builder, "datasec", section) ?? 0;
    const standing = builder.types[id];
    const vars = standing?.kind === "datasec" ? standing.vars : [];
    setDatasec(builder, id, section, 0, [...vars, { type: btfId, offset: 0, size }]);
  }
}

/** Describes the sections of struct_ops variables. */
export function addStructOps(builder: BtfBuilder, structOps: readonly StructOpsSpec[]): void {
  for (const [section, variables] of groupBySection(structOps)) {
    const vars = variables.map(({ btfVarId, offset, content }) => ({ type: btfVarId, offset, size: content.length }));
    for (const { type } of vars) variableType(builder, type);
    const id = findType(builder, "datasec", section) ?? 0;
    const standing = builder.types[id];
    const end = vars.reduce((most, { offset, size }) => Math.max(most, offset + size), 0);
    const size = standing?.kind === "datasec" ? Math.max(standing.size, end) : end;
    if (!describes(builder, id, size, vars)) setDatasec(builder, id, section, size, vars);
  }
}

/** The variables by their sections, in the order of the specification. */
export function groupBySection(structOps: readonly StructOpsSpec[]): Map<string, StructOpsSpec[]> {
  const result = new Map<string, StructOpsSpec[]>();
  for (const one of structOps) {
    const list = result.get(one.section);
    if (list === undefined) result.set(one.section, [one]);
    else list.push(one);
  }
  return result;
}
