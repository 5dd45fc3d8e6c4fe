// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { verify } from "../../../src/verifier/index.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { ProgFlag, R0, R1, R2, R3, R4, R6, R7, R8, R10 } from "../../fixtures/verifier/programs/kit.js";
import { needsMirroredKernel, sameAsKernel } from "../../support/live-parity.js";

/** What a loop's body does, by name; R6 counts its turns. */
const bodies: Readonly<Record<string, k.Item[]>> = {
  nothing: [],
  store: [k.stx("dw", R10, R6, -8)],
  sum: [k.alu64Reg("add", R7, R6)],
  random: [k.call("get_prandom_u32"), k.alu64Imm("and", R0, 7), k.mov64Reg(R8, R0)],
  branch: [k.call("get_prandom_u32"), k.ifImm("jeq", R0, 3, "skip"), k.alu64Imm("add", R7, 1), "skip:"],
  branches: [
    k.call("get_prandom_u32"),
    k.ifImm("jeq", R0, 3, "one"),
    k.stImm("dw", R10, -8, 1),
    "one:",
    k.ifImm("jgt", R0, 5, "two"),
    k.mov64Imm(R8, 3),
    "two:",
    k.ifImm("jset", R0, 1, "three"),
    k.mov64Imm(R7, 9),
    "three:",
  ],
  spill: [k.ldx("dw", R1, R10, -8), k.alu64Imm("add", R1, 1), k.stx("dw", R10, R1, -8)],
};

const start = [k.mov64Imm(R6, 0), k.mov64Imm(R7, 0), k.mov64Imm(R8, 0), k.stImm("dw", R10, -8, 0)];

t.test("loops: every turn is walked until nothing is new", needsMirroredKernel(), (t) => {
  for (const [name, body] of Object.entries(bodies)) {
    for (const turns of [3, 40, 150]) {
      for (const progFlags of [0, ProgFlag.TEST_STATE_FREQ]) {
        const items = [...start, "again:", ...body, k.alu64Imm("add", R6, 1), k.ifImm("jlt", R6, turns, "again")];
        sameAsKernel(
          t,
          k.good(`loop/${name}-${turns}-${progFlags}`, "TRACEPOINT", { progFlags }, ...items, ...k.ret()),
        );
      }
    }
  }
  t.end();
});

t.test("may_goto: turns alike are found alike", needsMirroredKernel(), (t) => {
  for (const [name, body] of Object.entries(bodies)) {
    const items = [
      ...start,
      "again:",
      k.mayGoto("out"),
      ...body,
      k.goto("again"),
      "out:",
      k.mov64Reg(R0, R7),
      k.exit(),
    ];
    sameAsKernel(t, k.good(`may-goto/${name}`, "TRACEPOINT", {}, ...items));
  }
  t.end();
});

t.test("callbacks: called again until nothing is new", needsMirroredKernel(), (t) => {
  const loop = (...callback: k.Item[]): k.Item[] => [
    k.stImm("dw", R10, -8, 0),
    k.stImm("dw", R10, -16, 0),
    k.mov64Imm(R1, 10),
    k.funcAddress(R2, "callback"),
    k.lea(R3, R10, -8),
    k.mov64Imm(R4, 0),
    k.call("loop"),
    k.ldx("dw", R0, R10, -8),
    k.ret(),
    "callback:",
    ...callback,
  ];
  const callbacks: Readonly<Record<string, k.Item[]>> = {
    nothing: k.ret(),
    counts: [k.ldx("dw", R3, R2, 0), k.alu64Imm("add", R3, 1), k.stx("dw", R2, R3, 0), ...k.ret()],
    stops: [k.mov64Imm(R0, 0), k.ifImm("jlt", R1, 5, "out"), k.mov64Imm(R0, 1), "out:", k.exit()],
    "returns-2": k.ret(2),
    outside: [k.stx("dw", R2, R1, -16), ...k.ret()],
    nested: [
      k.stx("dw", R10, R2, -8),
      k.mov64Imm(R1, 3),
      k.funcAddress(R2, "inner"),
      k.lea(R3, R10, -8),
      k.mov64Imm(R4, 0),
      k.call("loop"),
      ...k.ret(),
      "inner:",
      k.ldx("dw", R2, R2, 0),
      k.stImm("dw", R2, 0, 5),
      ...k.ret(),
    ],
  };
  for (const [name, callback] of Object.entries(callbacks)) {
    sameAsKernel(t, k.good(`callback/${name}`, "TRACEPOINT", {}, ...loop(...callback)));
  }
  t.end();
});

