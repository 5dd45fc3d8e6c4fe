// SPDX-License-Identifier: MIT
import type { Insn } from "../insn.js";
import type { At } from "../labels.js";

/*
 * What a text says, assembled: functions with symbolic references, maps, data. An object file is made of it where types
 * (BTF) are at hand: assembleObject() of bpfsmith/model.
 */

/** What an instruction refers to. */
export type AsmRef =
  | { readonly kind: "map"; readonly map: string }
  | { readonly kind: "data"; readonly section: string; readonly offset: number }
  | { readonly kind: "call"; readonly func: string }
  | { readonly kind: "func"; readonly func: string }
  | { readonly kind: "kfunc"; readonly extern: string }
  | { readonly kind: "extern"; readonly extern: string };

/** A line of the text. */
export interface AsmLine {
  /** 1-based. */
  readonly line: number;
  /** 1-based. */
  readonly column: number;
  readonly text: string;
}

/** How a symbol is seen from outside. */
export interface AsmBinding {
  readonly linkage: "global" | "static";
  readonly weak: boolean;
  readonly hidden: boolean;
}

export interface AsmFunction extends AsmBinding {
  readonly name: string;
  readonly section: string;
  readonly insns: readonly Insn[];
  readonly refs: readonly At<AsmRef>[];
  readonly lines: readonly At<AsmLine>[];
}

/** Integer types that a map's key or value can be declared with. */
export const ASM_INT_TYPES = ["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"] as const;
export type AsmIntType = (typeof ASM_INT_TYPES)[number];

/** A key or value: its size in bytes, or a type. */
export type AsmType = number | AsmIntType;

export interface AsmMap {
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  readonly key: AsmType;
  readonly value: AsmType;
  readonly maxEntries: number;
  readonly flags: number;
  readonly extra: bigint;
  readonly numaNode: number;
  readonly pinned: boolean;
  /** Name of the map that the inner ones are like, for maps of maps. */
  readonly inner: string | undefined;
  readonly entries: readonly { readonly index: number; readonly name: string; readonly kind: "map" | "func" }[];
  readonly weak: boolean;
  readonly hidden: boolean;
}

export interface AsmVariable extends AsmBinding {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** An address that stands in data. */
export type AsmDataRef = {
  readonly offset: number;
  readonly size: 4 | 8;
} & (
  | { readonly kind: "data"; readonly section: string; readonly target: number }
  | { readonly kind: "func"; readonly func: string }
  | { readonly kind: "map"; readonly map: string }
  | { readonly kind: "extern"; readonly extern: string }
);

export interface AsmData {
  readonly section: string;
  readonly content: Uint8Array;
  readonly align: number;
  readonly variables: readonly AsmVariable[];
  readonly refs: readonly AsmDataRef[];
}

export interface AsmExtern {
  readonly name: string;
  /** `.ksyms`, `.kconfig`, or empty for what another object defines. */
  readonly section: string;
  readonly kind: "var" | "func";
  readonly weak: boolean;
}

export interface AsmUnit {
  readonly license: string;
  readonly version: number;
  readonly functions: readonly AsmFunction[];
  readonly maps: readonly AsmMap[];
  readonly data: readonly AsmData[];
  readonly externs: readonly AsmExtern[];
}
