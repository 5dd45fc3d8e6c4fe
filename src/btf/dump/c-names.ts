// SPDX-License-Identifier: MIT
import type { BtfType } from "../types.js";

/** How often each name of one of C's name spaces was given. */
class NameSpace {
  readonly #counts = new Map<string, number>();

  /** How often the name was given, this time included. */
  give(name: string): number {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return count;
  }
}

/** The name itself the first time, then with the suffix that makes it a flavour: `name___2`. */
const numbered = (name: string, count: number): string => (count === 1 ? name : `${name}___${count}`);

/**
 * Names for C, where BTF may give one name to several types: the second gets `___2` and so on, which CO-RE takes
 * for a flavour of the same type. Tags are one name space of C's, typedefs and enumerators another.
 */
export class CNames {
  readonly #tags = new NameSpace();
  readonly #identifiers = new NameSpace();
  /** Numbers, not names: long ones that are repeated would fill the memory. */
  readonly #given = new Map<number, number>();

  /** Name of a struct, union, enum, integer or forward declaration. */
  tag(id: number, type: BtfType): string {
    return this.#name(id, type, this.#tags);
  }

  /** Name of a typedef. */
  typedef(id: number, type: BtfType): string {
    return this.#name(id, type, this.#identifiers);
  }

  /** Name of one enumerator; every definition of an enum asks anew. */
  enumerator(name: string): string {
    return numbered(name, this.#identifiers.give(name));
  }

  #name(id: number, type: BtfType, space: NameSpace): string {
    const name = "name" in type ? type.name : "";
    // Forward declarations are of the type that has the name, and take none away.
    if (name === "" || type.kind === "fwd" || (type.kind === "enum" && type.values.length === 0)) return name;
    let given = this.#given.get(id);
    if (given === undefined) {
      given = space.give(name);
      this.#given.set(id, given);
    }
    return numbered(name, given);
  }
}
