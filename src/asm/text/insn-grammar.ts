// SPDX-License-Identifier: MIT
import { apply, seq } from "typescript-parsec";
import * as op from "../opcode.js";
import { ALU_OPS, ATOMIC_OPS, type AtomicOp, JMP_OPS, SIGNED_ALU_OPS } from "../ops.js";
import { type Expr, expr } from "./expr.js";
import {
  type Access,
  beginsPseudo,
  isReg,
  isRegister,
  isSignedType,
  name,
  operand,
  type Place,
  place,
  pseudo,
  register,
  signedType,
  target,
  type,
  typedPlace,
  wideRegister,
} from "./operands.js";
import { choose, end, maybe, one, type Part, text } from "./parts.js";
import type { InsnStatement, PlainInsn, Reg, Target } from "./syntax.js";
import { Kind, LineError, LineToken } from "./token.js";

/*
 * The dialect of the kernel's disassembler and of LLVM's, which differ in little: `goto pc+3` and `goto +3`,
 * `r1 = 0x5` behind opcode 18 and `r1 = 5 ll`, names of atomic operations, w registers in loads and stores.
 */

type Statement = InsnStatement;
const SIXTEEN = new LineToken(Kind.NUMBER, "16", 0, 16);
/** What follows `rD =` or the like, waiting for rD. */
type Rest = (dst: Reg) => Statement;

/** A plain instruction; what is left out is 0. */
export function plain(opcode: number, fields: Partial<Omit<PlainInsn, "kind" | "opcode">>): PlainInsn {
  return { kind: "plain", opcode, dst: 0, src: 0, off: 0, imm: 0, bits32: false, ...fields };
}

/** @throws LineError when two registers of one operation are not equally wide. */
function sameWidth(a: Reg, b: Reg): void {
  if (a.wide === b.wide) return;
  throw new LineError(`${nameOf(b)} cannot stand with ${nameOf(a)}: expected ${a.wide ? "r" : "w"}${b.num}`, b.index);
}

function nameOf({ num, wide }: Reg): string {
  return `${wide ? "r" : "w"}${num}`;
}

/** @throws LineError unless the register is one of 64 bits. */
function needsWide(reg: Reg): void {
  if (!reg.wide) throw new LineError(`expected r${reg.num}: this takes 64 bits`, reg.index);
}

/** LLVM writes w registers in accesses of up to 32 bits; the encoding is the same. */
function fitsAccess(reg: Reg, { bytes, signed }: Access): void {
  if (!reg.wide && (bytes === 8 || signed)) needsWide(reg);
}

/* Arithmetic. */

/** Operation bits and offset by symbol. */
const ALU: ReadonlyMap<string, { readonly bits: number; readonly off: number }> = new Map(
  [...Object.values(ALU_OPS), ...Object.values(SIGNED_ALU_OPS)].map(({ op: bits, symbol }) => [
    symbol,
    { bits, off: symbol === "s/=" || symbol === "s%=" ? op.BPF_SIGNED_OFF : 0 },
  ]),
);

/** `rD op= ...` with a register or a number. */
export function aluInsn(bits: number, off: number, dst: Reg, value: Reg | Expr): PlainInsn {
  const klass = dst.wide ? op.BPF_ALU64 : op.BPF_ALU;
  const shared = { dst: dst.num, off, bits32: !dst.wide };
  if (!isReg(value)) return plain(klass | bits | op.BPF_K, { ...shared, imm: value });
  sameWidth(dst, value);
  return plain(klass | bits | op.BPF_X, { ...shared, src: value.num });
}

const ALU_REST: ReadonlyMap<string, Part<Rest>> = new Map(
  [...ALU]
    .filter(([symbol]) => symbol !== "=")
    .map(([symbol, { bits, off }]) => [
      symbol,
      apply(
        seq(text(symbol), operand, end),
        ([, value]): Rest =>
          (dst) =>
            aluInsn(bits, off, dst, value),
      ),
    ]),
);

const move: Part<Rest> = apply(
  seq(register, end),
  ([src]): Rest =>
    (dst) =>
      aluInsn(op.BPF_MOV, 0, dst, src),
);

