// SPDX-License-Identifier: MIT
import { InputError } from "../../../src/util/errors.js";
import type { RegisterSnapshot, StateSnapshot } from "../../../src/verifier/events.js";
import { verify } from "../../../src/verifier/index.js";
import { Debugger, prepareRun, type Vm, VmFault, VmMap } from "../../../src/vm/index.js";
import { FRAME_SIZE, STACK_REGION } from "../../../src/vm/memory.js";
import { type Case, machineFor, type Place } from "./campaign.js";

/*
 * While an accepted program runs, every register must lie in a state that the verifier had at the instruction. Pruning
 * makes that weaker: a scalar that decided nothing need not be covered by the state that a path was pruned for. Programs
 * with such a hit are counted and left out; in all others, at each step all registers together must lie in one state,
 * except for those that nobody reads again.
 */

/** What became of a program. */
export type Containment =
  | { readonly kind: "contained"; readonly steps: number }
  | { readonly kind: "left out"; readonly why: string }
  | { readonly kind: "outside"; readonly what: string };

type Scalar = Pick<
  RegisterSnapshot,
  | "var_off"
  | "smin_value"
  | "smax_value"
  | "umin_value"
  | "umax_value"
  | "s32_min_value"
  | "s32_max_value"
  | "u32_min_value"
  | "u32_max_value"
>;

/** Bounds as numbers to compare with. */
interface Bounds {
  readonly value: bigint;
  readonly mask: bigint;
  readonly smin: bigint;
  readonly smax: bigint;
  readonly umin: bigint;
  readonly umax: bigint;
  readonly s32: readonly [number, number];
  readonly u32: readonly [number, number];
}

function boundsOf(it: Scalar): Bounds {
  return {
    value: BigInt(it.var_off.value),
    mask: BigInt(it.var_off.mask),
    smin: BigInt(it.smin_value),
    smax: BigInt(it.smax_value),
    umin: BigInt(it.umin_value),
    umax: BigInt(it.umax_value),
    s32: [it.s32_min_value, it.s32_max_value],
    u32: [it.u32_min_value, it.u32_max_value],
  };
}

function holds(bounds: Bounds, x: bigint): boolean {
  const signed = BigInt.asIntN(64, x);
  const low = Number(BigInt.asIntN(32, x));
  return (
    (x & ~bounds.mask) === bounds.value &&
    x >= bounds.umin &&
    x <= bounds.umax &&
    signed >= bounds.smin &&
    signed <= bounds.smax &&
    low >= bounds.s32[0] &&
    low <= bounds.s32[1] &&
    low >>> 0 >= bounds.u32[0] &&
    low >>> 0 <= bounds.u32[1]
  );
}

/** An abstract register, ready to be compared. */
interface Abstract {
  readonly type: string;
  readonly off: number;
  /** Of a pointer to the stack: how many frames below. */
  readonly below: number;
  readonly map: string | null;
  readonly bounds: Bounds;
}

function abstractOf(it: RegisterSnapshot, frame: number): Abstract {
  const below = frame - (it.frameno ?? 0);
  return { type: it.type, off: it.off, below, map: it.map?.name ?? null, bounds: boundsOf(it) };
}

/** Whether the saved scalars cover the current ones in every frame. */
function coversScalars(saved: StateSnapshot, current: StateSnapshot): boolean {
  const covers = (a: RegisterSnapshot | undefined, b: RegisterSnapshot | undefined): boolean => {
    // What holds nothing is not read any more.
    if (a === undefined || b === undefined || a.type !== "scalar" || b.type !== "scalar") return true;
    const [x, y] = [boundsOf(a), boundsOf(b)];
    return (
      (y.mask & ~x.mask) === 0n &&
      (y.value & ~x.mask) === x.value &&
      x.smin <= y.smin &&
      x.smax >= y.smax &&
      x.umin <= y.umin &&
      x.umax >= y.umax &&
      x.s32[0] <= y.s32[0] &&
      x.s32[1] >= y.s32[1] &&
      x.u32[0] <= y.u32[0] &&
      x.u32[1] >= y.u32[1]
    );
  };
  return saved.frames.every((frame, i) => {
    const other = current.frames[i];
    if (other === undefined) return false;
    const registers = Object.entries(frame.registers).every(([name, reg]) => covers(reg, other.registers[name]));
    return (
      registers &&
      frame.stack.every((slot) => {
        const there = other.stack.find(({ fp }) => fp === slot.fp);
        if (slot.spilled === undefined) return slot.types === there?.types || !slot.types.includes("0");
        return there?.spilled !== undefined && covers(slot.spilled, there.spilled);
      })
    );
  });
}

