// SPDX-License-Identifier: MIT
import { writeSync } from "node:fs";

/** Exit codes of the command line. */
export const ExitCode = {
  /** Accepted, or done. */
  OK: 0,
  /** Rejected by the verifier, or bad input. */
  REJECTED: 1,
  /** The command line itself is wrong. */
  USAGE: 2,
  /** The kernel does not let us. */
  PERMISSION: 3,
  /** The mirror does not model something in the program. */
  UNSUPPORTED: 4,
  /** A bug of ours (EX_SOFTWARE). */
  BUG: 70,
} as const;

/** Characters gathered before they are written. */
const PART_SIZE = 1 << 16;

/**
 * Writes everything, also when a pipe is non-blocking and full; a reader that left is no error.
 * @returns whether anybody still reads.
 */
function writeAll(fd: number, text: string): boolean {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EPIPE") return false;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
  return true;
}

/** One line of result on standard output. */
export function print(line: string): void {
  writeAll(1, `${line}\n`);
}

/** One line of result that is made piece by piece. */
export function printParts(parts: Iterable<string>): void {
  let text = "";
  for (const part of parts) {
    text += part;
    if (text.length < PART_SIZE) continue;
    writeAll(1, text);
    text = "";
  }
  writeAll(1, `${text}\n`);
}

/** Text that is made piece by piece, with its line ends; ends early when nobody reads any more. */
export function printPieces(pieces: Iterable<string>): void {
  let text = "";
  for (const piece of pieces) {
    text += piece;
    if (text.length < PART_SIZE) continue;
    if (!writeAll(1, text)) return;
    text = "";
  }
  if (text !== "") writeAll(1, text);
}

/** One line about the work on standard error. */
export function note(line: string): void {
  writeAll(2, `${line}\n`);
}
