// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import { ProgFlag } from "../../../src/kernel/uapi.js";
import type { InfoRecords, ProgramLoad } from "../../../src/model/load.js";
import type { Capabilities } from "../../../src/verifier/index.js";
import { FLAG_CHOICES, type Flavour, flavoursFor } from "./flavour.js";
import { CTX, Gen, NONE, type Reg, SCALAR } from "./gen.js";
import { Rng } from "./rng.js";
import * as alu from "./steps-alu.js";
import * as dynptrs from "./steps-dynptr.js";
import * as flow from "./steps-flow.js";
import * as helpers from "./steps-helpers.js";
import * as memory from "./steps-memory.js";
import * as objects from "./steps-objects.js";
import { type DescribedFunc, types } from "./world.js";

/*
 * Random programs for comparing the mirror with the kernel: mostly sensible, so that paths get long,
 * with a share of mistakes. The same seed gives the same program.
 */

type Step = (g: Gen, depth: number) => void;

/** What programs do, and how often. */
const STEPS: readonly (readonly [weight: number, step: Step])[] = [
  [4, alu.movImm],
  [4, alu.movReg],
  [6, alu.aluImm],
  [4, alu.aluReg],
  [1.5, alu.unary],
  [2, alu.edge],
  [1, alu.pointerAlu],
  [4, memory.spill],
  [2, memory.storeImm],
  [3.5, memory.fill],
  [2.5, memory.spillFill],
  [4, memory.access],
  [5, memory.variableAccess],
  [2, memory.variableStack],
  [2, memory.joinedPointer],
  [2.5, memory.atomic],
  [3, memory.readContext],
  [1, memory.writeContext],
  [0.7, memory.contextSocket],
  [0.5, (g) => memory.readSocket(g)],
  [4, memory.packet],
  [0.8, memory.legacyPacketLoad],
  [1.5, memory.readOnlyData],
  [0.7, memory.mapValueAddress],
  [8, (g, depth) => flow.branch(g, depth, step)],
  [2, flow.leaveIf],
  [1.5, (g, depth) => flow.countedLoop(g, depth, step)],
  [0.8, (g, depth) => flow.mayGotoLoop(g, depth, step)],
  [2.5, flow.callSubprog],
  [1.5, flow.callback],
  [5, helpers.lookup],
  [5, helpers.anyHelper],
  [1.5, (g, depth) => objects.ringRecord(g, depth, step)],
  [1, (g, depth) => objects.socketLookup(g, depth, step)],
  [1.2, (g, depth) => dynptrs.dynptr(g, depth, step)],
  [0.6, (g, depth) => dynptrs.useDynptr(g, depth, step)],
  [0.4, dynptrs.drain],
  [1, objects.spinLock],
  [0.6, objects.timer],
  [0.7, objects.tailCall],
];

function step(g: Gen, depth: number): void {
  g.rng.weighted(STEPS)(g, depth);
}

function main(g: Gen): void {
  const { rng } = g;
  g.set(1, CTX);
  if (g.hasCtx) {
    g.emit(asm.mov64Reg(6, 1));
    g.set(6, CTX);
  }
  for (const r of [7, 8, 9]) {
    if (rng.chance(0.2)) continue;
    g.emit(asm.mov64Imm(r, rng.pick([0, 1, 8, 64])));
    g.set(r, SCALAR);
  }
  if (rng.chance(0.7)) unknownScalar(g);
  for (let at = 8; at <= 48; at += 8) if (rng.chance(0.3)) g.emit(asm.stImm("dw", 10, -at, rng.pick([0, 5])));
  if (rng.chance(0.2)) g.emit(asm.stx("dw", 10, 6, -32));
  for (let i = 2 + rng.below(rng.chance(0.1) ? 40 : 14); i > 0; i--) step(g, 0);
  end(g);
}

/** Something that the verifier cannot know, in a register that stays. */
function unknownScalar(g: Gen): void {
  const dst = g.rng.pick([7, 8, 9]);
  const field = g.flavour.layout?.fields.find(({ read, points }) => read !== null && points === undefined);
  if (field !== undefined && g.rng.chance(0.6)) {
    g.emit(
      asm.ldx(field.size === 8 ? "dw" : field.size === 4 ? "w" : field.size === 2 ? "h" : "b", dst, 6, field.offset),
    );
  } else {
    helpers.callHelper(g, helpers.mayCall(g, "get_prandom_u32") ? "get_prandom_u32" : "ktime_get_ns");
    g.called(SCALAR);
    g.emit(asm.mov64Reg(dst, 0));
  }
  g.set(dst, SCALAR);
}

function end(g: Gen): void {
  const value = g.reg("scalar");
  if (value >= 0 && g.rng.chance(0.15)) {
    g.emit(asm.mov64Reg(0, value));
    if (!g.mistake()) g.emit(asm.alu64Imm("and", 0, g.inMain ? Math.max(...g.flavour.returns) & 1 : 1));
    g.emit(asm.exit());
  } else g.leave();
}

