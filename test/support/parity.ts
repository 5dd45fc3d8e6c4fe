// SPDX-License-Identifier: MIT
import type { KernelProfile } from "../../src/kernel/profile.js";
import { nrCpuIds } from "../../src/load/cpus.js";
import { kernelTypes } from "../../src/load/vmlinux.js";
import type { KernelAnswer, LoadRecord, VerifierStats } from "../../src/model/record.js";
import { type VerifyResult, verify } from "../../src/verifier/index.js";

/** Hides addresses of the kernel's memory, which differ from run to run. */
export function mask(log: string): string {
  return log.replace(/(\(18\) r\d+ = )0xffff[0-9a-f]{12}/g, "$10xffff............");
}

const CUT = /\n<<< (\d+) bytes left out >>>\n/;
/** Longer than any log that is kept whole in a record, so that the search for the cut stays short. */
const CUT_WITHIN = 1 << 20;

/** The first line in which two logs differ. */
export interface Difference {
  /** 1-based; -1 when it stands behind what a record leaves out. */
  readonly line: number;
  readonly kernel: string;
  readonly ours: string;
}

/** Where our log departs from the kernel's, null when nowhere. A log without its middle is compared at both ends. */
export function compareLogs(kernel: string, ours: string): Difference | null {
  const cut = kernel.length > CUT_WITHIN ? null : CUT.exec(kernel);
  if (cut === null) return compareLines(kernel, ours);
  const head = kernel.slice(0, cut.index);
  const tail = kernel.slice(cut.index + cut[0].length);
  const length = head.length + Number(cut[1]) + tail.length;
  const atHead = compareLines(head, ours.slice(0, head.length));
  if (atHead !== null) return atHead;
  const atTail = compareLines(tail, ours.slice(-tail.length));
  if (atTail !== null) return { ...atTail, line: -1 };
  return ours.length === length
    ? null
    : { line: -1, kernel: `${length} bytes in all`, ours: `${ours.length} bytes in all` };
}

/** Characters compared at once. */
const BLOCK = 1 << 16;

/** The logs have up to 256 MiB: they are not split into lines unless they differ. */
function compareLines(kernel: string, ours: string): Difference | null {
  let k = 0;
  let o = 0;
  while (k < kernel.length || o < ours.length) {
    const block = kernel.slice(k, k + BLOCK);
    if (block !== "" && block === ours.slice(o, o + BLOCK)) {
      k += block.length;
      o += block.length;
      continue;
    }
    const back = k === 0 ? 0 : kernel.lastIndexOf("\n", k - 1) + 1;
    o -= k - back;
    k = back;
    for (const end = k + BLOCK; k < end && (k < kernel.length || o < ours.length); ) {
      const kernelLine = lineAt(kernel, k);
      const oursLine = lineAt(ours, o);
      if (kernelLine === null || oursLine === null || !sameLine(kernelLine, oursLine)) {
        return {
          line: countLines(kernel, k),
          kernel: kernelLine ?? "(end of the log)",
          ours: oursLine ?? "(end of the log)",
        };
      }
      k += kernelLine.length + 1;
      o += oursLine.length + 1;
    }
  }
  // Only the last line may lack its end, and then in both.
  if (k - kernel.length === o - ours.length) return null;
  const end = (overrun: number): string => (overrun > 0 ? "(no end of the last line)" : "(end of the last line)");
  return { line: countLines(kernel, kernel.length), kernel: end(k - kernel.length), ours: end(o - ours.length) };
}

function sameLine(a: string, b: string): boolean {
  return a === b || mask(a) === mask(b);
}

function lineAt(text: string, at: number): string | null {
  if (at >= text.length) return null;
  const end = text.indexOf("\n", at);
  return text.slice(at, end < 0 ? text.length : end);
}

/** The number of the line that begins at `end`, 1-based. */
function countLines(text: string, end: number): number {
  let n = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < end; at = text.indexOf("\n", at + 1)) n++;
  return n;
}

