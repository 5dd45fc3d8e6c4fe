// SPDX-License-Identifier: MIT
import { CODE_WORDS, type Code, Op } from "../code.js";
import type { Callback, Engine, Machine } from "../machine.js";
import { ARGS_AT, MAX_FRAMES, ROW_WORDS, STACK_REGION } from "../memory.js";
import { WASM_PAGE, type WasmFunction, type WasmGlobal, type WasmMemory, wasm } from "./api.js";
import { Uncompilable } from "./flow.js";
import { FunctionCompiler, Global, HelperAnswer, IMPORTS, StopReason } from "./function.js";
import { T, W, WasmWriter } from "./writer.js";

/** A compiled program: its functions by their first slots, called with a depth; arguments and result stand in memory. */
interface Compiled {
  readonly functions: ReadonlyMap<number, WasmFunction>;
  readonly tableAt: WasmGlobal;
  readonly count: WasmGlobal;
  readonly left: WasmGlobal;
}

const MAX_PAGES = 32767;
/** Types of imports and functions, by what or how many numbers they take. */
const Type = { helper: 0, five: 1, two: 2, packet: 3, func: 4, entry: 5, three: 6 } as const;

/** Runs programs that were compiled to WebAssembly; memory and helpers are the interpreter's. */
export class WasmEngine implements Engine {
  readonly #machine: Machine;
  readonly #memory: WasmMemory;
  readonly #compiled = new Map<Code, Compiled>();
  #tailCalls = 0;
  /** Programs under way, the innermost last: all of them count down the same budget. */
  readonly #running: Compiled[] = [];

  /** @throws Uncompilable where there is no WebAssembly. */
  constructor(machine: Machine) {
    if (wasm === undefined) throw new Uncompilable("there is no WebAssembly");
    this.#machine = machine;
    const { memory } = machine;
    const pages = Math.ceil(memory.bytes.length / WASM_PAGE);
    const own = new wasm.Memory({ initial: pages, maximum: MAX_PAGES });
    this.#memory = own;
    memory.moveTo(pages * WASM_PAGE, own.buffer, (bytes) => {
      own.grow(Math.ceil((bytes - own.buffer.byteLength) / WASM_PAGE));
      return own.buffer;
    });
    memory.onChange = () => this.#follow();
  }

  /** @throws Uncompilable */
  prepare(code: Code): void {
    this.#compile(code);
  }

  #follow(): void {
    const { memory } = this.#machine;
    for (const { tableAt, count } of this.#compiled.values()) {
      tableAt.value = memory.tableAt;
      count.value = memory.count;
    }
  }

  run(code: Code, ctxLow: number, ctxHigh: number): void {
    const machine = this.#machine;
    const { memory } = machine;
    const compiled = this.#compile(code);
    this.#tailCalls = 0;
    for (let frame = 0; frame < MAX_FRAMES; frame++) memory.rows[(STACK_REGION + frame) * ROW_WORDS + 1] = 0;
    memory.args.fill(0);
    memory.args[2] = ctxLow;
    memory.args[3] = ctxHigh;
    compiled.left.value = BigInt(machine.budget);
    this.#running.length = 0;
    try {
      this.#enter(compiled, 0, 0);
    } finally {
      machine.executed = machine.budget - Number(compiled.left.value);
    }
  }

  /** Calls a function; what it used up of the budget is taken from the caller's program too. */
  #enter(compiled: Compiled, slot: number, depth: number): void {
    const outer = this.#running.at(-1);
    if (outer !== undefined && outer !== compiled) compiled.left.value = outer.left.value;
    this.#running.push(compiled);
    try {
      compiled.functions.get(slot)!(depth);
    } finally {
      this.#running.pop();
      if (outer !== undefined && outer !== compiled) outer.left.value = compiled.left.value;
    }
  }

  #helper(code: Code, id: number, slot: number, depth: number): number {
    const machine = this.#machine;
    machine.code = code;
    machine.slot = slot;
    machine.depth = depth;
    const callback = machine.callHelper(id);
    if (callback !== null) return this.#callBack(callback, depth);
    const to = machine.tailCall;
    if (to === null) return HelperAnswer.done;
    machine.tailCall = null;
    if (this.#tailCalls >= machine.maxTailCalls) return HelperAnswer.done;
    this.#tailCalls++;
    const { args } = machine.memory;
    args.fill(0, 4);
    this.#enter(this.#compile(to), 0, depth);
    return HelperAnswer.leave;
  }

  #callBack(callback: Callback, depth: number): number {
    const compiled = this.#compile(callback.code);
    while (callback.next()) this.#enter(compiled, callback.slot, depth + 1);
    return HelperAnswer.calledBack;
  }

  #stop(code: Code, reason: number, slot: number): never {
    const machine = this.#machine;
    machine.slot = slot;
    if (reason === StopReason.budget) {
      throw machine.fault("budget", `the program goes on after the ${machine.budget} instructions that it may execute`);
    }
    if (reason === StopReason.depth) {
      throw machine.fault("depth", `more than ${machine.maxFrames} calls in one another`);
    }
    throw machine.fault("instruction", code.faults.get(slot) ?? "there is no such instruction");
  }

  #compile(code: Code): Compiled {
    let compiled = this.#compiled.get(code);
    if (compiled === undefined) {
      compiled = this.#instantiate(code);
      this.#compiled.set(code, compiled);
      this.#follow();
    }
    return compiled;
  }

  #instantiate(code: Code): Compiled {
    const machine = this.#machine;
    const constants = machine.constants(code);
    const bytes = moduleOf(code, constants, machine);
    const module = new wasm!.Module(bytes);
    const { exports } = new wasm!.Instance(module, {
      vm: {
        memory: this.#memory,
        helper: (id: number, slot: number, depth: number) => this.#helper(code, id, slot, depth),
        fault: (slot: number, low: number, high: number, size: number, write: number) => {
          throw machine.accessFault(slot, low, high, size, write !== 0);
        },
        stop: (reason: number, slot: number) => this.#stop(code, reason, slot),
        hook: (region: number, offset: number, size: number) => machine.memory.owner(region)?.written?.(offset, size),
        packet: (offset: number, size: number) => machine.packet?.classic(offset, size) ?? -1,
        kfunc: (id: number, off: number, slot: number) => {
          machine.code = code;
          machine.slot = slot;
          machine.callKfunc(id, off);
        },
      },
    });
    return {
      functions: new Map(code.functions.map((slot) => [slot, exports[`f${slot}`] as WasmFunction])),
      tableAt: exports.tableAt as WasmGlobal,
      count: exports.count as WasmGlobal,
      left: exports.left as WasmGlobal,
    };
  }
}

