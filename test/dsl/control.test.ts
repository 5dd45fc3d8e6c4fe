// SPDX-License-Identifier: MIT
import fc from "fast-check";
import t from "tap";
import {
  array,
  arrayMap,
  type Condition,
  type Int,
  type LoopControl,
  object,
  type Program,
  socketFilter,
  u64,
  type Variable,
} from "../../src/dsl/index.js";
import type { ObjectDecl } from "../../src/dsl/object.js";
import type { LoadedObject } from "../../src/load/index.js";
import { VerifierRejection } from "../../src/syscall/errors.js";
import { needsBpf } from "../support/live.js";
import { load, runOn } from "./run.js";

/*
 * Random programs of variables, branches, loops and calls, run by the kernel and by the interpreter below: what
 * registers and stack slots are given to whom must not show. Calls spoil R0-R5.
 */

const VARS = 6;
const Values = array(u64, VARS);

type Term = { readonly variable: number } | { readonly counter: number } | { readonly literal: bigint };

interface Comparison {
  readonly op: "eq" | "ne" | "lt" | "ge";
  readonly left: Term;
  readonly right: Term;
  readonly more: { readonly how: "and" | "or"; readonly than: Comparison } | null;
  readonly negated: boolean;
}

type Statement =
  | {
      readonly kind: "set";
      readonly to: number;
      readonly op: "add" | "sub" | "mul" | "xor";
      readonly left: Term;
      readonly right: Term;
    }
  | { readonly kind: "swap"; readonly a: number; readonly b: number }
  | { readonly kind: "call" }
  | {
      readonly kind: "if";
      readonly test: Comparison;
      readonly yes: readonly Statement[];
      readonly no: readonly Statement[];
    }
  | { readonly kind: "for"; readonly rounds: number; readonly dynamic: boolean; readonly body: readonly Statement[] }
  | { readonly kind: "leave"; readonly how: "break" | "continue"; readonly test: Comparison }
  | { readonly kind: "return"; readonly test: Comparison };

/* The interpreter. */

class Break extends Error {}
class Continue extends Error {}
class Return extends Error {}

interface World {
  readonly vars: bigint[];
  readonly counters: readonly bigint[];
}

function termValue(term: Term, { vars, counters }: World): bigint {
  if ("literal" in term) return term.literal;
  if ("variable" in term) return vars[term.variable]!;
  return counters[term.counter] ?? 7n;
}

function holds({ op, left, right, more, negated }: Comparison, world: World): boolean {
  const [x, y] = [termValue(left, world), termValue(right, world)];
  let result = { eq: x === y, ne: x !== y, lt: x < y, ge: x >= y }[op];
  if (more !== null)
    result = more.how === "and" ? result && holds(more.than, world) : result || holds(more.than, world);
  return result !== negated;
}

function interpret(statements: readonly Statement[], world: World): void {
  const { vars, counters } = world;
  for (const statement of statements) {
    switch (statement.kind) {
      case "set": {
        const [x, y] = [termValue(statement.left, world), termValue(statement.right, world)];
        const results = { add: x + y, sub: x - y, mul: x * y, xor: x ^ y };
        vars[statement.to] = BigInt.asUintN(64, results[statement.op]);
        break;
      }
      case "swap":
        [vars[statement.a], vars[statement.b]] = [vars[statement.b]!, vars[statement.a]!];
        break;
      case "call":
        break;
      case "if":
        interpret(holds(statement.test, world) ? statement.yes : statement.no, world);
        break;
      case "for":
        runLoop(statement, world);
        break;
      case "leave":
        if (counters.length > 0 && holds(statement.test, world)) {
          throw statement.how === "break" ? new Break() : new Continue();
        }
        break;
      case "return":
        if (holds(statement.test, world)) throw new Return();
    }
  }
}

