// SPDX-License-Identifier: MIT
import { disasmInsn } from "../asm/disasm.js";
import { CODE_WORDS, FIRST_CONSTANT, Op } from "./code.js";
import { Interpreter, type InterpreterState } from "./interpreter.js";
import type { Undo } from "./memory.js";
import type { PreparedRun } from "./test-run.js";
import type { Vm } from "./vm.js";

/** Why a run stopped. */
export type Stop =
  | { readonly kind: "end"; readonly retval: number }
  | { readonly kind: "breakpoint"; readonly slot: number }
  | {
      readonly kind: "watch";
      readonly slot: number;
      readonly address: bigint;
      readonly before: Uint8Array;
      readonly after: Uint8Array;
    }
  | { readonly kind: "start" }
  | { readonly kind: "limit" };

/** What was, before one instruction. */
interface Change {
  readonly state: InterpreterState;
  readonly undo: Undo[];
}

interface Watch {
  readonly address: bigint;
  readonly at: number;
  readonly size: number;
}

/** Steps that can be taken back when nothing else is said. */
const DEFAULT_HISTORY = 100_000;

/**
 * Runs a program step by step, forwards and backwards: what each instruction changes is noted, and taking it back undoes
 * it, in maps and packets too. Only the environment (time, random numbers) does not go back.
 */
export class Debugger {
  readonly #vm: Vm;
  readonly #interpreter: Interpreter;
  readonly #run: PreparedRun;
  readonly #history: Change[] = [];
  readonly #most: number;
  readonly #breakpoints = new Set<number>();
  readonly #watches: Watch[] = [];

  /**
   * @param run What {@link prepareRun} made of a request.
   * @param history How many steps can be taken back at most; 0 keeps nothing, which is several times faster.
   */
  constructor(vm: Vm, run: PreparedRun, history = DEFAULT_HISTORY) {
    this.#vm = vm;
    this.#run = run;
    this.#most = history;
    this.#interpreter = new Interpreter(vm.machine, vm.code);
    const { memory } = vm.machine;
    vm.clearStack();
    this.#interpreter.start(vm.code, memory.regionLow(run.region), memory.regionHigh(run.region));
  }

  /** The program has ended. */
  get done(): boolean {
    return this.#interpreter.done;
  }

  /** The instruction that comes next. */
  get slot(): number {
    return this.#interpreter.slot;
  }

  /** Frames below the current one. */
  get depth(): number {
    return this.#interpreter.depth;
  }

  /** Instructions so far. */
  get executed(): number {
    return this.#interpreter.executed;
  }

  /** R0 to R10, low and high halves. */
  get registers(): Int32Array {
    return this.#interpreter.registers.subarray(0, FIRST_CONSTANT);
  }

  /** A register, unsigned. */
  register(n: number): bigint {
    const r = this.#interpreter.registers;
    return BigInt.asUintN(64, (BigInt(r[2 * n + 1]!) << 32n) | BigInt(r[2 * n]! >>> 0));
  }

  /** The next instruction as the kernel's disassembler writes it; empty at the end. */
  get text(): string {
    const { code, slot } = this.#interpreter;
    const insn = code.insns[slot];
    return insn === undefined || this.done ? "" : disasmInsn(insn, code.insns[slot + 1]);
  }

  /** Where the frames below go on, the outermost first. */
  get callers(): readonly number[] {
    return this.#interpreter.returnSlots;
  }

  /** Memory as the program would read it; null where nothing is. */
  read(address: bigint, size: number): Uint8Array | null {
    const { memory } = this.#vm.machine;
    const at = memory.find(Number(BigInt.asIntN(32, address)), Number(BigInt.asIntN(32, address >> 32n)), size);
    return at < 0 ? null : memory.copy(at, size);
  }

  /** Stops {@link continue} before an instruction of the program. */
  breakAt(slot: number): void {
    this.#breakpoints.add(slot);
  }

  removeBreak(slot: number): void {
    this.#breakpoints.delete(slot);
  }

  /** Stops {@link continue} after an instruction that changed this memory; false where nothing is. */
  watch(address: bigint, size: number): boolean {
    const { memory } = this.#vm.machine;
    const at = memory.find(Number(BigInt.asIntN(32, address)), Number(BigInt.asIntN(32, address >> 32n)), size);
    if (at < 0) return false;
    this.#watches.push({ address, at, size });
    return true;
  }

  removeWatch(address: bigint): void {
    const at = this.#watches.findIndex((it) => it.address === address);
    if (at >= 0) this.#watches.splice(at, 1);
  }

  /**
   * Executes one instruction; nothing at the end.
   * @throws VmFault when it does what it must not; what it changed before is undone.
   */
  step(): void {
    if (this.done) return;
    const { memory } = this.#vm.machine;
    if (this.#most === 0) {
      this.#interpreter.execute(1);
      return;
    }
    const change: Change = { state: this.#interpreter.save(), undo: [] };
    memory.undo = change.undo;
    try {
      this.#interpreter.execute(1);
    } catch (error) {
      this.#revert(change);
      throw error;
    } finally {
      memory.undo = null;
    }
    this.#history.push(change);
    if (this.#history.length > this.#most) this.#history.shift();
  }

  /** Executes one instruction, and when it is a call, all of what it calls. */
  stepOver(limit = 1_000_000): void {
    const depth = this.depth;
    const { code, slot } = this.#interpreter;
    const operation = code.words[slot * CODE_WORDS];
    this.step();
    if (operation !== Op.CALL && operation !== Op.HELPER) return;
    for (let i = 0; i < limit && !this.done && this.depth > depth; i++) this.step();
  }

  /** Takes the last instruction back; false when there is none to take back. */
  back(): boolean {
    const change = this.#history.pop();
    if (change === undefined) return false;
    this.#revert(change);
    return true;
  }

  #revert({ state, undo }: Change): void {
    const { memory } = this.#vm.machine;
    memory.undo = null;
    for (let i = undo.length - 1; i >= 0; i--) undo[i]!();
    this.#interpreter.restore(state);
  }

  /** Runs to a breakpoint, a watched change or the end, within so many instructions. */
  continue(limit = 10_000_000): Stop {
    for (let i = 0; i < limit; i++) {
      const { slot } = this;
      const before = this.#watches.map(({ at, size }) => this.#vm.machine.memory.copy(at, size));
      this.step();
      const changed = this.#changed(before, slot);
      if (changed !== null) return changed;
      if (this.done) return { kind: "end", retval: this.#vm.machine.memory.args[0]! >>> 0 };
      if (this.#breakpoints.has(this.slot)) return { kind: "breakpoint", slot: this.slot };
    }
    return { kind: "limit" };
  }

  /** Goes back to a breakpoint or the start of what is remembered. */
  continueBack(): Stop {
    while (this.back()) if (this.#breakpoints.has(this.slot)) return { kind: "breakpoint", slot: this.slot };
    return { kind: "start" };
  }

  #changed(before: readonly Uint8Array[], slot: number): Stop | null {
    for (const [i, { address, at, size }] of this.#watches.entries()) {
      const after = this.#vm.machine.memory.copy(at, size);
      const old = before[i]!;
      if (after.some((byte, j) => byte !== old[j])) return { kind: "watch", slot, address, before: old, after };
    }
    return null;
  }

  /** What a test run would give now. */
  result(): ReturnType<PreparedRun["finish"]> {
    return this.#run.finish(this.#vm.machine.memory.args[0]! >>> 0);
  }
}
