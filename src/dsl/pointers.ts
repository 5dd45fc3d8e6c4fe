// SPDX-License-Identifier: MIT
import type { BranchChanges, Code } from "./code.js";
import type { Test } from "./condition.js";
import { CODE, type CompileError, type Scope } from "./internals.js";
import { s64 } from "./types.js";
import { coerce, type IntArg } from "./values.js";

const TEST: unique symbol = Symbol("test");
const MAKE: unique symbol = Symbol("make");

/** What a pointer that may be null is made of. */
export interface PointerParts<T> {
  /** True when it is not null. */
  readonly test: Test;
  /** What it points to, once that is known. */
  readonly make: () => T;
  /** What the check says about records. */
  readonly changes?: () => BranchChanges;
}

/** A pointer that may be null: the result of a lookup, of a reservation, of asking for bytes of a packet. */
export class MaybeNull<T> implements Scope {
  readonly [CODE]: Code;
  readonly [TEST]: Test;
  readonly [MAKE]: () => T;
  readonly #changes: () => BranchChanges;

  /** @internal */
  constructor(code: Code, { test, make, changes }: PointerParts<T>) {
    this[CODE] = code;
    this[TEST] = test;
    this[MAKE] = make;
    this.#changes = changes ?? (() => ({}));
  }

  /** What it points to; where it is null the program ends with this result. */
  orReturn(result: IntArg = 0): T {
    const code = this[CODE];
    code.mark();
    const otherwise = (): void => code.return(coerce(code, result, s64));
    code.ifElse(this[TEST], () => {}, otherwise, this.#changes());
    return this[MAKE]();
  }

  /** @internal */
  branch(then: (value: T) => void, otherwise: () => void): void {
    this[CODE].ifElse(this[TEST], () => then(this[MAKE]()), otherwise, this.#changes());
  }
}

/**
 * A pointer that may be null. Nothing of what it points to can be used before `p.ifNotNull(pointer, (it) => …)`
 * or `pointer.orReturn()`.
 */
export type Nullable<T> = MaybeNull<T> & {
  readonly [K in Exclude<
    keyof T,
    keyof MaybeNull<T>
  >]: CompileError<"this pointer may be null: check it with p.ifNotNull(pointer, (it) => …) or pointer.orReturn() first">;
};

/** Complains in words when plain JavaScript, which has no types, skips the check. */
const guard: ProxyHandler<MaybeNull<unknown>> = {
  get(target, key) {
    if (typeof key === "symbol" || key in target) {
      const member: unknown = Reflect.get(target, key);
      return typeof member === "function" ? member.bind(target) : member;
    }
    target[CODE].mark();
    throw target[CODE].fail(
      `"${key}" of a pointer that may be null: check it with p.ifNotNull(pointer, (it) => …) or pointer.orReturn() first`,
    );
  },
};

export function nullable<T>(code: Code, parts: PointerParts<T>): Nullable<T> {
  return new Proxy(new MaybeNull(code, parts) as MaybeNull<unknown>, guard) as Nullable<T>;
}