function runLoop({ rounds, body }: Extract<Statement, { kind: "for" }>, { vars, counters }: World): void {
  for (let i = 0; i < rounds; i++) {
    try {
      interpret(body, { vars, counters: [...counters, BigInt(i)] });
    } catch (error) {
      if (error instanceof Break) return;
      if (!(error instanceof Continue)) throw error;
    }
  }
}

/* The program. */

interface Writing {
  readonly p: Program<"socketFilter">;
  readonly vars: readonly Variable<"u64">[];
  readonly counters: readonly Int[];
  readonly loop: LoopControl | null;
  /** Stores the variables. */
  readonly finish: () => void;
  /** Holds the number of rounds where the verifier must not know it. */
  readonly rounds: (n: number) => Int;
}

function term(given: Term, { p, vars, counters }: Writing): Int {
  if ("variable" in given) return vars[given.variable]!;
  if ("counter" in given && counters[given.counter] !== undefined) return counters[given.counter]!;
  return p.let(u64, "literal" in given ? given.literal : 7n).get();
}

function condition({ op, left, right, more, negated }: Comparison, writing: Writing): Condition {
  let result = term(left, writing).as(u64)[op](term(right, writing).as(u64));
  if (more !== null) result = result[more.how](condition(more.than, writing));
  return negated ? result.not() : result;
}

function write(statements: readonly Statement[], writing: Writing): void {
  const { p, vars, counters, loop } = writing;
  for (const statement of statements) {
    switch (statement.kind) {
      case "set":
        vars[statement.to]!.set(term(statement.left, writing).as(u64)[statement.op](term(statement.right, writing)));
        break;
      case "swap": {
        const [a, b] = [vars[statement.a]!, vars[statement.b]!];
        const [before, other] = [a.get(), b.get()];
        a.set(other);
        b.set(before);
        break;
      }
      case "call":
        p.ktimeGetNs();
        break;
      case "if":
        p.if(
          condition(statement.test, writing),
          () => write(statement.yes, writing),
          () => write(statement.no, writing),
        );
        break;
      case "for": {
        const count = statement.dynamic ? writing.rounds(statement.rounds) : statement.rounds;
        p.for(
          count,
          (i, control) => write(statement.body, { ...writing, counters: [...counters, i], loop: control }),
          statement.dynamic ? { max: 4 } : {},
        );
        break;
      }
      case "leave":
        if (loop !== null) p.if(condition(statement.test, writing), () => loop[statement.how]());
        break;
      case "return":
        p.if(condition(statement.test, writing), () => {
          writing.finish();
          p.return(9);
        });
    }
  }
}

/* Generating. */

const literal = fc.constantFrom(0n, 1n, 2n, 3n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn);
const anyTerm: fc.Arbitrary<Term> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ variable: fc.nat(VARS - 1) }) },
  { weight: 1, arbitrary: fc.record({ counter: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ literal }) },
);
const simple = {
  op: fc.constantFrom("eq" as const, "ne" as const, "lt" as const, "ge" as const),
  left: anyTerm,
  right: anyTerm,
  negated: fc.boolean(),
};
const plainComparison: fc.Arbitrary<Comparison> = fc.record({ ...simple, more: fc.constant(null) });
const comparison: fc.Arbitrary<Comparison> = fc.record({
  ...simple,
  more: fc.option(
    fc.record({
      how: fc.constantFrom("and" as const, "or" as const),
      than: fc.oneof(
        plainComparison,
        fc.record({
          ...simple,
          more: fc.record({ how: fc.constantFrom("and" as const, "or" as const), than: plainComparison }),
        }),
      ),
    }),
  ),
});

