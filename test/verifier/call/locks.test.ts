// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { bad, good } from "../../fixtures/verifier/programs/kit.js";
import { differenceOf, judgeLive, needsMirroredKernel } from "../../support/live-parity.js";
import { lookupOrLeave, typed, typedMap } from "./typed.js";

const types = typed();
const hash = { maps: [typedMap(types, "HASH", 16, types.lockValue)] };
const array = { maps: [typedMap(types, "ARRAY", 16, types.lockValue)] };
const timers = { maps: [typedMap(types, "ARRAY", 24, types.timerValue)] };
const untyped = { maps: [k.map("HASH", 4, 16, 4)] };

/** Calls spin_lock() or spin_unlock() on the value in R6. */
const at = (helper: "spin_lock" | "spin_unlock", offset = 4, reg = 6): k.Item[] => [
  k.lea(1, reg, offset),
  k.call(helper),
];
const found: k.Item[] = [...lookupOrLeave(0), k.mov64Reg(6, 0)];

const programs: k.FixtureProgram[] = [hash, array].flatMap((maps, i) => [
  good(`lock/pair-${i}`, "XDP", maps, ...found, ...at("spin_lock"), ...at("spin_unlock"), k.ret()),
  good(
    `lock/write-under-lock-${i}`,
    "SCHED_CLS",
    maps,
    ...found,
    ...at("spin_lock"),
    k.ldx("w", 3, 6, 0),
    k.stx("dw", 6, 3, 8),
    ...at("spin_unlock"),
    k.ret(),
  ),
  bad(`lock/left-locked-${i}`, "XDP", maps, ...found, ...at("spin_lock"), k.ret()),
  bad(`lock/elsewhere-${i}`, "XDP", maps, ...found, ...at("spin_lock", 0), k.ret()),
  bad(`lock/call-under-lock-${i}`, "XDP", maps, ...found, ...at("spin_lock"), k.call("ktime_get_ns"), k.ret()),
  bad(`lock/unlock-first-${i}`, "XDP", maps, ...found, ...at("spin_unlock"), k.ret()),
  bad(`lock/read-lock-${i}`, "XDP", maps, ...found, k.ldx("w", 1, 6, 4), k.ret()),
  bad(`lock/read-across-lock-${i}`, "XDP", maps, ...found, k.ldx("dw", 1, 6, 0), k.ret()),
  bad(
    `lock/variable-offset-${i}`,
    "XDP",
    maps,
    ...found,
    k.mov64Reg(1, 6),
    k.ldx("w", 7, 6, 0),
    k.alu64Imm("and", 7, 4),
    k.alu64Reg("add", 1, 7),
    k.call("spin_lock"),
    k.ret(),
  ),
  bad(
    `lock/another-value-${i}`,
    "XDP",
    maps,
    ...found,
    ...lookupOrLeave(0, "second"),
    k.mov64Reg(7, 0),
    ...at("spin_lock"),
    ...at("spin_unlock", 4, 7),
    k.ret(),
  ),
  bad(`lock/socket-filter-${i}`, "SOCKET_FILTER", maps, ...found, ...at("spin_lock"), ...at("spin_unlock"), k.ret()),
]);
programs.push(
  bad("lock/tracing", "TRACEPOINT", hash, ...found, k.ret()),
  bad("lock/untyped-map", "XDP", untyped, ...found, ...at("spin_lock"), k.ret()),
  bad("lock/no-lock-in-value", "XDP", timers, ...found, ...at("spin_lock"), k.ret()),
  bad("lock/no-pointer", "XDP", {}, k.mov64Imm(1, 0), k.call("spin_lock"), k.ret()),
);

t.test("spin locks in map values", needsMirroredKernel(), (t) => {
  for (const program of programs) {
    const parity = judgeLive(program);
    t.equal(parity.kernel.errno === 0, program.expect === "accept", `${program.name}: as expected`);
    t.equal(differenceOf(parity), null, program.name);
  }
  t.end();
});
