// SPDX-License-Identifier: MIT
import { apply, seq } from "typescript-parsec";
import { type Expr, expr } from "./expr.js";
import { rawInsn } from "./mnemonic-grammar.js";
import { name } from "./operands.js";
import { end, list, maybe, one, type Part, text } from "./parts.js";
import type { Directive, MapAttribute, Statement } from "./syntax.js";
import { Kind, type LineToken } from "./token.js";

/*
 * Directives, in GAS's and LLVM's words where these have any. What compilers write and only an ELF file's debugger or
 * linker wants (`.type`, `.size`, `.p2align` between functions) is read and means nothing.
 */

const word = one("a directive", (token) => (token.kind === Kind.WORD ? token : undefined));
const string = one("a string", (token) => (token.kind === Kind.STRING ? token : undefined));
const isComma = (token: LineToken): boolean => token.kind === Kind.OP && token.text === ",";

/** All tokens to the line's end. */
const rest: Part<readonly LineToken[]> = {
  parse(token) {
    const all: LineToken[] = [];
    for (let at = token; at !== undefined; at = at.next) all.push(at as LineToken);
    return {
      candidates: [{ firstToken: token, nextToken: undefined, result: all }],
      successful: true,
      error: undefined,
    };
  },
};

/** `xdp`, `"xdp"`, `tracepoint/syscalls/sys_enter_execve`: tokens without space between them. */
const sectionName: Part<{ readonly name: string; readonly index: number }> = {
  parse(token) {
    const first = token as LineToken | undefined;
    if (first === undefined || isComma(first)) return name.parse(undefined) as never;
    let text = first.text;
    let last = first;
    for (
      let at = first.next;
      first.kind !== Kind.STRING && at !== undefined && at.index === last.index + last.text.length && !isComma(at);
      at = at.next
    ) {
      text += at.text;
      last = at;
    }
    const result = { name: text, index: first.index };
    return { candidates: [{ firstToken: token, nextToken: last.next, result }], successful: true, error: undefined };
  },
};

const section = apply(
  seq(word, sectionName, maybe(isComma, rest, '","'), end),
  ([, { name, index }]): Directive => ({ kind: "section", name, index }),
);

function standing(name: string): Part<Directive> {
  return apply(seq(word, rest), ([token]): Directive => ({ kind: "section", name, index: token.index }));
}

function binding(kind: "global" | "weak" | "hidden"): Part<Directive> {
  return apply(seq(word, list(name), end), ([, names]): Directive => ({ kind: "binding", binding: kind, names }));
}

/** `.type main,@function` */
const type = apply(
  seq(word, name, rest),
  ([, symbol, kinds]): Directive =>
    kinds.some(({ text }) => text === "function" || text === "STT_FUNC")
      ? { kind: "binding", binding: "function", names: [symbol] }
      : { kind: "nothing" },
);

const func = apply(
  seq(word, list(name), end),
  ([, names]): Directive => ({ kind: "binding", binding: "function", names }),
);

const equ = apply(
  seq(word, name, text(","), expr, end),
  ([, name, , value]): Directive => ({ kind: "constant", name, value }),
);

/** `NAME = expression` */
export const assignConstant: Part<Directive> = apply(
  seq(name, text("="), expr, end),
  ([name, , value]): Directive => ({ kind: "constant", name, value }),
);

function values(size: number): Part<Directive> {
  return apply(seq(word, list(expr), end), ([, values]): Directive => ({ kind: "values", size, values }));
}

function strings(zero: boolean): Part<Directive> {
  return apply(seq(word, list(string), end), ([, texts]): Directive => ({ kind: "text", zero, texts }));
}

const second = maybe(
  isComma,
  apply(seq(text(","), expr), ([, value]): Expr => value),
  '","',
);
const space = apply(seq(word, expr, second, end), ([, size, fill]): Directive => ({ kind: "space", size, fill }));

function align(power: boolean): Part<Directive> {
  return apply(seq(word, expr, rest), ([, to]): Directive => ({ kind: "align", to, power }));
}

/** A map's attribute: `key=4`, `value=u64`, `pinned`. */
const attribute: Part<MapAttribute> = apply(
  seq(
    name,
    maybe(
      (token) => token.text === "=",
      apply(seq(text("="), expr), ([, value]) => value),
      '"="',
    ),
  ),
  ([name, value]) => ({ name, value }),
);
/** Attributes, with or without commas between them. */
const attributes: Part<MapAttribute[]> = {
  parse(token) {
    const all: MapAttribute[] = [];
    let at = token;
    while (at !== undefined) {
      if (all.length > 0 && isComma(at as LineToken)) at = at.next;
      const output = attribute.parse(at);
      if (!output.successful) return output;
      all.push(output.candidates[0]!.result);
      at = output.candidates[0]!.nextToken;
    }
    return {
      candidates: [{ firstToken: token, nextToken: undefined, result: all }],
      successful: true,
      error: undefined,
    };
  },
};

const mapType = one("a type of map (hash, array, ringbuf, …)", (token) =>
  token.kind === Kind.WORD ? token : undefined,
);
const map = apply(
  seq(word, name, maybe(isComma, text(",")), mapType, attributes),
  ([, name, , type, attributes]): Directive => ({ kind: "map", name, type, attributes }),
);
/** `.entry MAP, INDEX, NAME` */
const entry = apply(
  seq(word, name, text(","), expr, text(","), name, end),
  ([, map, , at, , name]): Directive => ({ kind: "entry", map, at, name }),
);

/** `.ksym NAME [func|var] [weak]` */
function extern(section: string): Part<Directive> {
  return apply(
    seq(word, name, rest),
    ([, name, what]): Directive => ({ kind: "extern", section, name, what: what.filter((token) => !isComma(token)) }),
  );
}

const license = apply(seq(word, string, end), ([, text]): Directive => ({ kind: "license", text }));
const version = apply(seq(word, expr, end), ([, value]): Directive => ({ kind: "version", value }));
const nothing = apply(seq(word, rest), (): Directive => ({ kind: "nothing" }));

const TABLE: readonly (readonly [string, Part<Statement>])[] = [
  [".section .sec", section],
  [".text", standing(".text")],
  [".data", standing(".data")],
  [".rodata", standing(".rodata")],
  [".bss", standing(".bss")],
  [".globl .global", binding("global")],
  [".weak", binding("weak")],
  [".hidden", binding("hidden")],
  [".type", type],
  [".func", func],
  [".equ .set .equiv", equ],
  [".byte", values(1)],
  [".short .hword .2byte .half", values(2)],
  [".long .int .word .4byte", values(4)],
  [".quad .8byte .xword", values(8)],
  [".ascii", strings(false)],
  [".asciz .string", strings(true)],
  [".zero .space .skip", space],
  [".align .balign", align(false)],
  [".p2align", align(true)],
  [".map", map],
  [".entry", entry],
  [".ksym", extern(".ksyms")],
  [".kconfig", extern(".kconfig")],
  [".extern", extern("")],
  [".license", license],
  [".version", version],
  [".insn", rawInsn],
  [".size .file .ident .addrsig .addrsig_sym .local .loc .cfi_startproc .cfi_endproc .cfi_sections", nothing],
];

/** Grammar of each directive by its name. */
export const DIRECTIVES: ReadonlyMap<string, Part<Statement>> = new Map(
  TABLE.flatMap(([names, part]) => names.split(" ").map((name) => [name, part] as const)),
);
