// SPDX-License-Identifier: MIT
import fc from "fast-check";
import t from "tap";
import {
  array,
  arrayMap,
  type Condition,
  type Int,
  type IntArg,
  object,
  type Program,
  type StructJs,
  s8,
  s16,
  s32,
  s64,
  socketFilter,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "../../src/dsl/index.js";
import { needsBpf } from "../support/live.js";
import { load, runOn } from "./run.js";

/*
 * Random expressions, computed by the kernel and by JavaScript. The evaluator below knows C's rules and the
 * instruction set's corner cases on its own: it shares nothing with the code under test.
 */

const Input = struct("input", { a: u64, b: s64, c: u32, d: s32, e: u16, f: s16, g: u8, h: s8, z: u64 });
type InputValue = StructJs<(typeof Input)["fields"]>;

type TypeName = "u8" | "u16" | "u32" | "u64" | "s8" | "s16" | "s32" | "s64";
const types = { u8, u16, u32, u64, s8, s16, s32, s64 } as const;
const fieldTypes = { a: "u64", b: "s64", c: "u32", d: "s32", e: "u16", f: "s16", g: "u8", h: "s8", z: "u64" } as const;

const BINARY = ["add", "sub", "mul", "div", "mod", "and", "or", "xor"] as const;
const SHIFT = ["shl", "shr"] as const;
const COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"] as const;

type Expr =
  | { readonly kind: "field"; readonly name: keyof typeof fieldTypes }
  | { readonly kind: "binary"; readonly op: (typeof BINARY)[number]; readonly left: Expr; readonly right: Expr }
  | { readonly kind: "literal"; readonly op: (typeof BINARY)[number]; readonly left: Expr; readonly value: bigint }
  | { readonly kind: "shift"; readonly op: (typeof SHIFT)[number]; readonly left: Expr; readonly count: Expr | number }
  | { readonly kind: "unary"; readonly op: "not" | "neg"; readonly left: Expr }
  | { readonly kind: "cast"; readonly type: TypeName; readonly left: Expr }
  | {
      readonly kind: "select";
      readonly op: (typeof COMPARE)[number];
      readonly a: Expr;
      readonly b: Expr;
      readonly yes: Expr;
      readonly no: Expr;
    };

/* The reference: values as numbers of their type. */

interface Typed {
  readonly type: TypeName;
  readonly value: bigint;
}

const bitsOf = (type: TypeName): number => Number(type.slice(1));
const isSigned = (type: TypeName): boolean => type.startsWith("s");

function wrap(type: TypeName, value: bigint): Typed {
  const wrapped = isSigned(type) ? BigInt.asIntN(bitsOf(type), value) : BigInt.asUintN(bitsOf(type), value);
  return { type, value: wrapped };
}

function word(type: TypeName): TypeName {
  return `${isSigned(type) ? "s" : "u"}${bitsOf(type) === 64 ? 64 : 32}` as TypeName;
}

function meet(a: TypeName, b: TypeName): TypeName {
  const [x, y] = [word(a), word(b)];
  if (bitsOf(x) !== bitsOf(y)) return bitsOf(x) > bitsOf(y) ? x : y;
  return isSigned(x) && isSigned(y) ? x : (`u${bitsOf(x)}` as TypeName);
}

function arithmetic(op: (typeof BINARY)[number], type: TypeName, x: bigint, y: bigint): Typed {
  const results = {
    add: () => x + y,
    sub: () => x - y,
    mul: () => x * y,
    div: () => (y === 0n ? 0n : x / y),
    mod: () => (y === 0n ? x : x % y),
    and: () => x & y,
    or: () => x | y,
    xor: () => x ^ y,
  };
  return wrap(type, results[op]());
}

function compare(op: (typeof COMPARE)[number], x: bigint, y: bigint): boolean {
  return { eq: x === y, ne: x !== y, lt: x < y, le: x <= y, gt: x > y, ge: x >= y }[op];
}

function evaluate(expr: Expr, input: InputValue): Typed {
  switch (expr.kind) {
    case "field":
      return { type: fieldTypes[expr.name], value: BigInt(input[expr.name]) };
    case "binary": {
      const [l, r] = [evaluate(expr.left, input), evaluate(expr.right, input)];
      const type = meet(l.type, r.type);
      return arithmetic(expr.op, type, wrap(type, l.value).value, wrap(type, r.value).value);
    }
    case "literal": {
      const l = evaluate(expr.left, input);
      const type = word(l.type);
      return arithmetic(expr.op, type, wrap(type, l.value).value, fitting(expr, type));
    }
    case "shift": {
      const l = evaluate(expr.left, input);
      const type = word(l.type);
      const count = typeof expr.count === "number" ? BigInt(expr.count) : evaluate(expr.count, input).value;
      const shift = BigInt.asUintN(64, count) & BigInt(bitsOf(type) - 1);
      const { value } = wrap(type, l.value);
      return wrap(type, expr.op === "shl" ? value << shift : value >> shift);
    }
    case "unary": {
      const l = evaluate(expr.left, input);
      return wrap(word(l.type), expr.op === "not" ? ~l.value : -l.value);
    }
    case "cast":
      return wrap(expr.type, evaluate(expr.left, input).value);
    case "select": {
      const [a, b] = [evaluate(expr.a, input), evaluate(expr.b, input)];
      const type = meet(a.type, b.type);
      const holds = compare(expr.op, wrap(type, a.value).value, wrap(type, b.value).value);
      const [yes, no] = [evaluate(expr.yes, input), evaluate(expr.no, input)];
      return wrap(yes.type, holds ? yes.value : no.value);
    }
  }
}

/* The same in the DSL. */

type InputPlace = { readonly [K in keyof typeof fieldTypes]: Int };

function write(p: Program<"socketFilter">, expr: Expr, input: InputPlace): Int {
  const down = (inner: Expr): Int => write(p, inner, input);
  switch (expr.kind) {
    case "field":
      return input[expr.name];
    case "binary":
      return down(expr.left)[expr.op](down(expr.right)) as Int;
    case "literal": {
      const left = down(expr.left);
      return left[expr.op](fitting(expr, word(left.type.name as TypeName)) as IntArg) as Int;
    }
    case "shift": {
      const left = down(expr.left);
      const count = typeof expr.count === "number" ? expr.count : down(expr.count);
      return left[expr.op](count) as Int;
    }
    case "unary":
      return down(expr.left)[expr.op]() as Int;
    case "cast":
      return down(expr.left).as<TypeName>(types[expr.type]) as Int;
    case "select": {
      const condition: Condition = down(expr.a)[expr.op](down(expr.b));
      return p.select(condition, down(expr.yes), down(expr.no));
    }
  }
}

/** The literal as a number of the type that it meets, which is what the DSL asks for in divisions. */
function fitting({ op, value }: Extract<Expr, { kind: "literal" }>, type: TypeName): bigint {
  const fits = wrap(type, value).value;
  return fits === 0n && (op === "div" || op === "mod") ? 1n : fits;
}

const corner = fc.constantFrom(0n, 1n, 2n, 3n, 7n, 8n, 31n, 32n, 63n, 64n, 127n, 128n, 255n, 256n, 0x7fffn, 0x8000n);
const wideCorner = fc.constantFrom(
  -1n,
  -2n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
);
const value = fc.oneof(corner, wideCorner, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));

