// SPDX-License-Identifier: MIT
import { decodeInsns, type Insn } from "../asm/insn.js";
import { insnFault, insnInfo, jumpTarget, subprogTarget } from "../asm/isa.js";
import * as op from "../asm/opcode.js";
import type { ProgramLoad } from "../model/load.js";

/*
 * Programs as both engines take them. An operand is always the index of a 64-bit word (low half, then high half): of a
 * register, or of one of the program's constants behind them. So an operation with an immediate and the one with a
 * register are the same.
 */

/**
 * What an instruction does, finer than opcodes. A const enum, against the house's custom, because the builder writes its
 * numbers into the interpreter's switch: only of those V8 makes a jump table, and anything else costs four times as much.
 */
// biome-ignore lint/suspicious/noConstEnum: see above
export const enum Op {
  BAD,
  BREAK,
  ADD64,
  SUB64,
  MUL64,
  DIV64,
  OR64,
  AND64,
  LSH64,
  RSH64,
  NEG64,
  MOD64,
  XOR64,
  MOV64,
  ARSH64,
  SDIV64,
  SMOD64,
  ADD32,
  SUB32,
  MUL32,
  DIV32,
  OR32,
  AND32,
  LSH32,
  RSH32,
  NEG32,
  MOD32,
  XOR32,
  MOV32,
  ARSH32,
  SDIV32,
  SMOD32,
  LE16,
  LE32,
  LE64,
  SWAP16,
  SWAP32,
  SWAP64,
  SX64_8,
  SX64_16,
  SX64_32,
  SX32_8,
  SX32_16,
  LD_IMM64,
  LDX8,
  LDX16,
  LDX32,
  LDX64,
  LDXS8,
  LDXS16,
  LDXS32,
  STX8,
  STX16,
  STX32,
  STX64,
  ATOMIC32,
  ATOMIC64,
  LD_ABS8,
  LD_ABS16,
  LD_ABS32,
  LD_IND8,
  LD_IND16,
  LD_IND32,
  JA,
  MAY_GOTO,
  JEQ64,
  JNE64,
  JGT64,
  JGE64,
  JLT64,
  JLE64,
  JSET64,
  JSGT64,
  JSGE64,
  JSLT64,
  JSLE64,
  JEQ32,
  JNE32,
  JGT32,
  JGE32,
  JLT32,
  JLE32,
  JSET32,
  JSGT32,
  JSGE32,
  JSLT32,
  JSLE32,
  HELPER,
  KFUNC,
  CALL,
  EXIT,
}

/** Ints of one slot of {@link Code.words}: operation, destination, source, and an offset, target or number. */
export const CODE_WORDS = 4;
/** Index of the first constant among the words that operands name: behind R0 to R10. */
export const FIRST_CONSTANT = 2 * op.MAX_BPF_REG;
/** In an atomic's source operand, the operation stands above the register. */
export const ATOMIC_SHIFT = 8;

/** A 64-bit number that a program holds; those that are not `number` depend on the machine that it runs in. */
export type Constant =
  | { readonly kind: "number"; readonly low: number; readonly high: number }
  | { readonly kind: "map"; readonly map: number }
  | { readonly kind: "value"; readonly map: number; readonly offset: number }
  | { readonly kind: "function"; readonly slot: number }
  | { readonly kind: "symbol"; readonly btfId: number };

/** A decoded program. */
export interface Code {
  readonly load: ProgramLoad;
  readonly insns: readonly Insn[];
  /** {@link CODE_WORDS} a slot; one slot more than the program has, which is {@link Op.BAD}. */
  readonly words: Int32Array;
  readonly constants: readonly Constant[];
  /** First slots of the subprograms that something calls or takes the address of, ascending; the main one is 0. */
  readonly functions: readonly number[];
  /** Why a slot is {@link Op.BAD}. */
  readonly faults: ReadonlyMap<number, string>;
}

const ALU = new Map<number, number>([
  [op.BPF_ADD, Op.ADD64],
  [op.BPF_SUB, Op.SUB64],
  [op.BPF_MUL, Op.MUL64],
  [op.BPF_DIV, Op.DIV64],
  [op.BPF_OR, Op.OR64],
  [op.BPF_AND, Op.AND64],
  [op.BPF_LSH, Op.LSH64],
  [op.BPF_RSH, Op.RSH64],
  [op.BPF_NEG, Op.NEG64],
  [op.BPF_MOD, Op.MOD64],
  [op.BPF_XOR, Op.XOR64],
  [op.BPF_MOV, Op.MOV64],
  [op.BPF_ARSH, Op.ARSH64],
]);

const JUMPS = new Map<number, number>([
  [op.BPF_JEQ, Op.JEQ64],
  [op.BPF_JNE, Op.JNE64],
  [op.BPF_JGT, Op.JGT64],
  [op.BPF_JGE, Op.JGE64],
  [op.BPF_JLT, Op.JLT64],
  [op.BPF_JLE, Op.JLE64],
  [op.BPF_JSET, Op.JSET64],
  [op.BPF_JSGT, Op.JSGT64],
  [op.BPF_JSGE, Op.JSGE64],
  [op.BPF_JSLT, Op.JSLT64],
  [op.BPF_JSLE, Op.JSLE64],
]);

