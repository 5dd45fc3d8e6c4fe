// SPDX-License-Identifier: MIT
import { Kind, LineError, LineToken } from "./token.js";

/*
 * One line into tokens. Written by hand: typescript-parsec's lexer tries its regular expressions one after the other,
 * and throws errors that do not say what it met.
 */

/** Lines beyond this are refused: no instruction needs them, and the work for a line stays bounded. */
const MAX_LINE = 65536;

/** Operators by their first character, longest first. */
const OPERATORS: ReadonlyMap<string, readonly string[]> = byFirst([
  ...["<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "==", "!=", "<=", ">=", "<<", ">>"],
  ...[
    "=",
    "<",
    ">",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "|",
    "^",
    "~",
    "!",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "@",
    "#",
  ],
]);
/** Operators that begin with the letter of "signed". */
const SIGNED_OPERATORS = ["s>>=", "s>=", "s<=", "s/=", "s%=", "s>", "s<"] as const;

function byFirst(operators: readonly string[]): Map<string, string[]> {
  const map = new Map<string, string[]>();
  for (const operator of operators) map.set(operator[0]!, [...(map.get(operator[0]!) ?? []), operator]);
  return map;
}

const WORD_START = 1;
const WORD_PART = 2;
const DIGIT = 4;
const SPACE = 8;
const CLASSES = classes();

function classes(): Uint8Array {
  const table = new Uint8Array(128);
  for (let c = 0; c < 128; c++) {
    const char = String.fromCharCode(c);
    if (/[A-Za-z_.$]/.test(char)) table[c] = WORD_START | WORD_PART;
    else if (/[0-9]/.test(char)) table[c] = DIGIT | WORD_PART;
    else if (/[ \t\r\v\f]/.test(char)) table[c] = SPACE;
  }
  return table;
}

function classAt(line: string, at: number): number {
  const c = line.charCodeAt(at);
  return c < 128 ? CLASSES[c]! : 0;
}

/** Reads the lines of one text in their order; remembers whether a `/*` comment is open between them. */
export class Lexer {
  #inComment = false;
  #line = "";
  #at = 0;
  #first: LineToken | undefined;
  #last: LineToken | undefined;

  /** Whether a comment was opened and not closed so far. */
  get inComment(): boolean {
    return this.#inComment;
  }

  /**
   * The tokens of the next line from an index on, linked; undefined when it has none.
   * @throws LineError for a character, number or string that cannot be.
   */
  tokens(line: string, from = 0): LineToken | undefined {
    if (line.length > MAX_LINE) throw new LineError(`line of more than ${MAX_LINE} characters`, MAX_LINE);
    this.#line = line;
    this.#at = from;
    this.#first = undefined;
    this.#last = undefined;
    if (this.#inComment) this.#skipComment(0);
    while (this.#at < line.length && this.#token());
    return this.#first;
  }

  /** Goes behind the end of a comment, or to the line's end. */
  #skipComment(from: number): void {
    const end = this.#line.indexOf("*/", from);
    this.#inComment = end < 0;
    this.#at = end < 0 ? this.#line.length : end + 2;
  }

  #push(kind: Kind, text: string, index: number, value: number | bigint = 0): true {
    const token = new LineToken(kind, text, index, value);
    if (this.#last === undefined) this.#first = token;
    else this.#last.next = token;
    this.#last = token;
    return true;
  }

  /** Reads one token, comment or space; false at a comment that takes the rest of the line. */
  #token(): boolean {
    const line = this.#line;
    const start = this.#at;
    const kind = classAt(line, start);
    if ((kind & SPACE) !== 0) {
      this.#at++;
      return true;
    }
    if ((kind & WORD_START) !== 0) {
      return (line.charCodeAt(start) === 115 /* s */ && this.#signedOperator(start)) || this.#word(start, start);
    }
    if ((kind & DIGIT) !== 0) return this.#number(start);
    switch (line[start]) {
      case ";":
        return false;
      case "#":
        return this.#hash(start);
      case '"':
        return this.#string(start);
      case "'":
        return this.#character(start);
      case "%":
        // ubpf's registers carry a percent sign.
        if ((classAt(line, start + 1) & WORD_START) !== 0 && !this.#operandBefore())
          return this.#word(start + 1, start);
        break;
      case "/":
        if (line[start + 1] === "/") return false;
        if (line[start + 1] === "*") {
          this.#skipComment(start + 2);
          return true;
        }
        break;
    }
    return this.#operator(start);
  }

  /** Whether what stands before can be the left side of an operator. */
  #operandBefore(): boolean {
    const last = this.#last;
    if (last === undefined || last === this.#first) return false;
    return last.kind !== Kind.OP ? last.index + last.text.length === this.#at : last.text === ")";
  }

  #word(from: number, index: number): true {
    let at = from + 1;
    while ((classAt(this.#line, at) & WORD_PART) !== 0) at++;
    this.#at = at;
    return this.#push(Kind.WORD, this.#line.slice(from, at), index);
  }

  #signedOperator(start: number): boolean {
    const next = this.#line[start + 1];
    if (next !== ">" && next !== "<" && next !== "/" && next !== "%") return false;
    const found = SIGNED_OPERATORS.find((operator) => this.#line.startsWith(operator, start));
    if (found === undefined) return false;
    this.#at = start + found.length;
    return this.#push(Kind.OP, found, start);
  }

  #operator(start: number): true {
    const line = this.#line;
    const candidates = OPERATORS.get(line[start]!);
    if (candidates === undefined) throw new LineError(`unexpected character ${shown(line, start)}`, start);
    const found = candidates.length === 1 ? candidates[0]! : candidates.find((one) => line.startsWith(one, start))!;
    this.#at = start + found.length;
    return this.#push(Kind.OP, found, start);
  }

  /**
   * `#` begins a comment, but the kernel also writes `call bpf_map_lookup_elem#1`: there it follows a callee without
   * a space.
   */
  #hash(start: number): boolean {
    const isSpaced = start === 0 || (classAt(this.#line, start - 1) & SPACE) !== 0;
    if (isSpaced || !this.#isCall()) return false;
    this.#at++;
    return this.#push(Kind.OP, "#", start);
  }

  #isCall(): boolean {
    for (let token = this.#first; token !== undefined; token = token.next) if (token.text === "call") return true;
    return false;
  }

  #number(start: number): true {
    const line = this.#line;
    let at = start + 1;
    while ((classAt(line, at) & WORD_PART) !== 0) at++;
    const text = line.slice(start, at);
    this.#at = at;
    if (/^[0-9]+[bf]$/.test(text)) return this.#push(Kind.LOCAL, text, start);
    if (!/^(?:[0-9]+|0[xX][0-9a-fA-F]+|0[bB][01]+)$/.test(text)) {
      throw new LineError(`"${text}" is no number: expected digits, 0x and hexadecimal digits, or 0b and bits`, start);
    }
    if (text.length > 1024) throw new LineError(`number of ${text.length} digits`, start);
    return this.#push(Kind.NUMBER, text, start, text.length <= 13 ? Number(text) : BigInt(text));
  }

  #character(start: number): true {
    const { text, end } = this.#quoted(start, "'");
    if ([...text].length !== 1) throw new LineError("expected one character between apostrophes", start);
    const value = text.codePointAt(0)!;
    this.#at = end;
    return this.#push(Kind.NUMBER, this.#line.slice(start, end), start, value);
  }

  #string(start: number): true {
    const { text, end } = this.#quoted(start, '"');
    this.#at = end;
    return this.#push(Kind.STRING, text, start);
  }

  /** What stands between quotation marks, escapes resolved. */
  #quoted(start: number, quote: string): { text: string; end: number } {
    const line = this.#line;
    const close = line.indexOf(quote, start + 1);
    const backslash = line.indexOf("\\", start + 1);
    if (close >= 0 && (backslash < 0 || backslash > close))
      return { text: line.slice(start + 1, close), end: close + 1 };
    let text = "";
    let at = start + 1;
    while (at < line.length && line[at] !== quote) {
      if (line[at] !== "\\") {
        text += line[at++];
        continue;
      }
      const match = ESCAPE.exec(line.slice(at, at + 4));
      if (match === null) throw new LineError(`unknown escape ${shown(line, at)}${line[at + 1] ?? ""}`, at);
      const [whole, hex, octal, letter] = match;
      if (hex !== undefined) text += String.fromCharCode(Number.parseInt(hex, 16));
      else if (octal !== undefined) text += String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
      else text += LETTERS[letter!] ?? letter;
      at += whole.length;
    }
    if (at >= line.length) throw new LineError(`expected a closing ${quote}`, line.length);
    return { text, end: at + 1 };
  }
}

const ESCAPE = /^\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([abfnrtv\\"']))/;
const LETTERS: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** A character for a message. */
function shown(line: string, at: number): string {
  const code = line.codePointAt(at)!;
  const isPrintable =
    code >= 0x20 && code !== 0x7f && !(code >= 0x80 && code < 0xa0) && !(code >= 0xd800 && code < 0xe000);
  return isPrintable ? `"${String.fromCodePoint(code)}"` : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
