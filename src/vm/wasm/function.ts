// SPDX-License-Identifier: MIT
import * as opcode from "../../asm/opcode.js";
import { ATOMIC_SHIFT, CODE_WORDS, type Code, FIRST_CONSTANT, Op } from "../code.js";
import { BPF_MAX_LOOPS } from "../machine.js";
import { ARGS_AT, FRAME_SIZE, REGION_BASE, RegionFlag, ROW_BYTES, STACK_REGION, STACKS_AT } from "../memory.js";
import { type Flow, flowOf } from "./flow.js";
import { T, W, WasmWriter } from "./writer.js";

/* One function of a program as a function of WebAssembly: (R1 to R5, depth) gives R0. */

/** Imported functions, by index. */
export const Import = { helper: 0, fault: 1, stop: 2, hook: 3, packet: 4, kfunc: 5 } as const;
export const IMPORTS = 6;
/** Why `stop` is called. */
export const StopReason = { instruction: 0, budget: 1, depth: 2 } as const;
/** Answers of `helper`: go on; go on, and callbacks ran; return R0. */
export const HelperAnswer = { done: 0, calledBack: 1, leave: 2 } as const;
/** Globals, by index. */
export const Global = { tableAt: 0, count: 1, left: 2 } as const;

/* Locals: parameters first. */
const DEPTH = 5;
const R0 = 6;
const R6 = 7;
const R10 = 11;
const LEFT = 12;
const ADDRESS = 13;
const TEMP = 14;
/** Declared locals of 64 bits: R0, R6 to R10, and three more. */
const LONG_LOCALS = 9;
const REGION = 15;
const ROW = 16;
const OFFSET = 17;
const FLAGS = 18;
const FRAME = 19;
const NEXT = 20;
const LOOPS = 21;
const PLACE = 22;
const SHORT_LOCALS = 8;

const ALU64: Readonly<Record<number, number>> = {
  [Op.ADD64]: W.i64_add,
  [Op.SUB64]: W.i64_sub,
  [Op.MUL64]: W.i64_mul,
  [Op.OR64]: W.i64_or,
  [Op.AND64]: W.i64_and,
  [Op.LSH64]: W.i64_shl,
  [Op.RSH64]: W.i64_shr_u,
  [Op.XOR64]: W.i64_xor,
  [Op.ARSH64]: W.i64_shr_s,
};
const ALU32: Readonly<Record<number, number>> = {
  [Op.ADD32]: W.i32_add,
  [Op.SUB32]: W.i32_sub,
  [Op.MUL32]: W.i32_mul,
  [Op.OR32]: W.i32_or,
  [Op.AND32]: W.i32_and,
  [Op.LSH32]: W.i32_shl,
  [Op.RSH32]: W.i32_shr_u,
  [Op.XOR32]: W.i32_xor,
  [Op.ARSH32]: W.i32_shr_s,
};
const DIVISIONS: Readonly<
  Record<number, readonly [operation: number, signed: boolean, modulo: boolean, wide: boolean]>
