// SPDX-License-Identifier: MIT
import { apply, seq } from "typescript-parsec";
import { INSN_FORMS, type InsnForm } from "../isa.js";
import * as op from "../opcode.js";
import { type Expr, expr } from "./expr.js";
import { jumpOf, plain } from "./insn-grammar.js";
import { beginsPseudo, isReg, operand, type Place, place, pseudo, register, target } from "./operands.js";
import { choose, end, list, one, type Part, text } from "./parts.js";
import type { InsnStatement, Reg } from "./syntax.js";
import { Kind, LineError } from "./token.js";

/*
 * The dialect of ubpf and of texts about RFC 9669: a mnemonic and operands. The grammar of each follows from its forms
 * in the instruction table. Registers are r0 to r10 (or %r0 to %r10) in operations on 32 bits too.
 */

type Statement = InsnStatement;
type Imm = Expr | number;

const comma = text(",");
/** `[r1+8]` */
const memory: Part<Place> = apply(seq(text("["), place, text("]")), ([, at]) => at);

/** A number that selects the form, or nothing. */
const fixed = (use: InsnForm["imm"] | InsnForm["off"]): number => (typeof use === "number" ? use : 0);

/** The instruction of a form. */
function insnOf(form: InsnForm, dst: number, src: number, off: Imm, imm: Imm): Statement {
  return plain(form.opcode, { dst, src, off, imm, bits32: form.width < 64 });
}

/** Forms of one mnemonic: with a register and with a number as the second operand. */
interface Pair {
  readonly reg: InsnForm | undefined;
  readonly imm: InsnForm | undefined;
}

function pairOf(forms: readonly InsnForm[]): Pair {
  return { reg: forms.find((form) => form.src !== "zero"), imm: forms.find((form) => form.src === "zero") };
}

/** @throws LineError when the mnemonic takes no second operand of that kind */
function formFor({ reg, imm }: Pair, value: Reg | Expr): InsnForm {
  const form = isReg(value) ? reg : imm;
  if (form === undefined) throw new LineError(isReg(value) ? "expected a number" : "expected a register", value.index);
  return form;
}

function partOf(mnemonic: string, forms: readonly InsnForm[]): Part<Statement> {
  const form = forms[0]!;
  const word = text(mnemonic);
  const off = fixed(form.off);
  const imm = fixed(form.imm);
  switch (form.kind) {
    case "alu": {
      const pair = pairOf(forms);
      return apply(seq(word, register, comma, operand, end), ([, dst, , value]) =>
        isReg(value)
          ? insnOf(formFor(pair, value), dst.num, value.num, off, 0)
          : insnOf(formFor(pair, value), dst.num, 0, off, value),
      );
    }
    case "jmp": {
      const pair = pairOf(forms);
      return apply(seq(word, register, comma, operand, comma, target, end), ([, dst, , value, , to]): Statement => {
        const { opcode, width } = formFor(pair, value);
        const shared = { kind: "jump", opcode, dst: dst.num, bits32: width === 32, target: to } as const;
        return isReg(value) ? { ...shared, src: value.num, imm: 0 } : { ...shared, src: 0, imm: value };
      });
    }
    case "neg":
    case "end":
      return apply(seq(word, register, end), ([, dst]) => insnOf(form, dst.num, 0, off, imm));
    case "movsx":
    case "addr_space_cast":
      return apply(seq(word, register, comma, register, end), ([, dst, , src]) =>
        insnOf(form, dst.num, src.num, off, imm),
      );
    case "ldx":
    case "ldxs":
      return apply(seq(word, register, comma, memory, end), ([, dst, , at]) =>
        insnOf(form, dst.num, at.base, at.off, 0),
      );
    case "stx":
      return apply(seq(word, memory, comma, register, end), ([, at, , src]) =>
        insnOf(form, at.base, src.num, at.off, 0),
      );
    case "st":
      return apply(seq(word, memory, comma, expr, end), ([, at, , value]) => insnOf(form, at.base, 0, at.off, value));
    case "ld_abs":
      return apply(seq(word, expr, end), ([, value]) => insnOf(form, 0, 0, 0, value));
    case "ld_ind":
      return apply(seq(word, register, comma, expr, end), ([, src, , value]) => insnOf(form, 0, src.num, 0, value));
    case "ld_imm64":
      return wideLoad;
    case "ja":
    case "may_goto":
      return apply(seq(word, target, end), ([, to]) => jumpOf(form.opcode, to));
    default:
      return apply(seq(word, end), () => insnOf(form, 0, 0, 0, 0));
  }
}

