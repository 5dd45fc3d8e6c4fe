// SPDX-License-Identifier: MIT
import { helperNames } from "../../kernel/helpers/names.js";
import { similarNote } from "../../util/similar.js";
import { callHelper, ldFunc, ldImm64, ldMapFd, ldMapValue } from "../build.js";
import type { Insn } from "../insn.js";
import type { Code, Label } from "../labels.js";
import * as op from "../opcode.js";
import { type Constants, type Expr, linear, NoConstant, NUMBER_LIMITS, ranged } from "./expr.js";
import type { CallInsn, InsnStatement, JumpInsn, PlainInsn, PseudoInsn, RawInsn, WideInsn } from "./syntax.js";
import { Kind, LineError, LineToken } from "./token.js";
import type { AsmRef } from "./unit.js";

/*
 * Statements into code. Names are looked up now, when all of the text has been read.
 */

const { min: S16_MIN, max: S16_MAX } = NUMBER_LIMITS.s16;
const { min: S32_MIN, max: S32_MAX } = NUMBER_LIMITS.s32;
const U32_MAX = 0xffff_ffff;

/** What a name outside of expressions can mean. */
export type Meaning = AsmRef | { readonly kind: "label"; readonly label: Label };

/** What encoding asks about the text around an instruction. */
export interface Names {
  readonly constants: Constants;
  /** Where a jump leads; @throws LineError when there is no such label, or when no jump may lead there. */
  jumpLabel(name: LineToken): Label;
  /** What a name stands for that is loaded or called, `offset` bytes behind its beginning. */
  meaning(name: LineToken, offset: bigint): Meaning | undefined;
  /** All that can be called or loaded, for messages. */
  known(): Iterable<string>;
}

const HELPERS: ReadonlyMap<string, number> = new Map(helperNames.map((name, id) => [`bpf_${name}`, id]));

function offOf(off: Expr | number, constants: Constants): number {
  return typeof off === "number" ? off : ranged(off, constants, S16_MIN, S16_MAX, "offset");
}

/**
 * An immediate. Where only 32 bits matter it may be given signed or unsigned; otherwise it is extended with its sign,
 * and only a hexadecimal literal may be meant as a pattern of bits, as the disassemblers print some.
 */
function immOf(imm: Expr | number, bits32: boolean, constants: Constants): number {
  if (typeof imm === "number") return imm;
  const isPattern = bits32 || (imm instanceof LineToken && /^0x/i.test(imm.text));
  return ranged(imm, constants, S32_MIN, isPattern ? U32_MAX : S32_MAX, "immediate") | 0;
}

function plainInsn({ opcode, dst, src, off, imm, bits32 }: PlainInsn, constants: Constants): Insn {
  return { opcode, dst, src, off: offOf(off, constants), imm: immOf(imm, bits32, constants) };
}

function rawInsn({ fields }: RawInsn, constants: Constants): Insn {
  const field = (i: number, min: number, max: number, what: string) => ranged(fields[i]!, constants, min, max, what);
  return {
    opcode: field(0, 0, 0xff, "opcode"),
    dst: field(1, 0, 0xf, "destination"),
    src: field(2, 0, 0xf, "source"),
    off: field(3, S16_MIN, S16_MAX, "offset"),
    imm: field(4, S32_MIN, U32_MAX, "immediate") | 0,
  };
}

/**
 * Encodes what depends on nothing further down, which most lines do not: then nothing of the line need be kept.
 * Undefined for the others.
 * @throws LineError when it cannot be encoded
 */
export function encodeAlone(statement: InsnStatement, constants: Constants): Insn | undefined {
  if (statement.kind !== "plain" && statement.kind !== "raw") return undefined;
  try {
    return statement.kind === "plain" ? plainInsn(statement, constants) : rawInsn(statement, constants);
  } catch (error) {
    if (error instanceof NoConstant) return undefined;
    throw error;
  }
}