const negation: Part<Rest> = apply(
  seq(text("-"), register, end),
  ([, src]): Rest =>
    (dst) => {
      if (src.num !== dst.num || src.wide !== dst.wide) {
        throw new LineError(`a register is negated in place: expected -${nameOf(dst)}`, src.index);
      }
      return plain((dst.wide ? op.BPF_ALU64 : op.BPF_ALU) | op.BPF_NEG, { dst: dst.num });
    },
);

const extension: Part<Rest> = apply(
  seq(text("("), signedType, text(")"), register, end),
  ([, access, , src]): Rest =>
    (dst) => {
      sameWidth(dst, src);
      if (access.bytes === 4) needsWide(dst);
      const klass = dst.wide ? op.BPF_ALU64 : op.BPF_ALU;
      return plain(klass | op.BPF_MOV | op.BPF_X, { dst: dst.num, src: src.num, off: access.bytes * 8 });
    },
);

/** A number into a register; a name with `ll` is an address. */
const immediate: Part<Rest> = apply(
  seq(
    expr,
    maybe((token) => token.text === "ll", text("ll"), '"ll"'),
    end,
  ),
  ([value, ll]): Rest =>
    (dst) => {
      if (ll === undefined) return aluInsn(op.BPF_MOV, 0, dst, value);
      needsWide(dst);
      return { kind: "wide", dst: dst.num, value };
    },
);

const completed: Part<Rest> = apply(
  seq(
    pseudo,
    maybe((token) => token.text === "ll", text("ll"), '"ll"'),
    end,
  ),
  ([load]): Rest =>
    (dst) => {
      needsWide(dst);
      return { kind: "pseudo", dst: dst.num, ...load };
    },
);

function byteOrder(word: string, opcode: number, bits: number): Part<Rest> {
  return apply(
    seq(text(word), wideRegister, end),
    ([, src]): Rest =>
      (dst) => {
        needsWide(dst);
        if (src.num !== dst.num) throw new LineError(`bytes are swapped in place: expected r${dst.num}`, src.index);
        return plain(opcode, { dst: dst.num, imm: bits });
      },
  );
}

function addrSpaceCast(): Part<Rest> {
  const parts = seq(text("addr_space_cast ("), wideRegister, text(","), expr, text(","), expr, text(")"), end);
  return apply(
    parts,
    ([, src, , to, , from]): Rest =>
      (dst) => {
        needsWide(dst);
        const imm: Expr = {
          op: "|",
          left: { op: "<<", left: to, right: SIXTEEN, index: to.index },
          right: from,
          index: to.index,
        };
        return plain(op.BPF_ALU64 | op.BPF_MOV | op.BPF_X, {
          dst: dst.num,
          src: src.num,
          off: op.BPF_ADDR_SPACE_CAST,
          imm,
        });
      },
  );
}

/* Memory. */

const load: Part<Rest> = apply(
  seq(text("* ("), typedPlace, end),
  ([, { base, off, ...access }]): Rest =>
    (dst) => {
      fitsAccess(dst, access);
      const mode = access.signed ? op.BPF_MEMSX : op.BPF_MEM;
      return plain(op.BPF_LDX | mode | access.size, { dst: dst.num, src: base, off });
    },
);

/** `*(u8 *)skb[4]`, `*(u8 *)skb[r1 + 4]`. */
const packet: Part<Rest> = apply(
  seq(
    text("* ("),
    type,
    text("* ) skb ["),
    choose(["a register", "a number"], (token): Part<Place | Expr> => (isRegister(token) ? place : expr)),
    text("]"),
    end,
  ),
  ([, access, , at]): Rest =>
    (dst) => {
      if (dst.num !== 0) throw new LineError("packet data goes to r0", dst.index);
      if (access.signed || access.bytes === 8) throw new LineError("packet data is u8, u16 or u32", dst.index);
      if ("base" in at) return plain(op.BPF_LD | op.BPF_IND | access.size, { src: at.base, imm: at.off });
      return plain(op.BPF_LD | op.BPF_ABS | access.size, { imm: at });
    },
);

