// SPDX-License-Identifier: MIT
import { StringTable } from "../btf/strings.js";
import type { Btf, BtfSecInfo, BtfType } from "../btf/types.js";
import { writeBtf } from "../btf/write.js";
import { SECTION } from "../elf/format.js";
import { encodeObjectBtf } from "../elf/object-btf.js";
import { layoutFunctions } from "../elf/object-layout.js";
import type { ExternSpec, ObjectSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import type { KconfigPlace } from "./kconfig.js";

/** An object's types as the kernel gets them. */
export interface KernelBtf {
  readonly btf: Btf;
  /** Finished; the texts of line records are in it. */
  readonly strings: StringTable;
  /** What BPF_BTF_LOAD gets. */
  readonly blob: Uint8Array;
  /** First type of each name that a section of data has. */
  readonly sectionTypes: ReadonlyMap<string, number>;
}

/** Name of the variable that stands in for kernel functions in `.ksyms`; libbpf's. */
const DUMMY_KSYM = "dummy_ksym";
/** Every extern of `.ksyms` is an int of this size to the kernel. */
const KSYM_SIZE = 4;

type Types = BtfType[];

/**
 * Makes of an object's types what the kernel takes: it knows no externs, so those of `.ksyms` become ints and
 * those of `.kconfig` get their places; hidden functions become static (libbpf: bpf_object__collect_externs(),
 * bpf_object__sanitize_and_load_btf()). Null without types.
 */
export function kernelBtf(spec: ObjectSpec, kconfig: readonly KconfigPlace[], kconfigSize: number): KernelBtf | null {
  const whole = completeTypes(spec);
  if (whole === null) return null;
  const types: Types = [...whole.types];
  const externs = new Map(spec.externs.map((extern) => [extern.name, extern]));
  defineKsyms(types, externs);
  defineKconfig(types, kconfig, kconfigSize);
  hideFunctions(types, spec);
  const btf = { types };
  const { strings } = whole;
  for (const { lines } of spec.functions) {
    for (const { file, text } of lines) {
      strings.add(file);
      strings.add(text);
    }
  }
  const blob = writeBtf(btf, strings);
  return { btf, strings, blob, sectionTypes: sectionTypes(types, spec) };
}

/** The types with the definitions of maps and data sections, which objects that were read have already. */
function completeTypes(spec: ObjectSpec): { types: readonly BtfType[]; strings: StringTable } | null {
  if (spec.btf === null) return null;
  if (spec.btfStrings !== null) {
    return { types: spec.btf.types, strings: new StringTable(spec.btfStrings) };
  }
  const complete = encodeObjectBtf(spec, layoutFunctions(spec.functions));
  return complete === null ? null : { types: complete.btf.types, strings: new StringTable(complete.strings.finish()) };
}

function findDatasec(
  types: Types,
  name: string,
): { id: number; section: Extract<BtfType, { kind: "datasec" }> } | null {
  for (let id = 1; id < types.length; id++) {
    const type = types[id]!;
    if (type.kind === "datasec" && type.name === name) return { id, section: type };
  }
  return null;
}

function defineKsyms(types: Types, externs: ReadonlyMap<string, ExternSpec>): void {
  const found = findDatasec(types, SECTION.KSYMS);
  if (found === null) return;
  const int = types.findIndex((type) => type.kind === "int" && type.bits === 32);
  const intId = Math.max(int, 0);
  let dummy = 0;
  if (found.section.vars.some(({ type }) => types[type]?.kind === "func")) {
    dummy = types.push({ kind: "var", name: DUMMY_KSYM, type: intId, linkage: "global" }) - 1;
  }
  const declared = [...externs.values()].some(({ section }) => section === SECTION.KSYMS);
  if (!declared) return;
  const vars = found.section.vars.map((info, i): BtfSecInfo => {
    const type = types[info.type];
    const place = { offset: i * KSYM_SIZE, size: KSYM_SIZE };
    if (type?.kind !== "func" && type?.kind !== "var") {
      throw new InputError(`BTF type id ${info.type} in ${SECTION.KSYMS} is no extern`);
    }
    if (!externs.has(type.name)) throw new InputError(`BTF declares extern ${type.name}, which no symbol stands for`);
    if (type.kind === "var") {
      types[info.type] = { ...type, linkage: "global", type: intId };
      return { type: info.type, ...place };
    }
    nameParams(types, type.type);
    types[info.type] = { ...type, linkage: "global" };
    return { type: dummy, ...place };
  });
  types[found.id] = { ...found.section, size: vars.length * KSYM_SIZE, vars };
}

/** The kernel wants a name for every parameter of a function that is no prototype only. */
function nameParams(types: Types, protoId: number): void {
  const proto = types[protoId];
  if (proto?.kind !== "funcProto") return;
  const params = proto.params.map((param) =>
    param.type !== 0 && param.name === "" ? { ...param, name: DUMMY_KSYM } : param,
  );
  types[protoId] = { ...proto, params };
}

function defineKconfig(types: Types, places: readonly KconfigPlace[], size: number): void {
  if (places.length === 0) return;
  const found = findDatasec(types, SECTION.KCONFIG);
  if (found === null) return;
  const offsets = new Map(places.map(({ extern, offset }) => [extern.name, offset]));
  const vars = found.section.vars.map((info): BtfSecInfo => {
    const type = types[info.type];
    const offset = type?.kind === "var" ? offsets.get(type.name) : undefined;
    if (type?.kind !== "var" || offset === undefined) {
      throw new InputError(`BTF type id ${info.type} in ${SECTION.KCONFIG} is no extern that a symbol stands for`);
    }
    types[info.type] = { ...type, linkage: "global" };
    return { ...info, offset };
  });
  vars.sort((a, b) => a.offset - b.offset);
  types[found.id] = { ...found.section, size, vars };
}

/** A hidden subprogram is verified where it is called, as a static one is. */
function hideFunctions(types: Types, spec: ObjectSpec): void {
  const hidden = new Set<string>();
  for (const { section, symbol, visibility } of spec.functions) {
    if (section === SECTION.TEXT && (visibility === "hidden" || visibility === "internal")) hidden.add(symbol);
  }
  if (hidden.size === 0) return;
  types.forEach((type, id) => {
    if (type.kind !== "func" || type.linkage !== "global" || !hidden.delete(type.name)) return;
    types[id] = { ...type, linkage: "static" };
  });
}

function sectionTypes(types: Types, spec: ObjectSpec): Map<string, number> {
  const wanted = new Set(spec.data.map(({ section }) => section));
  if (spec.externs.some(({ section }) => section === SECTION.KCONFIG)) wanted.add(SECTION.KCONFIG);
  const found = new Map<string, number>();
  types.forEach((type, id) => {
    if ("name" in type && wanted.delete(type.name)) found.set(type.name, id);
  });
  return found;
}
