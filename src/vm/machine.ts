// SPDX-License-Identifier: MIT
import { helperById } from "../kernel/helpers/index.js";
import { Limit } from "../kernel/limits.js";
import type { ProgramLoad } from "../model/load.js";
import { type Code, type Constant, decodeProgram } from "./code.js";
import { completeEnvironment, type Environment } from "./environment.js";
import { type FaultDetails, type FaultKind, formatAddress, VmFault } from "./fault.js";
import { createMap } from "./maps/create.js";
import type { VmMap } from "./maps/map.js";
import { MAX_FRAMES, Memory, RegionFlag, type RegionOwner, ROW_WORDS, toU64 } from "./memory.js";
import type { Packet } from "./packet.js";

/** Calls of one function of the program by a helper. */
export interface Callback {
  readonly code: Code;
  /** First slot of the function. */
  readonly slot: number;
  /** Calls so far; all that changes, so that one can go back. */
  index: number;
  /**
   * Called first, and with R0 in the machine's arguments after each call. True: the arguments are set for another call;
   * false: the result is set.
   */
  next(): boolean;
}

/** A helper: reads its arguments and sets the result (0 when it does not). */
// biome-ignore lint/suspicious/noConfusingVoidType: most helpers call nothing back
export type Helper = (machine: Machine) => Callback | void;

/** A helper or kernel function of the user's: R1 to R5, unsigned; gives R0. */
export type Fake = (
  machine: Machine,
  ...args: readonly [bigint, bigint, bigint, bigint, bigint]
) => bigint | number | undefined;

/** What runs programs. */
export interface Engine {
  /** Runs a program to its end; R0 stands in the memory's arguments. Instructions executed are in the machine. */
  run(code: Code, ctxLow: number, ctxHigh: number): void;
}

/** What a program did that a test can look at. */
export interface Effects {
  /** Lines of bpf_trace_printk() and bpf_trace_vprintk(). */
  readonly printed: string[];
  /** Redirections and the like, in order. */
  readonly actions: Action[];
}

/** Something that a kernel would have done with the packet. */
export interface Action {
  /** The helper, without `bpf_`. */
  readonly helper: string;
  readonly args: Readonly<Record<string, number | bigint | string>>;
}

/** Tries of may_goto and turns of bpf_loop() in one call. */
export const BPF_MAX_LOOPS = 8 * 1024 * 1024;

/** How a machine is made. */
export interface MachineOptions {
  readonly environment?: Partial<Environment>;
  /** Helpers by number. */
  readonly helpers: readonly (Helper | undefined)[];
  /** Kernel functions by BTF id. */
  readonly kfuncs?: Readonly<Record<number, Fake>>;
  /** Instructions that one run may execute. */
  readonly budget: number;
  /** Moves addresses about; for finding out what depends on them. */
  readonly spread?: number;
  /** Gives the map at an index of a program's table; by default each program has maps of its own. */
  readonly mapOf?: (load: ProgramLoad, index: number) => VmMap | undefined;
}

/** The state that a program runs in: memory, maps, world. Engines run programs on it. */
export class Machine {
  readonly memory: Memory;
  readonly environment: Environment;
  readonly budget: number;
  readonly maxFrames: number = MAX_FRAMES;
  readonly maxTailCalls: number = Limit.MAX_TAIL_CALL_CNT;
  readonly effects: Effects = { printed: [], actions: [] };
  /** The packet of the run, null without one. */
  packet: Packet | null = null;
  /** Instructions that the last run executed. */
  executed = 0;
  /** The program and instruction that called a helper. */
  code: Code | null = null;
  slot = -1;
  /** Frame that called a helper. */
  depth = 0;
  /** Set by bpf_tail_call(): the program to go on with. */
  tailCall: Code | null = null;
  /** The context of the run when it is one with a packet. */
  context: RegionOwner | null = null;

  readonly #helpers: readonly (Helper | undefined)[];
  readonly #kfuncs: Readonly<Record<number, Fake>>;
  readonly #mapOf: ((load: ProgramLoad, index: number) => VmMap | undefined) | undefined;
  readonly #maps = new Map<ProgramLoad, VmMap[]>();
  readonly #symbols = new Map<number, number>();
  readonly #keyRegions = new Map<number, number>();
  readonly #functions: { readonly region: number; readonly code: Code; readonly slot: number }[] = [];

