// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { BtfType } from "../types.js";
import type { CoreTypes } from "./source.js";

/** Longest chain of typedefs and modifiers that is followed. libbpf follows any; a longer one is a loop or an attack. */
const MAX_CHAIN = 256;

/** Longest chain of typedefs, modifiers and arrays on the way to a size (libbpf: MAX_RESOLVE_DEPTH). */
const MAX_RESOLVE_DEPTH = 32;

/** Largest number of bytes that an array may have. */
const UINT32_MAX = 0xffffffff;

/**
 * Bounds the work for one relocation: types may be nested so that there are more paths through them than
 * anyone can walk.
 */
export class StepBudget {
  #left: number;

  constructor(steps = 1_000_000) {
    this.#left = steps;
  }

  /** Takes one step. @throws InputError when there is none left. */
  spend(): void {
    if (--this.#left < 0) throw new InputError("the types are nested too intricately to be compared");
  }
}

/** Follows typedefs and modifiers (`const`, `volatile`, `restrict`, type tags) to what they stand for. */
export function skipModifiers(types: CoreTypes, id: number): number {
  let at = id;
  for (let steps = 0; steps < MAX_CHAIN; steps++) {
    const type = types.typeById(at);
    switch (type.kind) {
      case "typedef":
      case "const":
      case "volatile":
      case "restrict":
      case "typeTag":
        at = type.type;
        break;
      default:
        return at;
    }
  }
  throw new InputError(`BTF type id ${id}: chain of modifiers longer than ${MAX_CHAIN}, probably a loop`);
}

/** The name of a type; empty for one without. */
export function nameOf(type: BtfType): string {
  return "name" in type ? type.name : "";
}

/**
 * Bytes of a type, as libbpf's btf__resolve_size() finds them.
 * @throws InputError for a type without a size, and for arrays beyond 4 GiB.
 */
export function resolveSize(types: CoreTypes, id: number): number {
  let nelems = 1;
  let at = id;
  for (let depth = 0; depth < MAX_RESOLVE_DEPTH; depth++) {
    const type = types.typeById(at);
    switch (type.kind) {
      case "int":
      case "float":
      case "struct":
      case "union":
      case "enum":
      case "enum64":
      case "datasec":
        return arraySize(id, nelems, type.size);
      case "ptr":
        return arraySize(id, nelems, types.pointerSize);
      case "typedef":
      case "const":
      case "volatile":
      case "restrict":
      case "typeTag":
      case "declTag":
      case "var":
        at = type.type;
        break;
      case "array":
        nelems = arraySize(id, nelems, type.nelems);
        at = type.type;
        break;
      default:
        throw new InputError(`BTF type id ${id} has no size: it is ${describe(type)}`);
    }
  }
  throw new InputError(`BTF type id ${id}: nested deeper than ${MAX_RESOLVE_DEPTH}, probably a loop`);
}

function arraySize(id: number, nelems: number, size: number): number {
  if (nelems * size > UINT32_MAX) throw new InputError(`BTF type id ${id} is larger than 4 GiB`);
  return nelems * size;
}

/** The words that libbpf's messages have for the kinds where ours differ. */
const KIND_WORDS: { readonly [kind in BtfType["kind"]]?: string } = {
  funcProto: "func_proto",
  declTag: "decl_tag",
  typeTag: "type_tag",
};

/** The name of a type's kind in libbpf's messages, e.g. `func_proto`. */
export function kindName(type: BtfType): string {
  return KIND_WORDS[type.kind] ?? type.kind;
}

/** A type in words, e.g. `struct task_struct`. */
export function describe(type: BtfType): string {
  const name = nameOf(type);
  return type.kind === "void" ? "void" : `${kindName(type)} ${name === "" ? "<anon>" : name}`;
}

/** Whether types of these kinds can stand for each other (libbpf: btf_kind_core_compat()). */
export function kindsCompatible(a: BtfType, b: BtfType): boolean {
  return a.kind === b.kind || (isEnum(a) && isEnum(b));
}

/** Whether the type is an enum of either width. */
export function isEnum(type: BtfType): type is Extract<BtfType, { kind: "enum" | "enum64" }> {
  return type.kind === "enum" || type.kind === "enum64";
}

/** Whether the type is a struct or a union. */
export function isComposite(type: BtfType): type is Extract<BtfType, { kind: "struct" | "union" }> {
  return type.kind === "struct" || type.kind === "union";
}