const { expr: expression } = fc.letrec<{ expr: Expr }>((tie) => {
  const inner = tie("expr");
  const field = fc.record({
    kind: fc.constant("field" as const),
    name: fc.constantFrom(..."abcdefghz"),
  }) as fc.Arbitrary<Expr>;
  const binary = fc.record({
    kind: fc.constant("binary" as const),
    op: fc.constantFrom(...BINARY),
    left: inner,
    right: inner,
  });
  const literal = fc.record({
    kind: fc.constant("literal" as const),
    op: fc.constantFrom(...BINARY),
    left: inner,
    value,
  });
  const shift = fc.record({
    kind: fc.constant("shift" as const),
    op: fc.constantFrom(...SHIFT),
    left: inner,
    count: fc.oneof(inner, fc.integer({ min: 0, max: 31 })),
  });
  const unary = fc.record({
    kind: fc.constant("unary" as const),
    op: fc.constantFrom("not" as const, "neg" as const),
    left: inner,
  });
  const cast = fc.record({
    kind: fc.constant("cast" as const),
    type: fc.constantFrom(...(Object.keys(types) as TypeName[])),
    left: inner,
  });
  const select = fc.record({
    kind: fc.constant("select" as const),
    op: fc.constantFrom(...COMPARE),
    a: inner,
    b: inner,
    yes: inner,
    no: inner,
  });
  return {
    expr: fc.oneof(
      { maxDepth: 5, depthSize: "medium" },
      field,
      binary,
      binary,
      literal,
      shift,
      unary,
      cast,
      select,
    ) as fc.Arbitrary<Expr>,
  };
});