  constructor(options: MachineOptions) {
    this.memory = new Memory(options.spread);
    this.environment = completeEnvironment(options.environment);
    this.budget = options.budget;
    this.#helpers = options.helpers;
    this.#kfuncs = options.kfuncs ?? {};
    this.#mapOf = options.mapOf;
  }

  /** The maps of a program, in its table's order. */
  maps(load: ProgramLoad): readonly VmMap[] {
    let maps = this.#maps.get(load);
    if (maps === undefined) {
      const { cpus, cpu } = this.environment;
      const context = { memory: this.memory, cpus, cpu, programBtf: load.btf };
      maps = load.maps.map((map, i) => this.#mapOf?.(load, i) ?? createMap(context, map));
      this.#maps.set(load, maps);
    }
    return maps;
  }

  /** The program's constants as halves. */
  constants(code: Code): Int32Array {
    const words = new Int32Array(2 * code.constants.length);
    code.constants.forEach((constant, i) => {
      const [low, high] = this.#constant(code, constant);
      words[2 * i] = low;
      words[2 * i + 1] = high;
    });
    return words;
  }

  #constant(code: Code, constant: Constant): readonly [low: number, high: number] {
    const { memory } = this;
    const of = (region: number, offset = 0): readonly [number, number] => [
      (memory.regionLow(region) + offset) | 0,
      memory.regionHigh(region),
    ];
    switch (constant.kind) {
      case "number":
        return [constant.low, constant.high];
      case "map": {
        const map = this.maps(code.load)[constant.map];
        return map === undefined ? [0, 0] : of(map.region);
      }
      case "value": {
        const map = this.maps(code.load)[constant.map];
        if (map === undefined || map.load.keySize !== 4) return [0, 0];
        const region = map.lookup(memory.allocate(4), this.environment.cpu);
        return region < 0 ? [0, 0] : of(region, constant.offset);
      }
      case "function": {
        const region = memory.region(0, 0, { what: `function at ${constant.slot}` });
        this.#functions.push({ region, code, slot: constant.slot });
        return of(region);
      }
      case "symbol": {
        let region = this.#symbols.get(constant.btfId);
        if (region === undefined) {
          region = memory.region(0, 0, { what: `the kernel's symbol ${constant.btfId}` });
          this.#symbols.set(constant.btfId, region);
        }
        return of(region);
      }
    }
  }

  /** A fault at the current instruction. */
  fault(kind: FaultKind, message: string, details?: FaultDetails): VmFault {
    return new VmFault(kind, this.slot, message, details);
  }

  /** The fault of an access that failed; says whether nothing is there, or what is shorter, or read-only. */
  accessFault(slot: number, low: number, high: number, size: number, write: boolean): VmFault {
    const { memory } = this;
    const address = toU64(low, high);
    const region = memory.regionOf(high);
    const act = write ? "write" : "read";
    const at = `${act} of ${size} bytes at ${formatAddress(address)}`;
    const details = { address, size };
    const room = memory.regionSize(region);
    const offset = low - memory.regionLow(region);
    if (region < 0) return new VmFault("access", slot, `${at}: nothing is there`, details);
    const what = memory.owner(region)?.what ?? "nothing";
    if (memory.find(low, high, size) >= 0 && write) {
      return new VmFault("write", slot, `${at}: ${what} is read-only`, details);
    }
    return new VmFault("access", slot, `${at}: outside of ${what} (offset ${offset} of ${room} bytes)`, details);
  }

  /**
   * Calls a helper with the arguments in memory. The result stands there after it; or calls of a function are wanted.
   * @throws VmFault when there is none.
   */
  callHelper(id: number): Callback | null {
    const helper = this.#helpers[id];
    const { args } = this.memory;
    args[0] = 0;
    args[1] = 0;
    if (helper === undefined) {
      const name = helperById(id);
      throw this.fault(
        "helper",
        name === undefined ? `there is no helper ${id}` : `bpf_${name}() needs a kernel, or a fake`,
      );
    }
    return helper(this) ?? null;
  }

  /** Calls a kernel function, which is always the user's. */
  callKfunc(btfId: number, off: number): void {
    const fake = this.#kfuncs[btfId];
    if (fake === undefined) {
      throw this.fault(
        "helper",
        `kernel function ${btfId}${off === 0 ? "" : ` of module ${off}`} needs a kernel, or a fake`,
      );
    }
    this.callFake(fake);
  }