/** Operations of a kind stand in the order of their widths: 1, 2, 4 and 8 bytes. */
const WIDTHS = [op.BPF_B, op.BPF_H, op.BPF_W, op.BPF_DW];

class Decoder {
  readonly constants: Constant[] = [];
  readonly functions = new Set<number>([0]);
  readonly faults = new Map<number, string>();
  private readonly insns: readonly Insn[];
  private readonly words: Int32Array;
  private readonly load: ProgramLoad;
  private readonly numbers = new Map<string, number>();

  constructor(load: ProgramLoad) {
    this.load = load;
    this.insns = decodeInsns(load.insns);
    this.words = new Int32Array((this.insns.length + 1) * CODE_WORDS);
  }

  decode(): Code {
    const { insns, words, constants, faults, load } = this;
    for (let slot = 0; slot < insns.length; slot++) {
      const insn = insns[slot]!;
      this.slot(slot, insn);
      if (insn.opcode === op.BPF_LD_IMM64) {
        slot++;
        if (slot < insns.length) faults.set(slot, "the second half of a 64-bit immediate load");
      }
    }
    faults.set(insns.length, "the program has no instruction here");
    const functions = [...this.functions].sort((a, b) => a - b);
    return { load, insns, words, constants, functions, faults };
  }

  private slot(slot: number, insn: Insn): void {
    const next = this.insns[slot + 1];
    const info = insnInfo(insn, next);
    if (info === undefined) {
      this.bad(slot, insnFault(insn, next)!);
      return;
    }
    const { form, faults } = info;
    // RFC 9669 says what these come to, although the kernel refuses them.
    const tolerated = form.imm === "shift" || form.imm === "divisor";
    if (!faults.every((field) => field === "imm" && tolerated)) {
      this.bad(slot, insnFault(insn, next)!);
      return;
    }
    if (insn.opcode === op.BPF_LD_IMM64 && next === undefined) {
      this.bad(slot, "its second half is missing");
      return;
    }
    const writesSource = form.src === "write" || form.src === "update";
    if (
      (insn.dst === op.R10 && (form.dst === "write" || form.dst === "update")) ||
      (writesSource && insn.src === op.R10)
    ) {
      this.bad(slot, "the frame pointer is read-only");
      return;
    }
    const klass = op.bpfClass(insn.opcode);
    if (klass === op.BPF_ALU || klass === op.BPF_ALU64) this.alu(slot, insn, form.kind);
    else if (klass === op.BPF_JMP || klass === op.BPF_JMP32) this.jump(slot, insn, form.kind);
    else this.memory(slot, insn, form.kind);
  }

  private bad(slot: number, why: string): void {
    this.faults.set(slot, why);
  }

  private put(slot: number, operation: number, dst: number, src: number, extra = 0): void {
    const at = slot * CODE_WORDS;
    this.words[at] = operation;
    this.words[at + 1] = dst;
    this.words[at + 2] = src;
    this.words[at + 3] = extra;
  }

  private constant(constant: Constant): number {
    return FIRST_CONSTANT + 2 * (this.constants.push(constant) - 1);
  }

  private number(low: number, high: number): number {
    const key = `${low},${high}`;
    let index = this.numbers.get(key);
    if (index === undefined) {
      index = this.constant({ kind: "number", low, high });
      this.numbers.set(key, index);
    }
    return index;
  }

  private immediate(insn: Insn): number {
    return this.number(insn.imm, insn.imm >> 31);
  }

  /** The second operand of arithmetic and jumps. */
  private operand(insn: Insn): number {
    return op.bpfSrc(insn.opcode) === op.BPF_X ? 2 * insn.src : this.immediate(insn);
  }

  private alu(slot: number, insn: Insn, kind: string): void {
    const { opcode, off, imm } = insn;
    const wide = op.bpfClass(opcode) === op.BPF_ALU64;
    const dst = 2 * insn.dst;
    if (kind === "end") {
      const swaps = wide || op.bpfSrc(opcode) === op.BPF_TO_BE;
      const first = swaps ? Op.SWAP16 : Op.LE16;
      this.put(slot, first + [16, 32, 64].indexOf(imm), dst, dst);
    } else if (kind === "movsx") {
      this.put(slot, (wide ? Op.SX64_8 : Op.SX32_8) + [8, 16, 32].indexOf(off), dst, 2 * insn.src);
    } else if (kind === "addr_space_cast") {
      this.put(slot, Op.MOV64, dst, 2 * insn.src);
    } else {
      let operation = ALU.get(op.bpfOp(opcode))!;
      if (off === op.BPF_SIGNED_OFF) operation = operation === Op.DIV64 ? Op.SDIV64 : Op.SMOD64;
      if (!wide) operation += Op.ADD32 - Op.ADD64;
      this.put(slot, operation, dst, kind === "neg" ? dst : this.operand(insn));
    }
  }