/** A program with fewer loops and callbacks than one is not worth compiling before it ran a few times. */
export function isWorthCompiling({ words }: Code): boolean {
  for (let at = 0; at < words.length; at += CODE_WORDS) {
    const operation = words[at]!;
    const jumps = operation === Op.JA || (operation >= Op.MAY_GOTO && operation <= Op.JSLE32);
    if (jumps && words[at + 3]! * CODE_WORDS <= at) return true;
  }
  return false;
}

const SECTION = { type: 1, import: 2, function: 3, global: 6, export: 7, code: 10 } as const;
const KIND = { func: 0, memory: 2, global: 3 } as const;

/**
 * The module of a program.
 * @throws Uncompilable
 */
function moduleOf(code: Code, constants: Int32Array, machine: Machine): Uint8Array {
  const { functions, insns } = code;
  const functionAt = new Map(functions.map((slot, i) => [slot, i]));
  const all = { code, constants, functionAt, stackStart: machine.memory.stackStart, maxFrames: machine.maxFrames };
  const bodies = functions.map((slot, i) => {
    if (slot >= insns.length) throw new Uncompilable("a call leads nowhere");
    return new FunctionCompiler(all, slot, functions[i + 1] ?? insns.length).compile();
  });
  const out = new WasmWriter().byte(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
  const section = (id: number, content: WasmWriter): void => {
    out.byte(id).sized(content);
  };
  section(SECTION.type, types());
  section(SECTION.import, imports());
  const twice = functions.length * 2;
  const kinds = new WasmWriter().u32(twice);
  for (let i = 0; i < functions.length; i++) kinds.u32(Type.func);
  for (let i = 0; i < functions.length; i++) kinds.u32(Type.entry);
  section(SECTION.function, kinds);
  const globals = new WasmWriter().u32(3);
  globals
    .byte(T.i32, 1, W.i32_const, 0, W.end)
    .byte(T.i32, 1, W.i32_const, 0, W.end)
    .byte(T.i64, 1, W.i64_const, 0, W.end);
  section(SECTION.global, globals);
  const exports = new WasmWriter().u32(functions.length + 3);
  functions.forEach((slot, i) => {
    exports
      .name(`f${slot}`)
      .byte(KIND.func)
      .u32(IMPORTS + functions.length + i);
  });
  for (const [name, index] of Object.entries(Global)) exports.name(name).byte(KIND.global).u32(index);
  section(SECTION.export, exports);
  const content = new WasmWriter().u32(twice);
  for (const body of bodies) content.sized(body);
  for (let i = 0; i < functions.length; i++) content.sized(entry(IMPORTS + i));
  section(SECTION.code, content);
  return out.finish();
}

function types(): WasmWriter {
  const out = new WasmWriter().u32(7);
  const type = (params: readonly number[], results: readonly number[]): void => {
    out
      .byte(T.func)
      .u32(params.length)
      .byte(...params)
      .u32(results.length)
      .byte(...results);
  };
  const { i32, i64 } = T;
  type([i32, i32, i32], [i32]);
  type([i32, i32, i32, i32, i32], []);
  type([i32, i32], []);
  type([i32, i32], [i32]);
  type([i64, i64, i64, i64, i64, i32], [i64]);
  type([i32], []);
  type([i32, i32, i32], []);
  return out;
}

/** In the order of `Import`. */
function imports(): WasmWriter {
  const out = new WasmWriter().u32(IMPORTS + 1);
  out.name("vm").name("memory").byte(KIND.memory).byte(1).u32(1).u32(MAX_PAGES);
  const rows: readonly (readonly [string, number])[] = [
    ["helper", Type.helper],
    ["fault", Type.five],
    ["stop", Type.two],
    ["hook", Type.three],
    ["packet", Type.packet],
    ["kfunc", Type.three],
  ];
  for (const [name, type] of rows) out.name("vm").name(name).byte(KIND.func).u32(type);
  return out;
}

/** A function for JavaScript to call: arguments come from memory, the result goes there. */
function entry(index: number): WasmWriter {
  const out = new WasmWriter().u32(0);
  out.byte(W.i32_const).s32(0);
  for (let n = 1; n <= 5; n++)
    out
      .byte(W.i32_const)
      .s32(0)
      .byte(W.i64_load, 0)
      .u32(ARGS_AT + 8 * n);
  out.byte(W.local_get).u32(0).byte(W.call).u32(index);
  return out.byte(W.i64_store, 0).u32(ARGS_AT).byte(W.end);
}
