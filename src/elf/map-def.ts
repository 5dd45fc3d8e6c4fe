// SPDX-License-Identifier: MIT
import type { BtfBuilder, MemberDecl } from "../btf/builder.js";
import { resolveId, resolveType, sizeOf, typeById } from "../btf/size.js";
import type { Btf, BtfMember, BtfType } from "../btf/types.js";
import { MapType } from "../kernel/uapi.js";
import { mapSpec } from "../model/make.js";
import type { MapSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";

/*
 * BTF-defined maps: each map is a variable in section `.maps` whose struct type says by the types of its
 * members what the map is. `__uint(name, n)` is a pointer to an array of n elements, `__type(name, t)` a
 * pointer to t, `__array(values, t)` an array of no elements of pointers to t.
 */

/** LIBBPF_PIN_*. */
const PIN_BY_NAME = 1;
/** The value of a map-in-map or program array as user space sees it: a file descriptor or id. */
const FD_VALUE_SIZE = 4;
/** Bytes of a pointer of the object: an element of `values`. */
export const POINTER_SIZE = 8;
const MAX_U32 = 0xffffffff;
/** Bytes of a definition; the ones that there can be have less than 20 members of 8 bytes. */
const MAX_DEF_SIZE = 4096;

/** Whether the map's values are maps. */
export function isMapInMap(type: number): boolean {
  return type === MapType.ARRAY_OF_MAPS || type === MapType.HASH_OF_MAPS;
}

/** Adds the struct type that defines the map and gives its id. */
export function addMapStruct(btf: BtfBuilder, map: MapSpec): number {
  const int = btf.int("int");
  const uint = (name: string, value: number): MemberDecl => ({ name, type: btf.ptr(btf.array(int, value)) });
  const members: MemberDecl[] = [uint("type", map.type)];
  members.push(...sizeMember(btf, "key", map.keyTypeId, map.keySize));
  if (map.inner === null) members.push(...sizeMember(btf, "value", map.valueTypeId, map.valueSize));
  if (map.maxEntries !== 0) members.push(uint("max_entries", map.maxEntries));
  if (map.flags !== 0) members.push(uint("map_flags", map.flags));
  if (map.pinning === "byName") members.push(uint("pinning", PIN_BY_NAME));
  if (map.numaNode !== 0) members.push(uint("numa_node", map.numaNode));
  if (map.extra !== 0n) members.push(extraMember(btf, map));
  // `values` must be the last member.
  if (map.inner !== null) {
    members.push({ name: "values", type: btf.array(btf.ptr(addMapStruct(btf, map.inner)), 0) });
  } else if (map.initial.length > 0) {
    const program = btf.funcProto(int, [{ name: "", type: btf.ptr(0) }]);
    members.push({ name: "values", type: btf.array(btf.ptr(program), 0) });
  }
  return btf.struct("", members);
}

function sizeMember(btf: BtfBuilder, what: "key" | "value", typeId: number, size: number): MemberDecl[] {
  if (typeId !== 0) return [{ name: what, type: btf.ptr(typeId) }];
  if (size === 0) return [];
  return [{ name: `${what}_size`, type: btf.ptr(btf.array(btf.int("int"), size)) }];
}

function extraMember(btf: BtfBuilder, map: MapSpec): MemberDecl {
  if (map.extra <= BigInt(MAX_U32)) {
    return { name: "map_extra", type: btf.ptr(btf.array(btf.int("int"), Number(map.extra))) };
  }
  // `__ulong()`: an enum whose only value is the number.
  const values = [{ name: `__unique_value_${map.name}`, value: map.extra }];
  return { name: "map_extra", type: btf.add({ kind: "enum64", name: "", size: 8, signed: false, values }) };
}

/**
 * Reads the map that a BTF_KIND_VAR of section `.maps` defines.
 * @throws InputError when the definition is not one.
 */
export function readMapDef(btf: Btf, varId: number): MapSpec {
  const variable = typeById(btf, varId);
  if (variable.kind !== "var")
    throw new InputError(`BTF type id ${varId} in .maps is no variable but ${variable.kind}`);
  return { ...parseMapStruct(btf, variable.name, variable.type, false), btfVarId: varId };
}

type Draft = { -readonly [K in keyof MapSpec]: MapSpec[K] };

function parseMapStruct(btf: Btf, name: string, structId: number, isInner: boolean): MapSpec {
  const type = resolveType(btf, structId);
  if (type.kind !== "struct") throw new InputError(`map ${name}: its definition is no struct but ${type.kind}`);
  if (type.size > MAX_DEF_SIZE) throw new InputError(`map ${name}: a definition of ${type.size} bytes is too large`);
  const map: Draft = mapSpec({ name, type: MapType.UNSPEC });
  for (const member of type.members) {
    try {
      if (member.name === "values" && member !== type.members.at(-1)) throw new InputError("must be the last one");
      parseMember(btf, map, member, isInner);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`map ${name}: member ${member.name}: ${error.message}`);
    }
  }
  if (map.type === MapType.UNSPEC) throw new InputError(`map ${name}: its definition does not say a type`);
  return map;
}

