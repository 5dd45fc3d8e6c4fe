// SPDX-License-Identifier: MIT
import type { DataSpec, ExternSpec, FunctionSpec, MapSpec, ObjectSpec, StructOpsSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { SECTION, STRUCT_OPS_SECTIONS } from "./format.js";
import { isMapInMap } from "./map-def.js";

/** The parts of an object by their names. */
export interface ObjectNames {
  readonly functions: ReadonlyMap<string, FunctionSpec>;
  readonly maps: ReadonlyMap<string, MapSpec>;
  readonly data: ReadonlyMap<string, DataSpec>;
  readonly externs: ReadonlyMap<string, ExternSpec>;
}

/**
 * Checks what maps, data, struct_ops variables and CO-RE relocations refer to.
 * @throws InputError saying which of them is wrong.
 */
export function checkParts(spec: ObjectSpec, names: ObjectNames): void {
  for (const map of spec.maps) checkInitial(map, names);
  for (const data of spec.data) checkDataRefs(data, names);
  for (const one of spec.structOps) checkStructOps(one, names);
  for (const func of spec.functions) checkCore(func);
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function checkInitial(map: MapSpec, { functions, maps }: ObjectNames): void {
  let previous = -1;
  for (const { index, kind, name } of map.initial) {
    const fail = (what: string) => {
      throw new InputError(`map ${map.name}: initial value ${index}: ${what}`, { section: SECTION.MAPS });
    };
    if (!isCount(index) || index <= previous) fail("is out of order");
    previous = index;
    if (isMapInMap(map.type) !== (kind === "map")) fail(`a map of type ${map.type} cannot hold a ${kind}`);
    if (kind === "map" && !maps.has(name)) fail(`map ${name} does not exist`);
    if (kind === "func" && !functions.has(name)) fail(`program ${name} does not exist`);
    if (kind === "func" && functions.get(name)?.section === SECTION.TEXT)
      fail(`${name} is no program but a subprogram`);
  }
}

function checkDataRefs(data: DataSpec, { functions, maps, data: sections, externs }: ObjectNames): void {
  let end = 0;
  for (const ref of data.refs) {
    const fail = (what: string) => {
      throw new InputError(`address at offset ${ref.offset}: ${what}`, { section: data.section });
    };
    if (!isCount(ref.offset) || ref.offset < end) fail("it overlaps the one before");
    end = ref.offset + ref.size;
    if (end > data.content.length) fail("it reaches beyond the section");
    if (ref.kind === "func" && !functions.has(ref.func)) fail(`function ${ref.func} does not exist`);
    if (ref.kind === "map" && !maps.has(ref.map)) fail(`map ${ref.map} does not exist`);
    if (ref.kind === "data" && !sections.has(ref.section)) fail(`data section ${ref.section} does not exist`);
    if (ref.kind === "extern" && !externs.has(ref.extern)) fail(`extern ${ref.extern} is not declared`);
  }
}

function checkStructOps(one: StructOpsSpec, { functions }: ObjectNames): void {
  const fail = (what: string) => {
    throw new InputError(`${one.name}: ${what}`, { section: one.section });
  };
  if (!STRUCT_OPS_SECTIONS.has(one.section)) fail("this is no section for struct_ops variables");
  if (!isCount(one.offset)) fail(`offset ${one.offset} is impossible`);
  let previous = -1;
  for (const { offset, func } of one.refs) {
    if (!isCount(offset) || offset <= previous || offset >= one.content.length)
      fail(`no member is at offset ${offset}`);
    previous = offset;
    if (!functions.has(func)) fail(`function ${func} does not exist`);
  }
}

function checkCore(func: FunctionSpec): void {
  let previous = 0;
  for (const { insn } of func.core) {
    if (!isCount(insn) || insn < previous || insn >= func.insns.length) {
      throw new InputError(`function ${func.name}: CO-RE relocation is out of order or range`, { insn });
    }
    previous = insn;
  }
}
