// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import type { BtfBuilder } from "../../../src/btf/builder.js";
import { writeBtf } from "../../../src/btf/write.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { differenceOf, judgeLive, needsMirroredKernel } from "../../support/live-parity.js";
import { functionsOf, lookupOrLeave, typed } from "./typed.js";

/** What the caller puts into R1. */
const callers: Readonly<Record<string, k.Item[]>> = {
  number: [k.mov64Imm(1, 5)],
  null: [k.mov64Imm(1, 0)],
  ctx: [],
  stack: [k.stImm("dw", 10, -8, 1), k.stImm("dw", 10, -16, 1), k.lea(1, 10, -16)],
  shortStack: [k.stImm("dw", 10, -8, 1), k.lea(1, 10, -8)],
  value: [...lookupOrLeave(0), k.mov64Reg(1, 0)],
  maybeValue: [...k.lookup(0), k.mov64Reg(1, 0)],
  map: [k.ldMapFd(1, 0)],
};

interface Param {
  readonly type: (b: BtfBuilder, int: number) => number;
  readonly tag?: string;
}

function structPtr(b: BtfBuilder, name: string, int: number): number {
  return b.ptr(b.struct(name, [{ name: "a", type: int }]));
}

function pairPtr(b: BtfBuilder): number {
  const long = b.int("long");
  return b.ptr(
    b.struct("pair", [
      { name: "a", type: long },
      { name: "b", type: long },
    ]),
  );
}

/** What the function's prototype says of it. */
const params: Readonly<Record<string, Param>> = {
  int: { type: (_, int) => int },
  intTagged: { type: (_, int) => int, tag: "nonnull" },
  intPtr: { type: (b, int) => b.ptr(int) },
  intPtrNonnull: { type: (b, int) => b.ptr(int), tag: "nonnull" },
  intPtrNullable: { type: (b, int) => b.ptr(int), tag: "nullable" },
  intPtrUntrusted: { type: (b, int) => b.ptr(int), tag: "untrusted" },
  intPtrUnknownTag: { type: (b, int) => b.ptr(int), tag: "something" },
  pair: { type: pairPtr },
  voidPtr: { type: (b) => b.ptr(0) },
  voidPtrCtx: { type: (b) => b.ptr(0), tag: "ctx" },
  skb: { type: (b, int) => structPtr(b, "__sk_buff", int) },
  skbCtx: { type: (b, int) => structPtr(b, "__sk_buff", int), tag: "ctx" },
  xdp: { type: (b, int) => structPtr(b, "xdp_md", int) },
  structByValue: { type: (b, int) => b.struct("one", [{ name: "a", type: int }]) },
  arrayPtr: { type: (b, int) => b.ptr(b.array(int, 3)) },
  fwdPtr: { type: (b) => b.ptr(b.fwd("unknown")) },
};

/** What the function does with it. */
const bodies: Readonly<Record<string, k.Item[]>> = {
  nothing: [],
  read: [k.ldx("w", 2, 1, 0)],
  readIfSet: [k.ifImm("jeq", 1, 0, "unset"), k.ldx("w", 2, 1, 0), "unset:"],
  readFarIfSet: [k.ifImm("jeq", 1, 0, "unset"), k.ldx("dw", 2, 1, 8), "unset:"],
};

function program(
  type: "TRACEPOINT" | "XDP" | "SCHED_CLS",
  param: Param,
  caller: k.Item[],
  body: k.Item[],
  isGlobal: boolean,
): k.FixtureProgram {
  const { builder, int } = typed();
  const proto = builder.funcProto(int, [{ name: "a", type: param.type(builder, int) }]);
  const ids = {
    main: builder.func("main", builder.funcProto(int, [{ name: "ctx", type: builder.ptr(0) }]), "global"),
    callee: builder.func("callee", proto, isGlobal ? "global" : "static"),
  };
  if (param.tag !== undefined) builder.declTag(`arg:${param.tag}`, ids.callee, 0);
  const items: k.Item[] = [k.mov64Reg(6, 1), ...caller, k.callTo("callee"), k.ret(), "callee:", ...body, k.ret()];
  const options = {
    maps: [k.map("HASH", 4, 64, 4)],
    btf: writeBtf(builder.build()),
    funcInfo: functionsOf(items, ids),
  };
  return k.good("global/function", type, options, ...items);
}

for (const type of ["TRACEPOINT", "XDP", "SCHED_CLS"] as const) {
  t.test(`${type}: functions with one argument, by what it is and what is passed`, needsMirroredKernel(), (t) => {
    let accepted = 0;
    let turn = 0;
    for (const [paramName, param] of Object.entries(params)) {
      turn++;
      for (const [callerName, caller] of Object.entries(callers)) {
        // Two bodies each, in turn, global and static.
        for (let i = 0; i < 2; i++) {
          const [bodyName, body] = Object.entries(bodies)[turn++ % 4]!;
          for (const isGlobal of [true, false]) {
            const parity = judgeLive(program(type, param, caller, body, isGlobal));
            if (parity.kernel.errno === 0) accepted++;
            // What a map holds beside its values needs the kernel's BTF.
            if (callerName === "map" && parity.result.verdict === "unsupported") continue;
            const difference = differenceOf(parity);
            if (difference !== null) t.fail(`${paramName} ${callerName} ${bodyName} ${isGlobal}: ${difference}`);
          }
        }
      }
    }
    t.ok(accepted > 60, `${accepted} programs were accepted`);
    t.end();
  });
}
