// SPDX-License-Identifier: MIT
import type { Layouts } from "./layout.js";

/**
 * Which structs were declared packed. A struct is when a member lies where its alignment forbids, or when its size
 * is no multiple of its alignment; a struct without holes may also be known for it by the struct or union around
 * it, which puts it where its alignment forbids. What was concluded first stays.
 */
export class Packing {
  readonly #layouts: Layouts;
  readonly #packed = new Map<number, boolean>();

  constructor(layouts: Layouts) {
    this.#layouts = layouts;
  }

  /** Whether a struct is packed; `id` is its own, not that of a typedef. */
  isPacked(id: number): boolean {
    const known = this.#packed.get(id);
    if (known !== undefined) return known;
    const packed = this.#conclude(id);
    this.#packed.set(id, packed);
    return packed;
  }

  /** Concludes from a union about the structs in it: its own size must be a multiple of their alignment. */
  lookInto(id: number): void {
    if (this.#packed.has(id)) return;
    const union = this.#layouts.of(id);
    this.#packed.set(id, false);
    for (const { type } of union.members) this.#breaksAlignment(type, union.size);
  }

  #conclude(id: number): boolean {
    const layouts = this.#layouts;
    const { members, padding, holes, size } = layouts.of(id);
    if (padding !== 0 || holes !== 0) {
      for (const { type, offset } of members) this.#breaksAlignment(type, offset);
      return false;
    }
    let most = 1;
    for (const { type, offset } of members) {
      const align = layouts.naturalAlign(type);
      most = Math.max(most, align);
      if (offset % align !== 0) return true;
    }
    return size % most !== 0;
  }

  /** A struct at such a place is packed. */
  #breaksAlignment(type: number, place: number): void {
    const id = this.#layouts.strip(type);
    if (this.#layouts.btf.kindById(id) !== "struct") return;
    if (place % this.#layouts.naturalAlign(id) !== 0) this.#packed.set(id, true);
  }
}