function parseMember(btf: Btf, map: Draft, member: BtfMember, isInner: boolean): void {
  switch (member.name) {
    case "type":
      map.type = uintOf(btf, member);
      return;
    case "max_entries":
      map.maxEntries = uintOf(btf, member);
      return;
    case "map_flags":
      map.flags = uintOf(btf, member);
      return;
    case "map_extra":
      map.extra = ulongOf(btf, member);
      return;
    case "key_size":
      map.keySize = agree(map.keySize, uintOf(btf, member));
      return;
    case "value_size":
      map.valueSize = agree(map.valueSize, uintOf(btf, member));
      return;
    case "key":
      map.keyTypeId = pointee(btf, member);
      map.keySize = agree(map.keySize, sizeOf(btf, map.keyTypeId));
      return;
    case "value":
      map.valueTypeId = pointee(btf, member);
      map.valueSize = agree(map.valueSize, sizeOf(btf, map.valueTypeId));
      return;
    case "pinning":
      if (isInner) throw new InputError("an inner map cannot be pinned");
      map.pinning = pinningOf(uintOf(btf, member));
      return;
    case "numa_node":
      map.numaNode = uintOf(btf, member);
      return;
    case "values":
      if (isInner) throw new InputError("maps cannot be nested more than once");
      map.valueSize = agree(map.valueSize, FD_VALUE_SIZE);
      map.inner = innerOf(btf, map, member);
      return;
    default:
      throw new InputError("not known in a map definition");
  }
}

/** `__uint(name, n)`. */
function uintOf(btf: Btf, member: BtfMember): number {
  const pointer = resolveType(btf, member.type);
  const array = pointer.kind === "ptr" ? typeById(btf, pointer.type) : pointer;
  if (pointer.kind !== "ptr" || array.kind !== "array") throw new InputError("expected a pointer to an array (__uint)");
  return array.nelems;
}

/** `__ulong(name, n)` or `__uint(name, n)`. */
function ulongOf(btf: Btf, member: BtfMember): bigint {
  const type = resolveType(btf, member.type);
  if (type.kind !== "enum" && type.kind !== "enum64") return BigInt(uintOf(btf, member));
  const only = type.values[0];
  if (type.values.length !== 1 || only === undefined) throw new InputError("expected an enum of one value (__ulong)");
  return BigInt.asUintN(64, BigInt(only.value));
}

/** `__type(name, t)`. */
function pointee(btf: Btf, member: BtfMember): number {
  const type: BtfType = typeById(btf, member.type);
  if (type.kind !== "ptr") throw new InputError(`expected a pointer (__type), not ${type.kind}`);
  return type.type;
}

function agree(known: number, size: number): number {
  if (known !== 0 && known !== size) throw new InputError(`says ${size} bytes where another member says ${known}`);
  return size;
}

function pinningOf(value: number): MapSpec["pinning"] {
  if (value === 0) return "none";
  if (value === PIN_BY_NAME) return "byName";
  throw new InputError(`unknown pinning ${value}`);
}

/** `__array(values, t)`: the template of inner maps, or of the programs of a program array. */
function innerOf(btf: Btf, map: MapSpec, member: BtfMember): MapSpec | null {
  const array = typeById(btf, member.type);
  if (array.kind !== "array" || array.nelems !== 0) throw new InputError("expected an array of no elements (__array)");
  const pointer = resolveType(btf, array.type);
  if (pointer.kind !== "ptr") throw new InputError(`expected an array of pointers (__array), not of ${pointer.kind}`);
  const target = resolveId(btf, pointer.type);
  if (map.type === MapType.PROG_ARRAY && typeById(btf, target).kind === "funcProto") return null;
  if (!isMapInMap(map.type)) throw new InputError("expected in maps of maps and program arrays only");
  return parseMapStruct(btf, `${map.name}.inner`, target, true);
}