> = {
  [Op.DIV64]: [W.i64_div_u, false, false, true],
  [Op.MOD64]: [W.i64_rem_u, false, true, true],
  [Op.SDIV64]: [W.i64_div_s, true, false, true],
  [Op.SMOD64]: [W.i64_rem_s, true, true, true],
  [Op.DIV32]: [W.i32_div_u, false, false, false],
  [Op.MOD32]: [W.i32_rem_u, false, true, false],
  [Op.SDIV32]: [W.i32_div_s, true, false, false],
  [Op.SMOD32]: [W.i32_rem_s, true, true, false],
};
const LOADS: Readonly<Record<number, readonly [operation: number, size: number]>> = {
  [Op.LDX8]: [W.i64_load8_u, 1],
  [Op.LDX16]: [W.i64_load16_u, 2],
  [Op.LDX32]: [W.i64_load32_u, 4],
  [Op.LDX64]: [W.i64_load, 8],
  [Op.LDXS8]: [W.i64_load8_s, 1],
  [Op.LDXS16]: [W.i64_load16_s, 2],
  [Op.LDXS32]: [W.i64_load32_s, 4],
};
const STORES: Readonly<Record<number, readonly [operation: number, size: number]>> = {
  [Op.STX8]: [W.i64_store8, 1],
  [Op.STX16]: [W.i64_store16, 2],
  [Op.STX32]: [W.i64_store32, 4],
  [Op.STX64]: [W.i64_store, 8],
};
/** In the order of the operations from JEQ64 on. */
const COMPARE64 = [
  W.i64_eq,
  W.i64_ne,
  W.i64_gt_u,
  W.i64_ge_u,
  W.i64_lt_u,
  W.i64_le_u,
  -1,
  W.i64_gt_s,
  W.i64_ge_s,
  W.i64_lt_s,
  W.i64_le_s,
];
const COMPARE32 = [
  W.i32_eq,
  W.i32_ne,
  W.i32_gt_u,
  W.i32_ge_u,
  W.i32_lt_u,
  W.i32_le_u,
  -1,
  W.i32_gt_s,
  W.i32_ge_s,
  W.i32_lt_s,
  W.i32_le_s,
];
/** Shift amounts, counted in bits, of a sign extension. */
const EXTENSIONS: Readonly<Record<number, readonly [bits: number, wide: boolean]>> = {
  [Op.SX64_8]: [56, true],
  [Op.SX64_16]: [48, true],
  [Op.SX64_32]: [32, true],
  [Op.SX32_8]: [24, false],
  [Op.SX32_16]: [16, false],
};

/** What is known of the whole program. */
export interface Surroundings {
  readonly code: Code;
  /** Halves of the constants. */
  readonly constants: Int32Array;
  /** Index of the function that begins at a slot. */
  readonly functionAt: ReadonlyMap<number, number>;
  /** Lower half of the address of a stack's first byte. */
  readonly stackStart: number;
  readonly maxFrames: number;
}

/** Writes one function. */
export class FunctionCompiler {
  readonly #out = new WasmWriter();
  readonly #all: Surroundings;
  readonly #words: Int32Array;
  readonly #first: number;
  readonly #end: number;
  readonly #flow: Flow;
  /** Labels that can be jumped to, the innermost last: the block that stands behind or, of a loop, begins it. */
  readonly #labels: ({ readonly block: number; readonly loop: boolean } | null)[] = [];

  /** @throws Uncompilable */
  constructor(all: Surroundings, first: number, end: number) {
    this.#all = all;
    this.#words = all.code.words;
    this.#first = first;
    this.#end = end;
    this.#flow = flowOf(all.code, first, end);
  }

  /** The function's body with its locals. */
  compile(): WasmWriter {
    const out = this.#out;
    out.u32(2).u32(LONG_LOCALS).byte(T.i64).u32(SHORT_LOCALS).byte(T.i32);
    this.#prologue();
    if (this.#flow.irregular) this.#dispatch();
    else this.#range(0, this.#flow.starts.length - 2, false);
    this.#stop(StopReason.instruction, this.#end);
    return out.byte(W.end);
  }

  #get(local: number): WasmWriter {
    return this.#out.byte(W.local_get).u32(local);
  }