const { block } = fc.letrec<{ block: readonly Statement[] }>((tie) => {
  const inner = tie("block");
  const set = fc.record({
    kind: fc.constant("set" as const),
    to: fc.nat(VARS - 1),
    op: fc.constantFrom("add" as const, "sub" as const, "mul" as const, "xor" as const),
    left: anyTerm,
    right: anyTerm,
  });
  const swap = fc.record({ kind: fc.constant("swap" as const), a: fc.nat(VARS - 1), b: fc.nat(VARS - 1) });
  const call = fc.constant({ kind: "call" as const });
  const branch = fc.record({ kind: fc.constant("if" as const), test: comparison, yes: inner, no: inner });
  const loop = fc.record({
    kind: fc.constant("for" as const),
    rounds: fc.integer({ min: 0, max: 3 }),
    dynamic: fc.boolean(),
    body: inner,
  });
  const leave = fc.record({
    kind: fc.constant("leave" as const),
    how: fc.constantFrom("break" as const, "continue" as const),
    test: plainComparison,
  });
  const end = fc.record({ kind: fc.constant("return" as const), test: plainComparison });
  const leaf: fc.Arbitrary<Statement> = fc.oneof(set, set, set, swap, call, leave, end);
  const statement: fc.Arbitrary<Statement> = fc.oneof({ maxDepth: 2, depthSize: "small" }, leaf, branch, loop, set);
  return { block: fc.array(statement, { maxLength: 5 }) as fc.Arbitrary<readonly Statement[]> };
});

function controlObject(statements: readonly Statement[]) {
  const inputs = arrayMap("inputs", Values, { maxEntries: 1 });
  const outputs = arrayMap("outputs", Values, { maxEntries: 1 });
  const counts = arrayMap("counts", u64, { maxEntries: 4 });
  const program = socketFilter("control", (p) => {
    const from = inputs.lookup(p, 0).orReturn(1);
    const to = outputs.lookup(p, 0).orReturn(2);
    const vars = Array.from({ length: VARS }, (_, i) => p.let(u64, from.at(i)));
    const finish = (): void => {
      vars.forEach((variable, i) => {
        to.at(i).set(variable);
      });
    };
    const rounds = (n: number): Int => {
      const held = p.let(u64, 0);
      p.ifNotNull(counts.lookup(p, n), (count) => held.set(count));
      return held;
    };
    write(statements, { p, vars, counters: [], loop: null, finish, rounds });
    finish();
    return 0;
  });
  return {
    decl: object({ name: "control", license: "GPL", programs: [program], maps: [counts] }),
    inputs,
    outputs,
    counts,
  };
}

/** Loads an object, or drops the case: loops in loops may well have more states than the kernel looks at. */
function loadUnlessTooLarge(decl: ObjectDecl): LoadedObject {
  try {
    return load(decl);
  } catch (error) {
    fc.pre(!(error instanceof VerifierRejection && error.code === "E2BIG"));
    throw error;
  }
}

const RUNS = Number(process.env.FUZZ_RUNS ?? 60);

t.test("control flow does what it says", needsBpf(), (t) => {
  const start = fc.array(fc.oneof(literal, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })), {
    minLength: VARS,
    maxLength: VARS,
  });
  const property = fc.property(
    fc.tuple(block, block, block),
    fc.array(start, { minLength: 6, maxLength: 6 }),
    (blocks, starts) => {
      const statements = blocks.flat();
      const { decl, inputs, outputs, counts } = controlObject(statements);
      using loaded = loadUnlessTooLarge(decl);
      for (let n = 0; n < 4; n++) loaded.map(counts).set(n, BigInt(n));
      for (const values of starts) {
        loaded.map(inputs).set(0, values);
        const result = runOn(loaded, "control");
        const vars = [...values];
        let wanted = 0;
        try {
          interpret(statements, { vars, counters: [] });
        } catch (error) {
          if (!(error instanceof Return)) throw error;
          wanted = 9;
        }
        const got = loaded.map(outputs).get(0)!;
        if (result !== wanted) throw new Error(`returned ${result}, expected ${wanted}`);
        if (got.some((value, i) => value !== vars[i])) throw new Error(`got ${got}, expected ${vars}`);
      }
    },
  );
  fc.assert(property, { numRuns: RUNS });
  t.pass(`${RUNS * 6} runs agree`);
  t.end();
});
