// SPDX-License-Identifier: MIT
import type { Insn } from "../../../src/asm/insn.js";
import * as op from "../../../src/asm/opcode.js";
import { ProgFlag } from "../../../src/kernel/uapi.js";
import type { ProgramLoad } from "../../../src/model/load.js";
import { distanceIn, type Edited, putTogether, replaced, takeApart, type Unit, without, withUnits } from "./edit.js";
import type { Rng } from "./rng.js";

/* Small changes to programs that the kernel accepted. */

const IMMS: readonly number[] = [
  0, 1, -1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 255, 256, 0xffff, 0x7fff_ffff, -0x8000_0000,
];
const ALU_CODES: readonly number[] = [
  op.BPF_ADD,
  op.BPF_SUB,
  op.BPF_MUL,
  op.BPF_DIV,
  op.BPF_OR,
  op.BPF_AND,
  op.BPF_LSH,
  op.BPF_RSH,
  op.BPF_MOD,
  op.BPF_XOR,
  op.BPF_MOV,
  op.BPF_ARSH,
];
const JUMP_CODES: readonly number[] = [
  op.BPF_JEQ,
  op.BPF_JGT,
  op.BPF_JGE,
  op.BPF_JSET,
  op.BPF_JNE,
  op.BPF_JSGT,
  op.BPF_JSGE,
  op.BPF_JLT,
  op.BPF_JLE,
  op.BPF_JSLT,
  op.BPF_JSLE,
];

type Mutation = (rng: Rng, program: Edited, others: readonly ProgramLoad[]) => Edited;

/** A unit of the program that is not a ld_imm64 of a map. */
function place(rng: Rng, { units }: Edited): number {
  return rng.below(units.length);
}

function changed(rng: Rng, program: Edited, change: (insn: Insn, unit: Unit) => Partial<Insn>): Edited {
  for (let tries = 0; tries < 6; tries++) {
    const at = place(rng, program);
    const unit = program.units[at]!;
    if (unit.second !== null) continue;
    const insn = { ...unit.insn, ...change(unit.insn, unit) };
    return replaced(program, at, { ...unit, insn });
  }
  return program;
}

function isJump({ opcode }: Insn): boolean {
  const klass = opcode & 7;
  const kind = opcode & 0xf0;
  if (klass !== op.BPF_JMP && klass !== op.BPF_JMP32) return false;
  return kind !== op.BPF_JA && kind !== op.BPF_CALL && kind !== op.BPF_EXIT && kind !== op.BPF_JCOND;
}

const isAlu = ({ opcode }: Insn): boolean => (opcode & 7) === op.BPF_ALU || (opcode & 7) === op.BPF_ALU64;

const flipOp: Mutation = (rng, program) =>
  changed(rng, program, (insn) => {
    const { opcode } = insn;
    if (isJump(insn)) {
      if (rng.chance(0.25)) return { opcode: opcode ^ (op.BPF_JMP ^ op.BPF_JMP32) };
      return { opcode: (opcode & 0x0f) | rng.pick(JUMP_CODES) };
    }
    if (isAlu(insn)) {
      if (rng.chance(0.25)) return { opcode: opcode ^ (op.BPF_ALU ^ op.BPF_ALU64) };
      if (rng.chance(0.1)) return { off: rng.pick([0, 1, 8, 16, 32]) };
      return { opcode: (opcode & 0x0f) | rng.pick(ALU_CODES) };
    }
    const klass = opcode & 7;
    if (klass === op.BPF_LDX || klass === op.BPF_ST || klass === op.BPF_STX) {
      if (klass === op.BPF_LDX && rng.chance(0.2)) return { opcode: (opcode & 0x1f) | op.BPF_MEMSX };
      return { opcode: (opcode & ~0x18) | rng.pick([op.BPF_B, op.BPF_H, op.BPF_W, op.BPF_DW]) };
    }
    return rng.chance(0.1) ? { opcode: rng.below(256) } : {};
  });

const flipReg: Mutation = (rng, program) =>
  changed(rng, program, ({ dst, src, opcode }) => {
    const klass = opcode & 7;
    if (klass === op.BPF_JMP && (opcode & 0xf0) === op.BPF_CALL) return {};
    return rng.chance(0.5)
      ? { dst: rng.below(11) }
      : { src: src === 0 && dst > 0 && rng.chance(0.5) ? src : rng.below(11) };
  });

const flipOff: Mutation = (rng, program) =>
  changed(rng, program, (insn) => {
    if (distanceIn(insn) !== null) return {};
    return { off: clamp(insn.off + rng.pick([-8, -4, -2, -1, 1, 2, 4, 8])) };
  });

const clamp = (n: number): number => Math.max(-0x8000, Math.min(0x7fff, n));

const flipImm: Mutation = (rng, program) =>
  changed(rng, program, (insn) => {
    if (distanceIn(insn) === "imm" || (insn.opcode & 0xf7) === (op.BPF_JMP | op.BPF_CALL)) return {};
    const how = rng.below(4);
    const imm =
      how === 0
        ? rng.pick(IMMS)
        : how === 1
          ? insn.imm + rng.pick([-1, 1])
          : how === 2
            ? -insn.imm
            : insn.imm ^ (1 << rng.below(32));
    return { imm: imm | 0 };
  });

const flipSource: Mutation = (rng, program) =>
  changed(rng, program, (insn) => {
    if (!isJump(insn) && !isAlu(insn)) return {};
    const toReg = (insn.opcode & op.BPF_X) === 0;
    return { opcode: insn.opcode ^ op.BPF_X, src: toReg ? rng.below(10) : 0, imm: toReg ? 0 : rng.pick(IMMS) };
  });

