// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import { CTX, type Gen, NONE, SCALAR } from "./gen.js";
import { callHelper, lookupIn, mayCall } from "./steps-helpers.js";
import { access, readSocket } from "./steps-memory.js";
import { type MapName, maps } from "./world.js";

/* Things that are acquired and given back: ring buffer records, sockets, locks; timers and tail calls. */

type Body = (g: Gen, depth: number) => void;

/** Reserves a record, writes to it, submits or discards it. */
export function ringRecord(g: Gen, depth: number, body: Body): void {
  if (g.locked || !mayCall(g, "ringbuf_reserve")) return;
  const { rng } = g;
  const keep = g.saved();
  if (keep < 0) return;
  const size = rng.pick([8, 16, 24, 1]);
  g.emit(asm.ldMapFd(1, g.map(maps.ringbuf)), asm.mov64Imm(2, size), asm.mov64Imm(3, 0));
  callHelper(g, "ringbuf_reserve");
  const none = g.label();
  g.called(NONE);
  g.emit(asm.mov64Reg(keep, 0));
  if (!g.mistake()) g.lead(asm.jmpImm("jeq", rng.chance(0.8) ? keep : 0, 0, 0), none);
  g.sometimes(() => {
    g.set(keep, { kind: "record", size });
    g.set(0, g.regs[keep]!);
    g.reserved.add(keep);
    for (let i = rng.below(4); i > 0; i--) body(g, depth + 2);
    g.reserved.delete(keep);
    g.emit(asm.mov64Reg(1, keep), asm.mov64Imm(2, 0));
    if (!g.mistake()) callHelper(g, rng.pick(["ringbuf_submit", "ringbuf_discard"] as const));
    g.called(NONE);
    g.set(keep, NONE);
  });
  g.bind(none);
}

/** Looks a socket up, reads it, gives it back. */
export function socketLookup(g: Gen, depth: number, body: Body): void {
  const helper = g.rng.pick(["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp"] as const);
  const ctx = g.reg("ctx");
  const keep = g.saved();
  if (g.locked || keep < 0 || ctx < 0 || !mayCall(g, helper)) return;
  const tuple = g.rng.pick([12, 36]);
  for (let at = 8; at <= 40; at += 8) g.emit(asm.stImm("dw", 10, -at, 0));
  g.emit(asm.mov64Reg(1, ctx), asm.mov64Reg(2, 10), asm.alu64Imm("add", 2, -40));
  g.emit(asm.mov64Imm(3, tuple), asm.mov64Imm(4, g.mistake() ? 7 : -1), asm.mov64Imm(5, 0));
  callHelper(g, helper);
  const none = g.label();
  g.called(NONE);
  g.emit(asm.mov64Reg(keep, 0));
  if (!g.mistake()) g.lead(asm.jmpImm("jeq", keep, 0, 0), none);
  g.sometimes(() => {
    g.set(keep, { kind: "sock" });
    g.reserved.add(keep);
    if (g.rng.chance(0.6)) readSocket(g, keep);
    for (let i = g.rng.below(3); i > 0; i--) body(g, depth + 2);
    g.reserved.delete(keep);
    g.emit(asm.mov64Reg(1, keep));
    if (!g.mistake()) callHelper(g, "sk_release");
    g.called(NONE);
    g.set(keep, NONE);
  });
  g.bind(none);
}

/** Changes a value under its lock. */
export function spinLock(g: Gen): void {
  if (g.locked || !mayCall(g, "spin_lock") || !mayCall(g, "map_lookup_elem")) return;
  const keep = g.saved();
  if (keep < 0) return;
  const map = g.rng.pick(["lock", "lockHash"] as const satisfies readonly MapName[]);
  lookupIn(g, maps[map]);
  g.nullCheck(0);
  g.emit(asm.mov64Reg(keep, 0));
  g.set(keep, { kind: "value", size: 24, special: [8, 4] });
  g.reserved.add(keep);
  g.emit(asm.mov64Reg(1, keep), asm.alu64Imm("add", 1, g.mistake() ? 0 : 8));
  callHelper(g, "spin_lock");
  g.called(NONE);
  g.locked = true;
  for (let i = g.rng.below(4); i > 0; i--) access(g);
  g.locked = false;
  g.emit(asm.mov64Reg(1, keep), asm.alu64Imm("add", 1, 8));
  if (!g.mistake()) callHelper(g, "spin_unlock");
  g.called(NONE);
  g.reserved.delete(keep);
}

/** Initialises a timer, sets its callback, starts it. */
export function timer(g: Gen): void {
  if (g.locked || !mayCall(g, "timer_init")) return;
  const keep = g.saved();
  if (keep < 0) return;
  lookupIn(g, maps.timer);
  g.nullCheck(0);
  g.emit(asm.mov64Reg(keep, 0));
  g.set(keep, { kind: "value", size: 32, special: [8, 16] });
  const at = (): void => g.emit(asm.mov64Reg(1, keep), asm.alu64Imm("add", 1, g.mistake() ? 4 : 8));
  at();
  g.emit(asm.ldMapFd(2, g.map(g.mistake() ? maps.array : maps.timer)), asm.mov64Imm(3, g.rng.pick([0, 1, 7])));
  callHelper(g, "timer_init");
  g.called(SCALAR);
  if (g.inMain && g.rng.chance(0.8)) {
    at();
    g.lead(asm.ldFunc(2, 0), g.want("tick"));
    callHelper(g, "timer_set_callback");
    g.called(SCALAR);
  }
  if (g.rng.chance(0.7)) {
    at();
    g.emit(asm.mov64Imm(2, 1000), asm.mov64Imm(3, 0));
    callHelper(g, "timer_start");
    g.called(SCALAR);
  }
  if (g.rng.chance(0.3)) {
    at();
    callHelper(g, "timer_cancel");
    g.called(SCALAR);
  }
}

export function tailCall(g: Gen): void {
  if (g.locked || !mayCall(g, "tail_call")) return;
  const ctx = g.reg("ctx");
  if (ctx < 0) return;
  const index = g.reg("scalar");
  if (index >= 0 && index !== 1 && index !== 2 && g.rng.chance(0.3)) g.emit(asm.mov64Reg(3, index));
  else g.emit(asm.mov64Imm(3, g.rng.pick([0, 1, 9])));
  if (ctx !== 1) g.emit(asm.mov64Reg(1, ctx));
  g.set(1, CTX);
  g.emit(asm.ldMapFd(2, g.map(maps.progArray)));
  callHelper(g, "tail_call");
  g.called(NONE);
}
