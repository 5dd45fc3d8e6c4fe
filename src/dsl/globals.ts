// SPDX-License-Identifier: MIT
import type { Codec, GlobalDecl } from "../model/codec.js";
import { InputError } from "../util/errors.js";
import type { ReadOnlyPlace } from "./context.js";
import { CODE, type Scope } from "./internals.js";
import { makePlace, type Place } from "./places.js";
import type { CType, JsOf } from "./types.js";

/** Sections that global variables lie in: zeros at first, a value at first, a value for ever. */
export type GlobalSection = ".bss" | ".data" | ".rodata";

/** A global variable's value for one build of an object: see `with()`. */
export interface GlobalValue {
  readonly variable: AnyGlobal;
  readonly content: Uint8Array;
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

function encode(type: CType<unknown>, value: unknown): Uint8Array {
  const content = new Uint8Array(type.size);
  type.encode(value, new DataView(content.buffer), 0);
  return content;
}

/** A variable that all programs of an object share, whatever its type. */
export abstract class AnyGlobal {
  readonly name: string;
  readonly section: GlobalSection;
  readonly type: CType<unknown>;
  /** Its first bytes. */
  readonly content: Uint8Array;

  /** @internal */
  constructor(name: string, section: GlobalSection, type: CType<unknown>, content: Uint8Array) {
    if (!IDENTIFIER.test(name)) throw new InputError(`"${name}" cannot name a variable: it is not a C identifier`);
    this.name = name;
    this.section = section;
    this.type = type;
    this.content = content;
  }

  /** The place in a program. */
  protected placeIn(p: Scope, readOnly?: string): unknown {
    const code = p[CODE];
    code.mark();
    const symbol = code.surroundings.useGlobal(this, (message) => code.fail(message));
    const { offset } = symbol;
    const align = offset === 0 ? 8 : Math.min(8, offset & -offset);
    return makePlace(code, this.type, {
      base: { reg: code.symbol(symbol) },
      offset: 0,
      align,
      ...(readOnly !== undefined && { readOnly }),
    });
  }
}

/** A global variable: programs and user space read and write the same memory. */
export class Global<C extends CType<unknown>> extends AnyGlobal implements GlobalDecl<JsOf<C>> {
  readonly value: Codec<JsOf<C>>;

  /** @internal */
  constructor(name: string, type: C, initial: JsOf<C> | undefined) {
    const content = initial === undefined ? new Uint8Array(type.size) : encode(type, initial);
    super(name, initial === undefined ? ".bss" : ".data", type, content);
    this.value = type as CType<unknown> as Codec<JsOf<C>>;
  }

  /** The variable in a program. Other CPUs see it too: count with `atomicAdd`. */
  in(p: Scope): Place<C> {
    return this.placeIn(p) as Place<C>;
  }
}

/** A constant: the verifier knows its value, so that what it rules out is not even looked at. */
export class Constant<C extends CType<unknown>> extends AnyGlobal implements GlobalDecl<JsOf<C>> {
  readonly value: Codec<JsOf<C>>;

  /** @internal */
  constructor(name: string, type: C, value: JsOf<C>) {
    super(name, ".rodata", type, encode(type, value));
    this.value = type as CType<unknown> as Codec<JsOf<C>>;
  }

  /** The constant in a program. */
  in(p: Scope): ReadOnlyPlace<C> {
    return this.placeIn(p, "a constant can neither be written nor given to a helper") as ReadOnlyPlace<C>;
  }

  /**
   * Another value for one build: `object.build({ globals: [verbose.with(true)] })`.
   * @throws InputError when the value does not fit the type.
   */
  with(value: JsOf<C>): GlobalValue {
    return { variable: this, content: encode(this.type, value) };
  }
}

/**
 * A global variable, zeros at first unless a value is given. It is declared once: programs use it with `in(p)`, user space
 * with `session.global(…)`.
 * @throws InputError for a name that is no C identifier, and a value that does not fit.
 */
export function global<C extends CType<unknown>>(name: string, type: C, initial?: JsOf<C>): Global<C> {
  return new Global(name, type, initial);
}

/**
 * A constant of the object, which may be given another value until it is loaded.
 * @throws InputError for a name that is no C identifier, and a value that does not fit.
 */
export function constant<C extends CType<unknown>>(name: string, type: C, value: JsOf<C>): Constant<C> {
  return new Constant(name, type, value);
}
