// SPDX-License-Identifier: MIT
import { foldBinary } from "./arith.js";
import { type Code, type LoopControl, type Operand, promote } from "./code.js";
import type { Block as Start } from "./codegen/ir.js";
import { Condition, type Test } from "./condition.js";
import { KernelAccess } from "./core.js";
import { type Helpers, withHelpers } from "./helpers.js";
import { CODE, type CompileError, MEMORY, type Memory, READ } from "./internals.js";
import type { ProgramKind, ReturnArgs } from "./kinds.js";
import { fill, type Init, type Place, stackPlace } from "./places.js";
import type { MaybeNull } from "./pointers.js";
import { type PrintArg, printk } from "./printk.js";
import { decide, listCases } from "./switch.js";
import { type CType, type IntName, type IntType, s64, u32, u64 } from "./types.js";
import {
  type AnyInt,
  coerce,
  describeValue,
  type Int,
  type IntArg,
  isInt,
  literal,
  type Storable,
  select,
  storable,
  Value,
  Variable,
} from "./values.js";

export type { LoopControl } from "./code.js";

/** What `p.if` takes: a comparison, or an integer that is true when it is not 0. */
export type ConditionArg = Condition | AnyInt | boolean;

/** A callback that stands for a block of the program. It is called once, while the program is written. */
export type Block<Args extends unknown[] = []> = (
  ...args: Args
  // biome-ignore lint/suspicious/noConfusingVoidType: callbacks without a return statement are meant.
) => void | AnyInt | CompileError<"the result of this callback is ignored: a program ends with p.return(result)">;

/** What `p.for` may be told. */
export interface ForOptions {
  /** The most rounds that a count known at run time only may ask for; the verifier needs a bound. */
  readonly max?: number;
}

/** What `p.while` may be told. */
export interface WhileOptions {
  /** The most rounds. Without it the kernel ends the loop when it takes too long. */
  readonly max?: number;
}

/** Values of `p.switch` and what is done for each. */
export type SwitchCases =
  | Readonly<Record<number, Block>>
  | readonly (readonly [values: number | bigint | readonly (number | bigint)[], body: Block])[];

/**
 * A program while it is written: `p` in the callbacks. Its methods stand for statements, in the order of their calls;
 * the helpers that the program's type may call are methods too. `Returned` are the parameters of `return`.
 */
export class ProgramBuilder<Returned extends readonly unknown[] = [result?: IntArg]> extends KernelAccess {
  readonly [CODE]: Code;

  /** @internal */
  constructor(code: Code) {
    super();
    this[CODE] = code;
  }

  /* Variables. */

  /** A variable of a type with its first value. */
  let<N extends IntName>(type: IntType<N>, value: Storable<N>): Variable<N>;
  /** A variable of its first value's type. */
  let<N extends IntName>(value: Int<N>): Variable<N>;
  let(first: IntType | AnyInt, value?: Storable<IntName>): Variable {
    const code = this[CODE];
    code.mark();
    if (isInt(first)) return new Variable(code, first.type, coerce(code, first, first.type));
    return new Variable(code, first, storable(code, first, value ?? 0));
  }

  /** An object on the stack, filled with a value; with zeros when none is given. */
  stack<C extends CType<unknown>>(type: C, value?: Init<C>): Place<C> {
    this[CODE].mark();
    return stackPlace(this[CODE], type, value);
  }

  /** An object on the stack whose content is undefined until a helper has written it. */
  buffer<C extends CType<unknown>>(type: C): Place<C> {
    this[CODE].mark();
    return stackPlace(this[CODE], type, undefined, true);
  }

  /** Fills a place as a whole: members that are left out become zero. */
  assign<C>(place: Memory<C>, value: Init<C>): void {
    const code = this[CODE];
    code.mark();
    const { mem, type } = place[MEMORY];
    if (type === null) throw code.fail("this memory has no type that could be assigned");
    fill(code, type, mem, value);
  }

  /* Control flow. */

