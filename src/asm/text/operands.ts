// SPDX-License-Identifier: MIT
import { apply, seq } from "typescript-parsec";
import { BPF_REG_FP, MAX_BPF_REG } from "../opcode.js";
import { PSEUDO_LOADS, SIZES } from "../ops.js";
import { beginsSigned, type Expr, expr } from "./expr.js";
import { choose, maybe, one, type Part, text } from "./parts.js";
import type { Reg, Target } from "./syntax.js";
import { Kind, LineError, type LineToken } from "./token.js";

/* Operands that both dialects share. */

const REGISTERS: ReadonlyMap<string, Omit<Reg, "index">> = new Map<string, Omit<Reg, "index">>([
  ...Array.from({ length: MAX_BPF_REG }, (_, num) => [`r${num}`, { num, wide: true }] as const),
  ...Array.from({ length: MAX_BPF_REG }, (_, num) => [`w${num}`, { num, wide: false }] as const),
  ["fp", { num: BPF_REG_FP, wide: true }],
]);

/** Whether the token names a register. */
export function isRegister(token: LineToken | undefined): boolean {
  return token !== undefined && token.kind === Kind.WORD && REGISTERS.has(token.text);
}

function takeRegister(token: LineToken): Reg | undefined {
  const known = token.kind === Kind.WORD ? REGISTERS.get(token.text) : undefined;
  return known === undefined ? undefined : { num: known.num, wide: known.wide, index: token.index };
}

/** `r0` to `r10`, `w0` to `w10`, each also behind a percent sign. */
export const register: Part<Reg> = one("a register", takeRegister);

/** `r0` to `r10`. */
export const wideRegister: Part<Reg> = one("a register r0 to r10", (token) => {
  const reg = takeRegister(token);
  return reg?.wide ? reg : undefined;
});

/** The second operand: a register or a number. */
export const operand: Part<Reg | Expr> = choose(["a register", "a number"], (token) =>
  isRegister(token) ? (register as Part<Reg | Expr>) : expr,
);

/** Whether an operand is a register. */
export function isReg(value: Reg | Expr): value is Reg {
  return "wide" in value;
}

/** A register with an offset, as in `r1 + 8`. */
export interface Place {
  readonly base: number;
  readonly off: Expr | number;
}

/** `r1`, `r1 + 8`, `r1 -8`. */
export const place: Part<Place> = apply(
  seq(wideRegister, maybe(beginsSigned, expr, '"+"', '"-"')),
  ([base, off]): Place => ({ base: base.num, off: off ?? 0 }),
);

/** Access to memory, as a type says it. */
export interface Access {
  /** Bits of the opcode. */
  readonly size: number;
  readonly bytes: number;
  readonly signed: boolean;
}

const TYPES: ReadonlyMap<string, Access> = new Map(
  Object.values(SIZES).flatMap(({ size, bytes, type, signedType }): [string, Access][] => [
    [type, { size, bytes, signed: false }],
    ...(signedType === null ? [] : [[signedType, { size, bytes, signed: true }] as [string, Access]]),
  ]),
);

/** `u8` to `u64`, `s8` to `s32`. */
export const type: Part<Access> = one("a type (u8, u16, u32, u64, s8, s16, s32)", (token) => TYPES.get(token.text));

/** `s8`, `s16`, `s32`. */
export const signedType: Part<Access> = one("a type (s8, s16, s32)", (token) => {
  const access = TYPES.get(token.text);
  return access?.signed ? access : undefined;
});

/** Whether the token names a type with a sign. */
export const isSignedType = (token: LineToken | undefined): boolean =>
  token !== undefined && TYPES.get(token.text)?.signed === true;

/** `u32 *)(r1 + 8)`: typed memory behind its first parenthesis. */
export const typedPlace: Part<Access & Place> = apply(seq(type, text("* ) ("), place, text(")")), ([access, , at]) => ({
  ...access,
  ...at,
}));

/** A name: of a label, a map, a function. */
export const name: Part<LineToken> = one("a name", (token) =>
  token.kind === Kind.WORD || token.kind === Kind.STRING ? token : undefined,
);

/** `<main+0x18>`: what llvm-objdump adds behind a distance. */
const landing: Part<LineToken[]> = {
  parse(token) {
    let at = token;
    while (at !== undefined && at.text !== ">") at = at.next;
    const next = at?.next;
    return { candidates: [{ firstToken: token, nextToken: next, result: [] }], successful: true, error: undefined };
  },
};

const distance: Part<Target> = apply(
  seq(
    expr,
    maybe((token) => token.text === "<", landing),
  ),
  ([slots]): Target => ({ kind: "distance", slots }),
);
const fromPc: Part<Target> = apply(seq(text("pc"), distance), ([, target]) => target);
const label: Part<Target> = one("a label", (token): Target | undefined =>
  token.kind === Kind.WORD || token.kind === Kind.LOCAL ? { kind: "label", name: token } : undefined,
);

/** `pc+3`, `+3`, `+0x3 <main+0x18>`, `label`, `1f`. */
export const target: Part<Target> = choose(["a label", "pc+N", "+N"], (token) => {
  if (beginsSigned(token)) return distance;
  if (token.text === "pc" && token.next !== undefined && beginsSigned(token.next)) return fromPc;
  return token.kind === Kind.WORD || token.kind === Kind.LOCAL ? label : undefined;
});

/** A load that the kernel completes: `map_fd[5]`, `map_value[5]+8`, `map[counts]`. */
export interface Pseudo {
  readonly src: number;
  readonly low: Expr;
  readonly high: Expr | undefined;
}

const PSEUDO: ReadonlyMap<string, number> = new Map(
  Object.entries(PSEUDO_LOADS).flatMap(
    ([name, { src, other }]) => [[name, src], ...(other === null ? [] : [[other, src]])] as [string, number][],
  ),
);

/** Whether a load that the kernel completes begins here. */
export const beginsPseudo = (token: LineToken): boolean => PSEUDO.has(token.text) && token.next?.text === "[";

/** `id:` in brackets, as bpftool writes it. */
const id: Part<LineToken | undefined> = maybe(
  (token) => (token.text === "id" || token.text === "idx") && token.next?.text === ":",
  apply(seq(name, text(":")), ([word]) => word),
);
const comma = maybe(
  (token) => token.text === ",",
  apply(seq(text(","), expr), ([, value]) => value),
  '","',
);
/** `[0]` as bpftool writes it between a map and the offset in its first value. */
const firstValue = maybe((token) => token.text === "[" && token.next?.text === "0", text("[ 0 ]"));

export const pseudo: Part<Pseudo> = apply(
  seq(name, text("["), id, expr, comma, text("]"), firstValue, maybe(beginsSigned, expr, '"+"')),
  ([word, , tag, low, second, , , offset]): Pseudo => {
    const high = second ?? offset;
    if (second !== undefined && offset !== undefined) throw new LineError("two offsets", offset.index);
    // bpftool writes both kinds of loads as map[…]; an offset makes it an address in the value.
    if (word.text === "map") {
      const kind = tag?.text === "idx" ? "map_idx" : "map";
      return {
        src: PSEUDO.get(high === undefined ? kind : kind === "map" ? "map_value" : "map_idx_value")!,
        low,
        high,
      };
    }
    const src = PSEUDO.get(word.text)!;
    return { src, low, high };
  },
);
