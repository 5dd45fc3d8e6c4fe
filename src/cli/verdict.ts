// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../asm/insn.js";
import { Errno, errnoName } from "../kernel/errno.js";
import type { KernelProfile } from "../kernel/profile.js";
import { nrCpuIds as thisMachinesCpus } from "../load/cpus.js";
import { kernelTypes } from "../load/vmlinux.js";
import type { ProgramLoad } from "../model/load.js";
import type { Explanation } from "../object/missing.js";
import { type VerifyResult, verify } from "../verifier/verify.js";
import { type Output, paint } from "./colors.js";
import { ExitCode, printParts } from "./output.js";

/** Whom to answer for, and how much room it has. */
export interface VerifyTarget {
  readonly logSize?: number;
  /** Release of the kernel to answer for; default: the newest that is modelled. */
  readonly kernel?: KernelProfile;
  /** CPUs of the machine to answer for; default: this one's, unless `kernel` names another. */
  readonly cpus?: number;
  /** File with the kernel's types; default: the running kernel's, unless `kernel` names another. */
  readonly vmlinux?: string;
}

/** A verdict with how long it took. */
export interface TimedVerdict {
  readonly result: VerifyResult;
  readonly microseconds: number;
  /** What is meant where the program calls what no kernel has, because this one lacks something. */
  readonly explanation?: Explanation;
}

let machine: number | undefined;

/** This machine's count, for the verdict is about this machine; undefined where it cannot be told. */
function machineCpus(): number | undefined {
  try {
    machine ??= thisMachinesCpus();
  } catch {
    // No Linux.
  }
  return machine;
}

/**
 * Judges a load as a kernel would.
 * @param target Whom to answer for; `logSize`: bytes of the log's buffer, everything fits when absent.
 * @throws InputError when the load itself is malformed
 */
export function timedVerify(
  load: ProgramLoad,
  logLevel: number,
  { kernel, cpus, logSize, vmlinux }: VerifyTarget = {},
): TimedVerdict {
  const nrCpuIds = cpus ?? (kernel === undefined ? machineCpus() : undefined);
  const types = vmlinux !== undefined || kernel === undefined ? kernelTypes(vmlinux) : undefined;
  const options = { logLevel, logSize, nrCpuIds, profile: kernel, vmlinux: types };
  const start = performance.now();
  const result = verify(load, options);
  return { result, microseconds: Math.round((performance.now() - start) * 1000) };
}

/** The exit code that a verdict stands for. */
export function verdictExit(result: VerifyResult): number {
  if (result.verdict === "accepted") return ExitCode.OK;
  return result.verdict === "rejected" ? ExitCode.REJECTED : ExitCode.UNSUPPORTED;
}

/** Of two exit codes that which weighs more: a bug, a rejection, what is not modelled. */
export function worse(a: number, b: number): number {
  return [ExitCode.BUG, ExitCode.REJECTED].find((code) => a === code || b === code) ?? Math.max(a, b);
}

/** Why a program is rejected. */
export function reasonOf({ lastMessage }: VerifyResult, explanation: Explanation | undefined): string {
  return explanation?.reason ?? lastMessage;
}

/** One line for a person about a program whose instructions take so many bytes. */
export function verdictLine(
  name: string,
  bytes: number,
  { result, microseconds, explanation }: TimedVerdict,
  to: Output,
): string {
  const { stats } = result;
  const figures =
    `${bytes / INSN_SIZE} insns, ${stats.insnsProcessed} processed, ${stats.totalStates} states, ` +
    `${(microseconds / 1000).toFixed(2)} ms`;
  if (result.verdict === "accepted") return `${name}: ${paint("green", "accepted", to)} (${figures})`;
  if (result.verdict === "unsupported") {
    const at = result.construct;
    return `${name}: ${paint("yellow", "unsupported", to)}: ${at?.what ?? ""} at insn ${at?.insn ?? 0} (${figures})`;
  }
  // With a log that does not fit the kernel refuses whatever the verdict is.
  const reason =
    result.errno === Errno.ENOSPC ? `the log takes ${result.logTrueSize} bytes` : reasonOf(result, explanation);
  return `${name}: ${paint("red", "rejected", to)}: ${reason} (${errnoName(result.errno) ?? result.errno}; ${figures})`;
}

/** Characters of a log that are escaped at once: as JSON a log of 500 MB is longer than a string may be. */
const LOG_PART = 1 << 20;

function* jsonString(text: string): Generator<string> {
  yield '"';
  for (let at = 0; at < text.length; at += LOG_PART) yield JSON.stringify(text.slice(at, at + LOG_PART)).slice(1, -1);
  yield '"';
}

function* verdictJson(id: object, { result, microseconds, explanation }: TimedVerdict): Generator<string> {
  const { stats } = result;
  const before = JSON.stringify({ ...id, verdict: result.verdict, errno: result.errno });
  const after = JSON.stringify({
    insns_processed: stats.insnsProcessed,
    max_states_per_insn: stats.maxStatesPerInsn,
    total_states: stats.totalStates,
    peak_states: stats.peakStates,
    mark_read: stats.markRead,
    time_us: microseconds,
    construct: result.construct,
    explanation: explanation === undefined ? undefined : { insn: explanation.insn, reason: explanation.reason },
    log_true_size: result.logTrueSize,
  });
  yield `${before.slice(0, -1)},"log":`;
  yield* jsonString(result.log);
  yield `,${after.slice(1)}`;
}

/** Prints a verdict as the one line of JSON that tools read; the fields of load records where they have them. */
export function printVerdictJson(id: Readonly<Record<string, unknown>>, verdict: TimedVerdict): void {
  printParts(verdictJson(id, verdict));
}
