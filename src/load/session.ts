// SPDX-License-Identifier: MIT
import { TracePipe } from "../link/trace-pipe.js";
import type { GlobalDecl, MapDecl } from "../model/codec.js";
import type { LoadedObject } from "./loaded-object.js";
import type { TypedGlobal } from "./typed-global.js";
import type { TypedMap } from "./typed-map.js";

/** Arguments that `bpfsmith run FILE …` hands to the program's `main`. */
export interface RunArgs {
  /** `--json`: one JSON object per event. */
  readonly json: boolean;
  /** What stands behind the file on the command line. */
  readonly rest: readonly string[];
}

/** An object while it is loaded and attached, as the program's `main` sees it. */
export interface Session {
  /** The object in the kernel: programs, maps, attachments. */
  readonly object: LoadedObject;
  /** A map of the object, typed by its declaration. @throws InputError when it is per CPU: see {@link perCpu}. */
  map<K, V>(decl: MapDecl<K, V>): TypedMap<K, V>;
  /** A per-CPU map of the object: a value is an array with one element per possible CPU. */
  perCpu<K, V>(decl: MapDecl<K, V>): TypedMap<K, V[]>;
  /** A global variable of the object, typed by its declaration. @throws InputError when no program uses it */
  global<T>(decl: GlobalDecl<T>): TypedGlobal<T>;
  /** Calls back for each record of a ring buffer, in order, until the session ends. */
  events<T>(ringbuf: MapDecl<undefined, T>, onEvent: (event: T) => void): void;
  /** Calls back for each line that programs print with bpf_trace_printk, until the session ends. */
  tracePipe(onLine: (line: string) => void): void;
  /** Aborted by Ctrl-C or when the duration is over. */
  readonly signal: AbortSignal;
  /** Resolves when `signal` is aborted. */
  readonly ended: Promise<void>;
  /** Writes one line to standard output. */
  print(line: string): void;
}

/** What {@link runSession} needs from whoever runs the program. */
export interface SessionOptions {
  readonly args: RunArgs;
  readonly print: (line: string) => void;
  /** Ends the session when aborted. */
  readonly signal: AbortSignal;
}

/** Something that delivers events while the session lasts. */
interface Reader {
  /** Delivers what has arrived. */
  drain(): void;
  close(): void;
}

class LiveSession implements Session {
  readonly object: LoadedObject;
  readonly signal: AbortSignal;
  readonly ended: Promise<void>;
  readonly print: (line: string) => void;
  readonly #readers: Reader[] = [];

  constructor(object: LoadedObject, options: SessionOptions) {
    const { signal } = options;
    this.object = object;
    this.signal = signal;
    this.print = options.print;
    this.ended = signal.aborted
      ? Promise.resolve()
      : new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  map<K, V>(decl: MapDecl<K, V>): TypedMap<K, V> {
    return this.object.map(decl);
  }

  perCpu<K, V>(decl: MapDecl<K, V>): TypedMap<K, V[]> {
    return this.object.perCpu(decl);
  }

  global<T>(decl: GlobalDecl<T>): TypedGlobal<T> {
    return this.object.global(decl);
  }

  events<T>(ringbuf: MapDecl<undefined, T>, onEvent: (event: T) => void): void {
    const ring = this.object.ring(ringbuf);
    this.#readers.push({ drain: () => ring.consume((event) => onEvent(event)), close: () => ring.close() });
    ring.start((event) => onEvent(event));
  }

  tracePipe(onLine: (line: string) => void): void {
    const pipe = new TracePipe(onLine);
    this.#readers.push({ drain: () => pipe.drain(), close: () => pipe.close() });
  }

  /** Delivers what came before the end, then stops reading. */
  finish(): void {
    try {
      for (const reader of this.#readers) reader.drain();
    } finally {
      for (const reader of this.#readers) reader.close();
    }
  }
}

/**
 * Runs a program's `main` over a loaded and attached object and returns when `main` has. Records that
 * arrived before the end are delivered before the readers stop. The object stays the caller's to close.
 */
export async function runSession(
  object: LoadedObject,
  main: (session: Session, args: RunArgs) => void | Promise<void>,
  options: SessionOptions,
): Promise<void> {
  const session = new LiveSession(object, options);
  try {
    await main(session, options.args);
  } finally {
    session.finish();
  }
}
