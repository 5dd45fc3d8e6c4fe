// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import { encodeInsns, type Insn } from "../../../src/asm/insn.js";
import * as op from "../../../src/asm/opcode.js";
import type { SizeName } from "../../../src/asm/ops.js";
import type { MapLoad } from "../../../src/model/load.js";
import type { Capabilities } from "../../../src/verifier/index.js";
import type { Flavour } from "./flavour.js";
import { Rng } from "./rng.js";

/** What a register holds, as far as the generator cares. */
export type Kind = "none" | "scalar" | "fp" | "ctx" | "value" | "maybe" | "map" | "record" | "mem" | "sock" | "dynptr";

/** A register's content; two registers with the same object hold the same. */
export interface Reg {
  readonly kind: Kind;
  /** Bytes that may be accessed from where it points. */
  readonly size?: number;
  /** What of the memory it points to is not to be touched: a lock or timer. */
  readonly special?: readonly [off: number, size: number];
  /** Greatest value of a scalar that is known to be bounded, counted from 0. */
  readonly max?: number;
  /** Only to be read. */
  readonly readonly?: boolean;
}

export const NONE: Reg = { kind: "none" };
export const SCALAR: Reg = { kind: "scalar" };
export const CTX: Reg = { kind: "ctx" };

export const SIZES: readonly SizeName[] = ["b", "h", "w", "dw"];
export const BYTES: Readonly<Record<SizeName, number>> = { b: 1, h: 2, w: 4, dw: 8 };

const INTERESTING: readonly number[] = [
  0, 1, -1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64, 100, 127, 128, 255, 256, 512, -2, -8, -16, 4095, 65535, 65536,
  0x7fff_ffff, -0x8000_0000, 0x7fff_fffe, -0x7fff_ffff, 0x1000_0000,
];

/** Bytes of stack that programs use. */
const STACK = 64;

/** A program in the making: instructions, labels, and what registers hold at the end of what was written. */
export class Gen {
  readonly rng: Rng;
  readonly flavour: Flavour;
  readonly caps: Capabilities;
  readonly sleepable: boolean;
  /** Chance of a mistake wherever one can be made. */
  readonly risk: number;
  readonly insns: Insn[] = [];
  /** Label that a slot's instruction leads to. */
  private readonly leads = new Map<number, number>();
  private readonly labels: number[] = [];
  readonly maps: MapLoad[] = [];
  regs: Reg[] = new Array<Reg>(11).fill(NONE);
  /** Stack offsets of the function's dynptrs. */
  dynptrs: number[] = [];
  /** Registers that must keep their values, loop counters and references; stack offsets of dynptrs that hold one. */
  readonly reserved = new Set<number>();
  /** The function being written is the main one. */
  inMain = true;
  /** The context stands in R6. */
  hasCtx = true;
  /** No calls now: a lock is held. */
  locked = false;
  /** Functions that something leads to, by name. */
  readonly wanted = new Map<string, number>();
  loops = 0;

  constructor(seed: number, flavour: Flavour, caps: Capabilities, sleepable: boolean, rng = new Rng(seed)) {
    this.rng = rng;
    this.flavour = flavour;
    this.caps = caps;
    this.sleepable = sleepable;
    this.risk = rng.weighted([
      [3, 0.05],
      [4, 0.015],
      [5, 0.003],
      [4, 0],
    ]);
  }

  mistake(): boolean {
    return this.rng.chance(this.risk);
  }

  emit(...insns: readonly (Insn | readonly Insn[])[]): void {
    for (const insn of insns) {
      if ("opcode" in insn) this.insns.push(insn);
      else this.insns.push(...insn);
    }
  }

  label(): number {
    return this.labels.push(-1) - 1;
  }

  bind(label: number): void {
    this.labels[label] = this.insns.length;
  }

  slotOf(label: number): number {
    return this.labels[label]!;
  }

  /** Emits a jump, call or function address that leads to a label. */
  lead(insn: Insn | readonly Insn[], label: number): void {
    this.leads.set(this.insns.length, label);
    this.emit(insn);
  }

  /** Index of a map among the program's. */
  map(map: MapLoad): number {
    const at = this.maps.indexOf(map);
    return at >= 0 ? at : this.maps.push(map) - 1;
  }

