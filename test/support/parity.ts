// SPDX-License-Identifier: MIT
import { nrCpuIds } from "../../src/load/cpus.js";
import type { KernelAnswer, LoadRecord } from "../../src/model/record.js";
import { lastMeaningfulLine } from "../../src/syscall/errors.js";
import { type VerifyResult, verify } from "../../src/verifier/index.js";

/** Hides addresses of the kernel's memory, which differ from run to run. */
export function mask(log: string): string {
  return log.replace(/(\(18\) r\d+ = )0xffff[0-9a-f]{12}/g, "$10xffff............");
}

const CUT = /\n<<< (\d+) bytes left out >>>\n/;

/** The first line in which two logs differ. */
export interface Difference {
  /** 1-based. */
  readonly line: number;
  readonly kernel: string;
  readonly ours: string;
}

/** Where our log departs from the kernel's, null when nowhere. A log without its middle is compared at both ends. */
export function compareLogs(kernel: string, ours: string): Difference | null {
  const cut = CUT.exec(kernel);
  if (cut === null) return compareLines(mask(kernel).split("\n"), mask(ours).split("\n"));
  const head = kernel.slice(0, cut.index);
  const tail = kernel.slice(cut.index + cut[0].length);
  const length = head.length + Number(cut[1]) + tail.length;
  const atHead = compareLines(mask(head).split("\n"), mask(ours.slice(0, head.length)).split("\n"));
  if (atHead !== null) return atHead;
  const atTail = compareLines(mask(tail).split("\n"), mask(ours.slice(-tail.length)).split("\n"));
  if (atTail !== null) return { ...atTail, line: -1 };
  return ours.length === length
    ? null
    : { line: -1, kernel: `${length} bytes in all`, ours: `${ours.length} bytes in all` };
}

function compareLines(kernel: readonly string[], ours: readonly string[]): Difference | null {
  for (let i = 0; i < Math.max(kernel.length, ours.length); i++) {
    if (kernel[i] !== ours[i]) {
      return { line: i + 1, kernel: kernel[i] ?? "(end of the log)", ours: ours[i] ?? "(end of the log)" };
    }
  }
  return null;
}

/** How the mirror's judgement of one load stands to a kernel's. */
export interface Parity {
  readonly id: string;
  readonly result: VerifyResult;
  readonly kernel: KernelAnswer;
  /** Accepted or rejected alike, with the same errno. */
  readonly sameVerdict: boolean;
  /** The same reason in the last line. */
  readonly sameMessage: boolean;
  /** Null when the logs at level 2 are the same. */
  readonly difference: Difference | null;
}

/** Runs the mirror over a record that holds the answer of a kernel on a machine with so many CPUs. */
export function judge({ id, load, kernel }: LoadRecord, cpus: number = nrCpuIds()): Parity {
  if (kernel === null) throw new TypeError(`record ${id} holds no kernel's answer`);
  const result = verify(load, { logLevel: 2, nrCpuIds: cpus });
  const verdict = kernel.errno === 0 ? "accepted" : "rejected";
  return {
    id,
    result,
    kernel,
    sameVerdict: result.verdict === verdict && result.errno === kernel.errno,
    sameMessage: mask(lastMeaningfulLine(result.log)) === mask(lastMeaningfulLine(kernel.log)),
    difference: compareLogs(kernel.log, result.log),
  };
}
