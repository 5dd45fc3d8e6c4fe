// SPDX-License-Identifier: GPL-2.0-only
import * as build from "../../../src/asm/build.js";
import type { Insn } from "../../../src/asm/insn.js";
import { ProgType } from "../../../src/kernel/uapi.js";
import { Random } from "./random-scalars.js";

/* Programs that move pointers through a packet, compare them with its end and read. One seed, one program. */

/** Offsets of data, data_end, data_meta and of some number in the context. */
const CONTEXT = new Map<number, readonly [number, number, number, number]>([
  [ProgType.SCHED_CLS, [76, 80, 140, 4]],
  [ProgType.XDP, [0, 4, 8, 16]],
]);

const DATA = 8;
const END = 9;
const META = 5;
const NUMBER = 7;
const POINTERS = [2, 3, 4, DATA] as const;

function step(random: Random, numberAt: number): Insn[] {
  const p = random.pick(POINTERS);
  switch (random.below(10)) {
    case 0:
    case 1:
      return [build.alu64Imm(random.below(6) === 0 ? "sub" : "add", p, random.pick([1, 2, 4, 8, 14, 20, 34]))];
    case 2:
      return [build.alu64Reg(random.below(8) === 0 ? "sub" : "add", p, NUMBER)];
    case 3:
      return [build.ldx("w", NUMBER, 6, numberAt), build.alu64Imm("and", NUMBER, random.pick([1, 15, 0xff, 0x7fff]))];
    case 4:
      return [build.mov64Reg(p, random.pick([DATA, 2, 3, META]))];
    case 5:
      return [build.ldx(random.pick(["b", "h", "w"]), 0, p, random.pick([0, 0, 0, 1, 4, 12, -1, -4]))];
    default: {
      const other = random.below(4) === 0 ? DATA : END;
      const name = random.pick(["jgt", "jge", "jlt", "jle"] as const);
      const off = random.below(3);
      return [random.below(2) === 0 ? build.jmpReg(name, p, other, off) : build.jmpReg(name, other, p, off)];
    }
  }
}

/** A program of type SCHED_CLS or XDP of at most `length` steps. */
export function randomPackets(seed: number, progType: number, length: number): Insn[] {
  const random = new Random(seed);
  const [data, end, meta, numberAt] = CONTEXT.get(progType)!;
  const insns = [
    build.mov64Reg(6, 1),
    build.ldx("w", DATA, 6, data),
    build.ldx("w", END, 6, end),
    build.ldx("w", META, 6, meta),
    build.ldx("w", NUMBER, 6, numberAt),
    ...[2, 3].map((reg) => build.mov64Reg(reg, DATA)),
    build.mov64Reg(4, META),
  ];
  insns.push(...random.joined(Array.from({ length: 1 + random.below(length) }, () => step(random, numberAt))));
  insns.push(build.mov64Imm(0, 0), build.exit());
  return insns;
}
