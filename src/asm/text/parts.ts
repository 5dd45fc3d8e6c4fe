// SPDX-License-Identifier: MIT
import type { Parser, ParserOutput, Token } from "typescript-parsec";
import { Kind, LineError, type LineToken } from "./token.js";

/*
 * The smallest parsers, which typescript-parsec's seq(), alt_sc() and apply() put together. They differ from its own
 * tok() and str() in two things. A failure is one shared object, as nothing reads it: when a line does not parse,
 * it is parsed once more and every part that fails says what it expected and where. And a decision by the next token
 * (`choose`) replaces trying alternatives in order wherever it can.
 */

/** A parser of a part of a line. */
export type Part<T> = Parser<Kind, T>;
type Output<T> = ParserOutput<Kind, T>;
type At = Token<Kind> | undefined;

const FAILED = { successful: false, error: { kind: "Error", pos: undefined, message: "" } } as const;

/** What parts expected at the furthest place that any of them reached; undefined unless somebody asks. */
let wanted: { index: number; readonly end: number; readonly what: Set<string> } | undefined;
let depth = 0;

function failed(token: At, ...what: readonly string[]): typeof FAILED {
  if (wanted === undefined) return FAILED;
  const index = token === undefined ? wanted.end : (token as LineToken).index;
  if (index < wanted.index) return FAILED;
  if (index > wanted.index) {
    wanted.index = index;
    wanted.what.clear();
  }
  for (const one of what) wanted.what.add(one);
  return FAILED;
}

function done<T>(first: At, next: At, result: T): Output<T> {
  return { candidates: [{ firstToken: first, nextToken: next, result }], successful: true, error: undefined };
}

/** Parses a line's tokens up to their end; undefined when they do not parse. */
export function parseAll<T>(part: Part<T>, first: LineToken | undefined): T | undefined {
  depth = 0;
  const output = part.parse(first);
  return output.successful ? output.candidates[0]?.result : undefined;
}

/** What a line that does not parse should have had, and where (index in the line). */
export function explain(
  part: Part<unknown>,
  first: LineToken | undefined,
  end: number,
): { index: number; what: string[] } {
  wanted = { index: -1, end, what: new Set() };
  try {
    depth = 0;
    part.parse(first);
    return { index: Math.max(wanted.index, 0), what: [...wanted.what] };
  } finally {
    wanted = undefined;
  }
}

/** One token that `take` makes something of. */
export function one<T>(what: string, take: (token: LineToken) => T | undefined): Part<T> {
  return {
    parse(token) {
      const result = token === undefined ? undefined : take(token as LineToken);
      return result === undefined ? failed(token, what) : done(token, token!.next, result);
    },
  };
}

/** The token with that text, an operator or a word; several in a row when separated by spaces. */
export function text(texts: string): Part<LineToken> {
  const list = texts.split(" ");
  const shown = list.map((one) => `"${one}"`);
  return {
    parse(token) {
      let at = token;
      for (let i = 0; i < list.length; i++) {
        if (at === undefined || at.text !== list[i] || at.kind === Kind.STRING) return failed(at, shown[i]!);
        at = at.next;
      }
      return done(token, at, token as LineToken);
    },
  };
}

/** Nothing, where the line must end. */
export const end: Part<undefined> = {
  parse: (token) => (token === undefined ? done(token, token, undefined) : failed(token, "the end of the line")),
};

/** Goes on with what the next token says; it is not taken. The names stand in messages. */
export function choose<T>(names: readonly string[], pick: (token: LineToken) => Part<T> | undefined): Part<T> {
  return {
    parse(token) {
      const part = token === undefined ? undefined : pick(token as LineToken);
      return part === undefined ? failed(token, ...names) : part.parse(token);
    },
  };
}

/** The part, or nothing when the next token is none that begins it. */
export function maybe<T>(
  begins: (token: LineToken) => boolean,
  part: Part<T>,
  ...names: readonly string[]
): Part<T | undefined> {
  return {
    parse(token): Output<T | undefined> {
      if (token !== undefined && begins(token as LineToken)) return part.parse(token);
      if (wanted !== undefined) failed(token, ...names);
      return done(token, token, undefined);
    },
  };
}

/** Parts separated by commas, at least one. */
export function list<T>(part: Part<T>): Part<T[]> {
  return {
    parse(token): Output<T[]> {
      const all: T[] = [];
      let at: At = token;
      for (;;) {
        const output = part.parse(at);
        if (!output.successful) return output;
        const { result, nextToken } = output.candidates[0]!;
        all.push(result);
        if (nextToken?.text !== "," || nextToken.kind !== Kind.OP) {
          failed(nextToken, '","');
          return done(token, nextToken, all);
        }
        at = nextToken.next;
      }
    },
  };
}

const MAX_TERMS = 500;

/** Operands and operators from left to right; `join` makes one of two. */
export function chain<T>(
  operand: Part<T>,
  operators: ReadonlySet<string>,
  join: (op: LineToken, a: T, b: T) => T,
): Part<T> {
  return {
    parse(token): Output<T> {
      let output = operand.parse(token);
      if (!output.successful) return output;
      let { result, nextToken } = output.candidates[0]!;
      for (
        let terms = 1;
        nextToken !== undefined && nextToken.kind === Kind.OP && operators.has(nextToken.text);
        terms++
      ) {
        // What is evaluated recursively must stay small.
        if (terms > MAX_TERMS)
          throw new LineError(`expression of more than ${MAX_TERMS} terms`, (nextToken as LineToken).index);
        output = operand.parse(nextToken.next);
        if (!output.successful) return output;
        result = join(nextToken as LineToken, result, output.candidates[0]!.result);
        nextToken = output.candidates[0]!.nextToken;
      }
      return done(token, nextToken, result);
    },
  };
}

/** Nesting beyond this is refused, so that the stack stays small. */
const MAX_DEPTH = 100;

/** A part that contains itself. */
export function nested<T>(part: () => Part<T>): Part<T> {
  let made: Part<T> | undefined;
  return {
    parse(token): Output<T> {
      made ??= part();
      if (++depth > MAX_DEPTH)
        throw new LineError(`expression nested more than ${MAX_DEPTH} deep`, (token as LineToken)?.index ?? 0);
      const output = made.parse(token);
      depth--;
      return output;
    },
  };
}
