// SPDX-License-Identifier: MIT

/* The part of WebAssembly's JavaScript interface that is used: the standard libraries of TypeScript have it among the browser's only. */

export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

export interface WasmGlobal {
  value: number | bigint;
}

export type WasmFunction = (...args: number[]) => number | undefined;

interface WasmNamespace {
  readonly Memory: new (options: { initial: number; maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
  readonly RuntimeError: new () => Error;
}

/** WebAssembly, undefined where there is none. */
export const wasm: WasmNamespace | undefined = (globalThis as { WebAssembly?: WasmNamespace }).WebAssembly;

/** Bytes of a page. */
export const WASM_PAGE = 65536;
