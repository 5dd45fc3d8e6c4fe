// SPDX-License-Identifier: MIT
import { similarNames } from "../../util/similar.js";
import * as op from "../opcode.js";
import { assignConstant, DIRECTIVES } from "./directive-grammar.js";
import { assignment, KEYWORDS, locked, memoryStore } from "./insn-grammar.js";
import type { Lexer } from "./lexer.js";
import { lockedMnemonic, MNEMONICS } from "./mnemonic-grammar.js";
import { isRegister } from "./operands.js";
import { choose, explain, type Part, parseAll } from "./parts.js";
import type { Shapes } from "./shapes.js";
import type { InsnStatement, Line, Statement } from "./syntax.js";
import { Kind, LineError, type LineToken } from "./token.js";

/*
 * One line: what stands in front of an instruction in listings, labels, a statement. And what a line that does not
 * parse should have had.
 */

/** `12: (b7) ` of the kernel's log, or the bytes that llvm-objdump prints. */
const LISTED =
  /^\s*(?:\d+:\s+)?(?:\(([0-9a-f]{2})\)\s|(?<=:\s+)(?:[0-9a-f]{2} ){7}(?:(?:[0-9a-f]{2} ){8})?[0-9a-f]{2}\s)/;

const STATEMENT_NAMES = ["an instruction", "a directive"];

/** A statement, chosen by its first token. */
const statement: Part<Statement> = choose<Statement>(STATEMENT_NAMES, (token) => {
  if (token.kind !== Kind.WORD) return token.text === "*" && token.kind === Kind.OP ? memoryStore : undefined;
  if (isRegister(token)) return assignment;
  if (token.text === "lock") return token.next?.text === "*" ? locked : lockedMnemonic;
  return (
    KEYWORDS.get(token.text) ??
    MNEMONICS.get(token.text) ??
    DIRECTIVES.get(token.text) ??
    (token.next?.text === "=" ? assignConstant : undefined)
  );
});

/**
 * Reads a line.
 * @param shapes learns from it, when it was asked for the same line before
 * @throws LineError when it is none.
 */
export function parseLine(lexer: Lexer, line: string, shapes?: Shapes): Line {
  const wasInComment = lexer.inComment;
  const listed = wasInComment || !mayBeListed(line) ? null : LISTED.exec(line);
  const tokens = lexer.tokens(line, listed?.[0].length ?? 0);
  const labels: LineToken[] = [];
  let first = tokens;
  while (first?.next?.kind === Kind.OP && first.next.text === ":" && first.kind !== Kind.OP) {
    labels.push(first);
    first = first.next.next;
  }
  if (first === undefined) return { labels, statement: undefined, index: 0 };
  const parsed = parseAll(statement, first);
  if (parsed === undefined) throw unreadable(line, first);
  const read = { labels, statement: withOpcode(parsed, listed?.[1], first), index: first.index };
  // What is in front of a listed instruction, or comments, may hold what looks like its numbers.
  if (listed === null && !wasInComment && !lexer.inComment) shapes?.learn(line, read, tokens);
  return read;
}

/** Only lines that begin with a digit or a parenthesis can be from a listing. */
function mayBeListed(line: string): boolean {
  let at = 0;
  while (line[at] === " " || line[at] === "\t") at++;
  const c = line.charCodeAt(at);
  return c === 40 /* ( */ || (c >= 48 && c <= 57);
}

/** In listings the opcode tells what the text alone does not: the kernel writes 64-bit loads as it writes moves. */
function withOpcode(statement: Statement, hex: string | undefined, first: LineToken): Statement {
  if (hex === undefined) return statement;
  const opcode = Number.parseInt(hex, 16);
  const isMove = statement.kind === "plain" && statement.opcode === (op.BPF_ALU64 | op.BPF_MOV | op.BPF_K);
  if (isMove && opcode === op.BPF_LD_IMM64 && typeof statement.imm !== "number") {
    return { kind: "wide", dst: statement.dst, value: statement.imm };
  }
  const own = opcodeOf(statement as InsnStatement);
  if (own !== undefined && own !== opcode) {
    throw new LineError(`this is opcode ${hex2(own)}, but the line begins with (${hex})`, first.index);
  }
  return statement;
}

function opcodeOf(statement: InsnStatement): number | undefined {
  switch (statement.kind) {
    case "plain":
    case "jump":
      return statement.opcode;
    case "wide":
    case "pseudo":
      return op.BPF_LD_IMM64;
    case "call":
      return op.BPF_JMP | op.BPF_CALL;
    default:
      return undefined;
  }
}

function hex2(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** Longer names are not compared with what could have been meant. */
const MAX_COMPARED = 40;

/** Why a line does not parse. */
function unreadable(line: string, first: LineToken): LineError {
  const { index, what } = explain(statement, first, line.trimEnd().length);
  if (index === first.index && first.kind === Kind.WORD) {
    const { text } = first;
    const isDirective = text.startsWith(".");
    const known = isDirective ? DIRECTIVES.keys() : [...KEYWORDS.keys(), ...MNEMONICS.keys(), "lock"];
    const similar = text.length > MAX_COMPARED ? [] : similarNames(text, known);
    const note = similar.length === 0 ? "" : ` (similar: ${similar.join(", ")})`;
    const shown = text.length > MAX_COMPARED ? `${text.slice(0, MAX_COMPARED)}…` : text;
    return new LineError(`unknown ${isDirective ? "directive" : "instruction"} "${shown}"${note}`, index);
  }
  const found = tokenAt(first, index);
  const got =
    found === undefined
      ? "the end of the line"
      : `"${found.text.length > MAX_COMPARED ? `${found.text.slice(0, MAX_COMPARED)}…` : found.text}"`;
  return new LineError(`expected ${oneOf(what)}, got ${got}`, index);
}

function tokenAt(first: LineToken, index: number): LineToken | undefined {
  let token: LineToken | undefined = first;
  while (token !== undefined && token.index < index) token = token.next;
  return token;
}

/** `a, b or c` */
function oneOf(what: readonly string[]): string {
  const all = [...new Set(what)];
  return all.length < 2 ? (all[0] ?? "something else") : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`;
}
