// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import type { Insn } from "../../../src/asm/insn.js";
import { type Gen, NONE, SCALAR } from "./gen.js";
import { callHelper, lookupIn, mayCall } from "./steps-helpers.js";
import { maps } from "./world.js";

/* Dynptrs: made on the stack or given to a callback, read, written, sliced, overwritten, given back. */

type Body = (g: Gen, depth: number) => void;

const address = (reg: number, off: number): Insn[] => [asm.mov64Reg(reg, 10), asm.alu64Imm("add", reg, off)];

/** Makes a dynptr, uses it, and gives it back where it must be. */
export function dynptr(g: Gen, depth: number, body: Body): void {
  if (g.locked || !mayCall(g, "ringbuf_reserve_dynptr") || (g.dynptrs.length > 2 && !g.mistake())) return;
  const { rng } = g;
  const off = rng.pick(g.mistake() ? [-16, -24, -20, -64, -520] : [-80, -96, -112, -128]);
  if (g.dynptrs.includes(off) && !g.mistake()) return;
  const value = rng.chance(0.5) ? valueFor(g) : -1;
  if (value < 0) g.emit(asm.ldMapFd(1, g.map(maps.ringbuf)), asm.mov64Imm(2, rng.pick([8, 16, 24])));
  else {
    if (value !== 1) g.emit(asm.mov64Reg(1, value));
    g.emit(asm.mov64Imm(2, Math.min(g.regs[value]!.size ?? 8, rng.pick([0, 4, 8, 16]))));
  }
  g.emit(asm.mov64Imm(3, 0), ...address(4, off));
  callHelper(g, value < 0 ? "ringbuf_reserve_dynptr" : "dynptr_from_mem");
  g.called(SCALAR);
  g.dynptrs.push(off);
  // What holds a reference must not leave the function.
  if (value < 0) g.reserved.add(off);
  g.sometimes(() => {
    for (let i = rng.below(4); i > 0; i--) {
      if (rng.chance(0.3)) body(g, depth + 2);
      else useDynptr(g, depth, body);
    }
    if (value >= 0 ? g.mistake() : !g.mistake()) {
      g.emit(...address(1, off), asm.mov64Imm(2, 0));
      callHelper(g, rng.pick(["ringbuf_submit_dynptr", "ringbuf_discard_dynptr"] as const));
      g.called(NONE);
    } else if (value >= 0 && rng.chance(0.3)) {
      g.emit(asm.stImm(g.size(), 10, off + rng.pick([0, 8]), rng.pick([0, 3])));
    }
  });
  g.reserved.delete(off);
  g.dynptrs = g.dynptrs.filter((at) => at !== off);
}

/** A register that holds a map's value, -1 for none. */
function valueFor(g: Gen): number {
  const value = g.regWhere(({ kind, special }) => kind === "value" && special === undefined);
  if (value >= 0 || g.reserved.size > 0 || !mayCall(g, "map_lookup_elem")) return value;
  lookupIn(g, maps.arrayBig);
  g.nullCheck(0);
  g.set(0, { kind: "value", size: 64 });
  return 0;
}

/** Brings the address of a dynptr into a register; false when there is none. */
export function passDynptr(g: Gen, arg: number): boolean {
  const from = g.regWhere(({ kind }) => kind === "dynptr");
  if (from > arg) g.emit(asm.mov64Reg(arg, from));
  else if (g.dynptrs.length > 0) g.emit(...address(arg, g.rng.pick(g.dynptrs)));
  else return false;
  return true;
}

/** Reads or writes a dynptr, or takes a slice of it. */
export function useDynptr(g: Gen, depth: number, body: Body): void {
  const { rng } = g;
  if (g.locked || !mayCall(g, "dynptr_data")) return;
  const size = rng.pick([0, 1, 4, 8, 8]);
  const which = rng.below(3);
  const at = which === 0 ? 3 : 1;
  if (!passDynptr(g, at)) return;
  g.set(at, NONE);
  const offset = (reg: number): void => {
    const scalar = rng.chance(0.3) ? g.regWhere(({ kind }) => kind === "scalar") : -1;
    g.emit(scalar >= 6 ? asm.mov64Reg(reg, scalar) : asm.mov64Imm(reg, 0));
  };
  if (which === 0) {
    g.emit(...address(1, g.buffer(size)), asm.mov64Imm(2, size));
    offset(4);
    g.emit(asm.mov64Imm(5, 0));
    callHelper(g, "dynptr_read");
    g.called(SCALAR);
  } else if (which === 1) {
    offset(2);
    g.emit(...address(3, g.buffer(size)), asm.mov64Imm(4, size), asm.mov64Imm(5, 0));
    callHelper(g, "dynptr_write");
    g.called(SCALAR);
  } else {
    offset(2);
    slice(g, depth, body);
  }
}

/** What follows the address and the offset of bpf_dynptr_data(). */
function slice(g: Gen, depth: number, body: Body): void {
  const { rng } = g;
  const size = rng.pick([8, 8, 16, 0]);
  const keep = g.saved();
  const none = g.label();
  g.emit(asm.mov64Imm(3, size));
  callHelper(g, "dynptr_data");
  g.called({ kind: "maybe", size });
  if (keep < 0) return;
  g.emit(asm.mov64Reg(keep, 0));
  g.set(keep, NONE);
  if (!g.mistake()) g.lead(asm.jmpImm("jeq", rng.pick([0, keep]), 0, 0), none);
  g.sometimes(() => {
    g.set(keep, { kind: "mem", size });
    for (let i = rng.below(3); i > 0; i--) body(g, depth + 2);
    g.set(keep, NONE);
  });
  g.bind(none);
}

/** Hands a function to bpf_user_ringbuf_drain(). */
export function drain(g: Gen): void {
  if (!g.inMain || g.locked || !mayCall(g, "user_ringbuf_drain")) return;
  g.emit(asm.ldMapFd(1, g.map(maps.userRingbuf)));
  g.lead(asm.ldFunc(2, 0), g.want("drained"));
  if (g.rng.chance(0.5)) g.emit(asm.mov64Imm(3, 0));
  else g.emit(asm.stImm("dw", 10, -8, 0), ...address(3, -8));
  g.emit(asm.mov64Imm(4, 0));
  callHelper(g, "user_ringbuf_drain");
  g.called(SCALAR);
}
