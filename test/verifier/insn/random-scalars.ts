// SPDX-License-Identifier: GPL-2.0-only
import * as build from "../../../src/asm/build.js";
import type { Insn } from "../../../src/asm/insn.js";
import { BPF_JMP, BPF_JMP32, bpfClass } from "../../../src/asm/opcode.js";
import { ALU_OPS, type AluOp, JMP_OPS, type JmpOp } from "../../../src/asm/ops.js";
import { helperNames } from "../../../src/kernel/helpers/names.js";

/* Programs of nothing but arithmetic and comparisons, as dense as can be. One seed, one program. */

const alu = Object.keys(ALU_OPS) as AluOp[];
const jmp = Object.keys(JMP_OPS) as JmpOp[];
const REGS = [0, 1, 6, 7, 8] as const;
const EDGES = [0, 1, 2, 3, -1, -2, 0x7fffffff, -0x80000000, 0x7ffffffe, -0x7fffffff, 255, 256, 0xffff];
const random = build.callHelper(helperNames.indexOf("get_prandom_u32"));

export interface Mix {
  /** Instructions between the beginning and the end, at most. */
  readonly length: number;
  /** Of a hundred, how many compare; the others compute. */
  readonly jumps: number;
}

/** Numbers that follow from a seed. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) >>> 0 || 1;
  }

  /** 0 to n - 1. */
  below(n: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % n;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** The groups in a row; the offset of a jump, alone in its group, counts groups, as it must not land within one. */
  joined(groups: readonly Insn[][]): Insn[] {
    return groups.flatMap((group, i) => {
      const first = group[0]!;
      const cls = bpfClass(first.opcode);
      if (cls !== BPF_JMP && cls !== BPF_JMP32) return group;
      return [{ ...first, off: groups.slice(i + 1, i + 1 + first.off).reduce((sum, g) => sum + g.length, 0) }];
    });
  }
}

class Generator extends Random {
  imm(): number {
    const kind = this.below(4);
    if (kind === 0) return this.below(32) - 16;
    if (kind === 1) return (1 << this.below(32)) | 0;
    return kind === 2 ? this.pick(EDGES) : (this.below(0x10000) << 16) | this.below(0x10000);
  }

  private arithmetic(): Insn {
    const name = this.pick(alu);
    const dst = this.pick(REGS);
    const src = this.pick(REGS);
    const wide = this.below(2) === 0;
    if (this.below(2) === 0) return (wide ? build.alu64Reg : build.alu32Reg)(name, dst, src);
    const shift = name === "lsh" || name === "rsh" || name === "arsh";
    const imm = shift ? this.below(wide ? 64 : 32) : this.imm() || 1;
    return (wide ? build.alu64Imm : build.alu32Imm)(name, dst, imm);
  }

  private compute(): Insn[] {
    const dst = this.pick(REGS);
    const src = this.pick(REGS);
    switch (this.below(12)) {
      case 0:
        return [build.movsx64(dst, src, this.pick([8, 16, 32]))];
      case 1:
        return [build.movsx32(dst, src, this.pick([8, 16]))];
      case 2:
        return [this.pick([build.neg64, build.neg32])(dst)];
      case 3:
        return [this.pick([build.toBe, build.toLe, build.bswap])(dst, this.pick([16, 32, 64]))];
      case 4:
        return [build.alu64Imm("and", dst, this.pick([1, 7, 0xf0, 0xff, 0xfff]))];
      case 5: {
        const off = -8 * (1 + this.below(3));
        return [build.stx("dw", 10, src, off), build.ldx(this.pick(["b", "h", "w", "dw"]), dst, 10, off)];
      }
      case 6:
        return [build.mov64Reg(dst, src), build.alu64Imm(this.pick(["add", "sub"]), dst, this.imm())];
      default:
        return [this.arithmetic()];
    }
  }

  private compare(off: number): Insn {
    const name = this.pick(jmp);
    const dst = this.pick(REGS);
    const wide = this.below(3) !== 0;
    if (this.below(3) === 0) return (wide ? build.jmpReg : build.jmp32Reg)(name, dst, this.pick(REGS), off);
    return (wide ? build.jmpImm : build.jmp32Imm)(name, dst, this.imm(), off);
  }

  program({ length, jumps }: Mix): Insn[] {
    const insns: Insn[] = [];
    for (const reg of [6, 7, 8]) insns.push(random, build.mov64Reg(reg, 0));
    insns.push(random, build.mov64Reg(1, this.pick([0, 6, 7])));
    const groups: Insn[][] = [];
    for (let i = 0, n = 1 + this.below(length); i < n; i++) {
      groups.push(this.below(100) < jumps ? [this.compare(this.below(4))] : this.compute());
    }
    insns.push(...this.joined(groups));
    insns.push(build.mov64Imm(0, 0), build.exit());
    return insns;
  }
}

export function randomScalars(seed: number, mix: Mix): Insn[] {
  return new Generator(seed).program(mix);
}
