// SPDX-License-Identifier: MIT
import * as opcode from "../asm/opcode.js";
import { divide64, divideSigned64, modulo64, moduloSigned64, multiply64, swap32 } from "./arith.js";
import { ATOMIC_SHIFT, CODE_WORDS, type Code, FIRST_CONSTANT, Op } from "./code.js";
import type { VmFault } from "./fault.js";
import { BPF_MAX_LOOPS, type Callback, type Engine, type Machine } from "./machine.js";
import { FRAME_SIZE, MAX_FRAMES, type Memory, REGION_BASE, RegionFlag, ROW_WORDS, STACK_REGION } from "./memory.js";

const R1 = 2 * opcode.R1;
const R6 = 2 * opcode.R6;
const R10 = 2 * opcode.R10;
/** Words of R6 to R9. */
const SAVED_WORDS = R10 - R6;

/** A frame that called another one. */
interface Caller {
  readonly code: Code;
  /** Slot to go on at. */
  readonly slot: number;
  /** What goes on in place of the program when the callee was a callback. */
  readonly callback: Callback | null;
}

/** Everything about a point of a run that does not stand in memory. */
export interface InterpreterState {
  readonly code: Code;
  readonly slot: number;
  readonly done: boolean;
  readonly depth: number;
  readonly executed: number;
  readonly registers: Int32Array;
  readonly callers: readonly (Caller | null)[];
  readonly saved: Int32Array;
  readonly loops: Int32Array;
  readonly tailCalls: number;
  /** Of the callbacks under way. */
  readonly indices: readonly number[];
}

/**
 * Runs decoded programs one instruction after the other, on halves of registers in an Int32Array. It can stop anywhere
 * and go on, which compiled programs cannot.
 */
export class Interpreter implements Engine {
  /** R0 to R10, low and high halves, and behind them the program's constants. */
  registers = new Int32Array(FIRST_CONSTANT);
  code: Code;
  /** The instruction to be executed next. */
  slot = 0;
  /** Frames below the current one. */
  depth = 0;
  /** The program has ended. */
  done = true;
  /** Instructions since the start. */
  executed = 0;

  readonly #machine: Machine;
  readonly #memory: Memory;
  readonly #constants = new Map<Code, Int32Array>();
  readonly #callers: (Caller | null)[] = new Array<Caller | null>(MAX_FRAMES).fill(null);
  readonly #saved = new Int32Array(MAX_FRAMES * SAVED_WORDS);
  /** may_goto's rounds, by frame. */
  readonly #loops = new Int32Array(MAX_FRAMES);
  #tailCalls = 0;

  constructor(machine: Machine, code: Code) {
    this.#machine = machine;
    this.#memory = machine.memory;
    this.code = code;
  }

  /** Begins a run: the context's address in R1, everything else 0. */
  start(code: Code, ctxLow: number, ctxHigh: number): void {
    for (let frame = 0; frame < MAX_FRAMES; frame++) this.#stack(frame, 0);
    this.registers = new Int32Array(FIRST_CONSTANT);
    this.depth = 0;
    this.#tailCalls = 0;
    this.executed = 0;
    this.done = false;
    this.#stack(0, FRAME_SIZE);
    this.#enter(code, 0);
    this.registers[R1] = ctxLow;
    this.registers[R1 + 1] = ctxHigh;
    this.#framePointer();
  }

  /** Runs a program to its end within the machine's budget of instructions. */
  run(code: Code, ctxLow: number, ctxHigh: number): void {
    const machine = this.#machine;
    this.start(code, ctxLow, ctxHigh);
    try {
      this.execute(machine.budget);
    } finally {
      machine.executed = this.executed;
    }
    if (!this.done) {
      machine.slot = this.slot;
      throw machine.fault("budget", `the program goes on after the ${machine.budget} instructions that it may execute`);
    }
  }