  callFake(fake: Fake): void {
    const result = fake(this, this.u64(1), this.u64(2), this.u64(3), this.u64(4), this.u64(5));
    this.setResult(BigInt(result ?? 0));
  }

  /* Arguments and results of helpers. */

  /** Lower half of R1 to R5, signed. */
  low(n: number): number {
    return this.memory.args[2 * n]!;
  }

  high(n: number): number {
    return this.memory.args[2 * n + 1]!;
  }

  u64(n: number): bigint {
    return toU64(this.low(n), this.high(n));
  }

  /** The lower half, unsigned. */
  u32(n: number): number {
    return this.low(n) >>> 0;
  }

  /** Flags: 64 bits of which only the lower ones mean something; anything above is made a bit that nobody knows. */
  flags(n: number): number {
    return this.high(n) !== 0 || this.low(n) < 0 ? 0x4000_0000 | (this.low(n) & 0x3fff_ffff) : this.low(n);
  }

  isNull(n: number): boolean {
    return (this.low(n) | this.high(n)) === 0;
  }

  /** Where the memory lies that an argument points to. */
  at(n: number, size: number, write = false): number {
    return this.place(this.low(n), this.high(n), size, write);
  }

  place(low: number, high: number, size: number, write = false): number {
    const at = this.memory.find(low, high, size);
    if (at < 0) {
      // Of nothing any address will do.
      if (size === 0) return 0;
      throw this.accessFault(this.slot, low, high, size, write);
    }
    if (write) {
      const flags = this.memory.rows[this.memory.regionOf(high) * ROW_WORDS + 3]!;
      if ((flags & RegionFlag.READ_ONLY) !== 0) throw this.accessFault(this.slot, low, high, size, true);
    }
    return at;
  }

  /** A size in an argument; the verifier bounds sizes to 2^29. */
  size(n: number): number {
    if (this.high(n) !== 0 || this.low(n) < 0) {
      throw this.fault("argument", `R${n} is no size: ${BigInt.asIntN(64, this.u64(n))}`);
    }
    return this.low(n);
  }

  /** What an argument points to. */
  ownerOf(n: number): RegionOwner | undefined {
    const region = this.memory.regionOf(this.high(n));
    return region < 0 ? undefined : this.memory.owner(region);
  }

  /** The map that an argument points to. */
  map<T extends VmMap>(n: number, kind: abstract new (...args: never[]) => T): T {
    const owner = this.ownerOf(n);
    if (owner instanceof kind) return owner;
    throw this.fault("argument", `R${n} is not a map that this helper takes`);
  }

  /** The function that an argument points to. */
  functionOf(n: number): { readonly code: Code; readonly slot: number } {
    const region = this.memory.regionOf(this.high(n));
    const found = this.#functions.find((it) => it.region === region);
    if (found === undefined) throw this.fault("argument", `R${n} is no function`);
    return found;
  }

  /** Sets an argument for a callback. */
  setArg(n: number, low: number, high: number): void {
    this.memory.args[2 * n] = low;
    this.memory.args[2 * n + 1] = high;
  }

  setPointer(n: number, region: number, offset = 0): void {
    this.setArg(n, (this.memory.regionLow(region) + offset) | 0, this.memory.regionHigh(region));
  }

  /** Sets R0 to a pointer, null for a region of -1. */
  setResultPointer(region: number): void {
    if (region < 0) this.setArg(0, 0, 0);
    else this.setPointer(0, region);
  }

  setResult(value: bigint): void {
    this.setArg(0, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
  }

  /** Sets R0 to a number, negative ones with their sign; up to 32 bits. */
  setNumber(value: number): void {
    this.setArg(0, value | 0, value < 0 ? -1 : 0);
  }

  /** A region for a key that a callback is shown: read-only, and the same one for the same key. */
  keyRegion(at: number, size: number): number {
    let region = this.#keyRegions.get(at);
    if (region === undefined) {
      region = this.memory.region(at, size, { what: "a map's key" }, RegionFlag.READ_ONLY);
      this.#keyRegions.set(at, region);
    }
    return region;
  }

  decode(load: ProgramLoad): Code {
    return decodeProgram(load);
  }

  /** Notes what a kernel would have done. */
  act(helper: string, args: Action["args"]): void {
    this.effects.actions.push({ helper, args });
    this.memory.undo?.push(() => this.effects.actions.pop());
  }
}
