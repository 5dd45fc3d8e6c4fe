// SPDX-License-Identifier: GPL-2.0-only
import fc from "fast-check";
import t from "tap";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { R0, R1, R2, R6, R7, R10 } from "../../fixtures/verifier/programs/kit.js";
import { differenceOf, judgeLive, needsMirroredKernel, sameAsKernel } from "../../support/live-parity.js";

/**
 * A function of `size` blocks that jump anywhere; the last one ends it. No block calls a helper: with an
 * unknown number from outside in every turn, or with bounds that close in by one, no two turns of a loop are alike and
 * the kernel walks a million steps.
 */
const controlFlow = fc.integer({ min: 2, max: 12 }).chain((size) =>
  fc.array(
    fc.record({
      kind: fc.constantFrom("mov", "store", "load", "if", "if", "ifreg", "goto", "exit"),
      reg: fc.integer({ min: 0, max: 9 }),
      src: fc.integer({ min: 0, max: 9 }),
      slot: fc.integer({ min: 1, max: 4 }),
      to: fc.integer({ min: 0, max: size - 1 }),
    }),
    { minLength: size, maxLength: size },
  ),
);

type Block = typeof controlFlow extends fc.Arbitrary<readonly (infer B)[]> ? B : never;

function blockItems({ kind, reg, src, slot, to }: Block, index: number): k.Item[] {
  const label = `b${index}:`;
  switch (kind) {
    case "mov":
      return [label, k.mov64Imm(reg, to)];
    case "store":
      return [label, k.stx("dw", R10, R10, -8 * slot)];
    case "load":
      return [label, k.ldx("dw", reg, R10, -8 * slot)];
    case "if":
      return [label, k.ifImm("jeq", reg, slot, `b${to}`)];
    case "ifreg":
      return [label, k.ifReg("jset", reg, src, `b${to}`)];
    case "goto":
      return [label, k.goto(`b${to}`)];
    default:
      return [label, k.mov64Imm(R0, 0), k.exit()];
  }
}

/** Every register is an unknown number, so that what is explored hangs on the jumps alone. */
function prologue(): k.Item[] {
  const items: k.Item[] = [];
  for (let r = 6; r < 10; r++) items.push(k.call("get_prandom_u32"), k.mov64Reg(r, R0));
  for (let r = 1; r < 6; r++) items.push(k.mov64Reg(r, R6));
  return items;
}

t.test("random control flow: live registers, loops, live slots, verdict", needsMirroredKernel(), (t) => {
  let loops = 0;
  let accepted = 0;
  fc.assert(
    fc.property(controlFlow, (blocks) => {
      const items = blocks.flatMap(blockItems);
      const parity = judgeLive(k.good("flow", "TRACEPOINT", {}, ...prologue(), ...items, ...k.ret()));
      if (/^ {2}\d /m.test(parity.kernel.log)) loops++;
      if (parity.kernel.errno === 0) accepted++;
      const difference = differenceOf(parity);
      if (difference !== null) throw new Error(difference);
    }),
    { numRuns: 300 },
  );
  t.ok(loops >= 10, `${loops} programs with loops`);
  t.ok(accepted >= 3, `${accepted} accepted`);
  t.end();
});

/** Stores through R2, which points to one of two slots: neither is always written. */
function storeThroughEither(base: number): k.FixtureProgram {
  return k.good(
    `either-slot/${base}`,
    "TRACEPOINT",
    {},
    k.stImm("dw", R10, base, 0),
    k.stImm("dw", R10, base - 8, 0),
    k.call("get_prandom_u32"),
    k.ifImm("jne", R0, 0, "other"),
    k.lea(R2, R10, base),
    k.goto("store"),
    "other:",
    k.lea(R2, R10, base - 8),
    "store:",
    k.stImm("dw", R2, 0, 5),
    k.ldx("dw", R1, R10, base),
    k.ldx("dw", R1, R10, base - 8),
    k.ret(),
  );
}

/** A function that reads and writes its caller's slots, called with different ones. */
function callerSlots(base: number): k.FixtureProgram {
  return k.good(
    `caller-slots/${base}`,
    "TRACEPOINT",
    {},
    k.stImm("dw", R10, base, 0),
    k.stImm("dw", R10, base - 8, 0),
    k.lea(R1, R10, base),
    k.callTo("outer"),
    k.lea(R1, R10, base - 8),
    k.callTo("outer"),
    k.ldx("dw", R0, R10, base),
    k.ret(),
    "outer:",
    k.stx("dw", R10, R1, -8),
    k.callTo("inner"),
    k.ldx("dw", R1, R10, -8),
    k.ldx("dw", R0, R1, 0),
    k.exit(),
    "inner:",
    k.ifImm("jeq", R1, 0, "out"),
    k.stImm("dw", R1, 0, 3),
    "out:",
    k.ret(),
  );
}

t.test("live slots: near and far ones, and those of callers", needsMirroredKernel(), (t) => {
  for (const base of [-8, -248, -256, -264, -504]) {
    sameAsKernel(t, storeThroughEither(base));
    sameAsKernel(t, callerSlots(base));
  }
  t.end();
});

t.test(
  "precision is traced back through moves, sums, spills, calls and linked registers",
  needsMirroredKernel(),
  (t) => {
    const maps = [k.map("ARRAY", 4, 64, 1)];
    const index = [k.call("get_prandom_u32"), k.alu64Imm("and", R0, 31), k.mov64Reg(R6, R0)];
    const use = [k.mov64Reg(R2, R7), k.alu64Reg("add", R2, R6), k.ldx("b", R1, R2, 0)];
    const between: Readonly<Record<string, k.Item[]>> = {
      nothing: [],
      spill: [k.stx("dw", R10, R6, -16), k.mov64Imm(R6, 0), k.ldx("dw", R6, R10, -16)],
      "narrow-spill": [k.stx("w", R10, R6, -16), k.mov64Imm(R6, 0), k.ldx("w", R6, R10, -16)],
      sum: [k.mov64Reg(R1, R6), k.mov64Imm(R2, 3), k.alu64Reg("add", R1, R2), k.mov64Reg(R6, R1)],
      linked: [
        k.mov64Reg(R1, R6),
        k.alu64Imm("add", R1, 4),
        k.ifImm("jgt", R1, 20, "out"),
        k.ifImm("jlt", R6, 2, "out"),
      ],
      call: [k.mov64Reg(R1, R6), k.callTo("twice"), k.mov64Reg(R6, R0)],
      zero: [k.stImm("dw", R10, -16, 0), k.ldx("b", R1, R10, -16), k.alu64Reg("add", R6, R1)],
      atomic: [
        k.stImm("dw", R10, -16, 1),
        k.mov64Imm(R1, 2),
        k.atomic("fetch_add", "dw", R10, R1, -16),
        k.alu64Reg("and", R6, R1),
      ],
    };
    for (const [name, items] of Object.entries(between)) {
      sameAsKernel(
        t,
        k.good(
          `precision/${name}`,
          "TRACEPOINT",
          { maps },
          ...k.lookup(0),
          k.ifImm("jeq", R0, 0, "out"),
          k.mov64Reg(R7, R0),
          ...index,
          ...items,
          k.ifImm("jsgt", R6, 60, "out"),
          k.ifImm("jslt", R6, 0, "out"),
          ...use,
          "out:",
          k.ret(),
          "twice:",
          k.mov64Reg(R0, R1),
          k.alu64Imm("and", R0, 15),
          k.alu64Reg("add", R0, R0),
          k.exit(),
        ),
      );
    }
    t.end();
  },
);
