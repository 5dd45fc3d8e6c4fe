// SPDX-License-Identifier: MIT
import { Errno } from "../kernel/errno.js";
import { decodeUtf8 } from "../util/bytes.js";

/** First size of a log buffer, in bytes. */
const FIRST_SIZE = 64 * 1024;
/** Largest log buffer, in bytes. */
export const MAX_LOG_SIZE = 256 * 1024 * 1024 - 1;

/** What one call with a log buffer brought. */
export interface LoggedCall {
  /** The result, or the negated errno. */
  readonly result: number;
  /** `log_true_size` as the kernel wrote it back; 0 from a kernel that doesn't (before 6.4). */
  readonly trueSize: number;
}

/** The last call's result with its log. */
export interface LogResult {
  readonly result: number;
  readonly log: string;
  /** The log outgrew {@link MAX_LOG_SIZE}: it lacks its beginning. */
  readonly truncated: boolean;
}

/**
 * Repeats a call that writes a log, with growing buffers, until the log fits. With a log that does
 * not fit the kernel answers ENOSPC even where the program is right.
 */
export function withLog(call: (buffer: Uint8Array) => LoggedCall, firstSize = FIRST_SIZE): LogResult {
  let size = firstSize;
  for (;;) {
    const buffer = new Uint8Array(size);
    const { result, trueSize } = call(buffer);
    const full = -result === Errno.ENOSPC;
    if (!full || size === MAX_LOG_SIZE) return { result, log: logText(buffer), truncated: full };
    size = Math.min(trueSize > size ? trueSize : size * 8, MAX_LOG_SIZE);
  }
}

function logText(buffer: Uint8Array): string {
  const end = buffer.indexOf(0);
  return decodeUtf8(end < 0 ? buffer : buffer.subarray(0, end));
}
