// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import type { SizeName } from "../../../src/asm/ops.js";
import type { CtxField } from "../../../src/kernel/ctx/index.js";
import { ProgType } from "../../../src/kernel/uapi.js";
import { BYTES, type Gen, NONE, type Reg, SCALAR } from "./gen.js";
import { bound, compare } from "./steps-alu.js";
import { maps } from "./world.js";

/* Stack, map values and other memory, context, packets. */

export function spill(g: Gen): void {
  const size = g.rng.chance(0.6) ? "dw" : g.size();
  const src = size === "dw" ? g.anyReg() : g.reg("scalar");
  if (src >= 0) g.emit(asm.stx(size, 10, src, g.stackOff(BYTES[size])));
}

export function storeImm(g: Gen): void {
  const size = g.size();
  g.emit(asm.stImm(size, 10, g.stackOff(BYTES[size]), g.rng.chance(0.6) ? 0 : g.imm()));
}

export function fill(g: Gen): void {
  const size = g.rng.chance(0.5) ? "dw" : g.size();
  const dst = g.target();
  const off = g.stackOff(BYTES[size]);
  if (!g.caps.perfmon && g.rng.chance(0.9)) g.emit(asm.stImm("dw", 10, Math.floor(off / 8) * 8, g.imm()));
  if (size !== "dw" && g.rng.chance(0.25)) g.emit(asm.ldxs(size, dst, 10, off));
  else g.emit(asm.ldx(size, dst, 10, off));
  g.set(dst, SCALAR);
}

/** Spills a scalar and brings it, or a part of it, back to another register. */
export function spillFill(g: Gen): void {
  const src = g.reg("scalar");
  if (src < 0) return;
  const size = g.rng.chance(0.6) ? "dw" : g.size();
  const off = g.stackOff(BYTES[size]);
  const dst = g.target();
  g.emit(asm.stx(size, 10, src, off));
  const back = g.rng.chance(0.7) ? size : g.size();
  const signed = back !== "dw" && g.rng.chance(0.2);
  g.emit(signed ? asm.ldxs(back, dst, 10, off) : asm.ldx(back, dst, 10, off));
  g.set(dst, SCALAR);
}

/** An offset in [0, size - bytes] that does not touch a special field; by mistake another. */
function offsetIn(g: Gen, { size = 8, special }: Reg, bytes: number): number {
  if (g.mistake()) return g.rng.pick([size, size - 1, -1, -8, 3, 512]);
  if (size < bytes) return 0;
  if (special !== undefined && g.rng.chance(0.12)) {
    const before = special[0] - bytes + g.rng.below(2);
    return g.rng.chance(0.5) ? Math.max(0, before) : special[0] + special[1] - g.rng.below(2);
  }
  for (let tries = 0; tries < 8; tries++) {
    const off = g.rng.chance(0.1) ? g.rng.below(size - bytes + 1) : bytes * g.rng.below(Math.floor(size / bytes));
    if (special === undefined || off + bytes <= special[0] || off >= special[0] + special[1]) return off;
  }
  return 0;
}

/** Reads or writes through a pointer to memory, at a fixed offset. */
export function access(g: Gen): void {
  const ptr = g.reg("value", "record", "mem");
  if (ptr < 0) return;
  const content = g.regs[ptr]!;
  const size = g.size();
  const off = offsetIn(g, content, BYTES[size]);
  if (content.readonly === true || g.rng.chance(0.55)) {
    const dst = g.target();
    if (size !== "dw" && g.rng.chance(0.2)) g.emit(asm.ldxs(size, dst, ptr, off));
    else g.emit(asm.ldx(size, dst, ptr, off));
    g.set(dst, SCALAR);
    return;
  }
  const src = g.rng.chance(0.04) ? g.anyReg() : g.reg("scalar");
  if (src >= 0 && g.rng.chance(0.7)) g.emit(asm.stx(size, ptr, src, off));
  else g.emit(asm.stImm(size, ptr, off, g.imm()));
}