  #set(local: number): WasmWriter {
    return this.#out.byte(W.local_set).u32(local);
  }

  #tee(local: number): WasmWriter {
    return this.#out.byte(W.local_tee).u32(local);
  }

  #i32(value: number): WasmWriter {
    return this.#out.byte(W.i32_const).s32(value);
  }

  #i64(low: number, high: number): WasmWriter {
    return this.#out.byte(W.i64_const).s64(low, high);
  }

  #op(...operations: readonly number[]): WasmWriter {
    return this.#out.byte(...operations);
  }

  /** An access to memory at the place on the stack and `offset` behind it; alignment is only a hint. */
  #access(operation: number, offset = 0): WasmWriter {
    return this.#out.byte(operation, 0).u32(offset);
  }

  /** The local of an operand that is a register. */
  #local(word: number): number {
    const register = word >> 1;
    if (register === 0) return R0;
    if (register <= 5) return register - 1;
    return R6 + register - 6;
  }

  /** Puts an operand on the stack. */
  #operand(word: number): void {
    if (word < FIRST_CONSTANT) this.#get(this.#local(word));
    else this.#i64(...this.#constant(word));
  }

  #constant(word: number): [number, number] {
    const { constants } = this.#all;
    return [constants[word - FIRST_CONSTANT]!, constants[word - FIRST_CONSTANT + 1]!];
  }

  #operand32(word: number): void {
    if (word < FIRST_CONSTANT) {
      this.#get(this.#local(word));
      this.#op(W.i32_wrap);
    } else this.#i32(this.#constant(word)[0]);
  }

  #stop(reason: number, slot: number): void {
    this.#saveLeft();
    this.#i32(reason);
    this.#i32(slot);
    this.#op(W.call).u32(Import.stop);
    this.#op(W.unreachable);
  }

  #saveLeft(): void {
    this.#get(LEFT);
    this.#op(W.global_set).u32(Global.left);
  }

  #loadLeft(): void {
    this.#op(W.global_get).u32(Global.left);
    this.#set(LEFT);
  }

  /** Sets how much of the frame's stack can be accessed. */
  #stackSize(size: number): void {
    this.#op(W.global_get).u32(Global.tableAt);
    this.#get(DEPTH);
    this.#i32(ROW_BYTES);
    this.#op(W.i32_mul, W.i32_add);
    this.#i32(size);
    this.#access(W.i32_store, STACK_REGION * ROW_BYTES + 4);
  }

  #prologue(): void {
    this.#loadLeft();
    this.#get(DEPTH);
    this.#i32(this.#all.maxFrames);
    this.#op(W.i32_ge_s, W.if, T.none);
    this.#stop(StopReason.depth, this.#first);
    this.#op(W.end);
    this.#stackSize(FRAME_SIZE);
    this.#get(DEPTH);
    this.#i32(FRAME_SIZE);
    this.#op(W.i32_mul);
    this.#i32(STACKS_AT);
    this.#op(W.i32_add);
    this.#set(FRAME);
    this.#get(DEPTH);
    this.#i32(REGION_BASE + STACK_REGION);
    this.#op(W.i32_add, W.i64_extend_u);
    this.#i64(32, 0);
    this.#op(W.i64_shl);
    this.#i64(this.#all.stackStart + FRAME_SIZE, 0);
    this.#op(W.i64_or);
    this.#set(R10);
  }

  #leave(): void {
    this.#stackSize(0);
    this.#saveLeft();
    this.#get(R0);
    this.#op(W.return);
  }

  #clearArguments(): void {
    for (let local = 0; local < 5; local++) {
      this.#i64(0, 0);
      this.#set(local);
    }
  }

  /* Blocks. */

  /** Blocks from `first` to `last`, which stand in the same loop; `inLoop`: the one that begins at `first` is open. */
  #range(first: number, last: number, inLoop: boolean): void {
    const { loops, targets } = this.#flow;
    const own: number[] = [];
    for (let block = first; block <= last; block++) {
      if (block > first && targets.has(block)) own.push(block);
      const end = loops.get(block);
      if (end !== undefined && (block > first || !inLoop)) block = end;
    }
    for (const block of [...own].reverse()) {
      this.#op(W.block, T.none);
      this.#labels.push({ block, loop: false });
    }
    let next = 0;
    for (let block = first; block <= last; block++) {
      if (own[next] === block) {
        this.#op(W.end);
        this.#labels.pop();
        next++;
      }
      const end = loops.get(block);
      if (end !== undefined && (block > first || !inLoop)) {
        this.#op(W.loop, T.none);
        this.#labels.push({ block, loop: true });
        this.#range(block, end, true);
        this.#op(W.end);
        this.#labels.pop();
        block = end;
      } else this.#block(block);
    }
  }

  /** All blocks in one loop that goes to the one that NEXT says. */
  #dispatch(): void {
    const count = this.#flow.starts.length - 1;
    this.#op(W.loop, T.none);
    this.#labels.push({ block: -1, loop: true });
    for (let block = count - 1; block >= 0; block--) {
      this.#op(W.block, T.none);
      this.#labels.push({ block, loop: false });
    }
    this.#get(NEXT);
    this.#op(W.br_table).u32(count - 1);
    for (let block = 0; block < count; block++) this.#out.u32(block);
    for (let block = 0; block < count; block++) {
      this.#op(W.end);
      this.#labels.pop();
      this.#block(block);
    }
    this.#op(W.end);
    this.#labels.pop();
  }

  /** Jumps to a slot, when the condition on the stack holds or always. */
  #jump(slot: number, from: number, conditional: boolean): void {
    const block = this.#flow.blockOf.get(slot)!;
    const back = slot <= from;
    const at = this.#labels.findLastIndex((label) => label !== null && label.block === block && label.loop === back);
    if (at >= 0) {
      this.#op(conditional ? W.br_if : W.br).u32(this.#labels.length - 1 - at);
      return;
    }
    // Backwards in a function that is one loop.
    if (conditional) {
      this.#op(W.if, T.none);
      this.#labels.push(null);
    }
    this.#i32(block);
    this.#set(NEXT);
    const loop = this.#labels.findIndex((label) => label !== null && label.block === -1);
    this.#op(W.br).u32(this.#labels.length - 1 - loop);
    if (conditional) {
      this.#op(W.end);
      this.#labels.pop();
    }
  }

  #block(block: number): void {
    const { starts } = this.#flow;
    const first = starts[block]!;
    const end = starts[block + 1]!;
    let count = 0;
    for (let slot = first; slot < end; slot++) {
      count++;
      if (this.#words[slot * CODE_WORDS] === Op.LD_IMM64) slot++;
    }
    this.#get(LEFT);
    this.#i64(count, 0);
    this.#op(W.i64_sub);
    this.#tee(LEFT);
    this.#i64(0, 0);
    this.#op(W.i64_lt_s, W.if, T.none);
    this.#stop(StopReason.budget, first);
    this.#op(W.end);
    for (let slot = first; slot < end; slot++) {
      this.#insn(slot);
      if (this.#words[slot * CODE_WORDS] === Op.LD_IMM64) slot++;
    }
  }

  /* Instructions. */

  #insn(slot: number): void {
    const at = slot * CODE_WORDS;
    const operation = this.#words[at]!;
    const d = this.#words[at + 1]!;
    const s = this.#words[at + 2]!;
    const extra = this.#words[at + 3]!;
    if (operation >= Op.ADD64 && operation <= Op.SX32_16) this.#alu(operation, d, s);
    else if (operation === Op.LD_IMM64) {
      this.#operand(s);
      this.#set(this.#local(d));
    } else if (LOADS[operation] !== undefined) this.#load(slot, LOADS[operation], d, s, extra);
    else if (STORES[operation] !== undefined) this.#store(slot, STORES[operation], d, s, extra);
    else if (operation === Op.ATOMIC32 || operation === Op.ATOMIC64) this.#atomic(slot, operation, d, s, extra);
    else if (operation >= Op.LD_ABS8 && operation <= Op.LD_IND32) this.#packetLoad(operation, s, extra);
    else this.#control(slot, operation, d, s, extra);
  }

  #alu(operation: number, d: number, s: number): void {
    const dst = this.#local(d);
    const wide = ALU64[operation];
    const narrow = ALU32[operation];
    if (wide !== undefined) {
      this.#operand(d);
      this.#operand(s);
      this.#op(wide);
    } else if (narrow !== undefined) {
      this.#operand32(d);
      this.#operand32(s);
      this.#op(narrow, W.i64_extend_u);
    } else if (DIVISIONS[operation] !== undefined) {
      this.#divide(DIVISIONS[operation], d, s);
    } else if (EXTENSIONS[operation] !== undefined) {
      const [bits, is64] = EXTENSIONS[operation];
      this.#signExtend(s, bits, is64);
    } else this.#unary(operation, d, s);
    this.#set(dst);
  }

  #signExtend(s: number, bits: number, wide: boolean): void {
    if (wide) {
      this.#operand(s);
      this.#i64(bits, 0);
      this.#op(W.i64_shl);
      this.#i64(bits, 0);
      this.#op(W.i64_shr_s);
    } else {
      this.#operand32(s);
      this.#i32(bits);
      this.#op(W.i32_shl);
      this.#i32(bits);
      this.#op(W.i32_shr_s, W.i64_extend_u);
    }
  }

  #unary(operation: number, d: number, s: number): void {
    switch (operation) {
      case Op.MOV64:
        this.#operand(s);
        break;
      case Op.MOV32:
        this.#operand32(s);
        this.#op(W.i64_extend_u);
        break;
      case Op.NEG64:
        this.#i64(0, 0);
        this.#operand(d);
        this.#op(W.i64_sub);
        break;
      case Op.NEG32:
        this.#i32(0);
        this.#operand32(d);
        this.#op(W.i32_sub, W.i64_extend_u);
        break;
      case Op.LE16:
        this.#operand(d);
        this.#i64(0xffff, 0);
        this.#op(W.i64_and);
        break;
      case Op.LE32:
        this.#operand32(d);
        this.#op(W.i64_extend_u);
        break;
      case Op.LE64:
        this.#operand(d);
        break;
      default:
        this.#operand(d);
        this.#swap(operation === Op.SWAP16 ? 2 : operation === Op.SWAP32 ? 4 : 8);
    }
  }

  /** The lower `size` bytes of what is on the stack the other way round, the rest 0. */
  #swap(size: number): void {
    // Every byte with its neighbour, every pair with its neighbour, then the halves.
    const exchange = (bits: number, low: number, high: number): void => {
      this.#tee(TEMP);
      this.#i64(bits, 0);
      this.#op(W.i64_shr_u);
      this.#i64(low, high);
      this.#op(W.i64_and);
      this.#get(TEMP);
      this.#i64(low, high);
      this.#op(W.i64_and);
      this.#i64(bits, 0);
      this.#op(W.i64_shl, W.i64_or);
    };
    exchange(8, 0x00ff00ff, 0x00ff00ff);
    if (size > 2) exchange(16, 0x0000ffff, 0x0000ffff);
    if (size === 8) {
      this.#i64(32, 0);
      this.#op(W.i64_rotl);
    } else {
      this.#i64(size === 2 ? 0xffff : -1, 0);
      this.#op(W.i64_and);
    }
  }

  /** By zero a quotient is 0 and a remainder the dividend; the least number by -1 would trap. */
  #divide([operation, signed, modulo, wide]: (typeof DIVISIONS)[number], d: number, s: number): void {
    const dividend = (): void => (wide ? this.#operand(d) : this.#operand32(d));
    const divisor = (): void => (wide ? this.#operand(s) : this.#operand32(s));
    const number = (value: number): void => {
      if (wide) this.#i64(value, value >> 31);
      else this.#i32(value);
    };
    const type = wide ? T.i64 : T.i32;
    divisor();
    this.#op(wide ? W.i64_eqz : W.i32_eqz, W.if, type);
    if (modulo) dividend();
    else number(0);
    this.#op(W.else);
    if (signed && !modulo) {
      divisor();
      number(-1);
      this.#op(wide ? W.i64_eq : W.i32_eq, W.if, type);
      number(0);
      dividend();
      this.#op(wide ? W.i64_sub : W.i32_sub, W.else);
    }
    dividend();
    divisor();
    this.#op(operation);
    if (signed && !modulo) this.#op(W.end);
    this.#op(W.end);
    if (!wide) this.#op(W.i64_extend_u);
  }

  /* Memory. */

  /**
   * Leaves the place of an access on the stack; gives what is to be added to it. Stack accesses through R10 within the
   * frame need no check.
   */
  #place(slot: number, base: number, offset: number, size: number, write: boolean): number {
    if (base === 2 * opcode.R10 && offset >= -FRAME_SIZE && offset + size <= 0) {
      this.#get(FRAME);
      return FRAME_SIZE + offset;
    }
    this.#operand(base);
    this.#i64(offset, offset >> 31);
    this.#op(W.i64_add);
    this.#tee(ADDRESS);
    this.#i64(32, 0);
    this.#op(W.i64_shr_u, W.i32_wrap);
    this.#set(REGION);
    this.#i32(0);
    this.#get(REGION);
    this.#i32(REGION_BASE);
    this.#op(W.i32_sub);
    this.#get(REGION);
    this.#op(W.i32_eqz, W.select);
    this.#tee(REGION);
    this.#op(W.global_get).u32(Global.count);
    this.#op(W.i32_ge_u, W.if, T.none);
    this.#fault(slot, size, write);
    this.#op(W.end);
    this.#op(W.global_get).u32(Global.tableAt);
    this.#get(REGION);
    this.#i32(4);
    this.#op(W.i32_shl, W.i32_add);
    this.#set(ROW);
    this.#get(ADDRESS);
    this.#op(W.i32_wrap);
    this.#get(ROW);
    this.#access(W.i32_load);
    this.#op(W.i32_sub);
    this.#tee(OFFSET);
    this.#i32(0);
    this.#op(W.i32_lt_s);
    this.#get(OFFSET);
    this.#get(ROW);
    this.#access(W.i32_load, 4);
    this.#i32(size);
    this.#op(W.i32_sub, W.i32_gt_s, W.i32_or, W.if, T.none);
    this.#fault(slot, size, write);
    this.#op(W.end);
    if (write) {
      this.#get(ROW);
      this.#access(W.i32_load, 12);
      this.#tee(FLAGS);
      this.#i32(RegionFlag.READ_ONLY);
      this.#op(W.i32_and, W.if, T.none);
      this.#fault(slot, size, true);
      this.#op(W.end);
    }
    this.#get(ADDRESS);
    this.#op(W.i32_wrap);
    this.#get(ROW);
    this.#access(W.i32_load, 8);
    this.#op(W.i32_add);
    return 0;
  }

  #fault(slot: number, size: number, write: boolean): void {
    this.#saveLeft();
    this.#i32(slot);
    this.#get(ADDRESS);
    this.#op(W.i32_wrap);
    this.#get(ADDRESS);
    this.#i64(32, 0);
    this.#op(W.i64_shr_u, W.i32_wrap);
    this.#i32(size);
    this.#i32(write ? 1 : 0);
    this.#op(W.call).u32(Import.fault);
    this.#op(W.unreachable);
  }

  /** Tells the region of a store that wants to know. */
  #hook(base: number, offset: number, size: number): void {
    if (base === 2 * opcode.R10 && offset >= -FRAME_SIZE && offset + size <= 0) return;
    this.#get(FLAGS);
    this.#op(W.if, T.none);
    this.#get(REGION);
    this.#get(OFFSET);
    this.#i32(size);
    this.#op(W.call).u32(Import.hook);
    this.#op(W.end);
  }

  #load(slot: number, [operation, size]: (typeof LOADS)[number], d: number, s: number, offset: number): void {
    const more = this.#place(slot, s, offset, size, false);
    this.#access(operation, more);
    this.#set(this.#local(d));
  }

  #store(slot: number, [operation, size]: (typeof STORES)[number], d: number, s: number, offset: number): void {
    const more = this.#place(slot, d, offset, size, true);
    this.#operand(s);
    this.#access(operation, more);
    this.#hook(d, offset, size);
  }

  #atomic(slot: number, operation: number, d: number, word: number, offset: number): void {
    const wide = operation === Op.ATOMIC64;
    const size = wide ? 8 : 4;
    const s = word & ((1 << ATOMIC_SHIFT) - 1);
    const kind = word >> ATOMIC_SHIFT;
    const more = this.#place(slot, d, offset, size, true);
    this.#tee(PLACE);
    this.#access(wide ? W.i64_load : W.i64_load32_u, more);
    this.#set(TEMP);
    this.#get(PLACE);
    const simple: Readonly<Record<number, number>> = {
      [opcode.BPF_ADD]: W.i64_add,
      [opcode.BPF_OR]: W.i64_or,
      [opcode.BPF_AND]: W.i64_and,
      [opcode.BPF_XOR]: W.i64_xor,
    };
    const how = simple[kind & ~opcode.BPF_FETCH];
    if (kind === opcode.BPF_CMPXCHG) {
      this.#operand(s);
      this.#get(TEMP);
      this.#get(TEMP);
      this.#get(R0);
      if (!wide) {
        this.#i64(-1, 0);
        this.#op(W.i64_and);
      }
      this.#op(W.i64_eq, W.select);
    } else if (how !== undefined) {
      this.#get(TEMP);
      this.#operand(s);
      this.#op(how);
    } else this.#operand(s);
    this.#access(wide ? W.i64_store : W.i64_store32, more);
    if (kind === opcode.BPF_CMPXCHG) {
      this.#get(TEMP);
      this.#set(R0);
    } else if ((kind & opcode.BPF_FETCH) !== 0) {
      this.#get(TEMP);
      this.#set(this.#local(s));
    }
    this.#hook(d, offset, size);
  }

  #packetLoad(operation: number, s: number, offset: number): void {
    const [load, size] = (
      [
        [W.i64_load8_u, 1],
        [W.i64_load16_u, 2],
        [W.i64_load32_u, 4],
      ] as const
    )[(operation - Op.LD_ABS8) % 3]!;
    this.#operand32(s);
    this.#i32(offset);
    this.#op(W.i32_add);
    this.#i32(size);
    this.#op(W.call).u32(Import.packet);
    this.#tee(PLACE);
    this.#i32(0);
    this.#op(W.i32_lt_s, W.if, T.none);
    this.#i64(0, 0);
    this.#set(R0);
    this.#leave();
    this.#op(W.end);
    this.#get(PLACE);
    this.#access(load);
    if (size > 1) this.#swap(size);
    this.#set(R0);
    this.#clearArguments();
  }

  /* Jumps and calls. */

  #control(slot: number, operation: number, d: number, s: number, extra: number): void {
    switch (operation) {
      case Op.JA:
        this.#jump(extra, slot, false);
        break;
      case Op.MAY_GOTO:
        this.#get(LOOPS);
        this.#i32(1);
        this.#op(W.i32_add);
        this.#tee(LOOPS);
        this.#i32(BPF_MAX_LOOPS);
        this.#op(W.i32_gt_s);
        this.#jump(extra, slot, true);
        break;
      case Op.EXIT:
        this.#leave();
        break;
      case Op.CALL:
        this.#call(extra);
        break;
      case Op.HELPER:
        this.#helper(slot, extra);
        break;
      case Op.KFUNC:
        this.#passArguments();
        this.#i32(extra);
        this.#i32(d);
        this.#i32(slot);
        this.#op(W.call).u32(Import.kfunc);
        this.#takeResult();
        break;
      default:
        if (operation >= Op.JEQ64 && operation <= Op.JSLE32) this.#compare(slot, operation, d, s, extra);
        else this.#stop(StopReason.instruction, slot);
    }
  }

  #compare(slot: number, operation: number, d: number, s: number, to: number): void {
    const wide = operation < Op.JEQ32;
    const compare = wide ? COMPARE64[operation - Op.JEQ64]! : COMPARE32[operation - Op.JEQ32]!;
    if (wide) {
      this.#operand(d);
      this.#operand(s);
    } else {
      this.#operand32(d);
      this.#operand32(s);
    }
    if (compare >= 0) this.#op(compare);
    else if (wide) this.#op(W.i64_and, W.i64_eqz, W.i32_eqz);
    else this.#op(W.i32_and);
    this.#jump(to, slot, true);
  }

  #call(to: number): void {
    this.#saveLeft();
    for (let local = 0; local < 5; local++) this.#get(local);
    this.#get(DEPTH);
    this.#i32(1);
    this.#op(W.i32_add);
    this.#op(W.call).u32(IMPORTS + this.#all.functionAt.get(to)!);
    this.#set(R0);
    this.#loadLeft();
    this.#clearArguments();
  }

  #passArguments(): void {
    this.#saveLeft();
    for (let local = 0; local < 5; local++) {
      this.#i32(0);
      this.#get(local);
      this.#access(W.i64_store, ARGS_AT + 8 * (local + 1));
    }
  }

  #takeResult(): void {
    this.#i32(0);
    this.#access(W.i64_load, ARGS_AT);
    this.#set(R0);
    this.#loadLeft();
  }

  #helper(slot: number, id: number): void {
    this.#passArguments();
    this.#i32(id);
    this.#i32(slot);
    this.#get(DEPTH);
    this.#op(W.call).u32(Import.helper);
    this.#set(PLACE);
    this.#takeResult();
    this.#get(PLACE);
    this.#op(W.if, T.none);
    this.#get(PLACE);
    this.#i32(HelperAnswer.leave);
    this.#op(W.i32_eq, W.if, T.none);
    this.#leave();
    this.#op(W.end);
    this.#clearArguments();
    this.#op(W.end);
  }
}