const input: fc.Arbitrary<InputValue> = fc.record({
  a: value.map((v) => BigInt.asUintN(64, v)),
  b: value.map((v) => BigInt.asIntN(64, v)),
  c: value.map((v) => Number(BigInt.asUintN(32, v))),
  d: value.map((v) => Number(BigInt.asIntN(32, v))),
  e: value.map((v) => Number(BigInt.asUintN(16, v))),
  f: value.map((v) => Number(BigInt.asIntN(16, v))),
  g: value.map((v) => Number(BigInt.asUintN(8, v))),
  h: value.map((v) => Number(BigInt.asIntN(8, v))),
  z: fc.constantFrom(0n, 1n),
});

/** Expressions of one program. More of them make fewer loads. */
const PER_PROGRAM = 8;
const Output = array(u64, PER_PROGRAM);

function fuzzObject(exprs: readonly Expr[]) {
  const inputs = arrayMap("inputs", Input, { maxEntries: 1 });
  const outputs = arrayMap("outputs", Output, { maxEntries: 1 });
  const program = socketFilter("fuzz", (p) => {
    const from = inputs.lookup(p, 0).orReturn(1);
    const to = outputs.lookup(p, 0).orReturn(2);
    // Once from memory at every use, once held in registers (and on the stack, when they run out).
    const held = Object.fromEntries(
      Object.keys(fieldTypes).map((name) => [name, from[name as keyof typeof fieldTypes].get()]),
    ) as unknown as InputPlace;
    exprs.forEach((expr, i) => {
      to.at(i).set(write(p, expr, i % 2 === 0 ? (from as unknown as InputPlace) : held).as(s64));
    });
    return 0;
  });
  return { decl: object({ name: "fuzz", license: "GPL", programs: [program] }), inputs, outputs };
}

const RUNS = Number(process.env.FUZZ_RUNS ?? 60);

t.test("the kernel computes what C computes", needsBpf(), (t) => {
  const property = fc.property(
    fc.array(expression, { minLength: PER_PROGRAM, maxLength: PER_PROGRAM }),
    fc.array(input, { minLength: 12, maxLength: 12 }),
    (exprs, values) => {
      const { decl, inputs, outputs } = fuzzObject(exprs);
      using loaded = load(decl);
      for (const one of values) {
        loaded.map(inputs).set(0, one);
        const result = runOn(loaded, "fuzz");
        if (result !== 0) throw new Error(`the program returned ${result}`);
        const got = loaded.map(outputs).get(0)!;
        exprs.forEach((expr, i) => {
          const wanted = BigInt.asUintN(64, evaluate(expr, one).value);
          if (got[i] !== wanted) throw new Error(`expression ${i}: expected ${wanted}, the kernel says ${got[i]}`);
        });
      }
    },
  );
  fc.assert(property, { numRuns: RUNS });
  t.pass(`${RUNS * PER_PROGRAM * 12} results agree`);
  t.end();
});
