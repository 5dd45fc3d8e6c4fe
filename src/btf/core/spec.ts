// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { BtfType } from "../types.js";
import { coreReloKindName, coreReloSubject } from "./relo-kind.js";
import type { CoreTypes } from "./source.js";
import { describe, isComposite, isEnum, kindName, nameOf, resolveSize, skipModifiers } from "./walk.js";

/** Most steps of an access string (libbpf: BPF_CORE_SPEC_MAX_LEN). */
export const CORE_SPEC_MAX_LEN = 64;

/** A CO-RE relocation of one function. */
export interface CoreReloRecord {
  /** Slot of the instruction in its function. */
  readonly insn: number;
  /** Type in the object's BTF. */
  readonly typeId: number;
  /** E.g. `0:1:2`. */
  readonly access: string;
  /** `CoreReloKind`. */
  readonly kind: number;
}

/** A step into a type that means something to people: a member by name, an array element, an enumerator. */
export interface CoreAccessor {
  /** The struct or union of the member, the type of the element, or the enum. */
  readonly typeId: number;
  /** Index of the member, element or enumerator. */
  readonly index: number;
  /** Null for an array element. */
  readonly name: string | null;
}

/** What a relocation points at, in the object's types or in those of a kernel. */
export interface CoreSpec {
  /** The types that the ids are of. */
  readonly types: CoreTypes;
  /** The type that the access starts from, typedefs not followed. */
  readonly rootTypeId: number;
  /** `CoreReloKind`. */
  readonly kind: number;
  /** The way to the field without passing anonymous members; empty for a relocation of a type. */
  readonly accessors: readonly CoreAccessor[];
  /** The way in single steps, anonymous members included: the numbers of the access string. */
  readonly steps: readonly number[];
  /** Bits from the start of the root type, modulo 2³². */
  readonly bitOffset: number;
}

/** A {@link CoreSpec} under construction. */
export interface CoreSpecBuilder extends CoreSpec {
  readonly accessors: CoreAccessor[];
  readonly steps: number[];
  bitOffset: number;
}

/** A spec that has not taken a step yet. */
export function emptySpec(types: CoreTypes, rootTypeId: number, kind: number): CoreSpecBuilder {
  return { types, rootTypeId, kind, accessors: [], steps: [], bitOffset: 0 };
}

/** Bits that `index` elements of `size` bytes take, in 32-bit arithmetic as libbpf does it. */
export function elementBits(index: number, size: number): number {
  return Math.imul(Math.imul(index, size), 8) >>> 0;
}

/**
 * Whether an array without a length is the last member of its struct, so that any index is inside.
 * `holder` is the step that led to the array.
 */
export function isFlexibleArray(types: CoreTypes, holder: CoreAccessor | undefined, nelems: number): boolean {
  if (holder === undefined || holder.name === null || nelems > 0) return false;
  const type = types.typeById(holder.typeId);
  return isComposite(type) && holder.index === type.members.length - 1;
}

/**
 * Takes a relocation's access string apart and follows it through the object's types (libbpf:
 * bpf_core_parse_spec()).
 * @throws InputError when the string is malformed or leads nowhere.
 */
export function parseSpec(types: CoreTypes, relo: Omit<CoreReloRecord, "insn">): CoreSpec {
  const spec = emptySpec(types, relo.typeId, relo.kind);
  const { access } = relo;
  if (access === "" || access.startsWith(":")) throw new InputError(`malformed access string "${access}"`);
  const subject = coreReloSubject(relo.kind);
  if (subject === "type") {
    if (access !== "0") throw new InputError(`access string "${access}" of a relocation of a type, expected "0"`);
    return spec;
  }
  spec.steps.push(...parseAccess(access));
  const index = spec.steps[0]!;
  const typeId = skipModifiers(types, relo.typeId);
  if (subject === "enumval") {
    spec.accessors.push({ typeId, index, name: enumeratorName(types.typeById(typeId), spec.steps) });
    return spec;
  }
  if (subject === undefined) throw new InputError(`unknown kind ${relo.kind}`);
  spec.accessors.push({ typeId, index, name: null });
  spec.bitOffset = elementBits(index, resolveSize(types, typeId));
  let at = typeId;
  for (const step of spec.steps.slice(1)) at = stepInto(spec, at, step);
  return spec;
}

