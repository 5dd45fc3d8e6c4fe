// SPDX-License-Identifier: MIT

import { readBtf } from "../../../src/btf/read.js";
import type { Btf } from "../../../src/btf/types.js";
import { Errno } from "../../../src/kernel/errno.js";
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
  /** One character a byte. */
  readonly log: string;
}

export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

/** Asks the running kernel, with one buffer for all logs. */
export class BtfKernel {
  readonly #room = new Uint8Array(ROOM);

  ask({ bytes, logLevel, logSize }: BtfCase): BtfAnswer {
    const buffer = logSize === null ? (logLevel === 0 ? null : this.#room) : new Uint8Array(logSize);
    if (buffer !== null && buffer.length > 0) buffer[0] = 0;
    const { errno, logTrueSize } = askBtf(bytes, logLevel, buffer?.length === 0 ? null : buffer);
    const log = buffer === null ? "" : latin1(buffer.subarray(0, Math.max(0, buffer.indexOf(0))));
    return { errno, logTrueSize, log };
  }
}

export function ourAnswer({ bytes, logLevel, logSize }: BtfCase, vmlinux: () => Btf | null): BtfAnswer {
  const { errno, logTrueSize, logBytes } = validateBtf(bytes, {
    logLevel,
    vmlinux,
    ...(logSize === null ? {} : { logSize }),
  });
  return { errno, logTrueSize, log: latin1(logBytes) };
}

/** A difference in one line, "" when there is none. */
export function difference(kernel: BtfAnswer, ours: BtfAnswer): string {
  if (kernel.errno !== ours.errno) return `errno: kernel ${kernel.errno}, ours ${ours.errno}`;
  if (kernel.log !== ours.log) {
    const theirs = kernel.log.split("\n");
    const lines = ours.log.split("\n");
    const at = theirs.findIndex((line, i) => line !== lines[i]);
    return `log line ${at + 1}: kernel ${JSON.stringify(theirs[at])}, ours ${JSON.stringify(lines[at])}`;
  }
  return kernel.logTrueSize === ours.logTrueSize
    ? ""
    : `log_true_size: kernel ${kernel.logTrueSize}, ours ${ours.logTrueSize}`;
}

/** What the kernel takes our reader has to read, but for headers without the length of the strings. */
export function readerFault({ bytes }: BtfCase, { errno }: BtfAnswer): string {
  if (errno !== 0 && errno !== Errno.ENOSPC) return "";
  try {
    readBtf(bytes);
    return "";
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return errno === 0 && !error.message.includes("hdr_len") ? `readBtf: ${error.message}` : "";
  }
}