/** Writes the statements of one function (or of a whole text) into its code. */
export class Encoder {
  readonly #code: Code<AsmRef, number>;
  readonly #names: Names;
  /** Whether a distance was given as a number, which jumps that grow would make wrong. */
  #hasDistances = false;
  #slots = 0;

  constructor(code: Code<AsmRef, number>, names: Names) {
    this.#code = code;
    this.#names = names;
  }

  /** Slots written so far, each jump in its short form. */
  get slots(): number {
    return this.#slots;
  }

  /** Whether some distance was given as a number. */
  get hasDistances(): boolean {
    return this.#hasDistances;
  }

  /** @throws LineError when the statement cannot be encoded */
  write(statement: InsnStatement): void {
    switch (statement.kind) {
      case "plain": {
        this.emit(plainInsn(statement, this.#names.constants));
        return;
      }
      case "jump": {
        this.#jump(statement);
        return;
      }
      case "call": {
        this.#call(statement);
        return;
      }
      case "wide": {
        this.#wide(statement);
        return;
      }
      case "pseudo": {
        this.#pseudo(statement);
        return;
      }
      case "raw": {
        this.emit(rawInsn(statement, this.#names.constants));
        return;
      }
    }
  }

  /** Writes what was encoded before. */
  emit(insn: Insn): void {
    this.#slots++;
    this.#code.emit(insn);
  }

  #ref(insns: Insn | readonly Insn[], ref: AsmRef): void {
    this.#slots += "opcode" in insns ? 1 : insns.length;
    this.#code.ref(insns, ref);
  }

  #branch(insns: Insn | readonly Insn[], label: Label): void {
    this.#slots += "opcode" in insns ? 1 : insns.length;
    this.#code.branch(insns, label);
  }

  #jump({ opcode, dst, src, imm, bits32, target }: JumpInsn): void {
    const insn = { opcode, dst, src, off: 0, imm: immOf(imm, bits32, this.#names.constants) };
    if (target.kind === "label") {
      this.#branchTo(insn, target.name);
      return;
    }
    const { slots } = target;
    this.#hasDistances = true;
    const { constants } = this.#names;
    const within = (min: number, max: number) =>
      typeof slots === "number" ? slots : ranged(slots, constants, min, max, "distance");
    if (opcode === (op.BPF_JMP32 | op.BPF_JA) || opcode === (op.BPF_JMP | op.BPF_CALL)) {
      this.emit({ ...insn, imm: within(S32_MIN, S32_MAX) });
    } else this.emit({ ...insn, off: within(S16_MIN, S16_MAX) });
  }

  #branchTo(insn: Insn, name: LineToken): void {
    if (insn.opcode !== (op.BPF_JMP | op.BPF_CALL)) {
      this.#branch(insn, this.#names.jumpLabel(name));
      return;
    }
    this.#callOf(
      name,
      name.kind === Kind.LOCAL ? { kind: "label", label: this.#names.jumpLabel(name) } : this.#names.meaning(name, 0n),
    );
  }

  #call({ callee }: CallInsn): void {
    const meaning = this.#names.meaning(callee, 0n);
    if (meaning !== undefined) {
      this.#callOf(callee, meaning);
      return;
    }
    const id = HELPERS.get(callee.text);
    if (id !== undefined) {
      this.emit(callHelper(id));
      return;
    }
    const value = this.#names.constants.get(callee.text);
    if (value !== undefined) {
      this.emit(callHelper(ranged(callee, this.#names.constants, 0, S32_MAX, "helper")));
      return;
    }
    const known = callee.text.startsWith("bpf_") ? HELPERS.keys() : this.#names.known();
    throw new LineError(
      `unknown function ${shown(callee)}${similarNote(callee.text.slice(0, 64), known)}`,
      callee.index,
    );
  }

  #callOf(callee: LineToken, meaning: Meaning | undefined): void {
    const call = { opcode: op.BPF_JMP | op.BPF_CALL, dst: 0, src: op.BPF_PSEUDO_CALL, off: 0, imm: -1 };
    switch (meaning?.kind) {
      case "label": {
        this.#branch(call, meaning.label);
        return;
      }
      case "call":
      case "func": {
        this.#ref(call, { kind: "call", func: meaning.func });
        return;
      }
      case "kfunc":
      case "extern": {
        this.#ref({ ...call, src: op.BPF_PSEUDO_KFUNC_CALL, imm: 0 }, { kind: "kfunc", extern: meaning.extern });
        return;
      }
      case undefined:
        throw new LineError(
          `no function is named ${shown(callee)}${similarNote(callee.text.slice(0, 64), this.#names.known())}`,
          callee.index,
        );
      default:
        throw new LineError(`${shown(callee)} is no function`, callee.index);
    }
  }

  #wide({ dst, value }: WideInsn): void {
    if (typeof value === "number") {
      this.emit({ opcode: op.BPF_LD_IMM64, dst, src: op.BPF_PSEUDO_IMM64, off: 0, imm: value | 0 });
      this.emit({ opcode: 0, dst: 0, src: 0, off: 0, imm: value < 0 ? -1 : 0 });
      return;
    }
    const { symbol, value: number } = linear(value, this.#names.constants);
    if (symbol !== undefined) {
      this.#address(dst, symbol, number);
      return;
    }
    if (BigInt.asIntN(64, number) !== number && BigInt.asUintN(64, number) !== number) {
      throw new LineError(`immediate does not fit 64 bits: ${number}`, value.index);
    }
    this.#slots += 2;
    this.#code.emit(ldImm64(dst, number));
  }

  /** The address of what a name means. */
  #address(dst: number, name: LineToken, offset: bigint): void {
    const meaning = this.#names.meaning(name, offset);
    switch (meaning?.kind) {
      case undefined:
        throw new LineError(
          `${shown(name)} is no constant, map, variable or function${similarNote(name.text.slice(0, 64), this.#names.known())}`,
          name.index,
        );
      case "map": {
        this.#ref(ldMapFd(dst, 0), meaning);
        return;
      }
      case "data": {
        this.#ref(ldMapValue(dst, 0, 0), meaning);
        return;
      }
      case "label": {
        this.#branch(ldFunc(dst, 0), meaning.label);
        return;
      }
      case "call":
      case "func": {
        this.#ref(ldFunc(dst, 0), { kind: "func", func: meaning.func });
        return;
      }
      case "kfunc":
      case "extern": {
        this.#ref(ldImm64(dst, 0), { kind: "extern", extern: meaning.extern });
        return;
      }
    }
  }

  #pseudo({ dst, src, low, high }: PseudoInsn): void {
    const { constants } = this.#names;
    const { symbol, value } = linear(low, constants);
    if (symbol !== undefined) {
      const meaning = this.#names.meaning(symbol, value);
      const isMap = src === op.BPF_PSEUDO_MAP_FD && meaning?.kind === "map" && high === undefined;
      const isFunc = src === op.BPF_PSEUDO_FUNC && (meaning?.kind === "func" || meaning?.kind === "label");
      if (!isMap && !isFunc) {
        if (meaning === undefined)
          throw new LineError(
            `${shown(symbol)} is not declared${similarNote(symbol.text.slice(0, 64), this.#names.known())}`,
            symbol.index,
          );
        throw new NoConstant(symbol);
      }
      this.#address(dst, symbol, value);
      return;
    }
    const upper = high === undefined ? 0 : ranged(high, constants, S32_MIN, U32_MAX, "offset") | 0;
    this.emit({
      opcode: op.BPF_LD_IMM64,
      dst,
      src,
      off: 0,
      imm: ranged(low, constants, S32_MIN, U32_MAX, "number") | 0,
    });
    this.emit({ opcode: 0, dst: 0, src: 0, off: 0, imm: upper });
  }
}

/** A name for a message. */
export function shown({ text }: LineToken): string {
  return text.length > 64 ? `"${text.slice(0, 64)}…"` : `"${text}"`;
}
