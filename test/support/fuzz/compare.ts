// SPDX-License-Identifier: MIT

import { Errno } from "../../../src/kernel/errno.js";
import { LogLevel } from "../../../src/kernel/uapi.js";
import { nrCpuIds } from "../../../src/load/cpus.js";
import type { ProgramLoad } from "../../../src/model/load.js";
import type { KernelAnswer } from "../../../src/model/record.js";
import { lastMeaningfulLine } from "../../../src/syscall/errors.js";
import { type Capabilities, type VerifyResult, verify } from "../../../src/verifier/index.js";
import { compareLogs, type Difference, mask } from "../parity.js";
import { unprivilegedAllowed } from "./unprivileged.js";

/** How mirror and kernel differ about a program. */
export type DifferenceKind = "crash" | "verdict" | "errno" | "message" | "log";

export interface Finding {
  readonly kind: DifferenceKind;
  readonly kernel: string;
  readonly ours: string;
  /** What findings of one cause have in common. */
  readonly key: string;
}

/** What came of one comparison. */
export type Outcome =
  | { readonly same: true; readonly accepted: boolean }
  | { readonly skipped: string }
  | { readonly unsupported: string }
  | { readonly finding: Finding; readonly accepted: boolean };

/** The kernel's own mistakes, by what it says, with the rule that leaves them out of comparisons. */
export const KERNEL_BUGS: readonly (readonly [pattern: RegExp, rule: string])[] = [
  [
    /^verifier bug: No program to jit at insn/m,
    "kernel bug: functions that dead code removal took away are looked for",
  ],
];

const CPUS = nrCpuIds();

/** Instructions to check after which a program is left alone: most of these go on for a million. */
const BUDGET = 20_000;

/** The mirror's judgement, as the kernel's with these capabilities on this machine. */
export function mirror(load: ProgramLoad, caps: Capabilities, logLevel = 2): VerifyResult {
  return verify(load, { logLevel, nrCpuIds: CPUS, caps, insnBudget: BUDGET });
}

/** Numbers and registers taken out: what is left tells causes apart. */
export function shape(text: string): string {
  return text
    .replace(/0x[0-9a-f]+/g, "#")
    .replace(/\b[rRw]\d+/g, "r")
    .replace(/-?\d+/g, "#")
    .slice(0, 160);
}

/** The part of a line that differs, with what stands around it. */
function differing(difference: Difference): string {
  const words = difference.kernel.split(" ");
  const ours = difference.ours.split(" ");
  const at = words.findIndex((word, i) => word !== ours[i]);
  const field = (word: string | undefined): string => shape(word ?? "").replace(/=.*?\(/, "=(");
  return `${field(words[Math.max(at, 0)])} / ${field(ours[Math.max(at, 0)])}`;
}

/** Compares the mirror's result with the kernel's answer; null when they are the same. */
export function findingOf(kernel: KernelAnswer, ours: VerifyResult): Finding | null {
  const oursLast = mask(lastMeaningfulLine(ours.log));
  const kernelLast = mask(lastMeaningfulLine(kernel.log));
  const make = (kind: DifferenceKind, k: string, o: string, key: string): Finding => ({
    kind,
    kernel: k,
    ours: o,
    key: `${kind}: ${key}`,
  });
  const kernelSays = `errno ${kernel.errno}: ${kernelLast}`;
  const oursSays = `errno ${ours.errno}: ${oursLast}`;
  const both = kernel.errno === 0 ? oursLast : kernelLast;
  if ((kernel.errno === 0) !== (ours.verdict === "accepted")) {
    return make("verdict", kernelSays, oursSays, `${kernel.errno === 0 ? "we reject" : "we accept"}: ${shape(both)}`);
  }
  if (kernel.errno !== ours.errno) return make("errno", kernelSays, oursSays, shape(`${kernelSays} / ${oursSays}`));
  if (kernel.errno !== 0 && kernelLast !== oursLast) {
    return make("message", kernelLast, oursLast, `${shape(kernelLast)} / ${shape(oursLast)}`);
  }
  if (kernel.log === ours.log) return null;
  const difference = compareLogs(kernel.log, ours.log);
  if (difference === null) return null;
  return make(
    "log",
    `line ${difference.line}: ${difference.kernel}`,
    `line ${difference.line}: ${difference.ours}`,
    differing(difference),
  );
}

/**
 * Puts a program before the mirror and before the kernel.
 * @param ask Gives the kernel's answer, with a log of this level.
 */
export function compare(
  load: ProgramLoad,
  caps: Capabilities,
  logLevel: number,
  ask: (load: ProgramLoad, logLevel: number) => KernelAnswer,
): Outcome {
  let ours: VerifyResult;
  try {
    ours = mirror(load, caps, logLevel);
  } catch (error) {
    return { accepted: false, finding: crash(error as Error) };
  }
  if (ours.verdict === "unsupported") return { unsupported: ours.construct!.what };
  if ((logLevel & LogLevel.STATS) !== 0) ours = { ...ours, log: withoutTimes(ours.log) };
  const kernel = ask(load, logLevel);
  if (kernel.errno === Errno.EPERM && ours.errno !== Errno.EPERM && !caps.bpf && !unprivilegedAllowed()) {
    return { skipped: "unprivileged use of bpf(2) was switched off by another program meanwhile" };
  }
  for (const [pattern, rule] of KERNEL_BUGS) if (pattern.test(kernel.log)) return { skipped: rule };
  const accepted = kernel.errno === 0;
  const finding = findingOf(kernel, ours);
  return finding === null ? { same: true, accepted } : { finding, accepted };
}

/** What an exception of the mirror's is told by. */
export function crash(error: Error): Finding {
  const stack = (error.stack ?? String(error)).split("\n");
  const where = stack[1]?.replace(/\(.*|:\d+/g, "").trim() ?? "";
  return {
    kind: "crash",
    kernel: "",
    ours: stack.slice(0, 4).join(" | "),
    key: `crash: ${shape(error.message)} ${where}`,
  };
}

/** A log without the lines that tell how long it took; one may stand behind a message without a line break. */
export function withoutTimes(log: string): string {
  return log.replace(/(verification time \d+ usec|stack depth [\d+]+)\n/g, "");
}
