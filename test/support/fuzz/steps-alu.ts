// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import type { JmpOp } from "../../../src/asm/ops.js";
import { CTX, type Gen, SCALAR } from "./gen.js";

/* Arithmetic on scalars, and moves. */

const ALU = ["add", "sub", "and", "or", "xor", "mul", "lsh", "rsh", "arsh", "div", "mod"] as const;
const JUMPS: readonly JmpOp[] = ["jeq", "jne", "jgt", "jge", "jlt", "jle", "jset", "jsgt", "jsge", "jslt", "jsle"];

const BIG: readonly bigint[] = [
  0n,
  -1n,
  0x7fff_ffff_ffff_ffffn,
  -0x8000_0000_0000_0000n,
  -0x8000_0000_0000_0000n,
  -16n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x8000_0000n,
  0xffff_ffff_0000_0000n,
  0x1234_5678_9abc_def0n,
  0x7fff_ffff_0000_0000n,
];

/** rD = constant. */
export function movImm(g: Gen): void {
  const dst = g.target();
  if (g.rng.chance(0.12)) g.emit(asm.ldImm64(dst, g.rng.pick(BIG)));
  else g.emit((g.rng.chance(0.7) ? asm.mov64Imm : asm.mov32Imm)(dst, g.imm()));
  g.set(dst, SCALAR);
}

export function movReg(g: Gen): void {
  const dst = g.target();
  const src = g.rng.chance(0.1) ? 10 : g.anyReg();
  if (src < 0) return;
  const content = src === 10 ? ({ kind: "fp" } as const) : g.regs[src]!;
  if (content.kind === "scalar" && g.rng.chance(0.3)) {
    const make = g.rng.below(3);
    if (make === 0) g.emit(asm.mov32Reg(dst, src));
    else if (make === 1) g.emit(asm.movsx64(dst, src, g.rng.pick([8, 16, 32] as const)));
    else g.emit(asm.movsx32(dst, src, g.rng.pick([8, 16] as const)));
    g.set(dst, SCALAR);
  } else {
    g.emit(asm.mov64Reg(dst, src));
    g.set(dst, content);
  }
}

/** A scalar register that may be changed, -1 for none. */
function changeable(g: Gen): number {
  if (g.mistake()) return g.rng.below(10);
  const { reserved, regs } = g;
  const fit = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((r) => regs[r]!.kind === "scalar" && !reserved.has(r));
  return fit.length === 0 ? -1 : g.rng.pick(fit);
}

export function aluImm(g: Gen): void {
  const dst = changeable(g);
  if (dst < 0) return;
  const name = g.rng.chance(0.5) ? g.rng.pick(["add", "and", "lsh", "rsh", "sub"] as const) : g.rng.pick(ALU);
  const wide = g.rng.chance(0.6);
  let imm = g.imm();
  if (name === "lsh" || name === "rsh" || name === "arsh") imm = g.mistake() ? imm : g.rng.below(wide ? 64 : 32);
  else if ((name === "div" || name === "mod") && imm === 0 && !g.mistake()) imm = 3;
  else if (name === "and" && g.rng.chance(0.6)) imm = g.rng.pick([1, 3, 7, 15, 31, 63, 255]);
  if ((name === "div" || name === "mod") && g.rng.chance(0.5)) {
    g.emit((wide ? asm.salu64Imm : asm.salu32Imm)(name === "div" ? "sdiv" : "smod", dst, imm));
  } else g.emit((wide ? asm.alu64Imm : asm.alu32Imm)(name, dst, imm));
  g.set(dst, { kind: "scalar" });
}

export function aluReg(g: Gen): void {
  const dst = changeable(g);
  const src = g.reg("scalar");
  if (dst < 0 || src < 0) return;
  const name = g.rng.pick(ALU);
  const wide = g.rng.chance(0.6);
  if ((name === "div" || name === "mod") && g.rng.chance(0.5)) {
    g.emit((wide ? asm.salu64Reg : asm.salu32Reg)(name === "div" ? "sdiv" : "smod", dst, src));
  } else g.emit((wide ? asm.alu64Reg : asm.alu32Reg)(name, dst, src));
  g.set(dst, { kind: "scalar" });
}

export function unary(g: Gen): void {
  const dst = changeable(g);
  if (dst < 0) return;
  const make = g.rng.below(5);
  const bits = g.rng.pick([16, 32, 64] as const);
  if (make === 0) g.emit(asm.neg64(dst));
  else if (make === 1) g.emit(asm.neg32(dst));
  else g.emit([asm.toLe, asm.toBe, asm.bswap][make - 2]!(dst, bits));
  g.set(dst, { kind: "scalar" });
}