  /** What {@link restore} needs to come back to this point. */
  save(): InterpreterState {
    const callers = this.#callers.slice(0, this.depth);
    return {
      code: this.code,
      slot: this.slot,
      done: this.done,
      depth: this.depth,
      executed: this.executed,
      registers: this.registers.slice(0, FIRST_CONSTANT),
      callers,
      saved: this.#saved.slice(0, this.depth * SAVED_WORDS),
      loops: this.#loops.slice(0, this.depth + 1),
      tailCalls: this.#tailCalls,
      indices: callers.map((caller) => caller?.callback?.index ?? 0),
    };
  }

  restore(state: InterpreterState): void {
    for (let frame = 0; frame < MAX_FRAMES; frame++) this.#stack(frame, frame <= state.depth ? FRAME_SIZE : 0);
    this.depth = state.depth;
    this.#enter(state.code, state.slot);
    this.registers.set(state.registers);
    this.done = state.done;
    this.executed = state.executed;
    this.#tailCalls = state.tailCalls;
    state.callers.forEach((caller, i) => {
      this.#callers[i] = caller;
      if (caller?.callback) caller.callback.index = state.indices[i]!;
    });
    this.#saved.set(state.saved);
    this.#loops.set(state.loops);
  }

  /** Slots that the frames below will go on at, the outermost first. */
  get returnSlots(): readonly number[] {
    return this.#callers.slice(0, this.depth).map((caller) => caller!.slot);
  }

