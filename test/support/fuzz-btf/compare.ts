// SPDX-License-Identifier: MIT
import { readBtf } from "../../../src/btf/read.js";
import type { Btf } from "../../../src/btf/types.js";
import { askBtf } from "../../../src/syscall/btf.js";
import { InputError } from "../../../src/util/errors.js";
import { validateBtf } from "../../../src/verifier/btf-load/validate.js";
import type { BtfCase } from "./cases.js";

/** Bytes of the buffer that every log fits into. */
const ROOM = 16 << 20;

/** What one side says about a BTF. */
export interface BtfAnswer {
  readonly errno: number;
  readonly logTrueSize: number;
  readonly log: Uint8Array;
}

/** Asks the running kernel, with one buffer for all logs: an answer's log stands until the next question. */
export class BtfKernel {
  readonly #room = new Uint8Array(ROOM);

  ask({ bytes, logLevel, logSize }: BtfCase): BtfAnswer {
    const buffer = logSize === null ? (logLevel === 0 ? null : this.#room) : new Uint8Array(logSize);
    if (buffer !== null && buffer.length > 0) buffer[0] = 0;
    const { errno, logTrueSize } = askBtf(bytes, logLevel, buffer?.length === 0 ? null : buffer);
    const log = buffer === null ? new Uint8Array(0) : buffer.subarray(0, Math.max(0, buffer.indexOf(0)));
    return { errno, logTrueSize, log };
  }
}

export function ourAnswer({ bytes, logLevel, logSize }: BtfCase, vmlinux: () => Btf | null): BtfAnswer {
  const size = logSize === null ? {} : { logSize };
  const { errno, logTrueSize, logBytes } = validateBtf(bytes, { logLevel, vmlinux, ...size });
  return { errno, logTrueSize, log: logBytes };
}

/** One character a byte. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** A difference in one line, "" when there is none. */
export function difference(kernel: BtfAnswer, ours: BtfAnswer): string {
  if (kernel.errno !== ours.errno) return `errno: kernel ${kernel.errno}, ours ${ours.errno}`;
  if (Buffer.compare(kernel.log, ours.log) !== 0) {
    const theirs = latin1(kernel.log).split("\n");
    const lines = latin1(ours.log).split("\n");
    const at = theirs.findIndex((line, i) => line !== lines[i]);
    return `log line ${at + 1}: kernel ${JSON.stringify(theirs[at])}, ours ${JSON.stringify(lines[at])}`;
  }
  return kernel.logTrueSize === ours.logTrueSize
    ? ""
    : `log_true_size: kernel ${kernel.logTrueSize}, ours ${ours.logTrueSize}`;
}

/** What the kernel takes our reader has to read, but for headers that end within the length of the strings. */
export function readerFault({ bytes }: BtfCase, { errno }: BtfAnswer): string {
  if (errno !== 0) return "";
  try {
    readBtf(bytes);
    return "";
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message.includes("hdr_len") ? "" : `readBtf: ${error.message}`;
  }
}
