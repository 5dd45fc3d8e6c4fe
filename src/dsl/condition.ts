// SPDX-License-Identifier: MIT
import type { JmpOp } from "../asm/ops.js";
import type { Reg, Source } from "./codegen/ir.js";

/** The structure of a condition. Registers in it are never written again. */
export type Test =
  | { readonly kind: "constant"; readonly value: boolean }
  | {
      readonly kind: "compare";
      readonly test: JmpOp;
      readonly bits: 32 | 64;
      readonly left: Reg;
      readonly right: Source;
    }
  | { readonly kind: "and" | "or"; readonly left: Test; readonly right: Test }
  | { readonly kind: "not"; readonly operand: Test };

/**
 * Something that is true or false while the program runs: what comparisons give and `p.if` takes.
 * Its operands were read when the comparison was written.
 */
export class Condition {
  readonly #test: Test;

  /** @internal Comparisons make conditions. */
  constructor(test: Test) {
    this.#test = test;
  }

  /** Both are true. */
  and(other: Condition): Condition {
    return new Condition({ kind: "and", left: this.#test, right: other.#test });
  }

  /** At least one is true. */
  or(other: Condition): Condition {
    return new Condition({ kind: "or", left: this.#test, right: other.#test });
  }

  /** The opposite. */
  not(): Condition {
    return new Condition({ kind: "not", operand: this.#test });
  }

  /** @internal For code generation. */
  static testOf(condition: Condition): Test {
    return condition.#test;
  }
}
