// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { Insn } from "../insn.js";
import { Lexer } from "./lexer.js";
import { parseLine } from "./line.js";
import { Shapes } from "./shapes.js";
import type { InsnStatement, Line } from "./syntax.js";
import { LineError } from "./token.js";

/** Columns of a line that an error shows. */
const SHOWN = 120;

/** A text, and the errors of its lines. */
export class Source {
  readonly #text: string;
  readonly #file: string | undefined;
  #lines: readonly string[] | undefined;

  constructor(text: string, file: string | undefined) {
    this.#text = text;
    this.#file = file;
  }

  /** A line (from 0), without its end. */
  line(number: number): string {
    this.#lines ??= this.#text.split("\n");
    return (this.#lines[number] ?? "").replace(/\r$/, "");
  }

  /** The error of a line (from 0): what is wrong, the line, and a caret below the place. */
  error(line: number, { message, index }: LineError): InputError {
    const text = this.line(line);
    const at = Math.min(index, text.length);
    // A long line is shown around the place.
    const from = at < SHOWN ? 0 : at - SHOWN / 2;
    const quoted = text.slice(from, from + SHOWN).replace(/\p{Cc}/gu, (c) => (c === "\t" ? c : " "));
    const indent = quoted.slice(0, at - from).replace(/[^\t]/g, " ");
    const place = { file: this.#file ?? "text", line: line + 1, column: index + 1 };
    return new InputError(`${message}\n    ${quoted}\n    ${indent}^`, place);
  }

  /**
   * Runs what may find fault with a line.
   * @throws InputError with the line's place
   */
  at<T>(line: number, run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof LineError) throw this.error(line, error);
      throw error;
    }
  }

  /**
   * Reads line by line.
   * @throws InputError at the first line that is none
   */
  parse(reader: Reader): void {
    const lexer = new Lexer();
    const shapes = new Shapes();
    const text = this.#text;
    let number = 0;
    try {
      for (let from = 0; from <= text.length; number++) {
        const found = text.indexOf("\n", from);
        const to = found < 0 ? text.length : found;
        const known = lexer.inComment || to === from ? undefined : shapes.find(text, from, to);
        if (known === undefined) {
          if (to > from) reader.line(parseLine(lexer, text.slice(from, to), shapes), number);
        } else if ("opcode" in known) reader.insn(known, number);
        else reader.line(known, number);
        from = to + 1;
      }
    } catch (error) {
      if (error instanceof LineError) throw this.error(number, error);
      throw error;
    }
    if (lexer.inComment) {
      const last = this.line(number - 1);
      throw this.error(number - 1, new LineError('expected "*/": a comment is not closed', last.length));
    }
  }
}

/** Takes what the lines of a text say; lines count from 0. */
export interface Reader {
  /** A line of one instruction that is complete. */
  insn(insn: Insn, number: number): void;
  line(line: Line, number: number): void;
}

/** Whether a statement is an instruction. */
export function isInsn(statement: NonNullable<Line["statement"]>): statement is InsnStatement {
  switch (statement.kind) {
    case "plain":
    case "jump":
    case "call":
    case "wide":
    case "pseudo":
    case "raw":
      return true;
    default:
      return false;
  }
}
