// SPDX-License-Identifier: MIT
import type { MapSpec } from "./spec.js";

/** Carries values of one C type between bytes and TypeScript. All multi-byte parts are little-endian. */
export interface Codec<T> {
  /** Bytes, as `sizeof` gives them. */
  readonly size: number;
  decode(view: DataView, offset: number): T;
  encode(value: T, view: DataView, offset: number): void;
}

/** A map's declaration with the types of its keys and values, used inside programs and from user space alike. */
export interface MapDecl<K, V> {
  readonly spec: MapSpec;
  readonly key: Codec<K>;
  readonly value: Codec<V>;
}

/** A global variable's declaration, used inside programs and from user space alike. */
export interface GlobalDecl<T> {
  readonly name: string;
  /** `.data`, `.bss` or `.rodata`. */
  readonly section: string;
  readonly value: Codec<T>;
}