  #test(condition: ConditionArg): Test {
    if (condition instanceof Condition) return Condition.testOf(condition);
    if (typeof condition === "boolean") return { kind: "constant", value: condition };
    const code = this[CODE];
    if (!isInt(condition)) throw code.fail(`expected a condition, got ${describeValue(condition)}`);
    const word = condition.type.bits === 64 ? u64 : u32;
    return code.compare("jne", word.bits === 64 ? 64 : 32, coerce(code, condition, word), { value: 0n });
  }

  /** Does one thing or the other while the program runs; both callbacks are called once, here and now. */
  if(condition: ConditionArg, then: Block, otherwise: Block = () => {}): void {
    const code = this[CODE];
    code.mark();
    code.ifElse(this.#test(condition), block(code, then), block(code, otherwise));
  }

  /** Checks a pointer: `then` gets what it points to, `otherwise` stands for null. */
  ifNotNull<T>(pointer: MaybeNull<T>, then: Block<[value: T]>, otherwise: Block = () => {}): void {
    const code = this[CODE];
    code.mark();
    pointer.branch((value) => block(code, () => then(value))(), block(code, otherwise));
  }

  /** One of two values. Both are computed in any case. */
  select<N extends IntName>(condition: ConditionArg, yes: Int<N>, no: IntArg): Int<N> {
    const code = this[CODE];
    code.mark();
    const test = this.#test(condition);
    const [a, b] = [coerce(code, yes, yes.type), coerce(code, no, yes.type)];
    return new Value(code, yes.type, select(code, new Condition(test), a, b));
  }

  /**
   * Counts from 0 to `count` - 1. The verifier walks every round, so keep loops short; a count known at run time
   * only needs `max`, unless the verifier sees a bound.
   */
  for(count: IntArg, body: Block<[i: Int<"u32">, loop: LoopControl]>, options: ForOptions = {}): void {
    const code = this[CODE];
    code.mark();
    const limit = this.#loopLimit(count, options.max);
    const i = new Variable<"u32">(code, u32, { value: 0n });
    const isLess = (): Test => Condition.testOf(i.lt(new Value(code, u32, limit)));
    code.loop({
      head: (inside, out) => code.branch("value" in limit ? firstRound(limit) : isLess(), inside, out),
      body: (control) => block(code, () => body(i, control))(),
      step: (head, out, inside) => {
        i.set(i.add(1));
        // A fixed count needs no test before the first round, so that the test stands at the end only.
        if ("value" in limit) code.branch(isLess(), inside, out);
        else code.goto(head);
      },
    });
  }

  /**
   * Goes round as long as the condition holds, which is computed anew before each round. A loop that the verifier need not
   * see the end of: with `max` after so many rounds, else when the kernel has enough of it (may_goto, Linux 6.9:
   * after a quarter of a second or some millions of rounds), it ends although the condition still holds.
   */
  while(condition: () => ConditionArg, body: Block<[loop: LoopControl]>, options: WhileOptions = {}): void {
    const code = this[CODE];
    code.mark();
    if (typeof condition !== "function") {
      throw code.fail("p.while() takes a function that gives the condition, for it is computed before each round");
    }
    const bound = this.#bound(options.max);
    code.loop({
      head: (inside, out) => {
        const check = code.newBlock();
        bound.check(check, out);
        code.startBlock(check);
        code.branch(
          code.inside(() => this.#test(condition())),
          inside,
          out,
        );
      },
      body: (control) => block(code, () => body(control))(),
      step: (head) => {
        bound.count();
        code.goto(head);
      },
    });
  }

  /** What ends a loop of which the verifier sees no end. */
  #bound(max: number | undefined) {
    const code = this[CODE];
    // It must come before the condition: what the verifier forgets of a round there, the condition says again.
    if (max === undefined) return { check: (go: Start, out: Start) => code.mayGoto(go, out), count: () => {} };
    const limit = literal(code, max, u32, "range");
    const rounds = new Variable<"u32">(code, u32, { value: 0n });
    return {
      check: (go: Start, out: Start) => code.branch(code.compare("jlt", 32, rounds[READ](), limit), go, out),
      count: () => rounds.set(rounds.add(1)),
    };
  }

  /**
   * Does what stands for the value: `p.switch(protocol, { 6: () => …, 17: () => … }, () => …)`; several values for one
   * thing are written `[[[6, 17], () => …], [1, () => …]]`. No way leads from one to the next.
   */
  switch(value: AnyInt, cases: SwitchCases, otherwise: Block = () => {}): void {
    const code = this[CODE];
    code.mark();
    if (!isInt(value)) throw code.fail(`p.switch() decides by an integer, got ${describeValue(value)}`);
    const word = promote(value.type);
    const operand = coerce(code, value, word);
    const list = listCases(code, cases, value.type);
    const bodies = [...list.map(({ body }) => body), otherwise].map((body) => block(code, body));
    code.ways(bodies, (starts) => {
      const choices = list.flatMap(({ values }, i) => values.map((pattern) => ({ pattern, start: starts[i]! })));
      decide(code, word.bits, operand, choices, starts.at(-1)!);
    });
  }

  #loopLimit(count: IntArg, max: number | undefined): Operand {
    const code = this[CODE];
    const limit = coerce(code, count, u32);
    if (max === undefined || "value" in limit) return limit;
    const most = coerce(code, max, u32);
    const test = code.compare("jle", 32, limit, most);
    return select(code, new Condition(test), limit, most);
  }

  /** Ends the program with a result. What the outermost callback returns does the same. */
  return(...result: Returned): void {
    this[CODE].mark();
    this[CODE].return(coerce(this[CODE], (result[0] ?? 0) as IntArg, s64));
  }

  /* Arithmetic beyond operators. */

  /** The logarithm to base 2, rounded down; 0 for 0. Takes no branches, so that the verifier walks one path. */
  log2(value: AnyInt): Int<"u32"> {
    const code = this[CODE];
    code.mark();
    return new Value(code, u32, log2(code, coerce(code, value, u64)));
  }

  /* Output. */

  /**
   * Prints a line to the kernel's trace pipe with bpf_trace_printk(): `%d %u %x` print 32 bits, `%lld %llu %llx` 64,
   * `%s` a string in memory, `%p` a pointer, `%%` a percent sign.
   */
  printk(format: string, ...values: readonly PrintArg[]): void {
    this[CODE].mark();
    printk(this[CODE], this[CODE].routine.name, format, values);
  }
}

