// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { writeBtf } from "../../../src/btf/write.js";
import type { MapLoad } from "../../../src/model/load.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { differenceOf, judgeLive, needsMirroredKernel } from "../../support/live-parity.js";
import { functionsOf, lookupOrLeave, typed, typedMap } from "./typed.js";

/** A program with one callback, `callback` being its body without the last `r0 = ret; exit`. */
function withCallback(
  expect: "accept" | "reject",
  name: string,
  map: MapLoad,
  main: readonly k.Item[],
  callback: readonly k.Item[],
  ret: readonly k.Item[] = [k.ret()],
): k.FixtureProgram {
  const { builder, int } = typed();
  const ids = {
    main: builder.func("main", builder.funcProto(int, [{ name: "ctx", type: builder.ptr(0) }]), "global"),
    callback: builder.func("callback", builder.funcProto(int, []), "static"),
  };
  const items: k.Item[] = [...main, k.ret(), "callback:", ...callback, ...ret];
  const options = { maps: [map], btf: writeBtf(builder.build()), funcInfo: functionsOf(items, ids) };
  return (expect === "accept" ? k.good : k.bad)(name, "XDP", options, ...items);
}

const types = typed();
const timers = typedMap(types, "ARRAY", 24, types.timerValue);

/** Sets a timer at `offset` of the value up and starts it. */
function startTimer(offset: number): k.Item[] {
  return [
    ...lookupOrLeave(0),
    k.mov64Reg(6, 0),
    k.lea(1, 6, offset),
    k.ldMapFd(2, 0),
    k.mov64Imm(3, 1),
    k.call("timer_init"),
    k.lea(1, 6, offset),
    k.funcAddress(2, "callback"),
    k.call("timer_set_callback"),
    k.lea(1, 6, offset),
    k.mov64Imm(2, 0),
    k.mov64Imm(3, 0),
    k.call("timer_start"),
  ];
}

const timer = (
  expect: "accept" | "reject",
  name: string,
  body: k.Item[],
  ret?: k.Item[],
  offset = 8,
): k.FixtureProgram => withCallback(expect, `timer/${name}`, timers, startTimer(offset), body, ret);

/** Walks a map; the callback gets fp-8 or, without `ctx`, NULL. */
function each(
  expect: "accept" | "reject",
  name: string,
  map: MapLoad,
  body: k.Item[],
  ret?: k.Item[],
  ctx = false,
): k.FixtureProgram {
  const main: k.Item[] = [
    k.stImm("dw", 10, -8, 0),
    k.ldMapFd(1, 0),
    k.funcAddress(2, "callback"),
    ctx ? k.lea(3, 10, -8) : k.mov64Imm(3, 0),
    k.mov64Imm(4, 0),
    k.call("for_each_map_elem"),
    k.ldx("dw", 1, 10, -8),
  ];
  return withCallback(expect, `each/${name}`, map, main, body, ret);
}

/** Calls the callback `count` times. */
function loop(
  expect: "accept" | "reject",
  name: string,
  count: k.Item[],
  body: k.Item[],
  ret?: k.Item[],
  flags = 0,
): k.FixtureProgram {
  const main: k.Item[] = [
    k.stImm("dw", 10, -8, 0),
    ...count,
    k.funcAddress(2, "callback"),
    k.lea(3, 10, -8),
    k.mov64Imm(4, flags),
    k.call("loop"),
    k.ldx("dw", 1, 10, -8),
  ];
  return withCallback(expect, `loop/${name}`, timers, main, body, ret);
}

const hash = k.map("HASH", 4, 8, 4);
const countUp: k.Item[] = [k.ldx("dw", 3, 2, 0), k.alu64Imm("add", 3, 1), k.stx("dw", 2, 3, 0)];

const programs: readonly k.FixtureProgram[] = [
  timer("accept", "starts", []),
  timer("accept", "callback-uses-value", [k.ldx("dw", 4, 3, 0), k.stx("dw", 3, 4, 0), k.ldx("w", 4, 2, 0)]),
  timer("accept", "callback-starts-again", [k.lea(1, 3, 8), k.mov64Imm(2, 5), k.mov64Imm(3, 0), k.call("timer_start")]),
  timer("reject", "callback-returns-1", [], [k.ret(1)]),
  timer("reject", "wrong-offset", [], undefined, 0),
  timer("reject", "callback-writes-key", [k.stx("w", 2, 3, 0)]),
  timer("reject", "callback-reads-timer", [k.ldx("dw", 4, 3, 8)]),
  withCallback("reject", "timer/untyped-map", k.map("ARRAY", 4, 24, 4), startTimer(8), []),

  ...(["HASH", "ARRAY", "PERCPU_ARRAY", "LRU_HASH", "PERCPU_HASH", "LRU_PERCPU_HASH"] as const).map((type) =>
    each("accept", type, k.map(type, 4, 8, 4), [k.ldx("w", 5, 2, 0), k.ldx("dw", 5, 3, 0)]),
  ),
  each(
    "accept",
    "counts-in-ctx",
    hash,
    [k.ldx("dw", 5, 4, 0), k.alu64Imm("add", 5, 1), k.stx("dw", 4, 5, 0)],
    undefined,
    true,
  ),
  each("accept", "deletes", hash, [k.call("map_delete_elem")]),
  each("accept", "stops", hash, [], [k.ret(1)]),
  each("reject", "queue", k.map("QUEUE", 0, 8, 4), []),
  each("reject", "returns-2", hash, [], [k.ret(2)]),
  each("reject", "returns-unknown", hash, [], [k.ldx("dw", 0, 3, 0), k.exit()]),
  each("reject", "returns-pointer", hash, [], [k.mov64Reg(0, 3), k.exit()]),
  each("reject", "returns-stack", hash, [], [k.mov64Reg(0, 10), k.exit()]),
  each("reject", "writes-key", hash, [k.stImm("w", 2, 0, 1)]),
  each("reject", "reads-past-key", hash, [k.ldx("dw", 5, 2, 0)]),
  each("reject", "null-ctx", hash, [k.ldx("dw", 5, 4, 0)]),

  loop("accept", "constant", [k.mov64Imm(1, 3)], countUp),
  loop("accept", "endless", [k.mov64Imm(1, -1)], countUp),
  loop("accept", "unknown-count", [k.ldx("w", 1, 1, 12)], countUp),
  loop("accept", "reads-index", [k.mov64Imm(1, 5)], [k.alu64Reg("add", 1, 1)]),
  loop("reject", "returns-2", [k.mov64Imm(1, 3)], countUp, [k.ret(2)]),
  loop("reject", "leaks-reference", [k.mov64Imm(1, 3)], [k.stx("dw", 2, 10, 0), k.ldx("dw", 0, 2, 8)]),
  loop("reject", "index-as-pointer", [k.mov64Imm(1, 3)], [k.ldx("dw", 0, 1, 0)]),
  loop("reject", "reads-r3", [k.mov64Imm(1, 3)], [k.mov64Reg(0, 3)]),
];

t.test("callbacks of timers, map walks and bpf_loop()", needsMirroredKernel(), (t) => {
  for (const program of programs) {
    const parity = judgeLive(program);
    t.equal(parity.kernel.errno === 0, program.expect === "accept", `${program.name}: as expected`);
    t.equal(differenceOf(parity), null, program.name);
  }
  t.end();
});
