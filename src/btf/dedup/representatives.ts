// SPDX-License-Identifier: MIT
import { BTF_KIND } from "../format.js";
import type { BtfWords } from "./words.js";

const UNSETTLED = -1;

/**
 * Which type stands for which in the end. A type that stands for itself stays; one that is not settled has not
 * been looked at. Links may lead on: a declaration to its definition, and that to the one that stays.
 */
export class RepresentativeMap {
  readonly #btf: BtfWords;
  readonly #to: Int32Array;

  constructor(btf: BtfWords) {
    this.#btf = btf;
    this.#to = new Int32Array(btf.count).fill(UNSETTLED);
  }

  /** Lets `id` be represented by `by`, which may be itself. */
  set(id: number, by: number): void {
    this.#to[id] = by;
  }

  isSettled(id: number): boolean {
    return this.#to[id] !== UNSETTLED;
  }

  /** Whether the type stands for itself. */
  stays(id: number): boolean {
    return this.#to[id] === id;
  }

  /** Where the links from a type end. */
  resolve(id: number): number {
    const to = this.#to;
    for (;;) {
      const next = to[id]!;
      if (next === id || next === UNSETTLED) return id;
      // Shortens the way for the next one.
      const after = to[next]!;
      if (after !== UNSETTLED) to[id] = after;
      id = next;
    }
  }

  /** The definition that a forward declaration leads to, as far as known; other types are their own. */
  definition(id: number): number {
    if (this.#btf.kind(id) !== BTF_KIND.fwd) return id;
    const end = this.resolve(id);
    return this.#btf.kind(end) === BTF_KIND.fwd ? id : end;
  }
}