  /** Goes to an instruction of a program whose constants take their places behind the registers. */
  #enter(code: Code, slot: number): void {
    if (code !== this.code || this.registers.length !== FIRST_CONSTANT + 2 * code.constants.length) {
      let constants = this.#constants.get(code);
      if (constants === undefined) {
        constants = this.#machine.constants(code);
        this.#constants.set(code, constants);
      }
      const registers = new Int32Array(FIRST_CONSTANT + constants.length);
      registers.set(this.registers.subarray(0, FIRST_CONSTANT));
      registers.set(constants, FIRST_CONSTANT);
      this.registers = registers;
      this.code = code;
    }
    this.slot = slot;
  }

  #framePointer(): void {
    this.registers[R10] = this.#memory.stackStart + FRAME_SIZE;
    this.registers[R10 + 1] = REGION_BASE + STACK_REGION + this.depth;
  }

  #stack(frame: number, size: number): void {
    this.#memory.rows[(STACK_REGION + frame) * ROW_WORDS + 1] = size;
  }

  #push(code: Code, slot: number, callback: Callback | null): void {
    const machine = this.#machine;
    if (this.depth + 1 >= machine.maxFrames) {
      throw this.#fault("depth", `more than ${machine.maxFrames} calls in one another`);
    }
    this.#callers[this.depth] = { code: this.code, slot: this.slot, callback };
    this.#saved.set(this.registers.subarray(R6, R10), this.depth * SAVED_WORDS);
    this.depth++;
    this.#stack(this.depth, FRAME_SIZE);
    this.#loops[this.depth] = 0;
    this.#enter(code, slot);
    this.registers.fill(0, R6, R10);
    this.#framePointer();
  }

  /** exit. */
  #leave(): void {
    const result = this.registers.subarray(0, R1);
    this.#memory.args.set(result);
    if (this.depth === 0) {
      this.done = true;
      return;
    }
    this.#stack(this.depth, 0);
    this.depth--;
    const caller = this.#callers[this.depth]!;
    this.#enter(caller.code, caller.slot);
    this.registers.set(this.#memory.args.subarray(0, R1));
    this.registers.fill(0, R1, R6);
    const at = this.depth * SAVED_WORDS;
    this.registers.set(this.#saved.subarray(at, at + SAVED_WORDS), R6);
    this.#framePointer();
    if (caller.callback !== null) this.#next(caller.callback);
  }

  /** Calls a callback once more, or goes on behind the helper that called it. */
  #next(callback: Callback): void {
    if (callback.next()) {
      this.#push(callback.code, callback.slot, callback);
      this.registers.set(this.#memory.args.subarray(R1, R6), R1);
      this.registers.fill(0, 0, R1);
    } else {
      this.registers.set(this.#memory.args.subarray(0, R1));
      this.registers.fill(0, R1, R6);
    }
  }

  /** Hands the arguments over and says where the program is. */
  #hand(): Machine {
    const machine = this.#machine;
    const { args } = this.#memory;
    for (let i = R1; i < R6; i++) args[i] = this.registers[i]!;
    machine.slot = this.slot - 1;
    machine.code = this.code;
    machine.depth = this.depth;
    return machine;
  }

  #helper(id: number): void {
    const machine = this.#hand();
    const callback = machine.callHelper(id);
    if (callback !== null) {
      this.#next(callback);
      return;
    }
    const to = machine.tailCall;
    if (to !== null) {
      machine.tailCall = null;
      if (this.#tailCalls >= machine.maxTailCalls) {
        this.registers.fill(0, 0, R1);
        return;
      }
      this.#tailCalls++;
      this.#loops[this.depth] = 0;
      this.#enter(to, 0);
      this.registers.fill(0, 0, R1);
      this.registers.fill(0, R1 + 2, R10);
      return;
    }
    const { args } = this.#memory;
    this.registers[0] = args[0]!;
    this.registers[1] = args[1]!;
  }

  #kfunc(btfId: number, off: number): void {
    this.#hand().callKfunc(btfId, off);
    this.registers.set(this.#memory.args.subarray(0, R1));
  }

  #fault(...[kind, message]: Parameters<Machine["fault"]>): VmFault {
    this.#machine.slot = this.slot - 1;
    return this.#machine.fault(kind, message);
  }

  #badAccess(low: number, high: number, size: number, write: boolean): VmFault {
    return this.#machine.accessFault(this.slot - 1, low, high, size, write);
  }

  /** Where a load finds its bytes. */
  #from(base: number, offset: number, size: number): number {
    const r = this.registers;
    const low = (r[base]! + offset) | 0;
    const high = this.#high(r[base]!, r[base + 1]!, offset);
    const at = this.#memory.find(low, high, size);
    if (at < 0) throw this.#badAccess(low, high, size, false);
    return at;
  }

  /** Upper half of a sum with a signed number. */
  #high(low: number, high: number, offset: number): number {
    const sum = (low + offset) | 0;
    const carry = offset >= 0 ? (sum >>> 0 < low >>> 0 ? 1 : 0) : sum >>> 0 > low >>> 0 ? -1 : 0;
    return (high + carry) | 0;
  }

  /** Where a store puts its bytes; not for regions with flags. */
  #to(base: number, offset: number, size: number): number {
    const r = this.registers;
    const low = (r[base]! + offset) | 0;
    const high = this.#high(r[base]!, r[base + 1]!, offset);
    const memory = this.#memory;
    const at = memory.find(low, high, size);
    if (at < 0) throw this.#badAccess(low, high, size, true);
    const id = high === 0 ? 0 : (high - REGION_BASE) >>> 0;
    const flags = memory.rows[id * ROW_WORDS + 3]!;
    if (flags !== 0) {
      if ((flags & RegionFlag.READ_ONLY) !== 0) throw this.#badAccess(low, high, size, true);
      this.#hooked = id;
      this.#hookedOffset = (low - memory.rows[id * ROW_WORDS]!) | 0;
    }
    if (memory.undo !== null) memory.touch(at, size);
    return at;
  }

  /** Region that wants to hear of the store under way, -1 for none. */
  #hooked = -1;
  #hookedOffset = 0;

  #written(size: number): void {
    const id = this.#hooked;
    this.#hooked = -1;
    this.#memory.owner(id)?.written?.(this.#hookedOffset, size);
  }

  #atomic(d: number, word: number, offset: number, size: number): void {
    const at = this.#to(d, offset, size);
    const r = this.registers;
    const { view } = this.#memory;
    const wide = size === 8;
    const s = word & ((1 << ATOMIC_SHIFT) - 1);
    const kind = word >> ATOMIC_SHIFT;
    const low = view.getInt32(at, true);
    const high = wide ? view.getInt32(at + 4, true) : 0;
    let newLow = r[s]!;
    let newHigh = r[s + 1]!;
    switch (kind) {
      case opcode.BPF_ADD:
      case opcode.BPF_ADD | opcode.BPF_FETCH: {
        const sum = (low + newLow) | 0;
        newHigh = (high + newHigh + (sum >>> 0 < low >>> 0 ? 1 : 0)) | 0;
        newLow = sum;
        break;
      }
      case opcode.BPF_OR:
      case opcode.BPF_OR | opcode.BPF_FETCH:
        newLow |= low;
        newHigh |= high;
        break;
      case opcode.BPF_AND:
      case opcode.BPF_AND | opcode.BPF_FETCH:
        newLow &= low;
        newHigh &= high;
        break;
      case opcode.BPF_XOR:
      case opcode.BPF_XOR | opcode.BPF_FETCH:
        newLow ^= low;
        newHigh ^= high;
        break;
      case opcode.BPF_CMPXCHG:
        if (low !== r[0] || (wide && high !== r[1])) {
          newLow = low;
          newHigh = high;
        }
        break;
    }
    view.setInt32(at, newLow, true);
    if (wide) view.setInt32(at + 4, newHigh, true);
    if (kind === opcode.BPF_CMPXCHG) {
      r[0] = low;
      r[1] = high;
    } else if ((kind & opcode.BPF_FETCH) !== 0) {
      r[s] = low;
      r[s + 1] = high;
    }
    if (this.#hooked >= 0) this.#written(size);
  }

  /** A load from the packet by classic BPF; outside of the packet the function returns 0. */
  #packetLoad(s: number, offset: number, size: number): void {
    const { packet } = this.#machine;
    const r = this.registers;
    const at = packet === null ? -1 : packet.classic((r[s]! + offset) | 0, size);
    r.fill(0, R1, R6);
    r[0] = 0;
    r[1] = 0;
    if (at < 0) {
      this.#leave();
      return;
    }
    const { view } = this.#memory;
    r[0] = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getInt32(at);
  }

  /**
   * Executes up to `count` instructions, fewer when the program ends.
   * @throws VmFault with the instruction that did what it must not.
   */
  execute(count: number): void {
    const memory = this.#memory;
    let left = count;
    let r = this.registers;
    let words = this.code.words;
    let slot = this.slot;
    let { view } = memory;
    try {
      while (left > 0 && !this.done) {
        left--;
        const i = slot * CODE_WORDS;
        const d = words[i + 1]!;
        const s = words[i + 2]!;
        slot++;
        switch (words[i]) {
          case Op.ADD64: {
            const a = r[d]!;
            const sum = (a + r[s]!) | 0;
            r[d + 1] = r[d + 1]! + r[s + 1]! + (sum >>> 0 < a >>> 0 ? 1 : 0);
            r[d] = sum;
            break;
          }
          case Op.SUB64: {
            const a = r[d]!;
            const b = r[s]!;
            r[d + 1] = r[d + 1]! - r[s + 1]! - (a >>> 0 < b >>> 0 ? 1 : 0);
            r[d] = a - b;
            break;
          }
          case Op.MUL64:
            multiply64(r, d, s);
            break;
          case Op.DIV64:
            divide64(r, d, s);
            break;
          case Op.OR64:
            r[d]! |= r[s]!;
            r[d + 1]! |= r[s + 1]!;
            break;
          case Op.AND64:
            r[d]! &= r[s]!;
            r[d + 1]! &= r[s + 1]!;
            break;
          case Op.LSH64: {
            const n = r[s]! & 63;
            if (n >= 32) {
              r[d + 1] = r[d]! << (n - 32);
              r[d] = 0;
            } else if (n > 0) {
              r[d + 1] = (r[d + 1]! << n) | (r[d]! >>> (32 - n));
              r[d] = r[d]! << n;
            }
            break;
          }
          case Op.RSH64: {
            const n = r[s]! & 63;
            if (n >= 32) {
              r[d] = r[d + 1]! >>> (n - 32);
              r[d + 1] = 0;
            } else if (n > 0) {
              r[d] = (r[d]! >>> n) | (r[d + 1]! << (32 - n));
              r[d + 1] = r[d + 1]! >>> n;
            }
            break;
          }
          case Op.ARSH64: {
            const n = r[s]! & 63;
            if (n >= 32) {
              r[d] = r[d + 1]! >> (n - 32);
              r[d + 1] = r[d + 1]! >> 31;
            } else if (n > 0) {
              r[d] = (r[d]! >>> n) | (r[d + 1]! << (32 - n));
              r[d + 1] = r[d + 1]! >> n;
            }
            break;
          }
          case Op.NEG64: {
            const a = r[d]!;
            r[d] = -a;
            r[d + 1] = ~r[d + 1]! + (a === 0 ? 1 : 0);
            break;
          }
          case Op.MOD64:
            modulo64(r, d, s);
            break;
          case Op.XOR64:
            r[d]! ^= r[s]!;
            r[d + 1]! ^= r[s + 1]!;
            break;
          case Op.MOV64:
            r[d] = r[s]!;
            r[d + 1] = r[s + 1]!;
            break;
          case Op.LD_IMM64:
            r[d] = r[s]!;
            r[d + 1] = r[s + 1]!;
            slot++;
            break;
          case Op.SDIV64:
            divideSigned64(r, d, s);
            break;
          case Op.SMOD64:
            moduloSigned64(r, d, s);
            break;
          case Op.ADD32:
            r[d] = r[d]! + r[s]!;
            r[d + 1] = 0;
            break;
          case Op.SUB32:
            r[d] = r[d]! - r[s]!;
            r[d + 1] = 0;
            break;
          case Op.MUL32:
            r[d] = Math.imul(r[d]!, r[s]!);
            r[d + 1] = 0;
            break;
          case Op.DIV32:
            r[d] = r[s] === 0 ? 0 : (r[d]! >>> 0) / (r[s]! >>> 0);
            r[d + 1] = 0;
            break;
          case Op.OR32:
            r[d]! |= r[s]!;
            r[d + 1] = 0;
            break;
          case Op.AND32:
            r[d]! &= r[s]!;
            r[d + 1] = 0;
            break;
          case Op.LSH32:
            r[d] = r[d]! << r[s]!;
            r[d + 1] = 0;
            break;
          case Op.RSH32:
            r[d] = r[d]! >>> r[s]!;
            r[d + 1] = 0;
            break;
          case Op.NEG32:
            r[d] = -r[d]!;
            r[d + 1] = 0;
            break;
          case Op.MOD32:
            if (r[s] !== 0) r[d] = (r[d]! >>> 0) % (r[s]! >>> 0);
            r[d + 1] = 0;
            break;
          case Op.XOR32:
            r[d]! ^= r[s]!;
            r[d + 1] = 0;
            break;
          case Op.MOV32:
            r[d] = r[s]!;
            r[d + 1] = 0;
            break;
          case Op.ARSH32:
            r[d] = r[d]! >> r[s]!;
            r[d + 1] = 0;
            break;
          case Op.SDIV32:
            r[d] = r[s] === 0 ? 0 : r[d]! / r[s]!;
            r[d + 1] = 0;
            break;
          case Op.SMOD32:
            if (r[s] !== 0) r[d] = r[d]! % r[s]!;
            r[d + 1] = 0;
            break;
          case Op.LE16:
            r[d]! &= 0xffff;
            r[d + 1] = 0;
            break;
          case Op.LE32:
            r[d + 1] = 0;
            break;
          case Op.LE64:
            break;
          case Op.SWAP16: {
            const a = r[d]!;
            r[d] = ((a & 0xff) << 8) | ((a >>> 8) & 0xff);
            r[d + 1] = 0;
            break;
          }
          case Op.SWAP32:
            r[d] = swap32(r[d]!);
            r[d + 1] = 0;
            break;
          case Op.SWAP64: {
            const low = r[d]!;
            r[d] = swap32(r[d + 1]!);
            r[d + 1] = swap32(low);
            break;
          }
          case Op.SX64_8:
            r[d] = (r[s]! << 24) >> 24;
            r[d + 1] = r[d]! >> 31;
            break;
          case Op.SX64_16:
            r[d] = (r[s]! << 16) >> 16;
            r[d + 1] = r[d]! >> 31;
            break;
          case Op.SX64_32:
            r[d] = r[s]!;
            r[d + 1] = r[d]! >> 31;
            break;
          case Op.SX32_8:
            r[d] = (r[s]! << 24) >> 24;
            r[d + 1] = 0;
            break;
          case Op.SX32_16:
            r[d] = (r[s]! << 16) >> 16;
            r[d + 1] = 0;
            break;
          case Op.LDX8:
            this.slot = slot;
            r[d] = view.getUint8(this.#from(s, words[i + 3]!, 1));
            r[d + 1] = 0;
            break;
          case Op.LDX16:
            this.slot = slot;
            r[d] = view.getUint16(this.#from(s, words[i + 3]!, 2), true);
            r[d + 1] = 0;
            break;
          case Op.LDX32:
            this.slot = slot;
            r[d] = view.getInt32(this.#from(s, words[i + 3]!, 4), true);
            r[d + 1] = 0;
            break;
          case Op.LDX64: {
            this.slot = slot;
            const at = this.#from(s, words[i + 3]!, 8);
            r[d] = view.getInt32(at, true);
            r[d + 1] = view.getInt32(at + 4, true);
            break;
          }
          case Op.LDXS8:
            this.slot = slot;
            r[d] = view.getInt8(this.#from(s, words[i + 3]!, 1));
            r[d + 1] = r[d]! >> 31;
            break;
          case Op.LDXS16:
            this.slot = slot;
            r[d] = view.getInt16(this.#from(s, words[i + 3]!, 2), true);
            r[d + 1] = r[d]! >> 31;
            break;
          case Op.LDXS32:
            this.slot = slot;
            r[d] = view.getInt32(this.#from(s, words[i + 3]!, 4), true);
            r[d + 1] = r[d]! >> 31;
            break;
          case Op.STX8:
            this.slot = slot;
            view.setInt8(this.#to(d, words[i + 3]!, 1), r[s]!);
            if (this.#hooked >= 0) this.#written(1);
            break;
          case Op.STX16:
            this.slot = slot;
            view.setInt16(this.#to(d, words[i + 3]!, 2), r[s]!, true);
            if (this.#hooked >= 0) this.#written(2);
            break;
          case Op.STX32:
            this.slot = slot;
            view.setInt32(this.#to(d, words[i + 3]!, 4), r[s]!, true);
            if (this.#hooked >= 0) this.#written(4);
            break;
          case Op.STX64: {
            this.slot = slot;
            const at = this.#to(d, words[i + 3]!, 8);
            view.setInt32(at, r[s]!, true);
            view.setInt32(at + 4, r[s + 1]!, true);
            if (this.#hooked >= 0) this.#written(8);
            break;
          }
          case Op.ATOMIC32:
            this.slot = slot;
            this.#atomic(d, s, words[i + 3]!, 4);
            break;
          case Op.ATOMIC64:
            this.slot = slot;
            this.#atomic(d, s, words[i + 3]!, 8);
            break;
          case Op.LD_ABS8:
          case Op.LD_IND8:
            this.slot = slot;
            this.#packetLoad(s, words[i + 3]!, 1);
            r = this.registers;
            words = this.code.words;
            slot = this.slot;
            break;
          case Op.LD_ABS16:
          case Op.LD_IND16:
            this.slot = slot;
            this.#packetLoad(s, words[i + 3]!, 2);
            r = this.registers;
            words = this.code.words;
            slot = this.slot;
            break;
          case Op.LD_ABS32:
          case Op.LD_IND32:
            this.slot = slot;
            this.#packetLoad(s, words[i + 3]!, 4);
            r = this.registers;
            words = this.code.words;
            slot = this.slot;
            break;
          case Op.JA:
            slot = words[i + 3]!;
            break;
          case Op.MAY_GOTO:
            if (this.#loops[this.depth]! >= BPF_MAX_LOOPS) slot = words[i + 3]!;
            else this.#loops[this.depth]!++;
            break;
          case Op.JEQ64:
            if (r[d] === r[s] && r[d + 1] === r[s + 1]) slot = words[i + 3]!;
            break;
          case Op.JNE64:
            if (r[d] !== r[s] || r[d + 1] !== r[s + 1]) slot = words[i + 3]!;
            break;
          case Op.JGT64: {
            const a = r[d + 1]! >>> 0;
            const b = r[s + 1]! >>> 0;
            if (a > b || (a === b && r[d]! >>> 0 > r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JGE64: {
            const a = r[d + 1]! >>> 0;
            const b = r[s + 1]! >>> 0;
            if (a > b || (a === b && r[d]! >>> 0 >= r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JLT64: {
            const a = r[d + 1]! >>> 0;
            const b = r[s + 1]! >>> 0;
            if (a < b || (a === b && r[d]! >>> 0 < r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JLE64: {
            const a = r[d + 1]! >>> 0;
            const b = r[s + 1]! >>> 0;
            if (a < b || (a === b && r[d]! >>> 0 <= r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JSET64:
            if (((r[d]! & r[s]!) | (r[d + 1]! & r[s + 1]!)) !== 0) slot = words[i + 3]!;
            break;
          case Op.JSGT64: {
            const a = r[d + 1]!;
            const b = r[s + 1]!;
            if (a > b || (a === b && r[d]! >>> 0 > r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JSGE64: {
            const a = r[d + 1]!;
            const b = r[s + 1]!;
            if (a > b || (a === b && r[d]! >>> 0 >= r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JSLT64: {
            const a = r[d + 1]!;
            const b = r[s + 1]!;
            if (a < b || (a === b && r[d]! >>> 0 < r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JSLE64: {
            const a = r[d + 1]!;
            const b = r[s + 1]!;
            if (a < b || (a === b && r[d]! >>> 0 <= r[s]! >>> 0)) slot = words[i + 3]!;
            break;
          }
          case Op.JEQ32:
            if (r[d] === r[s]) slot = words[i + 3]!;
            break;
          case Op.JNE32:
            if (r[d] !== r[s]) slot = words[i + 3]!;
            break;
          case Op.JGT32:
            if (r[d]! >>> 0 > r[s]! >>> 0) slot = words[i + 3]!;
            break;
          case Op.JGE32:
            if (r[d]! >>> 0 >= r[s]! >>> 0) slot = words[i + 3]!;
            break;
          case Op.JLT32:
            if (r[d]! >>> 0 < r[s]! >>> 0) slot = words[i + 3]!;
            break;
          case Op.JLE32:
            if (r[d]! >>> 0 <= r[s]! >>> 0) slot = words[i + 3]!;
            break;
          case Op.JSET32:
            if ((r[d]! & r[s]!) !== 0) slot = words[i + 3]!;
            break;
          case Op.JSGT32:
            if (r[d]! > r[s]!) slot = words[i + 3]!;
            break;
          case Op.JSGE32:
            if (r[d]! >= r[s]!) slot = words[i + 3]!;
            break;
          case Op.JSLT32:
            if (r[d]! < r[s]!) slot = words[i + 3]!;
            break;
          case Op.JSLE32:
            if (r[d]! <= r[s]!) slot = words[i + 3]!;
            break;
          case Op.CALL:
            this.slot = slot;
            this.#push(this.code, words[i + 3]!, null);
            slot = this.slot;
            break;
          case Op.HELPER:
          case Op.KFUNC:
          case Op.EXIT:
            this.slot = slot;
            if (words[i] === Op.EXIT) this.#leave();
            else if (words[i] === Op.HELPER) this.#helper(words[i + 3]!);
            else this.#kfunc(words[i + 3]!, d);
            r = this.registers;
            words = this.code.words;
            slot = this.slot;
            view = memory.view;
            break;
          default:
            this.slot = slot;
            throw this.#fault("instruction", this.code.faults.get(slot - 1) ?? "there is no such instruction");
        }
      }
      this.slot = slot;
    } finally {
      this.executed += count - left;
    }
  }
}
