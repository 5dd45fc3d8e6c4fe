// SPDX-License-Identifier: MIT
import type { Code, IntKind, Operand } from "./code.js";
import type { Block } from "./codegen/ir.js";
import { literal } from "./values.js";

/*
 * Decisions by value: a few values are compared one after the other, more are halved first, so that as few
 * comparisons as possible stand on each way.
 */

/** One way of a switch. */
export interface Case<Body> {
  /** Patterns of the value's word. */
  readonly values: readonly bigint[];
  readonly body: Body;
}

type Key = number | bigint;
type Given<Body> = Readonly<Record<number, Body>> | readonly (readonly [Key | readonly Key[], Body])[];

/**
 * The cases as a list.
 * @throws InputError at the user's line for a value that the type does not have, and for one that stands twice.
 */
export function listCases<Body>(code: Code, given: Given<Body>, type: IntKind): readonly Case<Body>[] {
  const pairs: readonly (readonly [Key | readonly Key[], Body])[] = Array.isArray(given)
    ? given
    : Object.entries(given as Readonly<Record<string, Body>>).map(([key, body]) => [keyOf(code, key), body]);
  const seen = new Set<bigint>();
  return pairs.map(([keys, body]) => {
    if (typeof body !== "function") throw code.fail(`this switch has no function for ${String(keys)}`);
    const values = (Array.isArray(keys) ? keys : [keys]).map((key: Key) => {
      const operand = literal(code, key, type, "range") as { readonly value: bigint };
      if (seen.has(operand.value)) throw code.fail(`this switch has two cases for ${key}`);
      seen.add(operand.value);
      return operand.value;
    });
    return { values, body };
  });
}

function keyOf(code: Code, key: string): bigint {
  if (/^-?\d+$/.test(key)) return BigInt(key);
  throw code.fail(`the cases of a switch are integers, got "${key}"`);
}

interface Choice {
  readonly pattern: bigint;
  readonly start: Block;
}

/** As many comparisons in a row do no worse than halving first. */
const ROW = 4;

/** Leads to the block that stands for the value. */
export function decide(code: Code, bits: 32 | 64, value: Operand, choices: readonly Choice[], otherwise: Block): void {
  const ordered = choices.length > ROW ? [...choices].sort((a, b) => (a.pattern < b.pattern ? -1 : 1)) : choices;
  choose(code, bits, value, ordered, otherwise);
}

function choose(code: Code, bits: 32 | 64, value: Operand, choices: readonly Choice[], otherwise: Block): void {
  if (choices.length > ROW) {
    const middle = choices.length >> 1;
    const [lower, upper] = [code.newBlock(), code.newBlock()];
    code.branch(code.compare("jlt", bits, value, { value: choices[middle]!.pattern }), lower, upper);
    code.startBlock(lower);
    choose(code, bits, value, choices.slice(0, middle), otherwise);
    code.startBlock(upper);
    choose(code, bits, value, choices.slice(middle), otherwise);
    return;
  }
  for (const { pattern, start } of choices) {
    const next = code.newBlock();
    code.branch(code.compare("jeq", bits, value, { value: pattern }), start, next);
    code.startBlock(next);
  }
  code.goto(otherwise);
}
