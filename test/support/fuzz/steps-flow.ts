// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import { CTX, type Gen, NONE, type Reg, SCALAR } from "./gen.js";
import { compare } from "./steps-alu.js";
import { passDynptr } from "./steps-dynptr.js";
import { callHelper, mayCall } from "./steps-helpers.js";
import { type DescribedFunc, maps, types } from "./world.js";

/* Branches, loops, calls of the program's own functions. */

type Body = (g: Gen, depth: number) => void;

/** Free functions that a program may have, besides the callbacks. */
const SUBPROGS = ["sub1", "sub2"] as const;

export function branch(g: Gen, depth: number, body: Body): void {
  const reg = g.reg("scalar");
  if (reg < 0) return;
  const over = g.label();
  compare(g, reg, over);
  const steps = depth < 3 ? 1 + g.rng.below(3) : g.rng.below(2);
  const before = [...g.regs];
  for (let i = 0; i < steps; i++) body(g, depth + 1);
  if (g.rng.chance(0.25)) {
    // With another side.
    const end = g.label();
    g.lead(g.rng.chance(0.95) ? asm.ja(0) : asm.jaLong(0), end);
    g.bind(over);
    const after = g.regs;
    g.regs = before;
    for (let i = g.rng.below(3); i > 0; i--) body(g, depth + 1);
    g.join(after);
    g.bind(end);
    return;
  }
  if (g.rng.chance(0.08) && !g.locked && g.reserved.size === 0) {
    g.leave();
    g.regs = before;
  } else g.join(before);
  g.bind(over);
}

/** Leaves early under a condition. */
export function leaveIf(g: Gen): void {
  const reg = g.reg("scalar");
  if (reg < 0 || g.locked || (g.reserved.size > 0 && !g.mistake())) return;
  const on = g.label();
  compare(g, reg, on);
  g.leave();
  g.bind(on);
}

/** A loop with a counter: bounded, or (by mistake) not. */
export function countedLoop(g: Gen, depth: number, body: Body): void {
  const { rng } = g;
  const counter = g.saved();
  if (counter < 0 || g.loops >= 2 || (!g.caps.bpf && !g.mistake())) return;
  g.loops++;
  const end = g.label();
  const top = g.label();
  const rounds = rng.pick([2, 3, 4, 5, 8, 12]);
  g.emit((rng.chance(0.7) ? asm.mov64Imm : asm.mov32Imm)(counter, 0));
  g.set(counter, SCALAR);
  g.reserved.add(counter);
  // What the body changes is not what it finds the second time.
  const before = forget(g, [counter]);
  g.bind(top);
  for (let i = 1 + rng.below(3); i > 0; i--) body(g, depth + 2);
  if (rng.chance(0.2)) compare(g, counter, end);
  g.join(before);
  g.emit((rng.chance(0.7) ? asm.alu64Imm : asm.alu32Imm)("add", counter, rng.chance(0.9) ? 1 : 2));
  const limit = rng.chance(0.15) ? g.reg("scalar") : -1;
  const make = rng.chance(0.7) ? asm.jmpImm : asm.jmp32Imm;
  if (limit >= 0 && limit !== counter) g.lead(asm.jmpReg("jlt", counter, limit, 0), top);
  else g.lead(make(g.mistake() ? "jne" : rng.pick(["jlt", "jslt", "jle"] as const), counter, rounds, 0), top);
  g.bind(end);
  g.reserved.delete(counter);
}

/** Registers as they are whatever a loop's body does: the scratch ones and all scalars' contents are unknown. */
function forget(g: Gen, keep: readonly number[]): readonly Reg[] {
  g.regs = g.regs.map((content, r) => (keep.includes(r) || r >= 6 ? content : NONE));
  return [...g.regs];
}

export function mayGotoLoop(g: Gen, depth: number, body: Body): void {
  if (g.loops >= 2 || (!g.caps.bpf && !g.mistake())) return;
  g.loops++;
  const end = g.label();
  const top = g.label();
  const before = forget(g, []);
  g.bind(top);
  g.lead(asm.mayGoto(0), end);
  for (let i = 1 + g.rng.below(3); i > 0; i--) body(g, depth + 2);
  const reg = g.rng.chance(0.4) ? g.reg("scalar") : -1;
  if (reg >= 0) compare(g, reg, top);
  g.lead(asm.ja(0), top);
  g.bind(end);
  g.join(before);
}

