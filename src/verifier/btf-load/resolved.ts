// SPDX-License-Identifier: GPL-2.0-only
import { BTF_KIND } from "../../btf/format.js";
import type { LoadedBtf } from "./blob.js";

/** sizeof(void *) */
const POINTER_SIZE = 8;

const NOT_VISITED = 0;
const VISITED = 1;
const RESOLVED = 2;

/** Mirrors btf_type_nosize(). */
export function hasNoSize(btf: LoadedBtf, id: number): boolean {
  const kind = btf.kind(id);
  return (
    kind === BTF_KIND.void ||
    kind === BTF_KIND.fwd ||
    kind === BTF_KIND.func ||
    kind === BTF_KIND.funcProto ||
    kind === BTF_KIND.declTag
  );
}

/** `t->size` can be used. Mirrors btf_type_has_size(). */
function saysSize(kind: number): boolean {
  switch (kind) {
    case BTF_KIND.int:
    case BTF_KIND.struct:
    case BTF_KIND.union:
    case BTF_KIND.enum:
    case BTF_KIND.datasec:
    case BTF_KIND.float:
    case BTF_KIND.enum64:
      return true;
    default:
      return false;
  }
}

/** What is known of types: which are resolved, to what, and how large. */
export class ResolvedTypes {
  private readonly btf: LoadedBtf;
  private readonly states: Uint8Array;
  private readonly ids: Uint32Array;
  private readonly sizes: Uint32Array;
  /** Size of the last type that {@link sized} found, in bytes. */
  size = 0;

  constructor(btf: LoadedBtf) {
    this.btf = btf;
    this.states = new Uint8Array(btf.count);
    this.ids = new Uint32Array(btf.count);
    this.sizes = new Uint32Array(btf.count);
  }

  /** Mirrors env_type_is_resolved(). */
  isResolved(id: number): boolean {
    return this.states[id] === RESOLVED;
  }

  /** Begins with a type; false when that was done before. */
  visit(id: number): boolean {
    if (this.states[id] !== NOT_VISITED) return false;
    this.states[id] = VISITED;
    return true;
  }

  resolve(id: number, to: number, size: number): void {
    this.states[id] = RESOLVED;
    this.ids[id] = to;
    this.sizes[id] = size;
  }

  /** Mirrors btf_resolved_type_id(). */
  idOf(id: number): number {
    return this.ids[id]!;
  }

  /** Mirrors btf_resolved_type_size(). */
  sizeOf(id: number): number {
    return this.sizes[id]!;
  }

  /**
   * The type that says how large `id` is: itself, or what a modifier or variable leads to; -1 when there is none.
   * Leaves its size in {@link size}. Mirrors btf_type_id_size().
   */
  sized(id: number): number {
    const { btf } = this;
    if (!btf.has(id) || hasNoSize(btf, id)) return -1;
    if (this.measure(id)) return id;
    const kind = btf.kind(id);
    if (!btf.isModifier(id) && kind !== BTF_KIND.var) return -1;
    const to = this.ids[id]!;
    return hasNoSize(btf, to) || !this.measure(to) ? -1 : to;
  }

  private measure(id: number): boolean {
    const { btf } = this;
    const kind = btf.kind(id);
    if (saysSize(kind)) this.size = btf.word(id);
    else if (kind === BTF_KIND.array) this.size = this.sizes[id]!;
    else if (kind === BTF_KIND.ptr) this.size = POINTER_SIZE;
    else return false;
    return true;
  }
}
