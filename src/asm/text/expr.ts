// SPDX-License-Identifier: MIT
import { apply, seq } from "typescript-parsec";
import { chain, choose, nested, type Part, text } from "./parts.js";
import { Kind, LineError, LineToken } from "./token.js";

/*
 * Numbers as the user writes them: literals, constants, and what C's operators make of them, with C's precedence.
 */

/** An expression; a token stands for the number or the name that it is. */
export type Expr = LineToken | Unary | Binary;

export interface Unary {
  readonly op: string;
  readonly of: Expr;
  readonly index: number;
}

export interface Binary {
  readonly op: string;
  readonly left: Expr;
  readonly right: Expr;
  readonly index: number;
}

const NAMES = ["a number", "a constant"];
const isOp = (token: LineToken, op: string): boolean => token.kind === Kind.OP && token.text === op;

const atom: Part<Expr> = {
  parse: (token) => ({
    candidates: [{ firstToken: token, nextToken: token!.next, result: token as LineToken }],
    successful: true,
    error: undefined,
  }),
};

const unary: Part<Expr> = choose(NAMES, (token) => {
  if (token.kind === Kind.OP) return token.text === "(" ? grouped : SIGNS.has(token.text) ? signed : undefined;
  return token.kind === Kind.LOCAL ? undefined : atom;
});
const SIGNS: ReadonlySet<string> = new Set(["-", "+", "~"]);
const signed: Part<Expr> = nested(() =>
  apply(
    seq(
      choose(NAMES, (token) => (SIGNS.has(token.text) ? (atom as Part<LineToken>) : undefined)),
      unary,
    ),
    ([sign, of]): Expr => ({ op: sign.text, of, index: sign.index }),
  ),
);
const grouped: Part<Expr> = nested(() => apply(seq(text("("), full, text(")")), ([, inner]) => inner));

const join = (op: LineToken, left: Expr, right: Expr): Expr => ({ op: op.text, left, right, index: left.index });
const LEVELS = [["*", "/", "%"], ["+", "-"], ["<<", ">>"], ["&"], ["^"], ["|"]] as const;
const BINARY: ReadonlySet<string> = new Set(LEVELS.flat());

const full: Part<Expr> = LEVELS.reduce((part: Part<Expr>, ops) => chain(part, new Set(ops), join), unary);

/** An expression. What nearly all of them are, a lone number, is taken without descending through the precedences. */
export const expr: Part<Expr> = {
  parse(token) {
    if (token !== undefined && token.kind !== Kind.OP && token.kind !== Kind.LOCAL) {
      const { next } = token;
      if (next === undefined || next.kind !== Kind.OP || !BINARY.has(next.text)) return atom.parse(token);
    }
    return full.parse(token);
  },
};

/** Whether the token begins an expression that has a sign in front. */
export const beginsSigned = (token: LineToken): boolean => isOp(token, "-") || isOp(token, "+");

/** What names mean: constants. */
export type Constants = ReadonlyMap<string, bigint>;

/** What fields of an instruction hold. */
export const NUMBER_LIMITS = {
  s16: { min: -0x8000, max: 0x7fff },
  s32: { min: -0x8000_0000, max: 0x7fff_ffff },
} as const;

/** A number, and the symbol that it is to be added to. */
export interface Linear {
  readonly symbol: LineToken | undefined;
  readonly value: bigint;
}

/** Bits that a number may have on the way; the result must fit its field in any case. */
const MAX_BITS = 128n;

/**
 * The value of an expression in which at most one name is no constant.
 * @throws LineError where it has no value.
 */
export function linear(tree: Expr, constants: Constants): Linear {
  if (tree instanceof LineToken) {
    if (tree.kind === Kind.NUMBER) return { symbol: undefined, value: BigInt(tree.value) };
    const value = tree.kind === Kind.WORD ? constants.get(tree.text) : undefined;
    return value === undefined ? { symbol: tree, value: 0n } : { symbol: undefined, value };
  }
  if (!("left" in tree)) {
    const of = linear(tree.of, constants);
    if (of.symbol !== undefined && tree.op !== "+") throw new NoConstant(of.symbol);
    return { symbol: of.symbol, value: tree.op === "-" ? -of.value : tree.op === "~" ? ~of.value : of.value };
  }
  const left = linear(tree.left, constants);
  const right = linear(tree.right, constants);
  const bad =
    tree.op === "+" ? left.symbol && right.symbol : tree.op === "-" ? right.symbol : (left.symbol ?? right.symbol);
  if (bad !== undefined) throw new NoConstant(bad);
  return { symbol: left.symbol ?? right.symbol, value: calculate(tree, left.value, right.value) };
}

function calculate({ op, right, index }: Binary, a: bigint, b: bigint): bigint {
  switch (op) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return bounded(a * b, index);
    case "/":
    case "%":
      if (b === 0n) throw new LineError("division by zero", right.index);
      return op === "/" ? a / b : a % b;
    case "<<":
    case ">>":
      if (b < 0n || b >= MAX_BITS) throw new LineError(`cannot shift by ${b} bits`, right.index);
      return op === "<<" ? bounded(a << b, index) : a >> b;
    case "&":
      return a & b;
    case "^":
      return a ^ b;
    default:
      return a | b;
  }
}

function bounded(value: bigint, index: number): bigint {
  if (BigInt.asIntN(Number(MAX_BITS), value) !== value) throw new LineError("number of more than 128 bits", index);
  return value;
}

/** A name stands where a number must; it may become a constant further down. */
export class NoConstant extends LineError {
  constructor({ text, index }: LineToken) {
    const shown = text.length > 64 ? `${text.slice(0, 64)}…` : text;
    super(/^[rw]\d+$/.test(text) ? `no register is named ${shown}` : `"${shown}" is no constant`, index);
  }
}

/**
 * The value of an expression of constants.
 * @throws LineError when it has none.
 */
export function constant(tree: Expr, constants: Constants): bigint {
  const { symbol, value } = linear(tree, constants);
  if (symbol !== undefined) throw new NoConstant(symbol);
  return value;
}

/**
 * The value of an expression that must lie between two numbers.
 * @throws LineError when it has none or lies elsewhere.
 */
export function ranged(tree: Expr, constants: Constants, min: number, max: number, what: string): number {
  if (tree instanceof LineToken && tree.kind === Kind.NUMBER && typeof tree.value === "number" && tree.value <= max) {
    if (tree.value >= min) return tree.value;
  }
  const value = constant(tree, constants);
  if (value < BigInt(min) || value > BigInt(max)) {
    throw new LineError(`${what} must be from ${min} to ${max}, got ${value}`, tree.index);
  }
  return Number(value);
}
