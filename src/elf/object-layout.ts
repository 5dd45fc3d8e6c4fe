// SPDX-License-Identifier: MIT
import { isCall, isLdImm64 } from "../asm/isa.js";
import type { FunctionSpec, ObjectSpec, Ref } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { checkParts, type ObjectNames } from "./check-parts.js";
import { dataSectionKind, SECTION } from "./format.js";

/** A function and its place in its section. */
export interface PlacedFunction {
  readonly func: FunctionSpec;
  /** Instruction slots from the section's start. */
  readonly offset: number;
}

/** A section of instructions. */
export interface CodeSection {
  readonly name: string;
  readonly functions: readonly PlacedFunction[];
  /** Instruction slots. */
  readonly size: number;
}

/** Where the functions of an object stand: `.text` first, then the sections as they first appear. */
export function layoutFunctions(functions: readonly FunctionSpec[]): CodeSection[] {
  const bySection = new Map<string, FunctionSpec[]>();
  if (functions.some((func) => func.section === SECTION.TEXT)) bySection.set(SECTION.TEXT, []);
  for (const func of functions) {
    const list = bySection.get(func.section);
    if (list === undefined) bySection.set(func.section, [func]);
    else list.push(func);
  }
  return [...bySection].map(([name, list]) => {
    let size = 0;
    const placed = list.map((func) => {
      const offset = size;
      size += func.insns.length;
      return { func, offset };
    });
    return { name, functions: placed, size };
  });
}

/**
 * Checks what every consumer of an object relies on: names are unique, references lead somewhere and stand
 * on instructions that can carry them, records are in order.
 * @throws InputError saying which function, map or section is wrong.
 */
export function checkObject(spec: ObjectSpec): void {
  const functions = uniqueByName(spec.functions, "function", (func) => func.name);
  const maps = uniqueByName(spec.maps, "map", (map) => map.name);
  const data = uniqueByName(spec.data, "data section", (section) => section.section);
  const externs = uniqueByName(spec.externs, "extern", (one) => one.name);
  const names: ObjectNames = { functions, maps, data, externs };
  for (const section of spec.data) {
    if (dataSectionKind(section.section) === undefined) {
      throw new InputError(`${section.section} is no data section: its name must begin with .rodata, .data or .bss`);
    }
    for (const variable of section.variables) {
      if (variable.offset < 0 || variable.offset + variable.size > section.content.length) {
        throw new InputError(`variable ${variable.name} does not lie in its section`, { section: section.section });
      }
    }
  }
  for (const func of spec.functions) {
    if (func.insns.length === 0) throw new InputError(`function ${func.name} has no instructions`);
    checkLines(func);
    let previous = -1;
    for (const ref of func.refs) {
      if (ref.insn <= previous) throw new InputError(`function ${func.name}: references are not in ascending order`);
      previous = ref.insn;
      checkRefInsn(func, ref);
      checkRefTarget(func, ref, names);
    }
  }
  checkParts(spec, names);
}

function uniqueByName<T>(items: readonly T[], what: string, nameOf: (item: T) => string): Map<string, T> {
  const result = new Map<string, T>();
  for (const item of items) {
    const name = nameOf(item);
    if (name === "") throw new InputError(`a ${what} has no name`);
    if (result.has(name)) throw new InputError(`two ${what}s have the name ${name}`);
    result.set(name, item);
  }
  return result;
}

function checkLines(func: FunctionSpec): void {
  let previous = -1;
  for (const line of func.lines) {
    if (line.insn <= previous || line.insn >= func.insns.length) {
      throw new InputError(`function ${func.name}: line record at instruction ${line.insn} is out of order or range`);
    }
    previous = line.insn;
  }
  if (func.lines.length > 0 && func.lines[0]?.insn !== 0) {
    throw new InputError(`function ${func.name}: its first line record must be for instruction 0`);
  }
}

function checkRefInsn(func: FunctionSpec, ref: Ref): void {
  const insn = func.insns[ref.insn];
  const place = { insn: ref.insn };
  if (insn === undefined) throw new InputError(`function ${func.name}: reference beyond the last instruction`, place);
  if (ref.kind === "call" || ref.kind === "nowhere" || ref.kind === "kfunc") {
    if (!isCall(insn)) {
      const name = ref.kind === "call" ? ref.func : ref.kind === "kfunc" ? ref.extern : "nowhere";
      throw new InputError(`function ${func.name}: reference to ${name} is not on a call`, place);
    }
  } else if (!isLdImm64(insn) || func.insns[ref.insn + 1] === undefined) {
    throw new InputError(`function ${func.name}: ${ref.kind} reference is not on a 64-bit immediate load`, place);
  }
}

function checkRefTarget(func: FunctionSpec, ref: Ref, { functions, maps, data, externs }: ObjectNames): void {
  const fail = (what: string) => {
    throw new InputError(`function ${func.name}: ${what}`, { insn: ref.insn });
  };
  switch (ref.kind) {
    case "kfunc":
    case "extern":
      if (!externs.has(ref.extern)) fail(`extern ${ref.extern} is not declared`);
      return;
    case "map":
      if (!maps.has(ref.map)) fail(`map ${ref.map} does not exist`);
      return;
    case "data": {
      const section = data.get(ref.section);
      if (section === undefined) fail(`data section ${ref.section} does not exist`);
      // Compilers do point beside a variable; the kernel judges it.
      else if (ref.offset !== (ref.offset | 0)) fail(`offset ${ref.offset} takes more than 32 bits`);
      return;
    }
    case "nowhere":
      return;
    case "call":
    case "func": {
      const target = functions.get(ref.func);
      if (target === undefined) fail(`function ${ref.func} does not exist`);
      else if (target.section !== SECTION.TEXT) fail(`${ref.func} is no subprogram: it stands in ${target.section}`);
      return;
    }
  }
}