/** Whether `*(T *)skb` stands here. */
function isPacket(token: LineToken): boolean {
  return token.next?.next?.next?.next?.next?.text === "skb";
}

const store: Part<Statement> = apply(
  seq(text("* ("), typedPlace, text("="), operand, end),
  ([, { base, off, ...access }, sign, value]) => {
    if (access.signed) throw new LineError("stores have no sign: expected u8, u16, u32 or u64", sign.index);
    const bits32 = access.bytes < 8;
    if (!isReg(value)) return plain(op.BPF_ST | op.BPF_MEM | access.size, { dst: base, off, imm: value, bits32 });
    fitsAccess(value, access);
    return plain(op.BPF_STX | op.BPF_MEM | access.size, { dst: base, src: value.num, off });
  },
);

/* Atomic operations. */

function atomicInsn(operation: AtomicOp, { base, off, ...access }: Access & Place, src: Reg): PlainInsn {
  if (access.signed) throw new LineError("atomic operations have no sign", src.index);
  if (access.bytes < 4 && operation !== "store_rel")
    throw new LineError("atomic operations take u32 or u64", src.index);
  fitsAccess(src, access);
  return plain(op.BPF_STX | op.BPF_ATOMIC | access.size, { dst: base, src: src.num, off, imm: ATOMIC_OPS[operation] });
}

const LOCKED: ReadonlyMap<string, AtomicOp> = new Map(
  (["add", "or", "and", "xor"] as const).map((operation) => [ALU_OPS[operation].symbol, operation]),
);

const lockedSign: Part<AtomicOp> = one('"+=", "&=", "|=" or "^="', (token) => LOCKED.get(token.text));
/** `lock *(u64 *)(r1 + 0) += r2` */
export const locked: Part<Statement> = apply(
  seq(text("lock * ("), typedPlace, lockedSign, register, end),
  ([, at, operation, src]) => atomicInsn(operation, at, src),
);

/** `r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)`, and exchanges without the type when the name says the size. */
function fetching(word: string, operation: AtomicOp, size: number | undefined): Part<Rest> {
  const parts = seq(text(word), text("("), memoryOf(size), text(","), register, text(")"), end);
  return apply(
    parts,
    ([, , at, , src]): Rest =>
      (dst) => {
        if (src.num !== dst.num || src.wide !== dst.wide)
          throw new LineError(`the old value comes back in the same register: expected ${nameOf(dst)}`, src.index);
        return atomicInsn(operation, at, src);
      },
  );
}

/** `r0 = cmpxchg_64(r1 + 8, r0, r2)` */
function exchange(word: string, size: number | undefined): Part<Rest> {
  const parts = seq(text(word), text("("), memoryOf(size), text(","), register, text(","), register, text(")"), end);
  return apply(
    parts,
    ([, , at, , compared, , src]): Rest =>
      (dst) => {
        if (dst.num !== 0) throw new LineError("the old value comes back in r0", dst.index);
        if (compared.num !== 0) throw new LineError("compared is what stands in r0", compared.index);
        return atomicInsn("cmpxchg", at, src);
      },
  );
}

const parenthesized: Part<Access & Place> = apply(seq(text("("), typedPlace), ([, at]) => at);

function memoryOf(size: number | undefined): Part<Access & Place> {
  if (size === undefined) return parenthesized;
  const access = { size, bytes: op.sizeBytes(size), signed: false };
  return apply(place, (at) => ({ ...access, ...at }));
}

function loadAcquire(): Part<Rest> {
  return apply(
    seq(text("load_acquire ("), parenthesized, text(")"), end),
    ([, { base, off, ...access }]): Rest =>
      (dst) => {
        fitsAccess(dst, access);
        if (access.signed) throw new LineError("atomic operations have no sign", dst.index);
        return plain(op.BPF_STX | op.BPF_ATOMIC | access.size, { dst: dst.num, src: base, off, imm: op.BPF_LOAD_ACQ });
      },
  );
}

/** `store_release((u64 *)(r1 + 0), r2)` */
const storeRelease: Part<Statement> = apply(
  seq(text("store_release ("), parenthesized, text(","), register, text(")"), end),
  ([, at, , src]) => atomicInsn("store_rel", at, src),
);