/** Adds a bounded scalar to a pointer to memory and uses what comes out. */
export function variableAccess(g: Gen): void {
  const ptr = g.reg("value", "record", "mem");
  const from = g.reg("scalar");
  if (ptr < 0 || from < 0) return;
  const content = g.regs[ptr]!;
  const { size: room = 8 } = content;
  const index = g.target(ptr, from);
  const pointer = g.target(ptr, from, index);
  const size = g.size();
  const bytes = BYTES[size];
  if (room < bytes || index > 9 || pointer > 9) return;
  const out = g.label();
  const fixed = g.rng.chance(0.3) ? g.rng.below(room - bytes + 1) : 0;
  const scale = g.rng.chance(0.25) ? g.rng.pick([1, 2, 3]) : 0;
  g.emit(asm.mov64Reg(index, from));
  g.sometimes(() => {
    bound(g, index, (room - bytes - fixed) >> scale, out);
    if (scale > 0) g.emit(asm.alu64Imm("lsh", index, scale));
    g.emit(asm.mov64Reg(pointer, ptr), asm.alu64Reg("add", pointer, index));
    const off = g.mistake() ? g.rng.pick([1, bytes, -1]) : fixed;
    if (content.readonly !== true && g.rng.chance(0.4)) {
      const src = g.reg("scalar");
      g.emit(src >= 0 ? asm.stx(size, pointer, src, off) : asm.stImm(size, pointer, off, 1));
    } else {
      const dst = g.target();
      g.emit(asm.ldx(size, dst, pointer, off));
      g.set(dst, SCALAR);
    }
    g.set(index, SCALAR);
    g.set(pointer, NONE);
  });
  g.bind(out);
}

/** A pointer that two paths make differently, used behind the place where they meet. */
export function joinedPointer(g: Gen): void {
  const ptr = g.reg("value", "record", "mem", "fp");
  const from = g.reg("scalar");
  const condition = g.reg("scalar");
  if (ptr < 0 || from < 0 || condition < 0) return;
  const content = g.regs[ptr]!;
  const room = content.kind === "fp" ? 32 : (content.size ?? 8);
  const index = g.target(ptr, from);
  const pointer = g.target(ptr, from, index);
  if (index > 9 || pointer > 9) return;
  const other = g.label();
  const meet = g.label();
  const make = (): void => {
    const most = g.rng.pick([room >> 1, room >> 2, room, 1]);
    const mask = 2 ** Math.floor(Math.log2(Math.max(1, most))) - 1;
    g.emit(asm.mov64Reg(pointer, ptr), asm.mov64Reg(index, from));
    if (content.kind === "fp") g.emit(asm.alu64Imm("add", pointer, -room));
    const way = g.rng.below(4);
    if (way === 0) g.emit(asm.alu64Imm("add", pointer, g.rng.pick([0, 1, 4, 8])));
    else if (way < 3 || mask === 0) g.emit(asm.alu64Imm("and", index, mask), asm.alu64Reg("add", pointer, index));
    else g.emit(asm.mov64Imm(index, g.rng.below(mask + 1)), asm.alu64Reg("add", pointer, index));
  };
  if (content.kind === "fp") for (let at = 8; at <= room; at += 8) g.emit(asm.stImm("dw", 10, -at, 0));
  compare(g, condition, other);
  make();
  g.lead(asm.ja(0), meet);
  g.bind(other);
  make();
  g.bind(meet);
  const size = g.rng.pick(["b", "b", "h", "w"] as const);
  const dst = g.target();
  g.emit(asm.ldx(size, dst, pointer, g.rng.pick([0, 0, 1, room >> 2, room >> 1])));
  g.set(index, SCALAR);
  g.set(pointer, NONE);
  g.set(dst, SCALAR);
}