/** Writes a function that something leads to. */
function callee(g: Gen, name: string): DescribedFunc | null {
  const { rng } = g;
  g.regs = new Array<Reg>(11).fill(NONE);
  g.reserved.clear();
  g.dynptrs = [];
  g.loops = 1;
  let described: DescribedFunc | null = null;
  if (name === "turn") {
    g.set(1, SCALAR);
    contextOfCallback(g, 2);
  } else if (name === "drained") {
    g.emit(asm.mov64Reg(7, 1));
    g.set(7, { kind: "dynptr" });
    contextOfCallback(g, 2);
  } else if (name === "each" || name === "tick") {
    g.set(3, { kind: "mem", size: 8, special: [8, 16] });
    if (name === "each") contextOfCallback(g, 4);
  } else {
    described = flow.signatureOf(g, name);
    for (const [i, content] of flow.paramContents(described).entries()) {
      g.set(i + 1, content);
      if (rng.chance(0.7)) {
        g.emit(asm.mov64Reg(6 + (i % 4), i + 1));
        if (content.kind === "maybe" && !g.mistake()) {
          g.nullCheck(6 + (i % 4));
          g.set(i + 1, { kind: "mem", size: content.size ?? 4 });
        }
        g.set(6 + (i % 4), g.regs[i + 1]!);
      }
    }
  }
  for (const r of [7, 8, 9]) {
    if (g.regs[r] !== NONE || rng.chance(0.6)) continue;
    g.emit(asm.mov64Imm(r, rng.pick([0, 3])));
    g.set(r, SCALAR);
  }
  if (rng.chance(0.4)) g.emit(asm.stImm("dw", 10, -8, 0), asm.stImm("dw", 10, -16, 0));
  for (let i = rng.below(6); i > 0; i--) step(g, 1);
  end(g);
  return described;
}

/** A callback's context: a pointer to the caller's stack, or null. */
function contextOfCallback(g: Gen, reg: number): void {
  if (!g.rng.chance(0.6)) return;
  const none = g.label();
  g.lead(asm.jmpImm("jeq", reg, 0, 0), none);
  g.emit(asm.ldx("dw", 5, reg, 0), asm.alu64Imm("add", 5, g.rng.pick([1, 0])), asm.stx("dw", reg, 5, 0));
  g.bind(none);
}

/** func_info, and now and then line_info. */
function describe(
  g: Gen,
  functions: ReadonlyMap<string, readonly [slot: number, func: DescribedFunc | null]>,
): Partial<ProgramLoad> {
  const { rng } = g;
  if (!g.caps.bpf) return {};
  const bytes = new Uint8Array(functions.size * 8);
  const view = new DataView(bytes.buffer);
  let row = 0;
  for (const [name, [slot, func]] of functions) {
    const mains = types.mains.get(rng.chance(0.8) ? g.flavour.ctxName : "")!;
    const described = func ?? (name === "main" ? mains : rng.pick(types.funcs.filter((f) => !f.global)));
    view.setUint32(row * 8, slot, true);
    view.setUint32(row * 8 + 4, g.mistake() && rng.chance(0.2) ? rng.below(80) : described.id, true);
    row++;
  }
  const lineInfo = rng.chance(0.12)
    ? lines(
        g,
        [...functions.values()].map(([slot]) => slot),
      )
    : null;
  return { btf: types.bytes, funcInfo: { bytes, recSize: 8, count: functions.size }, lineInfo };
}

function lines(g: Gen, starts: readonly number[]): InfoRecords {
  const { rng } = g;
  const slots = new Set(starts);
  for (let i = rng.below(8); i > 0; i--) slots.add(rng.below(g.insns.length));
  const fit = [...slots].filter((slot) => g.mistake() || g.insns[slot]!.opcode !== 0).sort((a, b) => a - b);
  const bytes = new Uint8Array(fit.length * 16);
  const view = new DataView(bytes.buffer);
  for (const [i, slot] of fit.entries()) {
    view.setUint32(i * 16, slot, true);
    view.setUint32(i * 16 + 4, types.strings[0]!, true);
    view.setUint32(i * 16 + 8, rng.pick(types.strings), true);
    view.setUint32(i * 16 + 12, ((1 + rng.below(30)) << 10) | 3, true);
  }
  return { bytes, recSize: 16, count: fit.length };
}

/** A program of a flavour. */
function program(seed: number, rng: Rng, flavour: Flavour, caps: Capabilities): ProgramLoad {
  const sleepable = flavour.sleepable === "always" || (flavour.sleepable === "maybe" && rng.chance(0.2));
  const g = new Gen(seed, flavour, caps, sleepable, rng);
  const functions = new Map<string, readonly [number, DescribedFunc | null]>([["main", [0, null]]]);
  main(g);
  g.inMain = false;
  g.hasCtx = false;
  for (const [name, label] of g.wanted) {
    const slot = g.insns.length;
    g.bind(label);
    functions.set(name, [slot, callee(g, name)]);
  }
  const flags = rng.weighted(FLAG_CHOICES) | (sleepable ? ProgFlag.SLEEPABLE : 0);
  return {
    name: "fuzz",
    progType: flavour.type,
    expectedAttachType: flavour.attach,
    progFlags: flags,
    progIfindex: 0,
    kernVersion: 0,
    license: rng.chance(0.93) ? "GPL" : "MIT",
    attachBtfId: 0,
    insns: g.finish(),
    maps: g.maps,
    badMapInsns: [],
    fdArray: null,
    btf: null,
    funcInfo: null,
    lineInfo: null,
    ...(rng.chance(functions.size > 1 ? 0.9 : 0.15) ? describe(g, functions) : {}),
  };
}

export const ALL_CAPABILITIES: Capabilities = { bpf: true, perfmon: true, netAdmin: true };

/** The program of a seed, for a process with these capabilities. Whether the kernel accepts it is for the kernel to say. */
export function randomProgram(seed: number, caps: Capabilities = ALL_CAPABILITIES): ProgramLoad {
  const rng = new Rng(seed);
  return program(seed, rng, rng.weighted(flavoursFor(caps)), caps);
}

/** As {@link randomProgram}, of these flavours only. */
export function randomProgramOf(seed: number, flavours: readonly (readonly [number, Flavour])[]): ProgramLoad {
  const rng = new Rng(seed);
  return program(seed, rng, rng.weighted(flavours), ALL_CAPABILITIES);
}
