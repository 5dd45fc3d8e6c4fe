// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { BtfBuilder } from "../../../src/btf/index.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { R0, R1, R2, R3, R6, R7, R10 } from "../../fixtures/verifier/programs/kit.js";
import { needsMirroredKernel, sameAsKernel } from "../../support/live-parity.js";

t.test("numbers: decimal when small, hexadecimal when not", needsMirroredKernel(), (t) => {
  const edges = [0n, 1n, 0x7fffn, 0x8000n, 0xffffn, 0x1_0000n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 1n << 63n];
  const values = edges.flatMap((v) => [v, -v, v - 1n, -v - 1n, v + 1n]).map((v) => BigInt.asUintN(64, v));
  const items = values.flatMap((v) => [k.ldImm64(R6, v), k.mov32Reg(R7, R6)]);
  const log = sameAsKernel(t, k.good("numbers", "TRACEPOINT", {}, ...items, k.ret()));
  t.match(log, /R6=0xffffffffffff7fff/);
  t.match(log, /R6=-32768\n/);
  t.end();
});

t.test("ranges: equal bounds stand together, and those that say nothing are left out", needsMirroredKernel(), (t) => {
  const ops = ["jgt", "jlt", "jsgt", "jslt", "jset", "jeq"] as const;
  for (const value of [0, 1, -1, 100, -100, 40_000, -40_000, 0x7fff_ffff, -0x8000_0000]) {
    const items: k.Item[] = [];
    for (const [i, op] of ops.entries()) {
      items.push(k.call("get_prandom_u32"), k.mov64Reg(R6, R0), k.ifImm(op, R6, value, `wide${i}`), `wide${i}:`);
      items.push(k.ldx("dw", R6, R10, -8), k.ifImm(op, R6, value, `long${i}`), `long${i}:`);
      items.push(
        k.if32Imm(op, R6, value, `half${i}`),
        `half${i}:`,
        k.alu64Imm("and", R6, 0xff0),
        k.alu64Imm("lsh", R6, i),
      );
    }
    sameAsKernel(t, k.good(`ranges/${value}`, "TRACEPOINT", {}, k.stx("dw", R10, R1, -16), ...items, k.ret()));
  }
  t.end();
});

t.test("stack slots: spills, bytes above narrow spills, zeros, misc", needsMirroredKernel(), (t) => {
  const items: k.Item[] = [
    k.stx("dw", R10, R1, -8),
    k.stImm("w", R10, -12, 7),
    k.stImm("h", R10, -14, 7),
    k.stImm("b", R10, -15, 0),
    k.stImm("dw", R10, -24, 0),
    k.stImm("dw", R10, -32, -1),
    k.call("get_prandom_u32"),
    k.stx("w", R10, R0, -32),
    k.stx("w", R10, R0, -36),
    k.stx("dw", R10, R0, -48),
    k.stx("b", R10, R0, -41),
    k.stx("dw", R10, R10, -56),
    ...k.lea(R2, R10, -300),
    k.stx("dw", R10, R2, -264),
    k.stx("dw", R10, R0, -512),
    k.ldx("dw", R3, R10, -512),
  ];
  const log = sameAsKernel(t, k.good("slots", "TRACEPOINT", {}, ...items, k.ret()));
  t.match(log, /fp-40=/);
  t.end();
});

t.test("pointers: maps, packets, memory of frames further out, references", needsMirroredKernel(), (t) => {
  const hash = k.map("HASH", 8, 40, 3);
  const ring = k.map("RINGBUF", 0, 0, 4096);
  sameAsKernel(
    t,
    k.good(
      "pointers",
      "SCHED_CLS",
      { maps: [hash, ring] },
      k.mov64Reg(R6, R1),
      k.stImm("dw", R10, -8, 0),
      k.lea(R2, R10, -8),
      k.ldMapFd(R1, 0),
      k.call("map_lookup_elem"),
      k.ifImm("jeq", R0, 0, "out"),
      k.alu64Imm("add", R0, 8),
      k.ldMapFd(R1, 1),
      k.mov64Imm(R2, 16),
      k.mov64Imm(R3, 0),
      k.call("ringbuf_reserve"),
      k.ifImm("jeq", R0, 0, "out"),
      k.mov64Reg(R1, R0),
      k.mov64Imm(R2, 0),
      k.call("ringbuf_discard"),
      k.ldx("w", R2, R6, 76),
      k.ldx("w", R3, R6, 80),
      k.mov64Reg(R7, R2),
      k.alu64Imm("add", R7, 14),
      k.ifReg("jgt", R7, R3, "out"),
      k.ldx("b", R0, R2, 12),
      k.alu64Reg("add", R2, R0),
      k.lea(R1, R10, -8),
      k.callTo("callee"),
      "out:",
      k.ret(),
      "callee:",
      k.stx("dw", R10, R1, -16),
      k.ldx("dw", R0, R1, 0),
      k.exit(),
    ),
  );
  t.end();
});

t.test("source lines: once a line, file without directory, leading blanks gone", needsMirroredKernel(), (t) => {
  const types = new BtfBuilder();
  const int = types.int("int");
  const func = types.func("main", types.funcProto(int, [{ name: "ctx", type: types.ptr(0) }]), "global");
  const lines = [
    ["", 3, "  \t first;"],
    ["b", 3, "  \t first;"],
    ["c", 4, ""],
    ["d", 3, "third → again"],
  ] as const;
  const log = sameAsKernel(
    t,
    k.good(
      "lines",
      "TRACEPOINT",
      { types, functions: [["", func]], lines },
      k.mov64Imm(R0, 0),
      "b:",
      k.mov64Imm(R1, 0),
      "c:",
      k.mov64Imm(R2, 0),
      "d:",
      k.exit(),
    ),
  );
  t.match(log, /; first; @ fixture\.ts:3\n/);
  t.end();
});