  private target(to: number): number {
    const { insns } = this;
    if (to < 0 || to >= insns.length) return insns.length;
    if (to > 0 && insns[to - 1]!.opcode === op.BPF_LD_IMM64) this.bad(to, "the second half of a 64-bit immediate load");
    return to;
  }

  private jump(slot: number, insn: Insn, kind: string): void {
    if (kind === "exit") {
      this.put(slot, Op.EXIT, 0, 0);
      return;
    }
    if (kind === "call") {
      if (insn.src === op.BPF_HELPER_CALL) {
        this.put(slot, Op.HELPER, 0, 0, insn.imm);
        return;
      }
      if (insn.src === op.BPF_PSEUDO_KFUNC_CALL) {
        this.put(slot, Op.KFUNC, insn.off, 0, insn.imm);
        return;
      }
      const to = this.target(subprogTarget(insn, slot)!);
      this.functions.add(to);
      this.put(slot, Op.CALL, 0, 0, to);
      return;
    }
    const to = this.target(jumpTarget(insn, slot)!);
    if (kind === "ja") {
      this.put(slot, Op.JA, 0, 0, to);
      return;
    }
    if (kind === "may_goto") {
      this.put(slot, Op.MAY_GOTO, 0, 0, to);
      return;
    }
    const narrow = op.bpfClass(insn.opcode) === op.BPF_JMP32 ? Op.JEQ32 - Op.JEQ64 : 0;
    this.put(slot, JUMPS.get(op.bpfOp(insn.opcode))! + narrow, 2 * insn.dst, this.operand(insn), to);
  }

  private memory(slot: number, insn: Insn, kind: string): void {
    const { opcode, off } = insn;
    const width = WIDTHS.indexOf(op.bpfSize(opcode));
    const dst = 2 * insn.dst;
    const src = 2 * insn.src;
    switch (kind) {
      case "ldx":
        this.put(slot, Op.LDX8 + width, dst, src, off);
        return;
      case "ldxs":
        this.put(slot, Op.LDXS8 + width, dst, src, off);
        return;
      case "stx":
        this.put(slot, Op.STX8 + width, dst, src, off);
        return;
      case "st":
        this.put(slot, Op.STX8 + width, dst, this.immediate(insn), off);
        return;
      case "atomic":
        if (insn.imm === op.BPF_LOAD_ACQ) {
          this.put(slot, Op.LDX8 + width, dst, src, off);
          return;
        }
        if (insn.imm === op.BPF_STORE_REL) {
          this.put(slot, Op.STX8 + width, dst, src, off);
          return;
        }
        this.put(slot, width === 3 ? Op.ATOMIC64 : Op.ATOMIC32, dst, src | (insn.imm << ATOMIC_SHIFT), off);
        return;
      case "ld_abs":
        this.put(slot, Op.LD_ABS8 + width, 0, this.number(0, 0), insn.imm);
        return;
      case "ld_ind":
        this.put(slot, Op.LD_IND8 + width, 0, src, insn.imm);
        return;
      default:
        this.put(slot, Op.LD_IMM64, dst, this.wide(slot, insn), 0);
        return;
    }
  }

  /** The constant of a 64-bit immediate load. */
  private wide(slot: number, insn: Insn): number {
    const high = this.insns[slot + 1]!.imm;
    const map = (index: boolean): number => {
      if (this.load.badMapInsns.includes(slot)) return -1;
      if (!index) return insn.imm;
      const entry = this.load.fdArray?.[insn.imm];
      return entry?.kind === "map" ? entry.map : -1;
    };
    switch (insn.src) {
      case op.BPF_PSEUDO_MAP_FD:
        return this.constant({ kind: "map", map: map(false) });
      case op.BPF_PSEUDO_MAP_IDX:
        return this.constant({ kind: "map", map: map(true) });
      case op.BPF_PSEUDO_MAP_VALUE:
        return this.constant({ kind: "value", map: map(false), offset: high });
      case op.BPF_PSEUDO_MAP_IDX_VALUE:
        return this.constant({ kind: "value", map: map(true), offset: high });
      case op.BPF_PSEUDO_FUNC: {
        const to = this.target(subprogTarget(insn, slot)!);
        this.functions.add(to);
        return this.constant({ kind: "function", slot: to });
      }
      case op.BPF_PSEUDO_BTF_ID:
        return this.constant({ kind: "symbol", btfId: insn.imm });
      default:
        return this.number(insn.imm, high);
    }
  }
}

const decoded = new WeakMap<ProgramLoad, Code>();

/**
 * Decodes a program, once for each load. What is no instruction is a fault only when the program comes there.
 * @throws InputError when the bytes are not whole slots.
 */
export function decodeProgram(load: ProgramLoad): Code {
  let code = decoded.get(load);
  if (code === undefined) {
    code = new Decoder(load).decode();
    decoded.set(load, code);
  }
  return code;
}
