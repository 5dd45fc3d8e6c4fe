// SPDX-License-Identifier: MIT

import { InputError } from "../../util/errors.js";
import { isSignedInt } from "../size.js";
import type { BtfType } from "../types.js";
import type { CoreTypes } from "./source.js";
import { essentialName } from "./source.js";
import { describe, isComposite, isEnum, kindsCompatible, nameOf, StepBudget, skipModifiers } from "./walk.js";

/** How deep two types are compared, counted in parameters and members. */
const MAX_LEVEL = 32;

/** How many pointers, arrays and return types are followed in a row. */
const MAX_CHAIN = 32;

/** The types that are compared. */
interface Pair {
  readonly local: CoreTypes;
  readonly target: CoreTypes;
  readonly budget: StepBudget;
}

function tooDeep(localId: number, targetId: number): InputError {
  return new InputError(`types [${localId}] and [${targetId}] are nested too deep to be compared`);
}

/**
 * Whether two types, whose names agree, have the same shape: kinds, element types, parameters. Members, sizes
 * and names do not count. For relocations of types except "matches", and for typed ksyms and kfuncs (libbpf:
 * bpf_core_types_are_compat()).
 * @throws InputError when the types are nested too deep.
 */
export function typesAreCompatible(
  local: CoreTypes,
  localId: number,
  target: CoreTypes,
  targetId: number,
  budget = new StepBudget(),
): boolean {
  if (!kindsCompatible(local.typeById(localId), target.typeById(targetId))) return false;
  return compatible({ local, target, budget }, localId, targetId, MAX_LEVEL);
}

function compatible(pair: Pair, localId: number, targetId: number, level: number): boolean {
  let localAt = localId;
  let targetAt = targetId;
  for (let chain = 0; chain < MAX_CHAIN; chain++) {
    pair.budget.spend();
    localAt = skipModifiers(pair.local, localAt);
    targetAt = skipModifiers(pair.target, targetAt);
    const local = pair.local.typeById(localAt);
    const target = pair.target.typeById(targetAt);
    if (!kindsCompatible(local, target)) return false;
    switch (local.kind) {
      case "void":
      case "struct":
      case "union":
      case "enum":
      case "enum64":
      case "fwd":
        return true;
      case "int":
        return local.bitOffset === 0 && target.kind === "int" && target.bitOffset === 0;
      case "ptr":
      case "array":
        localAt = local.type;
        targetAt = elementOf(target);
        break;
      case "funcProto": {
        if (target.kind !== "funcProto" || local.params.length !== target.params.length) return false;
        for (const [i, param] of local.params.entries()) {
          if (level <= 0) throw tooDeep(localId, targetId);
          if (!compatible(pair, param.type, target.params[i]!.type, level - 1)) return false;
        }
        localAt = local.returnType;
        targetAt = target.returnType;
        break;
      }
      default:
        return false;
    }
  }
  throw tooDeep(localId, targetId);
}

/** What a pointer points at, or an array consists of. */
function elementOf(type: BtfType): number {
  if (type.kind === "ptr" || type.kind === "array") return type.type;
  throw new InputError(`${describe(type)} has no element type`);
}

/**
 * Whether the target type has everything that the local one declares: the relation of
 * `bpf_core_type_matches()` (libbpf: bpf_core_types_match()). That the root names agree is the caller's doing.
 * @throws InputError when the types are nested too deep.
 */
export function typesMatch(
  local: CoreTypes,
  localId: number,
  target: CoreTypes,
  targetId: number,
  budget = new StepBudget(),
): boolean {
  return match({ local, target, budget }, localId, targetId, false, MAX_LEVEL);
}

function match(pair: Pair, localId: number, targetId: number, pointedAt: boolean, level: number): boolean {
  if (level <= 0) throw tooDeep(localId, targetId);
  let behindPointer = pointedAt;
  let localAt = localId;
  let targetAt = targetId;
  for (let chain = 0; chain < MAX_CHAIN; chain++) {
    pair.budget.spend();
    const local = pair.local.typeById(skipModifiers(pair.local, localAt));
    const target = pair.target.typeById(skipModifiers(pair.target, targetAt));
    if (!sameName(nameOf(local), nameOf(target))) return false;
    switch (local.kind) {
      case "void":
        return target.kind === "void";
      case "int":
        return target.kind === "int" && local.size === target.size && isSignedInt(local) === isSignedInt(target);
      case "fwd":
        return forwardMatches(local.isUnion, target, behindPointer);
      case "enum":
      case "enum64":
        return isEnum(target) && enumMatches(local, target);
      case "struct":
      case "union":
        if (behindPointer)
          return target.kind === "fwd" ? unionness(local) === target.isUnion : local.kind === target.kind;
        return local.kind === target.kind && isComposite(target) && membersMatch(pair, local, target, level);
      case "ptr":
        if (target.kind !== "ptr") return false;
        behindPointer = true;
        localAt = local.type;
        targetAt = target.type;
        break;
      case "array":
        if (target.kind !== "array" || local.nelems !== target.nelems) return false;
        localAt = local.type;
        targetAt = target.type;
        break;
      case "funcProto": {
        if (target.kind !== "funcProto" || local.params.length !== target.params.length) return false;
        for (const [i, param] of local.params.entries()) {
          if (!match(pair, param.type, target.params[i]!.type, behindPointer, level - 1)) return false;
        }
        localAt = local.returnType;
        targetAt = target.returnType;
        break;
      }
      default:
        return false;
    }
  }
  throw tooDeep(localId, targetId);
}

function sameName(local: string, target: string): boolean {
  return essentialName(local) === essentialName(target);
}

function unionness(type: BtfType): boolean {
  return type.kind === "union";
}

/** A forward declaration agrees with one of the same kind and, behind a pointer, with the type itself. */
function forwardMatches(isUnion: boolean, target: BtfType, behindPointer: boolean): boolean {
  if (target.kind === "fwd") return target.isUnion === isUnion;
  return behindPointer && target.kind === (isUnion ? "union" : "struct");
}

type AnyEnum = Extract<BtfType, { kind: "enum" | "enum64" }>;
type Composite = Extract<BtfType, { kind: "struct" | "union" }>;

/** Every enumerator must exist by name; its value may be another one. */
function enumMatches(local: AnyEnum, target: AnyEnum): boolean {
  if (local.size !== target.size || local.values.length > target.values.length) return false;
  const names = new Set(target.values.map((value) => essentialName(value.name)));
  return local.values.every((value) => names.has(essentialName(value.name)));
}

/** Every member must exist by name, with a type that matches. */
function membersMatch(pair: Pair, local: Composite, target: Composite, level: number): boolean {
  if (local.members.length > target.members.length) return false;
  return local.members.every((wanted) =>
    target.members.some((member) => {
      pair.budget.spend();
      return sameName(wanted.name, member.name) && match(pair, wanted.type, member.type, false, level - 1);
    }),
  );
}