  /** Name of a helper function of the program, to be written behind what there is. */
  want(name: string): number {
    let label = this.wanted.get(name);
    if (label === undefined) {
      label = this.label();
      this.wanted.set(name, label);
    }
    return label;
  }

  set(reg: number, content: Reg): void {
    this.regs[reg] = content;
  }

  /** A register that holds one of these, -1 when there is none; by mistake any. */
  reg(...kinds: Kind[]): number {
    if (this.mistake()) return this.rng.below(10);
    return this.regWhere((content) => kinds.includes(content.kind));
  }

  regWhere(fits: (content: Reg) => boolean): number {
    let found = -1;
    let n = 0;
    for (let r = 0; r < 10; r++) {
      if (!fits(this.regs[r]!)) continue;
      n++;
      if (n === 1 || this.rng.below(n) === 0) found = r;
    }
    return found;
  }

  /** Any register that may be read. */
  anyReg(): number {
    if (this.mistake()) return this.rng.below(10);
    return this.regWhere(({ kind }) => kind !== "none");
  }

  /** A register to write to. */
  target(...not: readonly number[]): number {
    if (this.mistake()) return this.rng.below(11);
    const free = [0, 1, 2, 3, 4, 5, 7, 8, 9].filter((r) => !this.reserved.has(r) && !not.includes(r));
    return this.rng.pick(free);
  }

  /** A register that survives calls, -1 when all are taken. */
  saved(...not: readonly number[]): number {
    const free = [7, 8, 9].filter((r) => !this.reserved.has(r) && !not.includes(r));
    return free.length === 0 ? -1 : this.rng.pick(free);
  }

  imm(): number {
    const { rng } = this;
    if (rng.chance(0.75)) return rng.pick(INTERESTING);
    if (rng.chance(0.5)) return rng.below(1000) - 200;
    return (rng.u32() | 0) >> rng.below(32);
  }

  size(): SizeName {
    return this.rng.pick(SIZES);
  }

  stackOff(bytes: number): number {
    const { rng } = this;
    if (this.mistake()) return -rng.pick([1, 2, 3, 520, 0, -8, 12, 513, 508]);
    if (rng.chance(0.04)) return -Math.max(bytes, 1 + rng.below(STACK));
    return -bytes * (1 + rng.below(STACK / bytes));
  }

  /** A stack offset at a multiple of 8, with at least so many bytes above it. */
  buffer(bytes: number): number {
    const least = Math.ceil(Math.max(bytes, 1) / 8);
    return -8 * (least + this.rng.below(Math.max(1, STACK / 8 - least + 1)));
  }

  /** What a call leaves: R1 to R5 nothing, R0 its result. */
  called(result: Reg): void {
    for (let r = 1; r <= 5; r++) this.regs[r] = NONE;
    this.regs[0] = result;
  }

  /** What is only sometimes executed leaves no register known that it changed. */
  sometimes(body: () => void): void {
    const before = [...this.regs];
    body();
    this.join(before);
  }

  /** Forgets what differs from another path's registers. */
  join(other: readonly Reg[]): void {
    this.regs = this.regs.map((content, r) => {
      const there = other[r]!;
      if (content === there) return content;
      return content.kind === "scalar" && there.kind === "scalar" ? SCALAR : NONE;
    });
  }

  /** Leaves the function when the register is null. */
  nullCheck(reg: number): void {
    const on = this.label();
    this.lead(asm.jmpImm("jne", reg, 0, 0), on);
    this.leave();
    this.bind(on);
  }

  /** Returns something that is right for the function. */
  leave(): void {
    const value = this.inMain ? this.rng.pick(this.flavour.returns) : 0;
    this.emit(asm.mov64Imm(0, value), asm.exit());
  }

  /** The instructions with every jump at its place. */
  finish(): Uint8Array {
    const out = [...this.insns];
    for (const [slot, label] of this.leads) {
      const insn = out[slot]!;
      const to = this.labels[label]!;
      const far = (to < 0 ? out.length : to) - slot - 1;
      const wide =
        insn.opcode === op.BPF_LD_IMM64 ||
        insn.opcode === (op.BPF_JMP | op.BPF_CALL) ||
        insn.opcode === (op.BPF_JMP32 | op.BPF_JA);
      out[slot] = wide ? { ...insn, imm: far } : { ...insn, off: far };
    }
    return encodeInsns(out);
  }
}
