// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { BtfMember } from "../types.js";
import type { CoreTypes } from "./source.js";
import { essentialName } from "./source.js";
import {
  CORE_SPEC_MAX_LEN,
  type CoreAccessor,
  type CoreSpec,
  type CoreSpecBuilder,
  elementBits,
  emptySpec,
  isFlexibleArray,
} from "./spec.js";
import { isComposite, isEnum, kindsCompatible, nameOf, resolveSize, type StepBudget, skipModifiers } from "./walk.js";

/** libbpf holds the size of an array's element in an int here; a larger one comes out negative, an error. */
const INT32_MAX = 0x7fffffff;

/** A spec in a candidate's types, and whether it is what the local one asks for; if not, how far it got. */
export interface SpecMatch {
  readonly spec: CoreSpec;
  readonly matches: boolean;
}

/** Finds the enumerator that the local spec names, flavours aside, in a candidate enum. */
export function matchEnumerator(local: CoreSpec, types: CoreTypes, candidateId: number): SpecMatch {
  const spec = emptySpec(types, candidateId, local.kind);
  const typeId = skipModifiers(types, candidateId);
  const type = types.typeById(typeId);
  if (!isEnum(type)) return { spec, matches: false };
  const wanted = essentialName(local.accessors[0]!.name!);
  const values: readonly { readonly name: string }[] = type.values;
  const index = values.findIndex((value) => essentialName(value.name) === wanted);
  if (index < 0) return { spec, matches: false };
  spec.accessors.push({ typeId, index, name: values[index]!.name });
  spec.steps.push(index);
  return { spec, matches: true };
}

/**
 * Follows the local spec's named steps through a candidate type (libbpf: bpf_core_spec_match()).
 * @throws InputError when the candidate is nested deeper than a spec can say, or malformed.
 */
export function matchField(local: CoreSpec, types: CoreTypes, candidateId: number, budget: StepBudget): SpecMatch {
  const walk = new FieldWalk(local.types, emptySpec(types, candidateId, local.kind), budget);
  let typeId = candidateId;
  for (const [i, accessor] of local.accessors.entries()) {
    const next = accessor.name === null ? walk.element(accessor, typeId, i === 0) : walk.member(accessor, typeId);
    if (next === undefined) return { spec: walk.spec, matches: false };
    typeId = next;
  }
  return { spec: walk.spec, matches: true };
}

/** The way through one candidate. */
class FieldWalk {
  readonly spec: CoreSpecBuilder;
  readonly #local: CoreTypes;
  readonly #budget: StepBudget;

  constructor(local: CoreTypes, spec: CoreSpecBuilder, budget: StepBudget) {
    this.#local = local;
    this.spec = spec;
    this.#budget = budget;
  }

  /** Steps into the array `typeId`, or for the first step beside the root itself; gives the element's type. */
  element(local: CoreAccessor, typeId: number, first: boolean): number | undefined {
    const { types, accessors, steps } = this.spec;
    let elementId = skipModifiers(types, typeId);
    if (!first) {
      const array = types.typeById(elementId);
      if (array.kind !== "array") return undefined;
      if (!isFlexibleArray(types, accessors.at(-1), array.nelems) && local.index >= array.nelems) return undefined;
      elementId = skipModifiers(types, array.type);
    }
    this.#checkDepth();
    accessors.push({ typeId: elementId, index: local.index, name: null });
    steps.push(local.index);
    const size = resolveSize(types, elementId);
    if (size > INT32_MAX) throw new InputError(`BTF type id ${elementId} is too large for an array element`);
    this.spec.bitOffset = (this.spec.bitOffset + elementBits(local.index, size)) >>> 0;
    return elementId;
  }

  /** Steps into the member with the local one's name; gives its type. */
  member(local: CoreAccessor, typeId: number): number | undefined {
    const holder = this.#local.typeById(local.typeId);
    const member = isComposite(holder) ? holder.members[local.index] : undefined;
    return member === undefined ? undefined : this.#search(member, typeId);
  }

  /**
   * Looks for the member in a composite and, as C does, in the anonymous ones inside. The first one with the
   * right name decides: with a type that is not compatible, the search in this composite is over.
   */
  #search(local: BtfMember, compositeId: number): number | undefined {
    const { types, accessors, steps } = this.spec;
    const typeId = skipModifiers(types, compositeId);
    const type = types.typeById(typeId);
    if (!isComposite(type)) return undefined;
    for (const [index, member] of type.members.entries()) {
      this.#budget.spend();
      this.#checkDepth();
      this.spec.bitOffset = (this.spec.bitOffset + member.bitOffset) >>> 0;
      steps.push(index);
      if (member.name === "") {
        const found = this.#search(local, member.type);
        if (found !== undefined) return found;
      } else if (member.name === local.name) {
        if (!this.#compatible(local.type, member.type)) return undefined;
        accessors.push({ typeId, index, name: member.name });
        return member.type;
      }
      this.spec.bitOffset = (this.spec.bitOffset - member.bitOffset) >>> 0;
      steps.pop();
    }
    return undefined;
  }

  #checkDepth(): void {
    if (this.spec.steps.length === CORE_SPEC_MAX_LEN) {
      throw new InputError(`the candidate's members are nested deeper than ${CORE_SPEC_MAX_LEN}`);
    }
  }

  /** Whether a field of the one type can be read where one of the other was meant (bpf_core_fields_are_compat()). */
  #compatible(localId: number, targetId: number): boolean {
    const { types } = this.spec;
    let localAt = localId;
    let targetAt = targetId;
    for (;;) {
      this.#budget.spend();
      const local = this.#local.typeById(skipModifiers(this.#local, localAt));
      const target = types.typeById(skipModifiers(types, targetAt));
      if (isComposite(local) && isComposite(target)) return true;
      if (!kindsCompatible(local, target)) return false;
      switch (local.kind) {
        case "ptr":
        case "float":
          return true;
        case "fwd":
        case "enum":
        case "enum64":
          return namesAgree(nameOf(local), nameOf(target));
        case "int":
          // Integers that begin in the middle of a byte are bit fields of an old kind.
          return local.bitOffset === 0 && target.kind === "int" && target.bitOffset === 0;
        case "array":
          if (target.kind !== "array") return false;
          localAt = local.type;
          targetAt = target.type;
          break;
        default:
          return false;
      }
    }
  }
}

/** Whether the names are the same, flavours aside, or one of the types has none. */
function namesAgree(local: string, target: string): boolean {
  return local === "" || target === "" || essentialName(local) === essentialName(target);
}
