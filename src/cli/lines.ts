// SPDX-License-Identifier: MIT
import { closeSync, openSync, readSync } from "node:fs";
import { InputError } from "../util/errors.js";

const CHUNK = 1 << 20;
const NEWLINE = 10;

/** Which part of a file to read, in bytes: the lines that begin there. */
export interface FileRange {
  readonly from: number;
  /** The first byte behind. */
  readonly to: number;
}

function open(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new InputError("no such file", { file: path });
    throw error;
  }
}

/**
 * The lines of a file one by one without their ends, empty ones too, however large the file is.
 * @param range only the lines that begin in this range, which must begin at a line's beginning.
 * @throws InputError when there is no such file
 */
export function* readLines(path: string, range?: FileRange): Generator<string> {
  const fd = open(path);
  try {
    const chunk = Buffer.alloc(CHUNK);
    const end = range?.to ?? Number.POSITIVE_INFINITY;
    let parts: Buffer[] = [];
    let lineAt = range?.from ?? 0;
    let at = lineAt;
    while (lineAt < end) {
      // A pipe has no positions.
      const length = readSync(fd, chunk, 0, CHUNK, range === undefined ? null : at);
      if (length === 0) break;
      let from = 0;
      for (let nl = chunk.indexOf(NEWLINE); nl >= 0 && nl < length; nl = chunk.indexOf(NEWLINE, from)) {
        yield Buffer.concat([...parts, chunk.subarray(from, nl)]).toString("utf8");
        parts = [];
        from = nl + 1;
        lineAt = at + from;
        if (lineAt >= end) return;
      }
      if (from < length) parts.push(Buffer.from(chunk.subarray(from, length)));
      at += length;
    }
    if (parts.length > 0) yield Buffer.concat(parts).toString("utf8");
  } finally {
    closeSync(fd);
  }
}