/**
 * The numbers of an access string. The rules are those of repeated `sscanf("%d")`: white space and a sign
 * may stand before a number, and a colon between two may be left out where they are apart without it.
 */
function parseAccess(access: string): number[] {
  const number = /[ \t\n\v\f\r]*([+-]?\d+)/y;
  const steps: number[] = [];
  for (let at = 0; at < access.length; at = number.lastIndex) {
    number.lastIndex = access[at] === ":" ? at + 1 : at;
    const digits = number.exec(access)?.[1];
    if (digits === undefined) throw new InputError(`malformed access string "${access}"`);
    const step = Number(digits);
    if (!(step >= 0 && step <= 0x7fffffff)) throw new InputError(`index ${digits} in access string "${access}"`);
    if (steps.push(step) > CORE_SPEC_MAX_LEN) {
      throw new InputError(`access string "${access}" of more than ${CORE_SPEC_MAX_LEN} steps`);
    }
  }
  return steps;
}

function enumeratorName(type: BtfType, steps: readonly number[]): string {
  if (!isEnum(type)) throw new InputError(`${describe(type)} is no enum`);
  const value = type.values[steps[0]!];
  if (steps.length > 1 || value === undefined) {
    throw new InputError(`access string "${steps.join(":")}" names none of the ${type.values.length} enumerators`);
  }
  return value.name;
}

/** Follows one step from the type `from`, gives the type that it leads to. */
function stepInto(spec: CoreSpecBuilder, from: number, step: number): number {
  const { types } = spec;
  const typeId = skipModifiers(types, from);
  const type = types.typeById(typeId);
  if (isComposite(type)) {
    const member = type.members[step];
    if (member === undefined) throw new InputError(`${describe(type)} has no member with index ${step}`);
    spec.bitOffset = (spec.bitOffset + member.bitOffset) >>> 0;
    if (member.name !== "") spec.accessors.push({ typeId, index: step, name: member.name });
    return member.type;
  }
  if (type.kind !== "array") throw new InputError(`index ${step} leads into ${describe(type)}`);
  const elementId = skipModifiers(types, type.type);
  if (!isFlexibleArray(types, spec.accessors.at(-1), type.nelems) && step >= type.nelems) {
    throw new InputError(`index ${step} lies outside an array of ${type.nelems}`);
  }
  spec.accessors.push({ typeId: elementId, index: step, name: null });
  spec.bitOffset = (spec.bitOffset + elementBits(step, resolveSize(types, elementId))) >>> 0;
  return elementId;
}

/**
 * A spec as libbpf's messages have it, e.g. `<byte_off> [7] struct task_struct.pid (0:12 @ offset 1384)`
 * (bpf_core_format_spec()).
 */
export function formatSpec(spec: CoreSpec): string {
  const root = spec.types.typeById(spec.rootTypeId);
  const name = nameOf(root);
  const head = `<${coreReloKindName(spec.kind)}> [${spec.rootTypeId}] ${kindName(root)} ${name === "" ? "<anon>" : name}`;
  switch (coreReloSubject(spec.kind)) {
    case "enumval":
      return head + formatEnumerator(spec);
    case "field":
      return `${head}${formatPath(spec)} (${spec.steps.join(":")} @ offset ${formatBits(spec.bitOffset)})`;
    default:
      return head;
  }
}

/** The way to a field in C's words, e.g. `.a[3].b`. */
function formatPath(spec: CoreSpec): string {
  return spec.accessors
    .map(({ name, index }, i) => {
      if (name !== null) return `.${name}`;
      return i > 0 || index > 0 ? `[${index}]` : "";
    })
    .join("");
}

function formatBits(bits: number): string {
  return bits % 8 === 0 ? `${bits / 8}` : `${Math.floor(bits / 8)}.${bits % 8}`;
}

function formatEnumerator(spec: CoreSpec): string {
  const type = spec.types.typeById(skipModifiers(spec.types, spec.rootTypeId));
  // A candidate that has no such enumerator: libbpf prints its first one.
  const value = isEnum(type) ? type.values[spec.steps[0] ?? 0] : undefined;
  return value === undefined ? "" : `::${value.name} = ${value.value}`;
}
