// SPDX-License-Identifier: MIT
import type { Insn } from "../insn.js";
import { type Expr, NUMBER_LIMITS } from "./expr.js";
import type { JumpInsn, Line, PlainInsn, WideInsn } from "./syntax.js";
import { Kind, LineToken } from "./token.js";

/*
 * Lines that were parsed before. Programs say the same few thousand things again and again, with other numbers and
 * labels: `r1 = *(u64 *)(r10 - 8)`, `if r0 == 0 goto LBB0_3`. The shape of a line is its text without its numbers and
 * the label at its end. The first line of a shape goes through the grammar; when what comes out is an instruction
 * whose offset, immediate and target are those numbers and that label and nothing else, the following lines of that shape are
 * filled in without parsing, which is ten times as fast.
 */

/** Where a field's number comes from: a constant, or the n-th number of the line, negated or not. */
type Field = { readonly value: number } | { readonly hole: number; readonly negative: boolean };

interface Shape {
  /** The text between the numbers. */
  readonly segments: readonly string[];
  readonly statement: PlainInsn | JumpInsn | WideInsn;
  readonly index: number;
  readonly off: Field;
  readonly imm: Field;
  /** The distance that a jump carries, or a number of 64 bits. */
  readonly slots: Field | undefined;
  readonly hasLabel: boolean;
}

/** Shapes that are kept at most; a text with more has no use for them. */
const MAX_SHAPES = 1 << 15;
/** Longer lines are none of instructions. */
const MAX_LENGTH = 100;
const MAX_NUMBERS = 4;
const NO_LABELS: readonly LineToken[] = [];

const S16 = NUMBER_LIMITS.s16;