const wideLoad: Part<Statement> = apply(
  seq(
    text("lddw"),
    register,
    comma,
    choose(["a number", "a name"], (token): Part<Statement> => (beginsPseudo(token) ? completed : number)),
    end,
  ),
  ([, dst, , insn]) => ({ ...insn, dst: dst.num }),
);
const completed: Part<Statement> = apply(pseudo, (load): Statement => ({ kind: "pseudo", dst: 0, ...load }));
const number: Part<Statement> = apply(expr, (value): Statement => ({ kind: "wide", dst: 0, value }));

/** `add`, `fetch add`, `xchg32` behind `lock`. */
const atomicPart = (form: InsnForm): Part<Statement> =>
  form.imm === op.BPF_LOAD_ACQ
    ? apply(seq(register, comma, memory, end), ([dst, , at]) => insnOf(form, dst.num, at.base, at.off, fixed(form.imm)))
    : apply(seq(memory, comma, register, end), ([at, , src]) =>
        insnOf(form, at.base, src.num, at.off, fixed(form.imm)),
      );

/** By the words behind `lock`; `fetch` stands alone or joined to the operation. */
const ATOMICS: ReadonlyMap<string, Part<Statement>> = new Map(
  INSN_FORMS.filter(({ kind }) => kind === "atomic").flatMap((form) => {
    const words = form.mnemonic.slice("lock ".length);
    const joined = words.replace(" ", "_");
    const entry = (name: string) => [name, apply(seq(text(name), atomicPart(form)), ([, insn]) => insn)] as const;
    return joined === words ? [entry(words)] : [entry(words), entry(joined)];
  }),
);
const ATOMIC_NAMES = ["an atomic operation (add, fetch add, xchg, cmpxchg, …)"];

/** `lock` followed by an operation's name. */
export const lockedMnemonic: Part<Statement> = apply(
  seq(
    text("lock"),
    choose(ATOMIC_NAMES, (token) => ATOMICS.get(token.text === "fetch" ? `fetch ${token.next?.text}` : token.text)),
  ),
  ([, insn]) => insn,
);

const SHARED: ReadonlySet<InsnForm["kind"]> = new Set(["atomic", "call", "exit", "may_goto"]);

/** What else a mnemonic is called: `add64` for `add`, `swap16` for `bswap16`. */
function aliasesOf({ mnemonic, kind, width }: InsnForm): string[] {
  if (kind === "end" && mnemonic.startsWith("bswap")) return [mnemonic, mnemonic.slice(1)];
  if (width === 64 && (kind === "alu" || kind === "jmp" || kind === "neg")) return [mnemonic, `${mnemonic}64`];
  return [mnemonic];
}

function grammar(): Map<string, Part<Statement>> {
  const forms = new Map<string, InsnForm[]>();
  for (const form of INSN_FORMS) {
    if (SHARED.has(form.kind)) continue;
    for (const alias of aliasesOf(form)) forms.set(alias, [...(forms.get(alias) ?? []), form]);
  }
  return new Map([...forms].map(([mnemonic, list]) => [mnemonic, partOf(mnemonic, list)]));
}

/** Grammar by mnemonic; `exit`, `call` and `may_goto` are those of the other dialect. */
export const MNEMONICS: ReadonlyMap<string, Part<Statement>> = grammar();

/** `.insn opcode, dst, src, off, imm`: a slot with any content. */
export const rawInsn: Part<Statement> = apply(
  seq(
    one('".insn"', (token) => (token.kind === Kind.WORD ? token : undefined)),
    list(expr),
    end,
  ),
  ([word, fields]): Statement => {
    if (fields.length !== 5) throw new LineError("expected opcode, destination, source, offset, immediate", word.index);
    return { kind: "raw", fields };
  },
);
