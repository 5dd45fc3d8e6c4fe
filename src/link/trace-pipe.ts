// SPDX-License-Identifier: MIT
import { constants, openSync, readSync } from "node:fs";
import { ffi } from "../syscall/backend.js";
import { Fd } from "../syscall/fd.js";
import type { Watch } from "../syscall/ffi.js";
import { tracefsRoot } from "./tracefs.js";

const CHUNK = 64 * 1024;
/** Milliseconds between reads where the backend knows no readiness. */
const POLL_INTERVAL_MS = 20;

/**
 * Reads the lines that programs print with bpf_trace_printk(), from the time of opening on. The pipe
 * is one for the whole machine: other readers take lines away, other programs add some.
 */
export class TracePipe implements Disposable {
  readonly #fd: Fd;
  readonly #onLine: (line: string) => void;
  readonly #chunk = Buffer.alloc(CHUNK);
  #rest = "";
  #watch: Watch | null = null;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;

  /** @throws SyscallError or InputError when tracefs cannot be read. */
  constructor(onLine: (line: string) => void) {
    const path = `${tracefsRoot()}/trace_pipe`;
    this.#fd = new Fd(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), path);
    this.#onLine = onLine;
    const { watch } = ffi();
    if (watch === null) this.#timer = setInterval(() => this.drain(), POLL_INTERVAL_MS);
    else this.#watch = watch(this.#fd.number, () => this.#wake());
  }

  // In an immediate, since the watch calls outside of Node's bookkeeping of promises and exceptions.
  #wake(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = null;
      this.drain();
    });
  }

  /** Delivers what stands in the pipe now. */
  drain(): void {
    while (!this.#fd.closed) {
      const length = this.#read();
      if (length === 0) return;
      const lines = (this.#rest + this.#chunk.toString("utf8", 0, length)).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) this.#onLine(line);
    }
  }

  #read(): number {
    try {
      return readSync(this.#fd.number, this.#chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
      throw error;
    }
  }

  /** Stops reading; does nothing when that is done already. */
  close(): void {
    if (this.#fd.closed) return;
    this.#watch?.close();
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
