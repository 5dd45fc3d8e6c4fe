// SPDX-License-Identifier: MIT
import { essentialName } from "../btf/core/source.js";
import { resolveId, sizeOf, typeById } from "../btf/size.js";
import type { Btf, BtfMember, BtfType } from "../btf/types.js";
import { MapFlag, MapType } from "../kernel/uapi.js";
import type { MapLoad } from "../model/load.js";
import type { ObjectSpec, StructOpsSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { findOwnType } from "./kernel-types.js";
import { kernelName } from "./maps.js";
import type { ModuleTypes, ResolveOptions } from "./options.js";

/** A struct of the kernel's that programs implement, as a map to create. */
export interface ResolvedStructOps {
  /** The variable's name. */
  readonly name: string;
  readonly load: MapLoad;
  /** The map's value without its programs (`struct bpf_struct_ops_X`). */
  readonly content: Uint8Array;
  /** Where the programs' descriptors go in it, 8 bytes each. */
  readonly programs: readonly { readonly offset: number; readonly func: string }[];
  /** It is attached by a link (`.struct_ops.link`), else by the update of its only element. */
  readonly link: boolean;
}

/** What a program of `SEC("struct_ops")` implements. */
export interface StructOpsTarget {
  /** The struct in the kernel's BTF. */
  readonly btfId: number;
  /** The module's BTF that the struct is of; absent for vmlinux. */
  readonly btf?: Uint8Array;
  /** Index of the member, which is the program's expected attach type. */
  readonly member: number;
}

/** The struct_ops maps of an object, and what their programs implement. */
export interface StructOps {
  /** Only those that are to be created. */
  readonly maps: readonly ResolvedStructOps[];
  readonly targets: ReadonlyMap<string, StructOpsTarget>;
}

type Struct = Extract<BtfType, { kind: "struct" | "union" }>;

/** The kernel's side of a struct. */
interface KernelStruct {
  readonly btf: Btf;
  /** That it is of; null for vmlinux. */
  readonly module: ModuleTypes | null;
  readonly id: number;
  readonly type: Struct;
  /** `struct bpf_struct_ops_X`, which holds it. */
  readonly valueId: number;
  readonly valueSize: number;
  /** Bytes from the start of the value. */
  readonly offset: number;
}

/** Prefix of the struct that is a struct_ops map's value (STRUCT_OPS_VALUE_PREFIX). */
const VALUE_PREFIX = "bpf_struct_ops_";
const POINTER_SIZE = 8;

/**
 * Converts the object's struct_ops variables to the kernel's layout (libbpf: bpf_map__init_kern_struct_ops()).
 * @throws InputError when the kernel has no such struct, or it differs in what the variable sets.
 */
export function resolveStructOps(spec: ObjectSpec, options: ResolveOptions): StructOps {
  const maps: ResolvedStructOps[] = [];
  const targets = new Map<string, StructOpsTarget>();
  for (const variable of spec.structOps) {
    if (variable.section.startsWith("?") || options.withoutMaps?.has(variable.name)) continue;
    try {
      maps.push(convert(spec, variable, options, targets));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`struct_ops ${variable.name}: ${error.message}`, { section: variable.section });
    }
  }
  return { maps, targets };
}

function convert(
  spec: ObjectSpec,
  variable: StructOpsSpec,
  options: ResolveOptions,
  targets: Map<string, StructOpsTarget>,
): ResolvedStructOps {
  const btf = spec.btf!;
  const local = typeById(btf, variable.typeId);
  if (local.kind !== "struct") throw new InputError(`its type is no struct but ${local.kind}`);
  const kernel = findStruct(local.name, options);
  const content = new Uint8Array(kernel.valueSize);
  const programs: { offset: number; func: string }[] = [];
  const set = new Map(variable.refs.map(({ offset, func }) => [offset, func]));
  for (const member of local.members) {
    const at = Math.floor(member.bitOffset / 8);
    const size = sizeOf(btf, member.type);
    const bytes = variable.content.subarray(at, at + size);
    const func = set.get(at);
    const isSet = func !== undefined || bytes.some((byte) => byte !== 0);
    const index = kernel.type.members.findIndex(({ name }) => name === member.name);
    const theirs = kernel.type.members[index];
    if (theirs === undefined) {
      if (isSet) throw new InputError(`the kernel's struct ${kernel.type.name} has no member ${member.name}`);
      continue;
    }
    const to = kernel.offset + Math.floor(theirs.bitOffset / 8);
    if (!isPointer({ btf, member }, { btf: kernel.btf, member: theirs })) {
      copyMember({ btf, member, bytes }, { btf: kernel.btf, member: theirs }, content.subarray(to));
    } else if (isSet) {
      if (func === undefined) throw new InputError(`member ${member.name} points to no program`);
      checkFunctionPointer(kernel.btf, theirs);
      const { id: btfId, module } = kernel;
      aim(targets, func, { btfId, ...(module && { btf: module.blob }), member: index }, member.name);
      programs.push({ offset: to, func });
    }
  }
  const link = variable.section.endsWith(".link");
  return { name: variable.name, load: structOpsLoad(variable.name, kernel, link), content, programs, link };
}

