// SPDX-License-Identifier: MIT
import type { MapDecl } from "../model/codec.js";
import type { TypedMap } from "./typed-map.js";

/** Arguments that `bpfsmith run FILE -- …` hands to the program's `main`. */
export interface RunArgs {
  /** `--json`: one JSON object per event. */
  readonly json: boolean;
  /** Everything after `--`. */
  readonly rest: readonly string[];
}

/** A program while it is loaded and attached, as its `main` sees it. */
export interface Session {
  /** A map of the object, typed by its declaration. */
  map<K, V>(decl: MapDecl<K, V>): TypedMap<K, V>;
  /** Calls back for each record of a ring buffer, in order, until the session ends. */
  events<T>(ringbuf: MapDecl<undefined, T>, onEvent: (event: T) => void): void;
  /** Calls back for each line that programs print with bpf_trace_printk, until the session ends. */
  tracePipe(onLine: (line: string) => void): void;
  /** Aborted by Ctrl-C or when `--duration` is over. */
  readonly signal: AbortSignal;
  /** Resolves when `signal` is aborted. */
  readonly ended: Promise<void>;
  /** Writes one line to standard output. */
  print(line: string): void;
}