/** Calls one of the program's functions. */
export function callSubprog(g: Gen): void {
  if (!g.inMain || g.locked || (!g.caps.bpf && !g.mistake())) return;
  const name = g.rng.pick(SUBPROGS);
  const func = g.rng.chance(0.9) ? signatureOf(g, name) : null;
  for (const [i, kind] of (func?.params ?? []).entries()) passParam(g, i + 1, kind);
  const label = g.want(name);
  g.lead(asm.callSubprog(0), label);
  g.called(SCALAR);
}

const signatures = new WeakMap<Gen, Map<string, DescribedFunc>>();

/** The description of a function of the program: the same one each time. */
export function signatureOf(g: Gen, name: string): DescribedFunc {
  let known = signatures.get(g);
  if (known === undefined) {
    known = new Map();
    signatures.set(g, known);
  }
  let func = known.get(name);
  if (func === undefined) {
    const fit = types.funcs.filter(({ ctxName }) => ctxName === null || ctxName === g.flavour.ctxName);
    func = g.rng.pick(g.mistake() ? types.funcs : fit);
    known.set(name, func);
  }
  return func;
}

function passParam(g: Gen, arg: number, kind: DescribedFunc["params"][number]): void {
  switch (kind) {
    case "ctx": {
      const from = g.reg("ctx");
      if (from >= 0 && (from < 1 || from >= arg)) {
        if (from !== arg) g.emit(asm.mov64Reg(arg, from));
        return;
      }
      break;
    }
    case "mem4":
    case "mem16":
    case "mem4nonnull":
    case "voidPtr": {
      if (kind === "mem4" && g.rng.chance(0.15)) break;
      const value = g.regWhere(
        ({ kind: k, size = 0, special }) => k === "value" && size >= 16 && special === undefined,
      );
      if (value >= 6 && g.rng.chance(0.4)) g.emit(asm.mov64Reg(arg, value));
      else {
        g.emit(asm.stImm("dw", 10, -16, 0), asm.stImm("dw", 10, -8, g.imm()));
        g.emit(asm.mov64Reg(arg, 10), asm.alu64Imm("add", arg, g.mistake() ? -2 : -16));
      }
      return;
    }
    case "dynptr":
      if (passDynptr(g, arg)) return;
      break;
    default: {
      const from = g.regWhere((content) => content.kind === "scalar");
      if ((from === 0 || from >= 6) && g.rng.chance(0.6)) {
        g.emit(asm.mov64Reg(arg, from));
        return;
      }
    }
  }
  g.emit(asm.mov64Imm(arg, g.rng.pick([0, 1, 8])));
}

/** What a described function finds in its argument registers. */
export function paramContents(func: DescribedFunc): Reg[] {
  return func.params.map((kind) => {
    switch (kind) {
      case "ctx":
        return CTX;
      case "mem4nonnull":
        return { kind: "mem", size: 4 };
      case "mem4":
      case "mem16":
        return func.global
          ? { kind: "maybe", size: kind === "mem4" ? 4 : 16 }
          : { kind: "mem", size: kind === "mem4" ? 4 : 16 };
      case "voidPtr":
        return NONE;
      case "dynptr":
        return { kind: "dynptr" };
      default:
        return SCALAR;
    }
  });
}

/** Hands a function to bpf_loop() or bpf_for_each_map_elem(). */
export function callback(g: Gen): void {
  if (!g.inMain || g.locked || (!g.caps.bpf && !g.mistake())) return;
  const { rng } = g;
  const each = rng.chance(0.35);
  if (!mayCall(g, each ? "for_each_map_elem" : "loop")) return;
  const ctx = (): void => {
    if (rng.chance(0.5)) g.emit(asm.mov64Imm(3, 0));
    else g.emit(asm.stImm("dw", 10, -8, 0), asm.mov64Reg(3, 10), asm.alu64Imm("add", 3, -8));
  };
  if (each) {
    const map = rng.pick([maps.array, maps.arrayBig, maps.hash, maps.percpuArray, maps.lru]);
    g.emit(asm.ldMapFd(1, g.map(map)));
    g.lead(asm.ldFunc(2, 0), g.want("each"));
    ctx();
    g.emit(asm.mov64Imm(4, 0));
    callHelper(g, "for_each_map_elem");
  } else {
    const count = g.regWhere(({ kind }) => kind === "scalar");
    if (count >= 0 && rng.chance(0.4)) {
      if (count !== 1) g.emit(asm.mov64Reg(1, count));
    } else g.emit(asm.mov64Imm(1, rng.pick([0, 1, 3, 10, 1 << 23, (1 << 23) + 1])));
    g.lead(asm.ldFunc(2, 0), g.want("turn"));
    ctx();
    g.emit(asm.mov64Imm(4, g.mistake() ? 1 : 0));
    callHelper(g, "loop");
  }
  g.called(SCALAR);
}