const retarget: Mutation = (rng, program) => {
  const jumps = program.units.flatMap(({ target, insn }, i) => (target >= 0 && distanceIn(insn) === "off" ? [i] : []));
  if (jumps.length === 0) return program;
  const at = rng.pick(jumps);
  const near = program.units[at]!.target + rng.pick([-3, -2, -1, 1, 2, 3]);
  const target = rng.chance(0.7) ? Math.max(0, Math.min(program.units.length - 1, near)) : place(rng, program);
  return replaced(program, at, { ...program.units[at]!, target });
};

/** The branch taken becomes the one not taken. */
const swapBranches: Mutation = (rng, program) =>
  changed(rng, program, (insn) => {
    if (!isJump(insn)) return {};
    const kind = insn.opcode & 0xf0;
    const pairs = [
      [op.BPF_JEQ, op.BPF_JNE],
      [op.BPF_JGT, op.BPF_JLE],
      [op.BPF_JGE, op.BPF_JLT],
      [op.BPF_JSGT, op.BPF_JSLE],
      [op.BPF_JSGE, op.BPF_JSLT],
    ] as const;
    const pair = pairs.find(([a, b]) => a === kind || b === kind);
    return pair === undefined ? {} : { opcode: (insn.opcode & 0x0f) | (pair[0] === kind ? pair[1] : pair[0]) };
  });

const remove: Mutation = (rng, program) => {
  if (program.units.length < 4) return program;
  const at = place(rng, program);
  const count = rng.pick([1, 1, 1, 2, 3]);
  return without(
    program,
    new Set(Array.from({ length: count }, (_, i) => at + i).filter((i) => i < program.units.length - 1)),
  );
};

const duplicate: Mutation = (rng, program) => {
  const at = place(rng, program);
  const count = Math.min(rng.pick([1, 1, 2, 4]), program.units.length - at);
  const copy = program.units.slice(at, at + count).map((unit) => inside(unit, at, count));
  return withUnits(program, rng.chance(0.5) ? at : place(rng, program), copy);
};

/** A unit of a piece of code that stands by itself: what led out of it leads to its end, or nowhere. */
function inside(unit: Unit, at: number, count: number): Unit {
  if (unit.target < 0) return unit;
  const to = unit.target - at;
  return { ...unit, target: to >= 0 && to < count ? to : distanceIn(unit.insn) === "off" ? count : -1 };
}

const reorder: Mutation = (rng, program) => {
  if (program.units.length < 3) return program;
  const at = rng.below(program.units.length - 1);
  const [a, b] = [program.units[at]!, program.units[at + 1]!];
  return replaced(replaced(program, at, b), at + 1, a);
};

/** A piece of another program of the same type. */
const splice: Mutation = (rng, program, others) => {
  const fit = others.filter(({ progType, insns }) => progType === program.load.progType && insns.length > 32);
  if (fit.length === 0) return program;
  const other = takeApart(rng.pick(fit));
  const from = rng.below(other.units.length - 1);
  const count = Math.min(1 + rng.below(10), other.units.length - 1 - from);
  const maps = [...program.load.maps];
  const piece = other.units.slice(from, from + count).map((unit) => {
    const placed = inside(unit, from, count);
    const { insn } = placed;
    if (insn.opcode !== op.BPF_LD_IMM64 || (insn.src !== op.BPF_PSEUDO_MAP_FD && insn.src !== op.BPF_PSEUDO_MAP_VALUE))
      return placed;
    const map = other.load.maps[insn.imm];
    if (map === undefined) return placed;
    let index = maps.indexOf(map);
    if (index < 0) index = maps.push(map) - 1;
    return { ...placed, insn: { ...insn, imm: index } };
  });
  return withUnits({ ...program, load: { ...program.load, maps } }, place(rng, program), piece);
};

const flipFlags: Mutation = (rng, program) => {
  const { load } = program;
  const flag = rng.pick([
    ProgFlag.TEST_STATE_FREQ,
    ProgFlag.TEST_REG_INVARIANTS,
    ProgFlag.STRICT_ALIGNMENT,
    ProgFlag.TEST_RND_HI32,
  ]);
  return { ...program, load: { ...load, progFlags: load.progFlags ^ flag } };
};

const swapMaps: Mutation = (rng, program, others) => {
  const pool = others.flatMap(({ maps }) => maps);
  if (program.load.maps.length === 0 || pool.length === 0) return program;
  const maps = [...program.load.maps];
  maps[rng.below(maps.length)] = rng.pick(pool);
  return { ...program, load: { ...program.load, maps } };
};

const MUTATIONS: readonly (readonly [weight: number, mutation: Mutation])[] = [
  [5, flipOp],
  [3, flipReg],
  [4, flipOff],
  [6, flipImm],
  [2, flipSource],
  [3, retarget],
  [3, swapBranches],
  [4, remove],
  [2, duplicate],
  [2, reorder],
  [4, splice],
  [2, flipFlags],
  [1, swapMaps],
];

/**
 * A program that is a little different.
 * @param others Programs that pieces are taken from.
 */
export function mutate(rng: Rng, load: ProgramLoad, others: readonly ProgramLoad[]): ProgramLoad {
  let program = takeApart(load);
  for (let n = rng.pick([1, 1, 1, 2, 2, 3, 5]); n > 0; n--) program = rng.weighted(MUTATIONS)(rng, program, others);
  return putTogether(program);
}