/** A pointer into the stack at a variable offset, used in place or by a helper. */
export function variableStack(g: Gen): void {
  const from = g.reg("scalar");
  if (from < 0) return;
  const index = g.target(from);
  const pointer = g.target(from, index);
  if (index > 9 || pointer > 9) return;
  const base = g.rng.pick([16, 32, 48]);
  if (g.rng.chance(0.7)) {
    for (let at = 8; at <= base; at += 8) g.emit(asm.stImm("dw", 10, -at, g.rng.pick([0, 0, 3])));
  }
  g.emit(asm.mov64Reg(index, from), asm.alu64Imm("and", index, g.rng.pick([7, 8, 15, 1])));
  g.emit(asm.mov64Reg(pointer, 10), asm.alu64Imm("add", pointer, -base), asm.alu64Reg("add", pointer, index));
  g.set(pointer, NONE);
  g.set(index, SCALAR);
  const size = g.rng.pick(["b", "b", "dw", "w", "h"] as const);
  const src = g.reg("scalar");
  if (g.rng.chance(0.35) && src >= 0) g.emit(asm.stx(size, pointer, src, 0));
  else if (g.rng.chance(0.3)) g.emit(asm.stImm(size, pointer, 0, g.rng.pick([0, 1])));
  else {
    const dst = g.target();
    g.emit(asm.ldx(size, dst, pointer, 0));
    g.set(dst, SCALAR);
  }
}

const ATOMIC = [
  "add",
  "and",
  "or",
  "xor",
  "fetch_add",
  "fetch_and",
  "fetch_or",
  "fetch_xor",
  "xchg",
  "cmpxchg",
  "load_acq",
  "store_rel",
] as const;

export function atomic(g: Gen): void {
  const src = g.reg("scalar");
  const ptr = g.rng.chance(0.5) ? 10 : g.reg("value", "mem");
  if (src < 0 || ptr < 0) return;
  const name = g.rng.pick(ATOMIC);
  const narrow = name === "load_acq" || name === "store_rel";
  const size: SizeName = narrow ? g.size() : g.rng.pick(["w", "dw"] as const);
  const content: Reg = ptr === 10 ? { kind: "fp" } : g.regs[ptr]!;
  const bytes = BYTES[size];
  let off = ptr === 10 ? -bytes * (1 + g.rng.below(48 / bytes)) : offsetIn(g, content, bytes);
  if (!g.mistake()) off -= off % bytes;
  if (ptr === 10 && g.rng.chance(g.caps.perfmon ? 0.5 : 0.95)) {
    g.emit(asm.stImm("dw", 10, Math.floor(off / 8) * 8, g.imm()));
  }
  if (name === "load_acq") {
    const dst = g.target(ptr);
    g.emit(asm.atomic(name, size, dst, ptr, off));
    g.set(dst, SCALAR);
    return;
  }
  if (name === "cmpxchg" && g.regs[0]!.kind !== "scalar") {
    g.emit(asm.mov64Imm(0, 1));
    g.set(0, SCALAR);
  }
  if (g.reserved.has(src) && name !== "add" && name !== "store_rel") return;
  g.emit(asm.atomic(name, size, ptr, src, off));
  if (src < 10) g.set(src, { kind: "scalar" });
}

/* Context. */

function fieldSize(g: Gen, field: CtxField, how: string): SizeName {
  const full: SizeName = field.size === 8 ? "dw" : field.size === 4 ? "w" : field.size === 2 ? "h" : "b";
  if (g.mistake()) return g.size();
  if (how === "full" || how === "fullPair") return full;
  if (how === "any") return g.size();
  return g.rng.chance(0.6)
    ? full
    : g.rng.pick((["b", "h", "w", "dw"] as const).slice(0, [1, 2, 4, 8].indexOf(field.size) + 1));
}

export function readContext(g: Gen): void {
  const { layout } = g.flavour;
  const ctx = g.reg("ctx");
  if (ctx < 0) return;
  const dst = g.target(6);
  if (layout === undefined) {
    g.emit(asm.ldx(g.size(), dst, ctx, 8 * g.rng.below(4)));
    g.set(dst, SCALAR);
    return;
  }
  const field = g.rng.pick(layout.fields);
  if (field.read === null && !g.mistake()) return;
  const size = fieldSize(g, field, field.read ?? "full");
  const spot = field.offset + field.size * g.rng.below(Math.min(field.count, 64));
  const off = g.mistake() ? g.rng.below(layout.size + 8) - 4 : spot - (spot % BYTES[size]);
  g.emit(asm.ldx(size, dst, ctx, off));
  g.set(dst, field.points === undefined ? SCALAR : NONE);
}