const STATISTICS = /^(processed \d+ insns |verification time |stack depth )/;

/** The last line of a log before its statistics, empty when there is none: what the verifier had to say. */
export function lastMessage(log: string): string {
  for (let end = log.length; end > 0; ) {
    const start = log.lastIndexOf("\n", end - 1) + 1;
    const line = log.slice(start, end);
    if (line !== "" && !STATISTICS.test(line)) return line;
    end = start - 1;
  }
  return "";
}

/**
 * How a mirror's answer may differ from a kernel's, the worst first: it throws; it does not know; accepted instead of
 * rejected or the reverse; another errno; another last message; another log; other counters where the log itself is too
 * long to compare.
 */
export const DIFFERENCE_KINDS = ["crash", "unsupported", "verdict", "errno", "message", "log", "counters"] as const;
export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number];

/** How the mirror's judgement of one load stands to a kernel's. */
export interface Parity {
  readonly id: string;
  readonly result: VerifyResult;
  readonly kernel: KernelAnswer;
  /** The worst difference, null when there is none. */
  readonly kind: Exclude<DifferenceKind, "crash"> | null;
  /** Accepted or rejected alike, with the same errno. */
  readonly sameVerdict: boolean;
  /** The same reason in the last line. */
  readonly sameMessage: boolean;
  /** The same figures in the log's last line; null where the kernel's are not known. */
  readonly sameCounters: boolean | null;
  /** Null when the logs at level 2 are the same, or when the kernel's outgrew its buffer. */
  readonly difference: Difference | null;
}

/** How to judge. */
export interface JudgeOptions {
  /** CPUs of the machine that recorded. Default: as many as this one has. */
  readonly cpus?: number;
  readonly profile?: KernelProfile;
  /** File with the types of the kernel that recorded. Default: those of the running kernel. */
  readonly vmlinux?: string;
  /** The kernel's whole log at level 2, where the record holds but its ends. */
  readonly wholeLog?: string;
  /** Called when the mirror is done, before the comparison. */
  readonly onVerified?: () => void;
}

const COUNTERS = [
  "insnsProcessed",
  "maxStatesPerInsn",
  "totalStates",
  "peakStates",
  "markRead",
] as const satisfies readonly (keyof VerifierStats)[];

/** Runs the mirror over a record that holds a kernel's answer. */
export function judge({ id, load, kernel }: LoadRecord, options: JudgeOptions = {}): Parity {
  if (kernel === null) throw new TypeError(`record ${id} holds no kernel's answer`);
  const { profile, vmlinux, cpus = nrCpuIds() } = options;
  // Of a log that outgrew the kernel's buffer only counters and reason can be compared.
  const overflowed = kernel.logOverflowed === true;
  const logLevel = !overflowed ? 2 : kernel.errno === 0 ? 0 : 1;
  const result = verify(load, { logLevel, nrCpuIds: cpus, profile, vmlinux: kernelTypes(vmlinux) });
  options.onVerified?.();
  const sameOutcome = result.verdict === (kernel.errno === 0 ? "accepted" : "rejected");
  const sameErrno = result.errno === kernel.errno;
  const sameMessage =
    (overflowed && kernel.errno === 0) ||
    sameLine(lastMessage(result.log), lastMessage(options.wholeLog ?? kernel.log));
  const difference = overflowed ? null : compareLogs(options.wholeLog ?? kernel.log, result.log);
  const { stats } = kernel;
  const sameCounters = stats === null ? null : COUNTERS.every((name) => stats[name] === result.stats[name]);
  const kind =
    result.verdict === "unsupported"
      ? "unsupported"
      : !sameOutcome
        ? "verdict"
        : !sameErrno
          ? "errno"
          : !sameMessage
            ? "message"
            : difference !== null
              ? "log"
              : sameCounters === false
                ? "counters"
                : null;
  return { id, result, kernel, kind, sameVerdict: sameOutcome && sameErrno, sameMessage, sameCounters, difference };
}
