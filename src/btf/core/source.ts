// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { LazyBtf } from "../lazy.js";
import { PTR_SIZE } from "../size.js";
import type { Btf, BtfType } from "../types.js";

/**
 * Types as CO-RE asks for them: few out of many. A whole {@link Btf} in memory can answer
 * ({@link coreTypes}), and so can a reader that decodes only what is asked for.
 */
export interface CoreTypes {
  /**
   * The type with this id.
   * @throws InputError when there is none.
   */
  typeById(id: number): BtfType;
  /**
   * Ids of the types whose name without flavour ({@link essentialName}) is this one, of any kind, ascending.
   * Of split BTF only its own types, not the base's.
   */
  idsByEssentialName(name: string): readonly number[];
  /** Bytes of a pointer on the machine that the types describe, 4 or 8. */
  readonly pointerSize: number;
}

/**
 * A name without its flavour: `task_struct___old` is `task_struct`. A flavour is what follows the last
 * three underscores that have another character on both sides (libbpf: bpf_core_essential_name_len()).
 */
export function essentialName(name: string): string {
  let at = name.lastIndexOf("___", name.length - 4);
  while (at > 0) {
    if (name[at - 1] !== "_" && name[at + 3] !== "_") return name.slice(0, at);
    at = name.lastIndexOf("___", at - 1);
  }
  return name;
}

/** C's names for the integer type that is as wide as a pointer, in every order of its words. */
const LONG_NAMES: readonly string[] = [
  "long",
  "long int",
  "int long",
  "unsigned long",
  "long unsigned",
  "unsigned long int",
  "unsigned int long",
  "long unsigned int",
  "long int unsigned",
  "int unsigned long",
  "int long unsigned",
];

/** The pointer size that this type gives away, if it is a `long`. */
function pointerSizeOf(type: BtfType): number | undefined {
  if (type.kind !== "int" || (type.size !== 4 && type.size !== 8)) return undefined;
  return LONG_NAMES.includes(type.name) ? type.size : undefined;
}

/** What is not in the types themselves. */
export interface CoreTypesOptions {
  /** First id that is its own: split BTF whose base is in `types` too names the number of those. Default 1. */
  readonly firstId?: number;
  /** Default: the size of the first `long` among the types, else 8 (libbpf: determine_ptr_size()). */
  readonly pointerSize?: number;
}

/** {@link CoreTypes} over types that are all there. */
class WholeTypes implements CoreTypes {
  readonly #btf: Btf;
  readonly #firstId: number;
  #pointerSize: number | undefined;
  #byName: Map<string, number[]> | undefined;

  constructor(btf: Btf, options: CoreTypesOptions) {
    this.#btf = btf;
    this.#firstId = options.firstId ?? 1;
    this.#pointerSize = options.pointerSize;
  }

  get pointerSize(): number {
    this.#pointerSize ??= firstLong(this.#btf.types) ?? PTR_SIZE;
    return this.#pointerSize;
  }

  typeById(id: number): BtfType {
    const type = this.#btf.types[id];
    if (type === undefined) throw new InputError(`BTF type id ${id} is out of range`);
    return type;
  }

  idsByEssentialName(name: string): readonly number[] {
    this.#byName ??= this.#index();
    return this.#byName.get(name) ?? [];
  }

  #index(): Map<string, number[]> {
    const { types } = this.#btf;
    const ids = types.slice(this.#firstId).map((_, i) => this.#firstId + i);
    return groupByEssentialName(ids, (id) => nameOf(types[id]!));
  }
}

function nameOf(type: BtfType): string {
  return "name" in type ? type.name : "";
}

function groupByEssentialName(ids: readonly number[], nameById: (id: number) => string): Map<string, number[]> {
  const byName = new Map<string, number[]>();
  for (const id of ids) {
    const name = essentialName(nameById(id));
    const group = byName.get(name);
    if (group === undefined) byName.set(name, [id]);
    else group.push(id);
  }
  return byName;
}

function firstLong(types: readonly BtfType[]): number | undefined {
  for (const type of types) {
    const size = pointerSizeOf(type);
    if (size !== undefined) return size;
  }
  return undefined;
}

/** {@link CoreTypes} over types that are decoded when asked for. */
class LazyTypes implements CoreTypes {
  readonly #btf: LazyBtf;
  readonly #found = new Map<string, readonly number[]>();
  #pointerSize: number | undefined;
  /** The few names that have a flavour. */
  #flavoured: Map<string, number[]> | undefined;

  constructor(btf: LazyBtf, options: CoreTypesOptions) {
    this.#btf = btf;
    this.#pointerSize = options.pointerSize;
  }

  get pointerSize(): number {
    this.#pointerSize ??= this.#findPointerSize();
    return this.#pointerSize;
  }

  #findPointerSize(): number {
    const ids = LONG_NAMES.flatMap((name) => this.#btf.idsByName(name, "int")).toSorted((a, b) => a - b);
    return firstLong(ids.map((id) => this.#btf.typeById(id))) ?? PTR_SIZE;
  }

  typeById(id: number): BtfType {
    return this.#btf.typeById(id);
  }

  idsByEssentialName(name: string): readonly number[] {
    let ids = this.#found.get(name);
    if (ids === undefined) {
      const flavours = this.#flavours().get(name) ?? [];
      // A name that has a flavour stands for itself only under the name without.
      const plain = essentialName(name) === name ? this.#btf.ownIdsByName(name) : [];
      ids = flavours.length === 0 ? plain : [...flavours, ...plain].sort((a, b) => a - b);
      this.#found.set(name, ids);
    }
    return ids;
  }

  #flavours(): Map<string, number[]> {
    if (this.#flavoured === undefined) {
      const nameById = (id: number) => this.#btf.nameById(id);
      const ids = this.#btf.ownIdsByNamePart("___").filter((id) => essentialName(nameById(id)) !== nameById(id));
      this.#flavoured = groupByEssentialName(ids, nameById);
    }
    return this.#flavoured;
  }
}

function adapt(btf: Btf, options: CoreTypesOptions): CoreTypes {
  return btf instanceof LazyBtf ? new LazyTypes(btf, options) : new WholeTypes(btf, options);
}

const known = new WeakMap<Btf, CoreTypes>();

/**
 * BTF as CO-RE asks for it. What is found by name is kept for as long as the `Btf` lives (unless `options` are
 * given: then the caller keeps what it gets), so that many objects can be relocated against one kernel.
 */
export function coreTypes(btf: Btf, options?: CoreTypesOptions): CoreTypes {
  if (options !== undefined) return adapt(btf, options);
  let types = known.get(btf);
  if (types === undefined) {
    types = adapt(btf, {});
    known.set(btf, types);
  }
  return types;
}