/** Small ranges next to the numbers at which they wrap, added, subtracted, multiplied. */
export function edge(g: Gen): void {
  const { rng } = g;
  const from = g.reg("scalar");
  if (from < 0) return;
  const small = g.target(from);
  const big = g.target(from, small);
  if (small > 9 || big > 9) return;
  g.emit(asm.mov64Reg(small, from), asm.alu64Imm("and", small, rng.pick([1, 3, 15, 255, 0x7fff_ffff])));
  g.emit(asm.ldImm64(big, rng.pick(BIG)));
  const wide = rng.chance(0.7);
  const reg = wide ? asm.alu64Reg : asm.alu32Reg;
  g.emit(reg(rng.pick(["or", "add", "xor", "sub"] as const), small, big));
  for (let i = 1 + rng.below(2); i > 0; i--) {
    const [dst, src] = rng.pick([
      [small, small],
      [small, big],
      [big, small],
    ] as const);
    g.emit(reg(rng.pick(["add", "add", "sub", "mul", "and", "xor"] as const), dst, src));
  }
  g.set(small, { kind: "scalar" });
  g.set(big, { kind: "scalar" });
}

/** A comparison that jumps to the label. */
export function compare(g: Gen, reg: number, to: number): void {
  const name = g.rng.pick(JUMPS);
  const other = g.rng.chance(0.3) ? g.reg("scalar") : -1;
  const wide = g.rng.chance(0.65);
  if (other >= 0) g.lead((wide ? asm.jmpReg : asm.jmp32Reg)(name, reg, other, 0), to);
  else g.lead((wide ? asm.jmpImm : asm.jmp32Imm)(name, reg, g.imm(), 0), to);
}

/** Arithmetic on pointers that is seldom right. */
export function pointerAlu(g: Gen): void {
  const ptr = g.reg("value", "mem", "fp", "record", "maybe", "sock", "map");
  if (ptr < 0 || g.reserved.has(ptr)) return;
  const dst = g.target(ptr);
  g.emit(asm.mov64Reg(dst, ptr));
  const name = g.rng.pick(["add", "sub", "add", "and", "xor"] as const);
  const src = g.reg("scalar", "scalar", "value");
  if (src >= 0 && src !== dst && g.rng.chance(0.4)) g.emit(asm.alu64Reg(name, dst, src));
  else g.emit(asm.alu64Imm(g.mistake() ? name : "add", dst, g.rng.pick([0, 1, 4, -4, 8])));
  g.set(dst, { kind: "none" });
}

/**
 * Bounds a register to [0, max], one of the ways that programs do it; what is out of bounds goes to the label.
 * Now and then the bound is a little off, or one-sided.
 */
export function bound(g: Gen, reg: number, max: number, out: number): void {
  const { rng } = g;
  const slip = g.mistake() || rng.chance(0.03) ? rng.pick([1, -1, 8]) : 0;
  const limit = Math.max(0, max + slip);
  switch (rng.below(8)) {
    case 0:
      g.emit((rng.chance(0.5) ? asm.alu64Imm : asm.alu32Imm)("and", reg, mask(limit)));
      break;
    case 1:
      g.lead((rng.chance(0.5) ? asm.jmpImm : asm.jmp32Imm)("jgt", reg, limit, 0), out);
      if (rng.chance(0.5)) break;
      g.emit(asm.alu64Imm("and", reg, mask(limit)));
      break;
    case 2:
      g.lead(asm.jmpImm("jge", reg, limit + 1, 0), out);
      break;
    case 3:
      g.lead(asm.jmpImm("jsgt", reg, limit, 0), out);
      if (rng.chance(0.9)) g.lead(asm.jmpImm("jslt", reg, 0, 0), out);
      break;
    case 4:
      g.emit((rng.chance(0.5) ? asm.alu64Imm : asm.alu32Imm)("mod", reg, limit + 1));
      break;
    case 5: {
      const shift = Math.clz32(limit + 1) + 1;
      g.emit(rng.chance(0.5) ? asm.alu64Imm("rsh", reg, 32 + shift) : asm.alu32Imm("rsh", reg, Math.min(31, shift)));
      break;
    }
    case 6: {
      // Through another register that stays tied to this one.
      const twin = g.target(reg, 0);
      if (twin > 9 || g.regs[twin] === CTX) {
        g.emit(asm.alu64Imm("and", reg, mask(limit)));
        break;
      }
      g.emit(asm.mov64Reg(twin, reg));
      if (rng.chance(0.3)) g.emit(asm.alu64Imm("add", twin, rng.pick([1, 4, -1])));
      g.lead(asm.jmpImm("jgt", twin, limit, 0), out);
      g.set(twin, SCALAR);
      break;
    }
    default: {
      const on = g.label();
      g.lead((rng.chance(0.7) ? asm.jmpImm : asm.jmp32Imm)("jlt", reg, limit + 1, 0), on);
      g.emit((rng.chance(0.5) ? asm.mov64Imm : asm.mov32Imm)(reg, rng.below(limit + 1)));
      g.bind(on);
    }
  }
}

/** The largest 2^n - 1 that is at most `max`. */
function mask(max: number): number {
  return 2 ** Math.floor(Math.log2(max + 1)) - 1;
}
