// SPDX-License-Identifier: MIT
import { errnoName } from "../kernel/errno.js";
import type { KernelProfile } from "../kernel/profile.js";
import { nrCpuIds as thisMachinesCpus } from "../load/cpus.js";
import type { ProgramLoad } from "../model/load.js";
import { readRecord } from "../model/record.js";
import { resolveObject } from "../object/resolve.js";
import { InputError } from "../util/errors.js";
import { type VerifyResult, verify } from "../verifier/verify.js";
import { readInput } from "./input.js";
import { readLines } from "./lines.js";
import { colors, ExitCode, print } from "./output.js";

/** Options of `verify`. */
export interface VerifyOptions {
  readonly log?: number;
  readonly logSize?: number;
  readonly json?: boolean;
  readonly records?: string;
  /** Release of the kernel to answer for; default: the newest that is modelled. */
  readonly kernel?: KernelProfile;
  /** CPUs of the machine to answer for; default: this one's, unless `kernel` names another. */
  readonly cpus?: number;
}

/** A verdict with how long it took. */
export interface TimedVerdict {
  readonly result: VerifyResult;
  readonly microseconds: number;
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

/** @param options Whom to answer for; `logSize`: bytes of the log's buffer, everything fits when absent. */
export function timedVerify(
  load: ProgramLoad,
  logLevel: number,
  { kernel, cpus, logSize }: Pick<VerifyOptions, "kernel" | "cpus" | "logSize"> = {},
): TimedVerdict {
  const nrCpuIds = cpus ?? (kernel === undefined ? machineCpus() : undefined);
  const options = { logLevel, logSize, nrCpuIds, profile: kernel };
  const start = performance.now();
  const result = verify(load, options);
  return { result, microseconds: Math.round((performance.now() - start) * 1000) };
}

/** The exit code that a verdict stands for. */
export function verdictExit(result: VerifyResult): number {
  if (result.verdict === "accepted") return ExitCode.OK;
  return result.verdict === "rejected" ? ExitCode.REJECTED : ExitCode.UNSUPPORTED;
}

/** Rejections weigh more than what is not modelled. */
function worse(a: number, b: number): number {
  if (a === ExitCode.REJECTED || b === ExitCode.REJECTED) return ExitCode.REJECTED;
  return Math.max(a, b);
}

/** One line for a person. */
export function verdictLine(name: string, load: ProgramLoad, { result, microseconds }: TimedVerdict): string {
  const { stats } = result;
  const figures =
    `${load.insns.length / 8} insns, ${stats.insnsProcessed} processed, ${stats.totalStates} states, ` +
    `${(microseconds / 1000).toFixed(2)} ms`;
  if (result.verdict === "accepted") return `${name}: ${colors.green("accepted")} (${figures})`;
  if (result.verdict === "unsupported") {
    const at = result.construct;
    return `${name}: ${colors.yellow("unsupported")}: ${at?.what ?? ""} at insn ${at?.insn ?? 0} (${figures})`;
  }
  return `${name}: ${colors.red("rejected")}: ${result.lastMessage} (${errnoName(result.errno) ?? result.errno}; ${figures})`;
}

/** The JSON that tools read; the fields of load records where they have them. */
function verdictJson(id: Record<string, unknown>, { result, microseconds }: TimedVerdict): string {
  const { stats } = result;
  return JSON.stringify({
    ...id,
    verdict: result.verdict,
    errno: result.errno,
    log: result.log,
    log_true_size: result.logTrueSize,
    insns_processed: stats.insnsProcessed,
    max_states_per_insn: stats.maxStatesPerInsn,
    total_states: stats.totalStates,
    peak_states: stats.peakStates,
    mark_read: stats.markRead,
    time_us: microseconds,
    construct: result.construct,
  });
}

function verifyRecords(path: string, options: VerifyOptions): number {
  let exit: number = ExitCode.OK;
  let line = 0;
  for (const text of readLines(path)) {
    line++;
    if (text.trim() === "") continue;
    try {
      const { id, load } = readRecord(text);
      const verdict = timedVerify(load, options.log ?? 0, options);
      if (options.json) print(verdictJson({ id }, verdict));
      else print(verdictLine(id, load, verdict));
      exit = worse(exit, verdictExit(verdict.result));
    } catch (error) {
      if (error instanceof InputError) throw new InputError(error.message, { file: path, line }, { cause: error });
      throw error;
    }
  }
  return exit;
}

/** `bpfsmith verify FILE` and `bpfsmith verify --records FILE` */
export async function verifyCommand(file: string | undefined, options: VerifyOptions): Promise<number> {
  if (options.records !== undefined) return verifyRecords(options.records, options);
  const { spec } = await readInput(file!);
  const { programs } = resolveObject(spec);
  if (programs.length === 0) throw new InputError("the object has no programs", { file });
  let exit: number = ExitCode.OK;
  for (const { name, section, load } of programs) {
    // A rejection without its log helps nobody: the path to the error is shown unasked.
    let verdict = timedVerify(load, options.log ?? 0, options);
    if (options.log === undefined && verdict.result.verdict === "rejected")
      verdict = timedVerify(load, 1, { ...options, logSize: undefined });
    if (options.json) print(verdictJson({ program: name, section }, verdict));
    else {
      if (verdict.result.log !== "") print(verdict.result.log.trimEnd());
      print(verdictLine(name, load, verdict));
    }
    exit = worse(exit, verdictExit(verdict.result));
  }
  return exit;
}
