// SPDX-License-Identifier: MIT
import { resolveId, resolveType, typeById } from "../btf/size.js";
import type { BtfMember, BtfSecInfo, BtfType } from "../btf/types.js";
import type { StructOpsSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { lastOf, type ObjectFile, type ObjectTypes } from "./object-file.js";
import type { ElfSection, ElfSymbol } from "./read-elf.js";
import type { FunctionTable } from "./read-symbols.js";

/** SEC names of the programs that members of struct_ops structs can be. */
const STRUCT_OPS_PROGRAM = /^\??struct_ops(\.s)?(\/|$)/;

/**
 * Reads the variables of the `.struct_ops*` sections, each of which becomes a map (libbpf:
 * bpf_object_init_struct_ops(), bpf_object__collect_st_ops_relos()).
 * @throws InputError when BTF does not describe one as a struct, or a member is no program.
 */
export function readStructOps(file: ObjectFile, functions: FunctionTable): StructOpsSpec[] {
  const { types } = file;
  if (types === null) return [];
  return file.sections.structOps.flatMap((section) => readSection(file, types, section, functions));
}

/** Variables may share bytes only in files made by hand; their contents are copies. */
const OVERLAP_FACTOR = 4;

function readSection(
  file: ObjectFile,
  types: ObjectTypes,
  section: ElfSection,
  functions: FunctionTable,
): StructOpsSpec[] {
  const place = { section: section.name };
  const datasec = types.types[types.datasec(section.name) ?? 0];
  if (datasec?.kind !== "datasec") throw new InputError("BTF does not describe this section", place);
  let total = 0;
  const variables = datasec.vars.map((info) => {
    const spec = readVariable(types, section, info);
    total += spec.content.length;
    if (total > OVERLAP_FACTOR * section.size) throw new InputError("variables overlap beyond reason", place);
    return { spec, refs: new Map<number, string>(), members: memberTable(types, spec.typeId) };
  });
  const sorted = variables.toSorted((a, b) => a.spec.offset - b.spec.offset);
  for (const relocation of file.elf.relocations.get(section.index) ?? []) {
    const { offset } = relocation;
    const variable = lastOf(sorted, ({ spec }) => spec.offset <= offset);
    if (variable === undefined || offset >= variable.spec.offset + variable.spec.content.length) {
      throw new InputError(`relocation at offset ${offset} is inside of no variable`, place);
    }
    const { spec, refs, members } = variable;
    const at = offset - spec.offset;
    refs.set(at, readMember(types, spec, at, members.get(at * 8), relocation.symbol, functions));
  }
  return variables.map(({ spec, refs }) => ({
    ...spec,
    refs: [...refs].map(([offset, func]) => ({ offset, func })).sort((a, b) => a.offset - b.offset),
  }));
}

/** The first member at each bit. */
function memberTable(types: ObjectTypes, id: number): ReadonlyMap<number, BtfMember> {
  const type = typeById(types, id);
  const members = type.kind === "struct" ? type.members : [];
  return new Map(members.toReversed().map((member) => [member.bitOffset, member]));
}

function readVariable(types: ObjectTypes, section: ElfSection, info: BtfSecInfo): StructOpsSpec {
  const place = { section: section.name };
  const variable = typeById(types, info.type);
  if (variable.kind !== "var") throw new InputError(`BTF type id ${info.type} is no variable`, place);
  const typeId = resolveId(types, variable.type);
  const type = typeById(types, typeId);
  if (type.kind !== "struct" || type.name === "") {
    throw new InputError(`${variable.name} is no struct with a name but ${type.kind}`, place);
  }
  if (info.offset + type.size > section.size) {
    throw new InputError(`${variable.name} at offset ${info.offset} reaches beyond the section`, place);
  }
  return {
    name: variable.name,
    section: section.name,
    offset: info.offset,
    typeId,
    btfVarId: info.type,
    content: new Uint8Array(section.content.subarray(info.offset, info.offset + type.size)),
    refs: [],
  };
}

/** Name of the program that a member is. */
function readMember(
  types: ObjectTypes,
  spec: StructOpsSpec,
  offset: number,
  member: BtfMember | undefined,
  symbol: ElfSymbol,
  functions: FunctionTable,
): string {
  const fail = (what: string): never => {
    throw new InputError(`${spec.name}: ${what}`, { section: spec.section });
  };
  if (member === undefined) return fail(`no member stands at offset ${offset}`);
  if (!isFunctionPointer(types, resolveType(types, member.type))) {
    return fail(`member ${member.name} is no pointer to a function, and cannot be filled in`);
  }
  const func = functions.containing(symbol.section, symbol.value);
  if (func === undefined) return fail(`member ${member.name} is no function of this object`);
  if (!STRUCT_OPS_PROGRAM.test(func.section)) {
    return fail(`member ${member.name}: function ${func.name} stands in section ${func.section}, not in struct_ops`);
  }
  return func.name;
}

function isFunctionPointer(types: ObjectTypes, type: BtfType): boolean {
  return type.kind === "ptr" && resolveType(types, type.type).kind === "funcProto";
}
