// SPDX-License-Identifier: MIT
import { typesAreCompatible } from "../btf/core/match-type.js";
import { coreTypes } from "../btf/core/source.js";
import { type BtfIndex, indexBtf } from "../btf/lazy.js";
import type { Btf, BtfKind } from "../btf/types.js";

const indices = new WeakMap<Btf, BtfIndex>();

/** A kernel's types by name, indexed once. */
export function typesByName(btf: Btf): BtfIndex {
  let index = indices.get(btf);
  if (index === undefined) {
    index = indexBtf(btf);
    indices.set(btf, index);
  }
  return index;
}

/** Id of the first type of this kind and name that is not its base's; undefined when there is none. */
export function findOwnType(btf: Btf, base: Btf | null, kind: BtfKind, name: string): number | undefined {
  const first = base?.types.length ?? 1;
  return typesByName(btf)
    .idsByName(name, kind)
    .find((id) => id >= first);
}

/** Whether two types have the same shape (libbpf: bpf_core_types_are_compat()). */
export function compareTypes(local: Btf, localId: number, target: Btf, targetId: number): boolean {
  return typesAreCompatible(coreTypes(local), localId, coreTypes(target), targetId);
}
