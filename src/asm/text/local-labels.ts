// SPDX-License-Identifier: MIT
import type { Code, Label } from "../labels.js";
import { LineError, type LineToken } from "./token.js";

/** Labels that are numbers: `1f` is the next `1:` from here, `1b` the last one before. */
export class LocalLabels {
  readonly #code: Code<never, never>;
  readonly #last = new Map<number, Label>();
  readonly #next = new Map<number, { label: Label; token: LineToken; line: number }>();

  constructor(code: Pick<Code<never, never>, "newLabel">) {
    this.#code = code as Code<never, never>;
  }

  /** The label that a number makes here. */
  define(token: LineToken): Label {
    const number = Number(token.text);
    const label = this.#next.get(number)?.label ?? this.#code.newLabel(token.text);
    this.#next.delete(number);
    this.#last.set(number, label);
    return label;
  }

  /** @throws LineError when there is no such label before */
  use(token: LineToken, line: number): Label {
    const number = Number(token.text.slice(0, -1));
    if (token.text.endsWith("b")) {
      const label = this.#last.get(number);
      if (label === undefined) throw new LineError(`no label ${number} stands before`, token.index);
      return label;
    }
    let next = this.#next.get(number);
    if (next === undefined) {
      next = { label: this.#code.newLabel(token.text), token, line };
      this.#next.set(number, next);
    }
    return next.label;
  }

  /** A use whose label never came. */
  pending(): { readonly token: LineToken; readonly line: number } | undefined {
    return this.#next.values().next().value;
  }
}