/** Operations that are written like functions or operators before a register, by name. */
const NAMED: ReadonlyMap<string, Part<Rest>> = new Map([
  ...[16, 32, 64].flatMap((bits) => [
    [`le${bits}`, byteOrder(`le${bits}`, op.BPF_ALU | op.BPF_END | op.BPF_TO_LE, bits)] as const,
    [`be${bits}`, byteOrder(`be${bits}`, op.BPF_ALU | op.BPF_END | op.BPF_TO_BE, bits)] as const,
    [`bswap${bits}`, byteOrder(`bswap${bits}`, op.BPF_ALU64 | op.BPF_END | op.BPF_TO_LE, bits)] as const,
  ]),
  ["addr_space_cast", addrSpaceCast()],
  ["load_acquire", loadAcquire()],
  ...(["add", "or", "and", "xor"] as const).flatMap((operation) =>
    [`atomic_fetch_${operation}`, `atomic64_fetch_${operation}`].map(
      (name) => [name, fetching(name, `fetch_${operation}`, undefined)] as const,
    ),
  ),
  ...["atomic_xchg", "atomic64_xchg"].map((name) => [name, fetching(name, "xchg", undefined)] as const),
  ["xchg_64", fetching("xchg_64", "xchg", op.BPF_DW)] as const,
  ["xchg32_32", fetching("xchg32_32", "xchg", op.BPF_W)] as const,
  ...["atomic_cmpxchg", "atomic64_cmpxchg"].map((name) => [name, exchange(name, undefined)] as const),
  ["cmpxchg_64", exchange("cmpxchg_64", op.BPF_DW)] as const,
  ["cmpxchg32_32", exchange("cmpxchg32_32", op.BPF_W)] as const,
]);

/* `rD ...` */

const VALUE_NAMES = ["a register", "a number", '"*("', '"-"', '"(s8)"'];
const value: Part<Rest> = choose(VALUE_NAMES, (token) => {
  if (token.kind === Kind.WORD) {
    if (isRegister(token)) return move;
    if (beginsPseudo(token)) return completed;
    return NAMED.get(token.text) ?? immediate;
  }
  if (token.kind === Kind.OP) {
    if (token.text === "*") return isPacket(token) ? packet : load;
    if (token.text === "-" && isRegister(token.next)) return negation;
    if (token.text === "(" && isSignedType(token.next)) return extension;
  }
  return immediate;
});
const assigned: Part<Rest> = apply(seq(text("="), value), ([, rest]) => rest);
const SIGNS = [...ALU.keys()].map((symbol) => `"${symbol}"`);

/** What begins with a register. */
export const assignment: Part<Statement> = apply(
  seq(
    register,
    choose(SIGNS, (token) => (token.text === "=" ? assigned : ALU_REST.get(token.text))),
  ),
  ([dst, rest]) => rest(dst),
);

/* Jumps and calls. */

const CONDITIONS: ReadonlyMap<string, number> = new Map(
  Object.values(JMP_OPS).map(({ symbol, op: bits }) => [symbol as string, bits]),
);
const condition: Part<number> = one([...CONDITIONS.keys()].map((symbol) => `"${symbol}"`).join(", "), (token) =>
  CONDITIONS.get(token.text),
);

/** A conditional jump. */
export function jumpInsn(bits: number, dst: Reg, value: Reg | Expr, target: Target): Statement {
  const klass = dst.wide ? op.BPF_JMP : op.BPF_JMP32;
  const shared = { kind: "jump", dst: dst.num, bits32: !dst.wide, target } as const;
  if (!isReg(value)) return { ...shared, opcode: klass | bits | op.BPF_K, src: 0, imm: value };
  sameWidth(dst, value);
  return { ...shared, opcode: klass | bits | op.BPF_X, src: value.num, imm: 0 };
}

const conditional: Part<Statement> = apply(
  seq(text("if"), register, condition, operand, text("goto"), target, end),
  ([, dst, bits, value, , to]) => jumpInsn(bits, dst, value, to),
);

