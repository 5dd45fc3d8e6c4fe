// SPDX-License-Identifier: MIT
import type { eventRows, syscallArgs } from "../kernel/tracepoint-table.js";
import type { ReadOnlyInt } from "./fields.js";
import type { Memory, Scope } from "./internals.js";
import type { ArrayType, CType, Fields, IntName, IntType, PtrType } from "./types.js";
import type { Int } from "./values.js";

/*
 * Types of tracepoint contexts, computed from the checked-in table of formats. What they say is what
 * context construction does at build time (tracepoint-context.ts) by size and sign.
 */

type EventRows = typeof eventRows;
type SyscallArgs = typeof syscallArgs;

/** Tracepoints whose fields the compiler knows. */
export type KnownTracepoint =
  | keyof EventRows
  | `syscalls/sys_enter_${keyof SyscallArgs}`
  | `syscalls/sys_exit_${keyof SyscallArgs}`;

/** `const char * filename` → `filename`, `char comm[16]` → `comm[16]`. */
type LastWord<S extends string> = S extends `${string} ${infer Rest}` ? LastWord<Rest> : S;
type FieldName<Declaration extends string> =
  LastWord<Declaration> extends `${infer Name}[${string}` ? Name : LastWord<Declaration>;

type UnsignedName<Size> = Size extends 1 ? "u8" : Size extends 2 ? "u16" : Size extends 4 ? "u32" : "u64";
type SignedName<Size> = Size extends 1 ? "s8" : Size extends 2 ? "s16" : Size extends 4 ? "s32" : "s64";

/** A field whose bytes lie elsewhere in the record (`__data_loc`). */
export interface DynamicField {
  /** Where its bytes are, for `probeReadKernel` and its kin. */
  address(): Int<"u64">;
  /** Bytes. */
  size(): Int<"u32">;
}

/** An array in the context: copy it to a place with `place.set(array)`, or read its elements. */
export type ReadOnlyArray<E extends CType<unknown>, N extends number> = Memory<ArrayType<E, N>> & {
  readonly length: N;
  /** The element with this index; the kernel wants to know it beforehand. */
  at(index: number): E extends IntType<infer Name> ? ReadOnlyInt<Name> : Memory;
};

/** Integer types of arrays, by how their declarations begin. */
interface ElementNames {
  "unsigned long": "u64";
  long: "s64";
  u64: "u64";
  __u64: "u64";
  "unsigned int": "u32";
  int: "s32";
  u32: "u32";
  __u32: "u32";
  u16: "u16";
  __u16: "u16";
  "unsigned char": "u8";
  u8: "u8";
  __u8: "u8";
}

/** `unsigned long args[6]` → `u64`; never for what is no integer. */
type ElementName<Declaration extends string> = {
  [K in keyof ElementNames]: Declaration extends `${K} ${infer Rest}`
    ? Rest extends `${string} ${string}`
      ? never
      : ElementNames[K]
    : never;
}[keyof ElementNames];

/** How a field of this declaration, size and sign can be used. */
type FieldUse<Declaration extends string, Size, Signed> = Declaration extends `__data_loc ${string}`
  ? DynamicField
  : Declaration extends `__rel_loc ${string}`
    ? DynamicField
    : Declaration extends `char ${string}[${infer N extends number}]`
      ? ReadOnlyArray<IntType<"char">, N>
      : Declaration extends `${string}[${infer N extends number}]`
        ? [ElementName<Declaration>] extends [never]
          ? Memory
          : ReadOnlyArray<IntType<ElementName<Declaration>>, N>
        : Signed extends true
          ? ReadOnlyInt<SignedName<Size>>
          : ReadOnlyInt<UnsignedName<Size>>;

type RowDeclaration<Row> = Row extends readonly [infer D extends string, ...unknown[]] ? D : never;

type EventContext<Rows extends readonly unknown[]> = {
  readonly [Row in Rows[number] as FieldName<RowDeclaration<Row>>]: Row extends readonly [
    infer D extends string,
    number,
    infer Size,
    infer Signed,
  ]
    ? FieldUse<D, Size, Signed>
    : Row extends readonly [infer D extends string, number, infer Size]
      ? FieldUse<D, Size, false>
      : never;
};

type EnterContext<Args extends readonly string[]> = {
  readonly [Arg in Args[number] as FieldName<Arg>]: ReadOnlyInt<"u64">;
};

interface SyscallNumber {
  /** The system call's number. */
  readonly __syscall_nr: ReadOnlyInt<"s32">;
}

interface ExitContext extends SyscallNumber {
  /** The system call's result: a negative errno when it failed. */
  readonly ret: ReadOnlyInt<"s64">;
}

/**
 * The context of a tracepoint that the table knows. The record's first eight bytes (`common_*`) are not in it: the
 * kernel does not let programs read them.
 */
export type KnownContext<Path> = Scope &
  (Path extends keyof EventRows
    ? EventContext<EventRows[Path]>
    : Path extends `syscalls/sys_enter_${infer Name extends keyof SyscallArgs}`
      ? SyscallNumber & EnterContext<SyscallArgs[Name]>
      : Path extends `syscalls/sys_exit_${keyof SyscallArgs}`
        ? ExitContext
        : never);

type DeclaredField<C> =
  C extends IntType<infer N extends IntName>
    ? ReadOnlyInt<N>
    : C extends PtrType
      ? ReadOnlyInt<"u64">
      : C extends { readonly kind: "array"; readonly element: infer E extends CType<unknown>; readonly length: infer N }
        ? ReadOnlyArray<E, N & number>
        : Memory;

/** The context of a tracepoint whose fields the program declares. */
export type DeclaredContext<F extends Fields> = Scope & { readonly [K in keyof F]: DeclaredField<F[K]> };
