// SPDX-License-Identifier: MIT
import { resolveType, typeById } from "../btf/size.js";
import type { BtfSecInfo, BtfType } from "../btf/types.js";
import { MapType } from "../kernel/uapi.js";
import type { MapInitSpec, MapSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { dataSectionKind, SECTION, STT } from "./format.js";
import { isMapInMap, POINTER_SIZE, readMapDef } from "./map-def.js";
import { bindingOf, isStrong, lastOf, type ObjectFile, type ObjectTypes } from "./object-file.js";
import type { ElfRelocation, ElfSection, ElfSymbol } from "./read-elf.js";
import type { FunctionTable } from "./read-symbols.js";

/** The maps of an object. */
export interface ObjectMaps {
  readonly specs: readonly MapSpec[];
  /** Names of the maps by their offset in `.maps`. */
  readonly names: ReadonlyMap<number, string>;
}

const PLACE = { section: SECTION.MAPS };

interface PlacedMap {
  readonly spec: MapSpec;
  readonly info: BtfSecInfo;
}

/**
 * Reads the maps of section `.maps` and what they hold from the start (libbpf: bpf_object__init_user_btf_maps(),
 * bpf_object__collect_map_relos()).
 * @param linkable whether maps may be extern, which another object then defines.
 * @throws InputError for a definition that is none.
 */
export function readMaps(file: ObjectFile, functions: FunctionTable, linkable: boolean): ObjectMaps {
  const section = file.sections.maps;
  const { types } = file;
  if (section === undefined || types === null) return { specs: [], names: new Map() };
  const datasec = types.types[types.datasec(SECTION.MAPS) ?? 0];
  if (datasec?.kind !== "datasec") throw new InputError("BTF does not describe this section", PLACE);
  const symbols = new Map<string, ElfSymbol>();
  for (const symbol of file.symbols.get(section.index) ?? []) {
    if (symbol.type === STT.OBJECT && isStrong(symbol)) symbols.set(symbol.name, symbol);
  }
  const maps: PlacedMap[] = [];
  for (const info of datasec.vars) {
    const variable = typeById(types, info.type);
    if (linkable && variable.kind === "var" && variable.linkage === "extern") continue;
    const name = checkVariable(types, section, info, variable);
    maps.push({ spec: { ...readMapDef(types, info.type), ...bindingOf(symbols.get(name)) }, info });
  }
  checkArena(file, maps);
  const initial = readInitial(file, section, maps, functions);
  return {
    specs: maps.map(({ spec }) => ({ ...spec, initial: initial.get(spec.name) ?? [] })),
    names: new Map(maps.map(({ spec, info }) => [info.offset, spec.name])),
  };
}

/** Checks what holds a map's definition and gives the map's name. */
function checkVariable(types: ObjectTypes, section: ElfSection, info: BtfSecInfo, variable: BtfType): string {
  if (variable.kind !== "var") throw new InputError(`BTF type id ${info.type} is no variable`, PLACE);
  const { name } = variable;
  if (name === "") throw new InputError(`the map at offset ${info.offset} has no name`, PLACE);
  if (info.offset + info.size > section.size) {
    throw new InputError(`map ${name} at offset ${info.offset} reaches beyond the section`, PLACE);
  }
  // A hidden one is static by now, which libbpf refuses too.
  if (variable.linkage !== "global") {
    throw new InputError(`map ${name} is ${variable.linkage}; loaders take global maps only`, PLACE);
  }
  const definition = resolveType(types, variable.type);
  if (definition.kind === "struct" && definition.size > info.size) {
    throw new InputError(`map ${name}: its definition is larger than its variable`, PLACE);
  }
  return name;
}

/** Global variables of an arena need the one map that holds them. */
function checkArena(file: ObjectFile, maps: readonly PlacedMap[]): void {
  const arenas = maps.filter(({ spec }) => spec.type === MapType.ARENA);
  if (arenas.length > 1) {
    throw new InputError(`there are two arenas, ${arenas[0]!.spec.name} and ${arenas[1]!.spec.name}`, PLACE);
  }
  if (arenas.length === 0 && file.sections.data.some(({ name }) => dataSectionKind(name) === "arena")) {
    throw new InputError("variables of an arena need a map of type BPF_MAP_TYPE_ARENA", { section: SECTION.ARENA });
  }
}

/** What the maps hold from the start, by their names. */
function readInitial(
  file: ObjectFile,
  section: ElfSection,
  maps: readonly PlacedMap[],
  functions: FunctionTable,
): Map<string, MapInitSpec[]> {
  const types = file.types!;
  const sorted = maps.toSorted((a, b) => a.info.offset - b.info.offset);
  const slots = new Map<string, Map<number, MapInitSpec>>();
  const names = new Set(maps.map(({ spec }) => spec.name));
  for (const relocation of file.elf.relocations.get(section.index) ?? []) {
    const { offset } = relocation;
    const at = lastOf(sorted, ({ info }) => info.offset <= offset);
    if (at === undefined || offset + POINTER_SIZE > at.info.offset + at.info.size) {
      throw new InputError(`relocation at offset ${offset} is inside of no map`, PLACE);
    }
    const index = slotOf(types, at, offset);
    const target = isMapInMap(at.spec.type)
      ? innerMap(section, at.spec, relocation, names)
      : programOf(file, at.spec, relocation, functions);
    const list = slots.get(at.spec.name) ?? new Map<number, MapInitSpec>();
    slots.set(at.spec.name, list.set(index, { index, ...target }));
  }
  return new Map([...slots].map(([name, list]) => [name, [...list.values()].sort((a, b) => a.index - b.index)]));
}

/** Which element of `values`, the definition's last member, lies at an offset of the section. */
function slotOf(types: ObjectTypes, { spec, info }: PlacedMap, offset: number): number {
  const definition = resolveType(types, sizelessVar(types, info.type));
  const last = definition.kind === "struct" ? definition.members.at(-1) : undefined;
  const start = info.offset + Math.floor((last?.bitOffset ?? 0) / 8);
  if (last?.name !== "values" || offset < start || (offset - start) % POINTER_SIZE !== 0) {
    throw new InputError(`map ${spec.name}: relocation at offset ${offset} is not on an element of values`, PLACE);
  }
  return (offset - start) / POINTER_SIZE;
}

function sizelessVar(types: ObjectTypes, id: number): number {
  const variable = typeById(types, id);
  return variable.kind === "var" ? variable.type : id;
}

function innerMap(
  section: ElfSection,
  map: MapSpec,
  { symbol }: ElfRelocation,
  names: ReadonlySet<string>,
): Omit<MapInitSpec, "index"> {
  if (symbol.section !== section.index || !names.has(symbol.name)) {
    throw new InputError(`map ${map.name}: initial value ${symbol.name} is no map of this object`, PLACE);
  }
  if (map.type === MapType.HASH_OF_MAPS && map.keySize !== 4) {
    throw new InputError(`map ${map.name}: initial values of a hash of maps need keys of 4 bytes`, PLACE);
  }
  return { kind: "map", name: symbol.name };
}

function programOf(
  file: ObjectFile,
  map: MapSpec,
  { symbol }: ElfRelocation,
  functions: FunctionTable,
): Omit<MapInitSpec, "index"> {
  if (map.type !== MapType.PROG_ARRAY) throw new InputError(`map ${map.name} cannot have initial values`, PLACE);
  const isProgram = symbol.type === STT.FUNC && symbol.section !== file.sections.text?.index;
  const name = isProgram ? functions.startingAt(symbol.section, symbol.value) : undefined;
  if (name === undefined) {
    throw new InputError(`map ${map.name}: initial value ${symbol.name} is no program of this object`, PLACE);
  }
  return { kind: "func", name };
}
