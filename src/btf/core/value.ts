// SPDX-License-Identifier: MIT

import { CoreReloKind } from "../../kernel/uapi.js";
import { InputError } from "../../util/errors.js";
import { isSignedInt } from "../size.js";
import type { BtfMember, BtfType } from "../types.js";
import { coreReloSubject } from "./relo-kind.js";
import type { CoreSpec } from "./spec.js";
import { describe, isComposite, isEnum, resolveSize, skipModifiers } from "./walk.js";

/** What a relocation comes to. */
export interface CoreValue {
  /** What the compiler put into the instruction, as an unsigned 64-bit number. */
  readonly before: bigint;
  /** What belongs there on the target, as an unsigned 64-bit number; 0 when `poison` is set. */
  readonly after: bigint;
  /** There is nothing on the target that the instruction could do: it becomes an invalid one. */
  readonly poison: boolean;
  /** Whether the instruction must hold `before`. Compilers are free in how they read bit fields. */
  readonly validate: boolean;
  /** Bytes of the field here and there, for the size of a load or store; 0 when that does not matter. */
  readonly sizeBefore: number;
  readonly sizeAfter: number;
  /** The sizes differ, and the value would be another one if the load were merely made wider or narrower. */
  readonly badResize: boolean;
}

/** What a spec alone says. */
interface Side {
  readonly value: bigint;
  readonly validate: boolean;
  /** Bytes and type of a field whose offset is asked; otherwise 0 and null. */
  readonly size: number;
  readonly type: BtfType | null;
}

function side(value: number | bigint, validate = true): Side {
  return { value: BigInt.asUintN(64, BigInt(value)), validate, size: 0, type: null };
}

/**
 * The value of a relocation in the object's types and in the target's; `target` is null when no candidate
 * matched (libbpf: bpf_core_calc_relo()).
 * @throws InputError when a spec does not support what is asked of it.
 */
export function coreValue(local: CoreSpec, target: CoreSpec | null, littleEndian: boolean): CoreValue {
  const before = sideOf(local, littleEndian);
  const after = target === null ? absent(local.kind) : sideOf(target, littleEndian);
  return {
    before: before.value,
    after: after === null ? 0n : after.value,
    poison: after === null,
    validate: before.validate,
    sizeBefore: before.size,
    sizeAfter: after === null ? 0 : after.size,
    badResize: after !== null && before.size !== after.size && !resizable(before.type, after.type),
  };
}

/** The answer for what does not exist: questions have one, everything else is poisoned (null). */
function absent(kind: number): Side | null {
  const isQuestion = kind === CoreReloKind.FIELD_EXISTS || kind === CoreReloKind.ENUMVAL_EXISTS;
  return isQuestion || coreReloSubject(kind) === "type" ? side(0) : null;
}

/** Widening or narrowing keeps pointers and unsigned integers what they are: the upper bits become zero. */
function resizable(before: BtfType | null, after: BtfType | null): boolean {
  if (before?.kind === "ptr" && after?.kind === "ptr") return true;
  return before?.kind === "int" && after?.kind === "int" && !isSignedInt(before) && !isSignedInt(after);
}

function sideOf(spec: CoreSpec, littleEndian: boolean): Side {
  switch (coreReloSubject(spec.kind)) {
    case "field":
      return fieldSide(spec, littleEndian);
    case "type":
      return typeSide(spec);
    case "enumval":
      return spec.kind === CoreReloKind.ENUMVAL_EXISTS ? side(1) : side(enumeratorValue(spec));
    default:
      throw new InputError(`unknown kind ${spec.kind}`);
  }
}

function typeSide(spec: CoreSpec): Side {
  switch (spec.kind) {
    case CoreReloKind.TYPE_ID_LOCAL:
    case CoreReloKind.TYPE_ID_TARGET:
      // Linking gives types other ids without touching the instructions.
      return side(spec.rootTypeId, false);
    case CoreReloKind.TYPE_SIZE:
      return side(resolveSize(spec.types, spec.rootTypeId));
    default:
      return side(1);
  }
}

