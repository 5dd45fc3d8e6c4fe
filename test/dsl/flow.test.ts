// SPDX-License-Identifier: MIT
import t, { type Test } from "tap";
import {
  array,
  arrayMap,
  type Int,
  type IntArg,
  object,
  type Program,
  type Result,
  ringbuf,
  s32,
  socketFilter,
  u8,
  u32,
  u64,
} from "../../src/dsl/index.js";
import { needsBpf } from "../support/live.js";
import { loadSame, runOn } from "./run.js";

/* Loops without a bound that the verifier sees, and decisions by value. */

type Body = (p: Program<"socketFilter">, input: Int<"u64">) => Result;

const input = arrayMap("input", u64, { maxEntries: 1 });

const resultOf = (result: Result): IntArg => (result as IntArg | undefined) ?? 0;

/** The results of a socket filter whose body this is, for some inputs. */
function resultsOf(t: Test, body: Body, inputs: readonly bigint[]): number[] {
  const filter = socketFilter("f", (p) => resultOf(body(p, input.lookup(p, 0).orReturn(99).get())));
  using loaded = loadSame(t, object({ name: "flow", license: "GPL", programs: [filter] }));
  return inputs.map((value) => {
    loaded.map(input).set(0, value);
    return runOn(loaded, "f");
  });
}

function refused(t: Test, body: Body, message: RegExp): void {
  const filter = socketFilter("f", (p) => resultOf(body(p, p.ktimeGetNs())));
  const decl = object({ name: "flow", license: "GPL", programs: [filter] });
  t.throws(() => decl.build(), { name: "InputError", message });
}

t.test("while", needsBpf(), (t) => {
  /** Steps until 1 by Collatz' rule. */
  const collatz =
    (options?: { max: number }): Body =>
    (p, start) => {
      const n = p.let(start);
      const steps = p.let(u32, 0);
      p.while(
        () => n.gt(1),
        () => {
          p.if(
            n.and(1).eq(0),
            () => n.set(n.shr(1)),
            () => n.set(n.mul(3).add(1)),
          );
          steps.set(steps.add(1));
        },
        options,
      );
      return steps;
    };
  t.same(resultsOf(t, collatz(), [0n, 1n, 6n, 27n, 97n, 871n]), [0, 0, 8, 111, 118, 178]);
  t.same(resultsOf(t, collatz({ max: 10 }), [0n, 1n, 6n, 27n]), [0, 0, 8, 10]);
  const leaving: Body = (p, limit) => {
    const [i, odd] = [p.let(u64, 0), p.let(u32, 0)];
    p.while(
      () => true,
      (loop) => {
        p.if(i.ge(limit), () => loop.break());
        i.set(i.add(1));
        p.if(i.and(1).eq(0), () => loop.continue());
        odd.set(odd.add(1));
        p.if(i.eq(1001), () => p.return(7));
      },
    );
    return odd.add(i.as(u32).mul(1000));
  };
  t.same(resultsOf(t, leaving, [0n, 1n, 9n, 1000n, 1001n]), [0, 1001, 9005, 1000500, 7]);
  const inside: Body = (p, n) => {
    const values = p.stack(array(u8, 16));
    const i = p.let(u32, 0);
    p.while(
      () => i.lt(16),
      () => {
        values.at(i).set(i.mul(n));
        i.set(i.add(1));
      },
    );
    return values.at(3).add(values.at(15));
  };
  t.same(resultsOf(t, inside, [0n, 1n, 3n]), [0, 18, 54], "the condition bounds an index");
  const endless = resultsOf(
    t,
    (p) => {
      p.while(
        () => true,
        () => void p.ktimeGetNs(),
      );
      return 5;
    },
    [0n],
  );
  t.same(endless, [5], "the kernel ends what has no end");
  t.end();
});

t.test("switch", needsBpf(), (t) => {
  const few: Body = (p, n) => {
    const result = p.let(u32, 0);
    p.switch(n, { 1: () => result.set(10), 6: () => result.set(60), 17: () => p.return(170) }, () =>
      result.set(result.add(1)),
    );
    return result.add(1);
  };
  t.same(resultsOf(t, few, [0n, 1n, 6n, 17n, 1n << 32n]), [2, 11, 61, 170, 2]);
  // Seventeen ways, some shared; signed, so that the negative ones stand above the others as patterns.
  const keys = [-100, -3, -2, -1, 0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 2147483647, -2147483648];
  const many: Body = (p, n) => {
    const result = p.let(u32, 1000);
    p.switch(
      n.as(s32),
      keys.map((key, i) => [[key, ...(i === 4 ? [1_000_000, 1_000_001] : [])], () => result.set(i)] as const),
    );
    return result;
  };
  const asked = [...keys, 4, -4, 100, 1_000_000, 1_000_001, 1_000_002].map((key) => BigInt.asUintN(64, BigInt(key)));
  const wanted = [...keys.keys(), 1000, 1000, 1000, 4, 4, 1000];
  t.same(resultsOf(t, many, asked), wanted);
  const narrow: Body = (p, n) => {
    const result = p.let(u32, 0);
    p.switch(n.as(u8), { 255: () => result.set(1), 0: () => p.switch(n, [[256n, () => result.set(2)]]) });
    return result;
  };
  t.same(resultsOf(t, narrow, [255n, 0x1ffn, 256n, 512n, 1n]), [1, 1, 2, 0, 0]);
  t.end();
});

t.test("what loops and switches cannot be", (t) => {
  const nothing = () => {};
  // @ts-expect-error a condition that would be computed once
  refused(t, (p, n) => p.while(n.gt(1), nothing), /p\.while\(\) takes a function that gives the condition/);
  // @ts-expect-error a number is no condition
  refused(t, (p) => p.while(() => 1, nothing), /expected a condition, got a number/);
  // @ts-expect-error what is decided by must be an integer
  refused(t, (p, n) => p.switch(n.eq(1), {}), /p\.switch\(\) decides by an integer, got a condition/);
  // @ts-expect-error names are no values
  refused(t, (p, n) => p.switch(n, { tcp: nothing }), /the cases of a switch are integers, got "tcp"/);
  // @ts-expect-error what a case gives is lost
  refused(t, (p, n) => p.switch(n, { 6: () => 1 }), /the result 1 of this callback is ignored/);
  refused(t, (p, n) => p.switch(n.as(u8), { 256: nothing }), /256 does not fit u8/);
  refused(
    t,
    (p, n) =>
      p.switch(n, [
        [1, nothing],
        [[2, 1], nothing],
      ]),
    /two cases for 1/,
  );
  refused(t, (p) => p.while(() => true, nothing, { max: -1 }), /-1 does not fit u32/);
  const events = ringbuf("events", u64, { bytes: 4096 });
  refused(
    t,
    (p, n) => {
      const event = events.reserve(p).orReturn();
      p.switch(n, { 1: () => event.submit(), 2: () => event.discard() });
      return 0;
    },
    /one side of this switch and still open on the other/,
  );
  refused(
    t,
    (p) => {
      p.while(() => events.reserve(p).orReturn().eq(1), nothing);
      return 0;
    },
    /one side of this loop's condition/,
  );
  t.end();
});