t.test("loops without end", needsMirroredKernel(), (t) => {
  const endless: Readonly<Record<string, k.Item[]>> = {
    self: [k.mov64Imm(R0, 0), k.ja(-1), k.exit()],
    condition: [k.mov64Imm(R0, 0), "again:", k.ifImm("jeq", R0, 0, "again"), k.exit()],
    two: [k.mov64Imm(R0, 0), "a:", k.alu64Imm("xor", R0, 1), k.ifImm("jle", R0, 1, "a"), k.exit()],
    "in-function": [k.callTo("f"), k.exit(), "f:", k.mov64Imm(R0, 0), "again:", k.goto("again")],
  };
  for (const [name, items] of Object.entries(endless))
    sameAsKernel(t, k.bad(`endless/${name}`, "TRACEPOINT", {}, ...items));
  t.end();
});

t.test("functions are explored for every call of them", needsMirroredKernel(), (t) => {
  const calls = (count: number, ...callee: k.Item[]): k.Item[] => {
    const items: k.Item[] = [k.mov64Reg(R6, R1)];
    for (let i = 0; i < count; i++) items.push(k.call("get_prandom_u32"), k.mov64Reg(R1, R0), k.callTo("f"));
    return [...items, ...k.ret(), "f:", ...callee];
  };
  const callees: Readonly<Record<string, k.Item[]>> = {
    plain: k.ret(),
    branches: [
      k.mov64Imm(R0, 0),
      k.ifImm("jgt", R1, 7, "a"),
      k.mov64Imm(R0, 1),
      "a:",
      k.ifImm("jset", R1, 2, "b"),
      k.stx("dw", R10, R1, -8),
      "b:",
      k.exit(),
    ],
    spills: [
      k.stx("dw", R10, R1, -8),
      k.stx("dw", R10, R6, -16),
      k.call("get_prandom_u32"),
      k.ldx("dw", R1, R10, -8),
      k.mov64Reg(R0, R1),
      k.exit(),
    ],
  };
  for (const [name, callee] of Object.entries(callees)) {
    for (const count of [1, 2, 9])
      sameAsKernel(t, k.good(`calls/${name}-${count}`, "TRACEPOINT", {}, ...calls(count, ...callee)));
  }
  t.end();
});

t.test("one verification leaves nothing behind for the next", (t) => {
  const program = (turns: number): k.FixtureProgram =>
    k.good(
      "again",
      "TRACEPOINT",
      {},
      ...start,
      "again:",
      ...bodies.branches!,
      k.alu64Imm("add", R6, 1),
      k.ifImm("jlt", R6, turns, "again"),
      ...k.ret(),
    );
  const bad = k.bad(
    "bad",
    "TRACEPOINT",
    {},
    k.stImm("dw", R10, -8, 0),
    k.callTo("f"),
    k.exit(),
    "f:",
    k.ldx("dw", R0, R1, 0),
    k.exit(),
  );
  const unmodelled = k.bad("unmodelled", "TRACEPOINT", {}, k.stImm("dw", R10, -8, 0), k.callKfunc(1), k.exit());
  const first = [program(5), program(80), bad].map(({ load }) => verify(load, { logLevel: 2 }));
  for (let i = 0; i < 3; i++) {
    t.equal(verify(unmodelled.load).verdict, "unsupported");
    t.same(
      [program(5), program(80), bad].map(({ load }) => verify(load, { logLevel: 2 })),
      first,
    );
  }
  t.end();
});

t.test("at level 0 the figures are those of level 2", (t) => {
  for (const [name, body] of Object.entries(bodies)) {
    const { load } = k.good(
      name,
      "TRACEPOINT",
      {},
      ...start,
      "again:",
      ...body,
      k.alu64Imm("add", R6, 1),
      k.ifImm("jlt", R6, 60, "again"),
      ...k.ret(),
    );
    t.same(verify(load).stats, verify(load, { logLevel: 2 }).stats, name);
  }
  t.end();
});

t.test("visits add up to the instructions processed", (t) => {
  const { load } = k.good(
    "visits",
    "TRACEPOINT",
    {},
    ...start,
    "again:",
    k.alu64Imm("add", R6, 1),
    k.ifImm("jlt", R6, 9, "again"),
    ...k.ret(),
  );
  const { visits, stats } = verify(load, { countVisits: true });
  t.equal(
    visits!.reduce((a, b) => a + b, 0),
    stats.insnsProcessed,
  );
  t.same([...visits!.subarray(4, 6)], [9, 9]);
  t.equal(verify(load).visits, undefined);
  t.end();
});
