// SPDX-License-Identifier: MIT
import type { Code, Mem } from "./code.js";
import type { CType } from "./types.js";

/*
 * Keys of what the DSL's objects carry for each other. They are symbols so that completion and the names of
 * struct members stay the user's.
 */

/** The program being written. */
export const CODE: unique symbol = Symbol("code");
/** Where a place lies. */
export const MEMORY: unique symbol = Symbol("memory");
/** How a value is read. */
export const READ: unique symbol = Symbol("read");
/** Where a part of a kernel object lies. */
export const FIELD: unique symbol = Symbol("field");
/** A map's registration and layout. */
export const MAP: unique symbol = Symbol("map");
/** Text of a {@link CompileError}. */
declare const MESSAGE: unique symbol;

/**
 * What stands where something must not be used: the compiler's complaint about it quotes the message.
 * No value has this type.
 */
export interface CompileError<Message extends string> {
  readonly [MESSAGE]: Message;
}

/** Whatever belongs to one program being written, `p` first of all. */
export interface Scope {
  readonly [CODE]: Code;
}

/** A piece of memory that a program may hand to a helper: every place is one. `C` is its type. */
export interface Memory<C = unknown> extends Scope {
  readonly [MEMORY]: MemoryInfo<C>;
}

export interface MemoryInfo<C = unknown> {
  readonly mem: Mem;
  /** Bytes. */
  readonly size: number;
  /** Null for a part of something. */
  readonly type: (C & CType<unknown>) | null;
}

export function isMemory(value: unknown): value is Memory {
  return typeof value === "object" && value !== null && MEMORY in value;
}
