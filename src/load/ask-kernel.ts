// SPDX-License-Identifier: MIT
import { release } from "node:os";
import type { ProgramLoad } from "../model/load.js";
import type { KernelAnswer, VerifierStats } from "../model/record.js";
import { SyscallError, VerifierRejection } from "../syscall/errors.js";
import { loadObject } from "./load-object.js";

/** Bytes of a log that is kept whole. */
const WHOLE_LOG = 128 * 1024;
/** Bytes kept of each end of a longer one. */
const LOG_END = 16 * 1024;

interface Attempt {
  readonly errno: number;
  readonly log: string;
  readonly stage: "verifier" | "before";
}

function attempt(load: ProgramLoad, logLevel: number): Attempt {
  try {
    using object = loadObject({ maps: load.maps, programs: [{ load, section: "" }] }, { logLevel });
    return { errno: 0, log: object.program(load.name).log, stage: "verifier" };
  } catch (error) {
    if (error instanceof VerifierRejection) return { errno: error.errno, log: error.log, stage: "verifier" };
    if (error instanceof SyscallError && error.command === "BPF_PROG_LOAD") {
      return { errno: error.errno, log: "", stage: "before" };
    }
    throw error;
  }
}

/** Without the lines that tell how long it took. */
function withoutTimes(log: string): string {
  return log.replace(/^(verification time|stack depth) .*\n/gm, "");
}

/** Leaves the middle of a very long log out, with a line that says how much. */
function shorten(log: string): string {
  if (log.length <= WHOLE_LOG) return log;
  const left = log.length - 2 * LOG_END;
  return `${log.slice(0, LOG_END)}\n<<< ${left} bytes left out >>>\n${log.slice(-LOG_END)}`;
}

/** The figures of a verifier log's last line; null when there is none. */
export function readStats(log: string): VerifierStats | null {
  const match =
    /^processed (\d+) insns \(limit \d+\) max_states_per_insn (\d+) total_states (\d+) peak_states (\d+) mark_read (\d+)$/m.exec(
      log,
    );
  if (match === null) return null;
  const [insnsProcessed, maxStatesPerInsn, totalStates, peakStates, markRead] = match.slice(1).map(Number);
  return {
    insnsProcessed: insnsProcessed!,
    maxStatesPerInsn: maxStatesPerInsn!,
    totalStates: totalStates!,
    peakStates: peakStates!,
    markRead: markRead!,
  };
}

/**
 * What the running kernel's verifier writes about a load at a log level, whole; the program and its maps are
 * made for it and go with it.
 * @throws SyscallError when a map or the BTF cannot be brought there; VerifierRejection for refused BTF
 */
export function kernelLog(load: ProgramLoad, logLevel: number): string {
  return attempt(load, logLevel).log;
}

/** As {@link askKernel}, with the log at level 2 only. */
export function askKernelOnce(load: ProgramLoad): KernelAnswer {
  const { errno, stage, log: whole } = attempt(load, 2);
  const log = withoutTimes(whole);
  return {
    release: release(),
    errno,
    stage,
    log: shorten(log),
    logTruncated: log.length > WHOLE_LOG,
    log1: "",
    stats: readStats(whole),
  };
}

/**
 * Puts a load before the running kernel and takes down what it says, with logs at level 2 and at level 1. The
 * middle of very long logs is left out.
 * @throws SyscallError when a map or the BTF cannot be brought there; VerifierRejection for refused BTF
 */
export function askKernel(load: ProgramLoad): KernelAnswer {
  return { ...askKernelOnce(load), log1: shorten(withoutTimes(kernelLog(load, 1))) };
}