function enumeratorValue(spec: CoreSpec): bigint {
  const { typeId, index } = spec.accessors[0]!;
  const type = spec.types.typeById(typeId);
  const value = isEnum(type) ? type.values[index]?.value : undefined;
  if (value === undefined) throw new InputError(`BTF type id ${typeId} has no enumerator with index ${index}`);
  // The 32 bits of a BTF_KIND_ENUM are extended by their sign even where the enum is unsigned, as libbpf does.
  return typeof value === "bigint" ? value : BigInt(value | 0);
}

function fieldSide(spec: CoreSpec, littleEndian: boolean): Side {
  if (spec.kind === CoreReloKind.FIELD_EXISTS) return side(1);
  const { typeId, index, name } = spec.accessors.at(-1)!;
  if (name === null) return elementSide(spec, typeId);
  const holder = spec.types.typeById(typeId);
  const member = isComposite(holder) ? holder.members[index] : undefined;
  if (member === undefined) throw new InputError(`BTF type id ${typeId} has no member with index ${index}`);
  const field = placeOf(spec, member);
  switch (spec.kind) {
    case CoreReloKind.FIELD_BYTE_OFFSET:
      return field.bitField
        ? side(field.byteOffset, false)
        : { ...side(field.byteOffset), size: field.byteSize, type: field.type };
    case CoreReloKind.FIELD_BYTE_SIZE:
      return side(field.byteSize, !field.bitField);
    case CoreReloKind.FIELD_SIGNED:
      return side(isSigned(field.type) ? 1 : 0);
    case CoreReloKind.FIELD_LSHIFT_U64: {
      const before = spec.bitOffset - field.byteOffset * 8;
      const shift = littleEndian ? 64 - before - field.bitSize : 64 - field.byteSize * 8 + before;
      return side(shift >>> 0, !field.bitField);
    }
    default:
      return side((64 - field.bitSize) >>> 0);
  }
}

/** An element of an array has an offset and a size, nothing else can be asked of it. */
function elementSide(spec: CoreSpec, typeId: number): Side {
  const size = resolveSize(spec.types, typeId);
  if (spec.kind === CoreReloKind.FIELD_BYTE_SIZE) return side(size);
  if (spec.kind !== CoreReloKind.FIELD_BYTE_OFFSET) throw new InputError("cannot be applied to an array element");
  return { ...side(Math.floor(spec.bitOffset / 8)), size, type: spec.types.typeById(typeId) };
}

function isSigned(type: BtfType): boolean {
  return isEnum(type) ? type.signed : type.kind === "int" && isSignedInt(type);
}

/** Where a field lies, and the bytes that must be loaded to get at it. */
interface FieldPlace {
  readonly type: BtfType;
  readonly bitField: boolean;
  readonly byteOffset: number;
  readonly byteSize: number;
  /** Of the field itself. */
  readonly bitSize: number;
}

function placeOf(spec: CoreSpec, member: BtfMember): FieldPlace {
  const typeId = skipModifiers(spec.types, member.type);
  const type = spec.types.typeById(typeId);
  if (member.bitSize === 0) {
    const byteSize = resolveSize(spec.types, typeId);
    const byteOffset = Math.floor(spec.bitOffset / 8);
    return { type, bitField: false, byteOffset, byteSize, bitSize: byteSize * 8 };
  }
  if (!("size" in type) || type.size === 0) {
    throw new InputError(`bit field ${member.name} is of type ${describe(type)}`);
  }
  // The smallest aligned load, from that of the declared type on, that holds all the bits.
  let byteSize = type.size;
  for (;;) {
    const byteOffset = Math.floor(Math.floor(spec.bitOffset / 8) / byteSize) * byteSize;
    if (spec.bitOffset + member.bitSize <= (byteOffset + byteSize) * 8) {
      return { type, bitField: true, byteOffset, byteSize, bitSize: member.bitSize };
    }
    if (byteSize >= 8) throw new InputError(`bit field ${member.name} cannot be read with a load of 8 bytes`);
    byteSize *= 2;
  }
}