/** A callback, watched: a number that it answers was meant to end the program. */
function block(code: Code, body: () => unknown): () => void {
  return () => {
    const result = body();
    if (typeof result !== "number" && typeof result !== "bigint") return;
    throw code.fail(`the result ${result} of this callback is ignored: a program ends with p.return(${result})`);
  };
}

function firstRound(limit: { readonly value: bigint }): Test {
  return { kind: "constant", value: limit.value > 0n };
}

/**
 * Halves the question six times: are there bits above the lower half? The answer, 0 or 1, comes from the sign of a
 * difference.
 */
function log2(code: Code, value: Operand): Operand {
  if ("value" in value) return { value: value.value === 0n ? 0n : BigInt(value.value.toString(2).length - 1) };
  let rest: Operand = value;
  let sum: Operand = { value: 0n };
  for (const width of [32n, 16n, 8n, 4n, 2n, 1n]) {
    // The first difference is made of the upper half: a full 64-bit value has no sign to spare.
    const high: Operand = width === 32n ? code.binary("rsh", 64, rest, { value: 32n }) : rest;
    const most = width === 32n ? 0n : foldBinary("lsh", 64, 1n, width) - 1n;
    const difference = code.binary("sub", 64, { value: most }, high);
    const isAbove = code.binary("rsh", 64, difference, { value: 63n });
    const shift = code.binary("mul", 64, isAbove, { value: width });
    rest = code.binary("rsh", 64, rest, shift);
    sum = code.binary("add", 64, sum, shift);
  }
  return sum;
}

/** `p` in a program of a kind: statements, and the helpers that the kind may call. */
export type Program<Kind extends ProgramKind> = ProgramBuilder<ReturnArgs<Kind>> & Helpers<Kind>;

const prototypes = new Map<ProgramKind, object>();

/** A builder for a program of a kind. */
export function newBuilder<Kind extends ProgramKind>(kind: Kind, code: Code): Program<Kind> {
  let prototype = prototypes.get(kind);
  if (prototype === undefined) {
    prototype = withHelpers(ProgramBuilder.prototype, kind);
    prototypes.set(kind, prototype);
  }
  return Object.setPrototypeOf(new ProgramBuilder(code), prototype) as Program<Kind>;
}