export function writeContext(g: Gen): void {
  const { layout } = g.flavour;
  const ctx = g.reg("ctx");
  if (ctx < 0 || layout === undefined) return;
  const fields = layout.fields.filter(({ write }) => write !== null);
  if (fields.length === 0 && !g.mistake()) return;
  const field = g.rng.pick(fields.length === 0 || g.mistake() ? layout.fields : fields);
  const size = fieldSize(g, field, field.write ?? "full");
  const src = g.reg("scalar");
  const off = field.offset + field.size * g.rng.below(field.count);
  if (src >= 0 && g.rng.chance(0.7)) g.emit(asm.stx(size, ctx, src, off));
  else g.emit(asm.stImm(size, ctx, off, g.imm()));
}

/** A context field that is a socket or null, checked and read. */
export function contextSocket(g: Gen): void {
  const fields = g.flavour.layout?.fields.filter(({ name }) => name === "sk" || name === "migrating_sk") ?? [];
  const ctx = g.reg("ctx");
  if (fields.length === 0 || ctx < 0) return;
  const sk = g.saved();
  if (sk < 0) return;
  g.emit(asm.ldx("dw", sk, ctx, g.rng.pick(fields).offset));
  if (!g.mistake()) g.nullCheck(sk);
  g.set(sk, { kind: "sock" });
  readSocket(g, sk);
}

/** Reads a field of struct bpf_sock. */
export function readSocket(g: Gen, sk = g.reg("sock")): void {
  if (sk < 0) return;
  const dst = g.target(sk);
  const off = g.mistake() ? g.rng.below(90) : g.rng.pick([0, 4, 8, 12, 16, 20, 24, 40, 44, 48, 52, 72, 76]);
  g.emit(asm.ldx(g.rng.chance(0.85) ? "w" : g.size(), dst, sk, off));
  g.set(dst, SCALAR);
}

/* Packets. */

/** Loads begin and end of the packet, checks, accesses. */
export function packet(g: Gen): void {
  const { packet: layout, type } = g.flavour;
  const ctx = g.reg("ctx");
  if (layout === null || ctx < 0) return;
  const { rng } = g;
  const [begin, end, width] = layout;
  const free = [2, 3, 4, 5, 7, 8, 9].filter((r) => !g.reserved.has(r));
  const [data, dataEnd, probe, value] = free as [number, number, number, number];
  if (value === undefined) return;
  const out = g.label();
  const before = [...g.regs];
  g.emit(asm.ldx(width, data, ctx, begin), asm.ldx(width, dataEnd, ctx, end));
  if (rng.chance(0.12) && (type === ProgType.XDP || type === ProgType.SCHED_CLS)) {
    // What lies before the packet: bounded by its beginning.
    g.emit(asm.mov64Reg(dataEnd, data), asm.ldx("w", data, ctx, type === ProgType.XDP ? 8 : 140));
  }
  for (const r of [data, dataEnd, probe, value]) g.set(r, NONE);
  const from = g.reg("scalar");
  const variable = from >= 0 && !free.slice(0, 4).includes(from) && rng.chance(0.35);
  if (variable) {
    g.emit(asm.mov64Reg(probe, from));
    bound(g, probe, rng.pick([7, 63, 255, 0xffff, 0x7ffff]), out);
    g.emit(asm.alu64Reg("add", data, probe));
  }
  const length = rng.pick([1, 2, 4, 8, 14, 20, 34, 54]);
  g.emit(asm.mov64Reg(probe, data), asm.alu64Imm("add", probe, length));
  checkPacketEnd(g, probe, dataEnd, out);
  const rounds = 1 + rng.below(3);
  for (let i = 0; i < rounds; i++) accessPacket(g, data, value, length);
  if (rng.chance(0.25)) nextHeader(g, data, dataEnd, probe, value, length, out);
  g.bind(out);
  for (const r of [data, dataEnd, probe, value]) g.set(r, NONE);
  g.join(before);
}

