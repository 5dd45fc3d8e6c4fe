// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/*
 * Bounds on what is made of BTF. A type can be written out as often as others refer to it, and a gap of any size costs
 * four bytes to say, so that a crafted BTF of a kilobyte stands for any amount of text and time. Real types are far below
 * all of these: a kernel's (5 MB) make a raw dump of 12 MB and layouts, when all is expanded, of 22 MB, of which the longest
 * has 240 kB.
 */

/** Deepest nesting of types, and longest chain of modifiers, that is followed; real ones stay below 40. */
export const MAX_NESTING = 256;

/** Characters of one definition, declaration or layout; each piece of text counts {@link PIECE_COST} more. */
const MAX_PIECE = 1 << 22;
/** Characters of all of them: so many in any case, and for each byte of the BTF. */
const TEXT_BESIDE = 1 << 21;
const TEXT_PER_BYTE = 32;
/** What it costs to add a piece of text, in characters. */
const PIECE_COST = 8;

/** Steps of a walk through types: so many in any case, and for each type. Deduplicating a kernel's takes 34 for each. */
const STEPS_BESIDE = 1 << 20;
const STEPS_PER_TYPE = 128;

/** Counts the characters of what is written about a BTF's types. */
export class TextLimit {
  readonly #what: string;
  readonly #bytes: number;
  readonly #most: number;
  #total = 0;
  #piece = 0;
  #id = 0;

  /**
   * @param bytes of the BTF
   * @param what is written: `the C header`
   */
  constructor(bytes: number, what: string) {
    this.#what = what;
    this.#bytes = bytes;
    this.#most = TEXT_BESIDE + TEXT_PER_BYTE * bytes;
  }

  /** What follows is about this type. */
  begin(id: number): void {
    this.#id = id;
    this.#piece = 0;
  }

  /** Gives the text back. @throws InputError when there is too much by now. */
  add(text: string): string {
    const cost = text.length + PIECE_COST;
    this.#piece += cost;
    this.#total += cost;
    if (this.#piece > MAX_PIECE) {
      throw new InputError(
        `BTF type id ${this.#id}: ${this.#what} would get longer than ${MAX_PIECE} characters for it`,
      );
    }
    if (this.#total > this.#most) {
      throw new InputError(
        `BTF: ${this.#what} would get longer than ${this.#most} characters, though the BTF has ${this.#bytes} bytes (at type id ${this.#id})`,
      );
    }
    return text;
  }
}

/** Counts the steps of a walk that may meet types again and again. */
export class StepLimit {
  readonly #what: string;
  readonly #most: number;
  #left: number;

  /** @param what takes the steps: `ordering the definitions` */
  constructor(types: number, what: string) {
    this.#what = what;
    this.#most = STEPS_BESIDE + STEPS_PER_TYPE * types;
    this.#left = this.#most;
  }

  /** @throws InputError when there were too many. */
  step(count = 1): void {
    this.#left -= count;
    if (this.#left < 0) throw new InputError(`BTF: ${this.#what} would take more than ${this.#most} steps`);
  }
}
