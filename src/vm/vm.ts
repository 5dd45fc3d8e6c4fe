// SPDX-License-Identifier: MIT

import type { ProgramLoad } from "../model/load.js";
import { InputError } from "../util/errors.js";
import { type Code, decodeProgram } from "./code.js";
import type { Environment } from "./environment.js";
import { helperTable } from "./helpers/index.js";
import { Interpreter } from "./interpreter.js";
import { type Effects, type Engine, type Fake, Machine } from "./machine.js";
import type { VmMap } from "./maps/map.js";
import { FRAME_SIZE, MAX_FRAMES, STACKS_AT, toU64 } from "./memory.js";
import { isWorthCompiling, WasmEngine } from "./wasm/engine.js";
import { Uncompilable } from "./wasm/flow.js";

/** How a program is run. */
export interface VmOptions {
  /** What programs ask the kernel about the world. */
  readonly environment?: Partial<Environment>;
  /** Helpers of one's own, in place of the machine's or in addition, by name with or without `bpf_`. */
  readonly helpers?: Readonly<Record<string, Fake>>;
  /** Kernel functions by BTF id: the machine has none. */
  readonly kfuncs?: Readonly<Record<number, Fake>>;
  /** Instructions that one run may execute; default a thousand million. */
  readonly budget?: number;
  /**
   * `wasm` compiles the program, which costs about a millisecond; `auto`, the default, does so when it has loops or ran
   * often. What cannot be compiled is interpreted.
   */
  readonly engine?: "auto" | "interpreter" | "wasm";
  /** Moves all addresses: a program whose results differ with it lets addresses out. */
  readonly spread?: number;
  /** What the stack holds before a run; default 0. */
  readonly stackByte?: number;
}

/** Instructions that one run may execute when nothing else is said. */
const DEFAULT_BUDGET = 1_000_000_000;

/** Runs of a program without loops before it is compiled. */
const RUNS_INTERPRETED = 50;

/** A program on a machine of its own, with its maps. */
export class Vm {
  readonly program: ProgramLoad;
  readonly machine: Machine;
  readonly spread: number;
  readonly #code: Code;
  #engine: Engine;
  /** Runs until the program is compiled; infinite when it cannot or must not be. */
  #runsLeft: number;
  readonly #stackByte: number;

  constructor(program: ProgramLoad, options: VmOptions = {}) {
    this.program = program;
    this.spread = options.spread ?? 0;
    this.#stackByte = options.stackByte ?? 0;
    this.machine = new Machine({
      environment: options.environment,
      helpers: helperTable(options.helpers),
      kfuncs: options.kfuncs,
      budget: options.budget ?? DEFAULT_BUDGET,
      spread: options.spread,
    });
    this.#code = decodeProgram(program);
    this.machine.maps(program);
    this.#engine = new Interpreter(this.machine, this.#code);
    const { engine = "auto" } = options;
    if (engine === "interpreter") this.#runsLeft = Number.POSITIVE_INFINITY;
    else this.#runsLeft = engine === "wasm" || isWorthCompiling(this.#code) ? 0 : RUNS_INTERPRETED;
  }

  /** The program's maps, in its table's order. */
  get maps(): readonly VmMap[] {
    return this.machine.maps(this.program);
  }

  /**
   * A map by name.
   * @throws InputError when the program has none of that name.
   */
  map(name: string): VmMap {
    const map = this.maps.find((it) => it.name === name);
    if (map === undefined) {
      const names = this.maps.map((it) => it.name).join(", ");
      throw new InputError(`the program has no map ${name}${names === "" ? "" : `, only ${names}`}`);
    }
    return map;
  }

  /** What the program printed, and what it would have had done with packets. */
  get effects(): Effects {
    return this.machine.effects;
  }

  /** Instructions that the last run executed. */
  get executed(): number {
    return this.machine.executed;
  }

  /** The decoded program. */
  get code(): Code {
    return this.#code;
  }

  /** Fills the stack with what it holds before a run. */
  clearStack(): void {
    this.machine.memory.bytes.fill(this.#stackByte, STACKS_AT, STACKS_AT + MAX_FRAMES * FRAME_SIZE);
  }

  /** R0 as the last run left it, unsigned. */
  get result(): bigint {
    const { args } = this.machine.memory;
    return toU64(args[0]!, args[1]!);
  }

  /** How the program is run now. */
  get engine(): "interpreter" | "wasm" {
    return this.#engine instanceof WasmEngine ? "wasm" : "interpreter";
  }

  #compile(): void {
    this.#runsLeft = Number.POSITIVE_INFINITY;
    try {
      const engine = new WasmEngine(this.machine);
      engine.prepare(this.#code);
      this.#engine = engine;
    } catch (error) {
      if (!(error instanceof Uncompilable)) throw error;
    }
  }

  /** Runs the program once with a region as its context; the lower half of R0, unsigned. */
  run(contextRegion: number): number {
    if (this.#runsLeft-- <= 0) this.#compile();
    const { memory } = this.machine;
    this.clearStack();
    this.#engine.run(this.#code, memory.regionLow(contextRegion), memory.regionHigh(contextRegion));
    return memory.args[0]! >>> 0;
  }
}