function jumpTo(word: string, opcode: number): Part<Statement> {
  return apply(seq(text(word), target, end), ([, to]) => jumpOf(opcode, to));
}

/** A jump without condition, or the call of a subprogram. */
export function jumpOf(opcode: number, target: Target, src = 0): Statement {
  return { kind: "jump", opcode, dst: 0, src, imm: 0, bits32: false, target };
}

const CALL = op.BPF_JMP | op.BPF_CALL;
const exit: Part<Statement> = apply(seq(text("exit"), end), () => plain(op.BPF_JMP | op.BPF_EXIT, {}));

const byNumber = (src: number): Part<Statement> =>
  apply(seq(expr, end), ([imm]) => plain(CALL, { src, imm, bits32: true }));
const helperByNumber = byNumber(op.BPF_HELPER_CALL);
/** `#` and what the kernel's log puts behind it: a helper's number, a function's name. */
const hashed: Part<Expr | undefined> = maybe(
  (token) => token.text === "#",
  apply(seq(text("#"), expr), ([, number]) => number),
);
const relative: Part<Statement> = apply(seq(target, hashed, end), ([to]) => jumpOf(CALL, to, op.BPF_PSEUDO_CALL));
const named: Part<Statement> = apply(seq(name, hashed, end), ([callee, number]): Statement => {
  if (number === undefined) return { kind: "call", callee };
  return plain(CALL, { imm: number, bits32: true });
});
const bracketed: Part<Expr | undefined> = maybe(
  (token) => token.text === "[",
  apply(seq(text("["), expr, text("]")), ([, value]) => value),
);
/** `kernel-function#123`: a function of the kernel by its BTF id, `[1]` in front says in which module. */
const kernelFunction: Part<Statement> = apply(
  seq(text("kernel - function"), bracketed, text("#"), expr, end),
  ([, off, , imm]) => plain(CALL, { src: op.BPF_PSEUDO_KFUNC_CALL, off: off ?? 0, imm, bits32: true }),
);
/** LLVM's call of an address in a register, which Linux does not know. */
const byRegister: Part<Statement> = apply(seq(wideRegister, end), ([reg]) => plain(CALL | op.BPF_X, { dst: reg.num }));

/** Kinds of calls that ubpf's texts name. */
const CALL_KINDS: ReadonlyMap<string, Part<Statement>> = new Map([
  ["local", apply(seq(text("local"), relative), ([, insn]) => insn)],
  ["helper", apply(seq(text("helper"), helperByNumber), ([, insn]) => insn)],
  [
    "runtime",
    apply(
      seq(text("runtime"), bracketed, expr, end),
      ([, off, imm]): Statement => plain(CALL, { src: op.BPF_PSEUDO_KFUNC_CALL, off: off ?? 0, imm, bits32: true }),
    ),
  ],
]);

const callee: Part<Statement> = choose(["a function", "a number", "pc+N"], (token) => {
  if (token.kind === Kind.STRING) return named;
  if (token.kind !== Kind.WORD) return token.kind === Kind.LOCAL ? relative : helperByNumber;
  if (isRegister(token)) return byRegister;
  const { next } = token;
  if (next === undefined) return named;
  if (token.text === "pc" && next.kind === Kind.OP) return relative;
  if (token.text === "kernel" && next.text === "-") return kernelFunction;
  return (next.text === "#" ? undefined : CALL_KINDS.get(token.text)) ?? named;
});

/** What begins with a word of its own. */
export const KEYWORDS: ReadonlyMap<string, Part<Statement>> = new Map([
  ["if", conditional],
  ["goto", jumpTo("goto", op.BPF_JMP | op.BPF_JA)],
  ["gotol", jumpTo("gotol", op.BPF_JMP32 | op.BPF_JA)],
  ["may_goto", jumpTo("may_goto", op.BPF_JMP | op.BPF_JCOND)],
  ["call", apply(seq(text("call"), callee), ([, insn]) => insn)],
  ["callx", apply(seq(text("callx"), byRegister), ([, insn]) => insn)],
  ["exit", exit],
  ["store_release", storeRelease],
]);

/** What begins with `*`. */
export const memoryStore: Part<Statement> = store;