/** Registers that are read again, by instruction: the table that the log begins with. */
function liveRegisters(log: string): ReadonlyMap<number, string> {
  const rows = log.matchAll(/^[ \d]{4}? *(\d+): ([\d.]{10}) \(/gm);
  return new Map([...rows].map(([, slot, live]) => [Number(slot), live!]));
}

interface Walk {
  /** States by instruction: R0 to R10 of the innermost frame, and how deep it is. */
  readonly states: ReadonlyMap<number, readonly (readonly (Abstract | null)[])[]>;
  readonly loose: boolean;
}

const NAMES = Array.from({ length: 11 }, (_, i) => `R${i}`);
const MAX_STATES = 20_000;

function walk(it: Case): Walk | null {
  const states = new Map<number, (Abstract | null)[][]>();
  let loose = false;
  let count = 0;
  const { log } = verify(it.load, { logLevel: 2 });
  const live = liveRegisters(log);
  const result = verify(it.load, {
    events: (event) => {
      if (event.kind === "enter" && count++ < MAX_STATES) {
        const frame = event.state.snapshot().frames.at(-1)!;
        const read = live.get(event.insn);
        const row = NAMES.map((name, i) => {
          const register = frame.registers[name];
          return register === undefined || read?.[i] === "." ? null : abstractOf(register, frame.frameno);
        });
        const list = states.get(event.insn);
        if (list === undefined) states.set(event.insn, [row]);
        else list.push(row);
      } else if (event.kind === "hit" && !loose) {
        loose = !coversScalars(event.savedState.snapshot(), event.state.snapshot());
      }
    },
  });
  if (result.verdict !== "accepted" || count >= MAX_STATES) return null;
  return { states, loose };
}

/** Whether a register's value is what the verifier says. */
function isInside(vm: Vm, abstract: Abstract, low: number, high: number, depth: number): boolean {
  const x = BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt(low >>> 0));
  if (abstract.type === "scalar") return holds(abstract.bounds, x);
  if (abstract.type.includes("or_null") && x === 0n) return true;
  const { memory, packet, context } = vm.machine;
  const region = memory.regionOf(high);
  const offset = (from: number): boolean =>
    holds(abstract.bounds, BigInt.asUintN(64, BigInt((low - from) | 0) - BigInt(abstract.off)));
  const owner = region < 0 ? undefined : memory.owner(region);
  if (abstract.type === "fp") {
    return region === STACK_REGION + depth - abstract.below && offset(memory.stackStart + FRAME_SIZE);
  }
  if (abstract.type === "ctx") return owner === context;
  if (abstract.type === "pkt") return region === 0 && packet !== null && offset(packet.dataLow);
  if (abstract.type === "pkt_meta") return region === 0 && packet !== null && offset(packet.metaLow);
  if (abstract.type === "pkt_end") return region === 0 && packet !== null && low === packet.endLow;
  if (abstract.type === "map_ptr") return owner instanceof VmMap && owner.name === abstract.map;
  if (abstract.type.startsWith("map_value")) {
    return (owner?.what.includes(abstract.map ?? "") ?? false) && offset(memory.regionLow(region));
  }
  return true;
}

/** Runs one accepted program and compares each step. */
export function contain(it: Case, place: Place, budget = 5_000): Containment {
  let known: Walk | null;
  try {
    known = walk(it);
  } catch (error) {
    if (error instanceof InputError) return { kind: "left out", why: "the mirror does not take it" };
    throw error;
  }
  if (known === null) return { kind: "left out", why: "too many states" };
  if (known.loose) return { kind: "left out", why: "pruned by a state that does not cover all scalars" };
  const vm = machineFor(it, place);
  try {
    const steps = follow(vm, known, it, budget);
    return typeof steps === "number" ? { kind: "contained", steps } : { kind: "outside", what: steps };
  } catch (error) {
    if (!(error instanceof VmFault)) throw error;
    if (error.kind === "helper" || error.kind === "unsupported") return { kind: "left out", why: "needs a kernel" };
    return { kind: "outside", what: error.message };
  }
}

function follow(vm: Vm, { states }: Walk, it: Case, budget: number): number | string {
  const stepper = new Debugger(vm, prepareRun(vm, it), 0);
  let steps = 0;
  for (; !stepper.done && steps < budget; steps++) {
    const { slot, registers, depth } = stepper;
    const here = states.get(slot);
    if (here === undefined) return `instruction ${slot} is executed, but the verifier never came there`;
    const fits = here.some((row) =>
      row.every((reg, i) => reg === null || isInside(vm, reg, registers[2 * i]!, registers[2 * i + 1]!, depth)),
    );
    if (!fits) {
      const values = NAMES.map(
        (name, i) => `${name}=${registers[2 * i + 1]!.toString(16)}:${registers[2 * i]!.toString(16)}`,
      );
      return `instruction ${slot}: ${values.join(" ")} lies in none of ${here.length} states`;
    }
    stepper.step();
  }
  return steps;
}