function checkPacketEnd(g: Gen, probe: number, dataEnd: number, out: number): void {
  const { rng } = g;
  if (g.mistake() && rng.chance(0.5)) return;
  const way = rng.below(20);
  if (way < 10) g.lead(asm.jmpReg(g.mistake() ? "jlt" : "jgt", probe, dataEnd, 0), out);
  else if (way < 13) g.lead(asm.jmpReg(rng.pick(["jge", "jgt"] as const), probe, dataEnd, 0), out);
  else if (way < 17) g.lead(asm.jmpReg(rng.pick(["jlt", "jle"] as const), dataEnd, probe, 0), out);
  else {
    const on = g.label();
    const [name, a, b] = rng.pick([
      ["jle", probe, dataEnd],
      ["jlt", probe, dataEnd],
      ["jge", dataEnd, probe],
      ["jgt", dataEnd, probe],
    ] as const);
    g.lead(asm.jmpReg(name, a, b, 0), on);
    g.lead(asm.ja(0), out);
    g.bind(on);
  }
}

function accessPacket(g: Gen, data: number, value: number, length: number): void {
  const size = g.size();
  const bytes = BYTES[size];
  if (bytes > length && !g.mistake()) return;
  const off = g.mistake() ? length - bytes + 1 : g.rng.below(Math.max(1, length - bytes + 1));
  if (g.rng.chance(0.75)) g.emit(asm.ldx(size, value, data, off));
  else g.emit(asm.stImm(size, data, off, g.imm()));
}

/** Goes on by a length that the packet itself says. */
function nextHeader(
  g: Gen,
  data: number,
  dataEnd: number,
  probe: number,
  value: number,
  length: number,
  out: number,
): void {
  g.emit(asm.ldx("b", value, data, g.rng.below(length)));
  g.emit(asm.alu64Imm("and", value, 15), asm.alu64Imm("lsh", value, 2), asm.alu64Reg("add", data, value));
  g.emit(asm.mov64Reg(probe, data), asm.alu64Imm("add", probe, 8));
  checkPacketEnd(g, probe, dataEnd, out);
  accessPacket(g, data, value, 8);
}

export function legacyPacketLoad(g: Gen): void {
  if ((!g.flavour.ldAbs && !g.mistake()) || !g.hasCtx || g.locked) return;
  const size = g.rng.pick(["b", "h", "w"] as const);
  const src = g.reg("scalar");
  if (src >= 0 && g.rng.chance(0.4)) g.emit(asm.ldInd(size, src, g.rng.pick([0, 14, -0x100000])));
  else g.emit(asm.ldAbs(size, g.rng.pick([0, 12, 23, -0xff000])));
  g.called(SCALAR);
}

/** Constants that stand in a read-only map. */
export function readOnlyData(g: Gen): void {
  const dst = g.target();
  const map = g.rng.weighted([
    [8, maps.rodata],
    [1, maps.frozen],
    [1, maps.rdonlyProg],
    [1, maps.arrayOdd],
  ]);
  const size = g.size();
  const room = map.valueSize - BYTES[size];
  const at = g.mistake() ? map.valueSize : g.rng.below(room + 1);
  g.emit(asm.ldMapValue(dst, g.map(map), g.rng.chance(0.5) ? at : 0));
  const signed = size !== "dw" && g.rng.chance(0.25);
  const off = g.insns[g.insns.length - 1]!.imm === at ? 0 : at;
  g.emit(signed ? asm.ldxs(size, dst, dst, off) : asm.ldx(size, dst, dst, off));
  g.set(dst, SCALAR);
}

/** The address of a map's value, kept. */
export function mapValueAddress(g: Gen): void {
  const dst = g.target();
  const map = g.rng.pick([maps.arrayOdd, maps.rodata, maps.rdonlyProg, maps.wronlyProg, maps.percpuArray]);
  if (map === maps.percpuArray && !g.mistake()) return;
  g.emit(asm.ldMapValue(dst, g.map(map), 0));
  g.set(dst, { kind: "value", size: map.valueSize, readonly: map === maps.rodata || map === maps.rdonlyProg });
}