function isWordPart(c: number): boolean {
  return (c >= 48 && c <= 57) || (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95 || c === 46 || c === 36;
}

const WORD_PARTS = Uint8Array.from({ length: 128 }, (_, c) => (isWordPart(c) ? 1 : 0));

/** The shapes of one text's lines. */
export class Shapes {
  readonly #shapes = new Map<number, Shape>();
  /** The line that was looked at last: its numbers, where they begin and end, and its label. */
  readonly #values = new Int32Array(MAX_NUMBERS);
  readonly #starts = new Int32Array(MAX_NUMBERS);
  readonly #ends = new Int32Array(MAX_NUMBERS);
  #count = 0;
  #labelAt = -1;
  #hash = 0;
  #fits = false;

  /**
   * What the line between two indices of the text says, when one of its shape was learnt: an instruction, or a line
   * that leads to a label or takes two slots.
   */
  find(text: string, from: number, to: number): Insn | Line | undefined {
    this.#fits = this.#scan(text, from, to);
    if (!this.#fits) return undefined;
    const shape = this.#shapes.get(this.#hash);
    if (shape === undefined || !this.#matches(shape, text, from, to)) return undefined;
    return this.#fill(shape, text, from, to);
  }

  /** Learns the shape of the line that {@link find} looked at last. */
  learn(line: string, parsed: Line, tokens: LineToken | undefined): void {
    const { statement } = parsed;
    if (!this.#fits || statement === undefined || parsed.labels.length > 0) return;
    if (statement.kind !== "plain" && statement.kind !== "jump" && statement.kind !== "wide") return;
    const numbers = this.#numbersOf(tokens);
    if (numbers === undefined) return;
    const used = new Set<number>();
    const field = (value: Expr | number): Field | undefined => {
      if (typeof value === "number") return { value };
      const sign = "of" in value ? value.op : "+";
      const hole = numbers.indexOf(("of" in value ? value.of : value) as LineToken);
      if (hole < 0 || used.has(hole) || (sign !== "+" && sign !== "-")) return undefined;
      used.add(hole);
      return { hole, negative: sign === "-" };
    };
    const target = statement.kind === "jump" ? statement.target : undefined;
    const wide = statement.kind === "wide" ? statement.value : target?.kind === "distance" ? target.slots : undefined;
    const off = field(statement.kind === "plain" ? statement.off : 0);
    const imm = field(statement.kind === "wide" ? 0 : statement.imm);
    const slots = wide === undefined ? undefined : field(wide);
    if (off === undefined || imm === undefined || (wide !== undefined && slots === undefined)) return;
    const hasLabel = target?.kind === "label";
    if (hasLabel !== this.#labelAt >= 0 || (hasLabel && target.name.index !== this.#labelAt)) return;
    if (used.size !== numbers.length) return;
    if (this.#shapes.size >= MAX_SHAPES) this.#shapes.clear();
    const segments = this.#segments(line);
    this.#shapes.set(this.#hash, { segments, statement, index: parsed.index, off, imm, slots, hasLabel });
  }

  /** The tokens that are numbers; undefined when they are not those that the scan found. */
  #numbersOf(tokens: LineToken | undefined): LineToken[] | undefined {
    const numbers: LineToken[] = [];
    for (let token = tokens; token !== undefined; token = token.next) {
      if (token.kind === Kind.NUMBER) numbers.push(token);
    }
    if (numbers.length !== this.#count) return undefined;
    return numbers.every(
      (token, i) => token.index === this.#starts[i] && token.text.length === this.#ends[i]! - token.index,
    )
      ? numbers
      : undefined;
  }

  #segments(line: string): string[] {
    const segments: string[] = [];
    let from = 0;
    for (let i = 0; i < this.#count; i++) {
      segments.push(line.slice(from, this.#starts[i]!));
      from = this.#ends[i]!;
    }
    segments.push(line.slice(from, this.#labelAt < 0 ? line.length : this.#labelAt));
    return segments;
  }

  #matches({ segments, hasLabel }: Shape, text: string, from: number, to: number): boolean {
    if (segments.length !== this.#count + 1 || hasLabel !== this.#labelAt >= 0) return false;
    let at = from;
    for (let i = 0; i < this.#count; i++) {
      const segment = segments[i]!;
      if (segment.length !== this.#starts[i]! + from - at || !text.startsWith(segment, at)) return false;
      at = this.#ends[i]! + from;
    }
    const last = segments[this.#count]!;
    return last.length === (hasLabel ? this.#labelAt + from : to) - at && text.startsWith(last, at);
  }

  #value(field: Field): number {
    if ("value" in field) return field.value;
    const value = this.#values[field.hole]!;
    return field.negative ? 0 - value : value;
  }

  #fill(shape: Shape, text: string, from: number, to: number): Insn | Line | undefined {
    // No rest pattern here: it would copy the shape for each line.
    const { statement } = shape;
    if (statement.kind === "plain") {
      const off = this.#value(shape.off);
      // What does not fit is for the grammar to complain about.
      if (off < S16.min || off > S16.max) return undefined;
      return { opcode: statement.opcode, dst: statement.dst, src: statement.src, off, imm: this.#value(shape.imm) };
    }
    const { index } = shape;
    if (statement.kind === "wide") {
      const { dst } = statement;
      return { labels: NO_LABELS, statement: { kind: "wide", dst, value: this.#value(shape.slots!) }, index };
    }
    const { opcode, dst, src, bits32 } = statement;
    const imm = this.#value(shape.imm);
    if (shape.slots !== undefined) {
      const slots = this.#value(shape.slots);
      if (slots < S16.min || slots > S16.max) return undefined;
      const target = { kind: "distance", slots } as const;
      return { labels: NO_LABELS, statement: { kind: "jump", opcode, dst, src, imm, bits32, target }, index };
    }
    const name = new LineToken(Kind.WORD, text.slice(from + this.#labelAt, to), this.#labelAt, 0);
    const target = { kind: "label", name } as const;
    return { labels: NO_LABELS, statement: { kind: "jump", opcode, dst, src, imm, bits32, target }, index };
  }

  /** Finds the numbers of a line and the hash of the rest; false for lines that are not for filling in. */
  #scan(text: string, from: number, to: number): boolean {
    this.#count = 0;
    this.#labelAt = -1;
    if (to - from > MAX_LENGTH) return false;
    let hash = 0;
    let inWord = false;
    for (let at = from; at < to; ) {
      const c = text.charCodeAt(at);
      if (!inWord && c >= 48 && c <= 57) {
        const next = this.#number(text, from, at, to);
        if (next < 0) return false;
        hash = (Math.imul(hash, 31) + 1) | 0;
        at = next;
        continue;
      }
      hash = (Math.imul(hash, 31) + c) | 0;
      inWord = c < 128 && WORD_PARTS[c] === 1;
      at++;
      // Behind `goto `, a label ends the line.
      if (c === 32 && at < to && text.charCodeAt(at - 2) === 111 && at - 5 >= from && text.startsWith("goto", at - 5)) {
        if (!isLabelStart(text, at)) continue;
        this.#labelAt = at - from;
        for (let end = at; end < to; end++) if (!isWordPart(text.charCodeAt(end))) return false;
        this.#hash = (Math.imul(hash, 31) + 2) | 0;
        return true;
      }
    }
    this.#hash = hash;
    return true;
  }

  /** Reads the number that begins at an index and gives the index behind it, or −1. */
  #number(text: string, from: number, start: number, to: number): number {
    if (this.#count === MAX_NUMBERS) return -1;
    const first = text.charCodeAt(start);
    let at = start + 1;
    let value = first - 48;
    let c = text.charCodeAt(at);
    if (first === 48 && (c === 120 || c === 88)) {
      for (at++; at < to; at++) {
        c = text.charCodeAt(at);
        const digit = c >= 48 && c <= 57 ? c - 48 : c >= 97 && c <= 102 ? c - 87 : c >= 65 && c <= 70 ? c - 55 : -1;
        if (digit < 0) break;
        value = value * 16 + digit;
        if (at - start > 8) return -1;
      }
      if (at === start + 2) return -1;
    } else {
      for (; at < to && c >= 48 && c <= 57; c = text.charCodeAt(++at)) {
        value = value * 10 + (c - 48);
        if (at - start > 8) return -1;
      }
    }
    if (at < to && isWordPart(text.charCodeAt(at))) return -1;
    this.#values[this.#count] = value;
    this.#starts[this.#count] = start - from;
    this.#ends[this.#count] = at - from;
    this.#count++;
    return at;
  }
}

/** A name that is no `pc+3`. */
function isLabelStart(line: string, at: number): boolean {
  const c = line.charCodeAt(at);
  return isWordPart(c) && !(c >= 48 && c <= 57) && !line.startsWith("pc", at);
}
