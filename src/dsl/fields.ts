// SPDX-License-Identifier: MIT
import type { CtxField } from "../kernel/ctx/types.js";
import { BugError } from "../util/errors.js";
import type { Code, Mem } from "./code.js";
import { CODE, READ, type Scope } from "./internals.js";
import { be16, be32, type IntName, type IntType, u8, u16, u32, u64 } from "./types.js";
import { type Int, IntPlace, type Storable, storable } from "./values.js";

/*
 * Fields of contexts and of what contexts point to, as the kernel's tables list them: for the compiler (the types below)
 * and at run time alike.
 */

/** An integer that can be read only. */
export type ReadOnlyInt<N extends IntName> = Int<N> & Pick<IntPlace<N>, "get">;

/** An integer of a context that can be set. */
export type ContextInt<N extends IntName> = ReadOnlyInt<N> & {
  /** Stores a value, truncated to the type. */
  set(value: Storable<N>): void;
};

/** An array in a context: its index is a plain number. */
export interface ContextArray<T> {
  readonly length: number;
  /** @throws InputError for an index outside. */
  at(index: number): T;
}

interface WordNames {
  readonly 1: "u8";
  readonly 2: "u16";
  readonly 4: "u32";
  readonly 8: "u64";
}

type NameOf<F> = F extends { readonly network: 16 }
  ? "be16"
  : F extends { readonly network: 32 }
    ? "be32"
    : F extends { readonly size: infer S extends keyof WordNames }
      ? WordNames[S]
      : never;

type Fits<Attach, Own> = Attach extends Own ? true : false;

type CanRead<F, Attach> = F extends { readonly points: string }
  ? false
  : F extends { readonly name: "" } | { readonly read: null }
    ? false
    : F extends { readonly attach: readonly (infer Own)[] }
      ? Fits<Attach, Own>
      : true;

type CanWrite<F, Attach> = F extends { readonly write: null }
  ? false
  : F extends { readonly writeAttach: readonly (infer Own)[] }
    ? Fits<Attach, Own>
    : true;

type One<F, Attach> = CanWrite<F, Attach> extends true ? ContextInt<NameOf<F>> : ReadOnlyInt<NameOf<F>>;

type FieldUse<F, Attach> = F extends { readonly count: 1 } ? One<F, Attach> : ContextArray<One<F, Attach>>;

/** The fields of a layout that programs of an attach type may use. */
export type FieldsOf<F extends CtxField, Attach> = {
  readonly [Each in F as CanRead<Each, Attach> extends true ? Each["name"] : never]: FieldUse<Each, Attach>;
};

/* Run time. */

const WORDS = { 1: u8, 2: u16, 4: u32, 8: u64 } as const;

function wordOf({ size, name }: CtxField): IntType {
  const type: IntType | undefined = WORDS[size as keyof typeof WORDS];
  if (type === undefined) throw new BugError(`no integer has ${size} bytes, field ${name}`);
  return type;
}

const NETWORK = { 16: be16, 32: be32 } as const;

const READ_ONLY = "a program's context can neither be written nor given to a helper: copy what is needed first";

/** An integer field that can be written as a whole, and never be given to helpers. */
class WritableField extends IntPlace {
  readonly #field: CtxField;
  readonly #mem: Mem;

  constructor(code: Code, type: IntType, mem: Mem, field: CtxField) {
    super(code, type, { ...mem, readOnly: READ_ONLY });
    this.#field = field;
    this.#mem = mem;
  }

  override set(value: Storable<IntName>): void {
    const code = this[CODE];
    code.mark();
    const operand = storable(code, this.type, value);
    const word = wordOf(this.#field);
    // The number takes a part of the field only, which is written as a whole.
    if (this.type.bits < word.bits) code.store(this.#mem, word, code.swap(16, operand));
    else code.store(this.#mem, this.type, operand);
  }
}

function fieldPlace(code: Code, field: CtxField, base: Mem, canWrite: boolean, index = 0): IntPlace {
  const type = field.network === undefined ? wordOf(field) : NETWORK[field.network];
  const mem: Mem = { ...base, offset: base.offset + field.offset + index * field.size };
  if (canWrite) return new WritableField(code, type, mem, field);
  return new IntPlace(code, type, { ...mem, readOnly: READ_ONLY });
}

function fieldArray(code: Code, field: CtxField, base: Mem, canWrite: boolean): ContextArray<IntPlace> {
  return {
    length: field.count,
    at(index) {
      code.mark();
      checkIndex(code, index, field.count, field.name);
      return fieldPlace(code, field, base, canWrite, index);
    },
  };
}

/** @throws InputError for what is no index below `count`. */
export function checkIndex(code: Code, index: unknown, count: number, what: string): void {
  if (typeof index === "object" && index !== null && READ in index) {
    throw code.fail("an index into the context must be a plain number: the kernel wants to know it beforehand");
  }
  if (!Number.isInteger(index) || (index as number) < 0 || (index as number) >= count) {
    throw code.fail(`${what} ${index} does not exist: they go from 0 to ${count - 1}`);
  }
}

/** Gives an object a getter for each field of a layout that programs of an attach type may read. */
export function defineFields(
  target: Scope,
  code: Code,
  fields: readonly CtxField[],
  attach: number,
  base: () => Mem,
): void {
  for (const field of fields) {
    const isAttached = field.attach?.includes(attach) ?? true;
    if (field.name === "" || field.read === null || field.points !== undefined || !isAttached) continue;
    const canWrite = field.write !== null && (field.writeAttach?.includes(attach) ?? true);
    const make = field.count === 1 ? fieldPlace : fieldArray;
    Object.defineProperty(target, field.name, { enumerable: true, get: () => make(code, field, base(), canWrite) });
  }
}
