// SPDX-License-Identifier: MIT
import type { Token, TokenPosition } from "typescript-parsec";

/** What a token is; an operator's text says which. */
export const Kind = { WORD: 0, NUMBER: 1, LOCAL: 2, STRING: 3, OP: 4 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** A fault in one line, without the line's number and file, which only the caller knows. */
export class LineError extends Error {
  override readonly name = "LineError";
  /** Where in the line, from 0. */
  readonly index: number;

  constructor(message: string, index: number) {
    super(message);
    this.index = index;
  }
}

/**
 * A token and its own position at once: the parser asks for positions only in failing, and a second object for each
 * token would cost more than reading it.
 */
export class LineToken implements Token<Kind>, TokenPosition {
  readonly kind: Kind;
  readonly text: string;
  readonly index: number;
  /** The value of a number; a string's text without its quotes is in `text`. */
  readonly value: number | bigint;
  next: LineToken | undefined = undefined;

  constructor(kind: Kind, text: string, index: number, value: number | bigint) {
    this.kind = kind;
    this.text = text;
    this.index = index;
    this.value = value;
  }

  get pos(): TokenPosition {
    return this;
  }

  get rowBegin(): number {
    return 1;
  }

  get rowEnd(): number {
    return 1;
  }

  get columnBegin(): number {
    return this.index + 1;
  }

  get columnEnd(): number {
    return this.index + this.text.length + 1;
  }
}