interface Side {
  readonly btf: Btf;
  readonly member: BtfMember;
}

/** Whether a member is a pointer on both sides. @throws InputError when they are of different kinds. */
function isPointer(ours: Side, theirs: Side): boolean {
  const { name } = ours.member;
  if (ours.member.bitSize !== 0 || theirs.member.bitSize !== 0) throw new InputError(`member ${name} is a bit field`);
  const kind = kindBehind(ours);
  const theirKind = kindBehind(theirs);
  if (kind !== theirKind) throw new InputError(`member ${name} is ${kind}, but ${theirKind} for the kernel`);
  return kind === "ptr";
}

function kindBehind({ btf, member }: Side): BtfType["kind"] {
  return typeById(btf, resolveId(btf, member.type)).kind;
}

function copyMember(ours: Side & { readonly bytes: Uint8Array }, theirs: Side, to: Uint8Array): void {
  const size = sizeOf(theirs.btf, theirs.member.type);
  if (size !== ours.bytes.length) {
    throw new InputError(`member ${ours.member.name} has ${ours.bytes.length} bytes, but ${size} for the kernel`);
  }
  to.set(ours.bytes);
}

function checkFunctionPointer(btf: Btf, member: BtfMember): void {
  const pointer = typeById(btf, resolveId(btf, member.type));
  const target = pointer.kind === "ptr" && pointer.type !== 0 ? typeById(btf, resolveId(btf, pointer.type)) : pointer;
  if (target.kind !== "funcProto") throw new InputError(`member ${member.name} is no function for the kernel`);
}

/** One program may implement the same member of several variables. */
function aim(targets: Map<string, StructOpsTarget>, func: string, target: StructOpsTarget, member: string): void {
  const known = targets.get(func);
  if (known === undefined) targets.set(func, target);
  else if (known.btfId !== target.btfId || known.btf !== target.btf || known.member !== target.member) {
    throw new InputError(`member ${member}: program ${func} implements another one already`);
  }
}

function findStruct(localName: string, options: ResolveOptions): KernelStruct {
  const name = essentialName(localName);
  const kernel = options.kernelTypes?.() ?? null;
  if (kernel === null) throw new InputError("the kernel's types are not at hand");
  const vmlinuxId = findOwnType(kernel, null, "struct", VALUE_PREFIX + name);
  if (vmlinuxId !== undefined) return kernelStruct(kernel, null, vmlinuxId, findOwnType(kernel, null, "struct", name));
  for (const module of options.modules?.() ?? []) {
    const valueId = findOwnType(module.btf, kernel, "struct", VALUE_PREFIX + name);
    if (valueId === undefined) continue;
    const id = findOwnType(kernel, null, "struct", name) ?? findOwnType(module.btf, kernel, "struct", name);
    return kernelStruct(module.btf, module, valueId, id);
  }
  throw new InputError(`the kernel has no struct ${VALUE_PREFIX}${name}`);
}

function kernelStruct(btf: Btf, module: ModuleTypes | null, valueId: number, id: number | undefined): KernelStruct {
  const value = typeById(btf, valueId) as Struct;
  if (id === undefined) throw new InputError(`the kernel has no struct ${value.name.slice(VALUE_PREFIX.length)}`);
  const type = typeById(btf, id) as Struct;
  const data = value.members.find((member) => member.type === id);
  if (data === undefined) throw new InputError(`the kernel's struct ${value.name} holds no struct ${type.name}`);
  return { btf, module, id, type, valueId, valueSize: value.size, offset: data.bitOffset / 8 };
}

function structOpsLoad(name: string, kernel: KernelStruct, link: boolean): MapLoad {
  return {
    name: kernelName(name),
    type: MapType.STRUCT_OPS,
    keySize: 4,
    valueSize: kernel.valueSize,
    maxEntries: 1,
    flags: (link ? MapFlag.LINK : 0) | (kernel.module === null ? 0 : MapFlag.VTYPE_BTF_OBJ_FD),
    extra: 0n,
    btf: null,
    btfKeyTypeId: 0,
    btfValueTypeId: 0,
    btfVmlinuxValueTypeId: kernel.valueId,
    ...(kernel.module && { valueBtf: kernel.module.blob }),
    inner: null,
    frozen: false,
    value: null,
  };
}

/** The map's value with the descriptors of its programs. */
export function structOpsValue(ops: ResolvedStructOps, fdOf: (func: string) => number): Uint8Array {
  const value = ops.content.slice();
  const view = new DataView(value.buffer);
  for (const { offset, func } of ops.programs) {
    if (offset + POINTER_SIZE > value.length) throw new InputError(`struct_ops ${ops.name}: ${func} has no place`);
    view.setBigUint64(offset, BigInt(fdOf(func)), true);
  }
  return value;
}
