// SPDX-License-Identifier: MIT
import { release } from "node:os";
import { loadObject } from "../../src/load/load-object.js";
import type { ProgramLoad } from "../../src/model/load.js";
import type { KernelAnswer, VerifierStats } from "../../src/model/record.js";
import { SyscallError, VerifierRejection } from "../../src/syscall/index.js";

/** Bytes of a log that is kept whole. */
const WHOLE_LOG = 128 * 1024;
/** Bytes kept of each end of a longer one. */
const LOG_END = 16 * 1024;

interface Answer {
  readonly errno: number;
  readonly log: string;
  readonly stage: "verifier" | "before";
}

function loadOnce(load: ProgramLoad, logLevel: number): Answer {
  try {
    using object = loadObject({ maps: load.maps, programs: [{ load, section: "fixture" }] }, { logLevel });
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
export function shorten(log: string): string {
  if (log.length <= WHOLE_LOG) return log;
  const left = log.length - 2 * LOG_END;
  return `${log.slice(0, LOG_END)}\n<<< ${left} bytes left out >>>\n${log.slice(-LOG_END)}`;
}

function stats(log: string): VerifierStats | null {
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

/** How many instructions the running kernel's verifier walks over a load, null when it says nothing. */
export function insnsWalked(load: ProgramLoad): number | null {
  return stats(loadOnce(load, 4).log)?.insnsProcessed ?? null;
}

/** Puts a load before the running kernel, with a log at level 2 only. */
export function askKernelOnce(load: ProgramLoad): KernelAnswer {
  const { errno, stage, log: whole } = loadOnce(load, 2);
  const log = withoutTimes(whole);
  return {
    release: release(),
    errno,
    stage,
    log: shorten(log),
    logTruncated: log.length > WHOLE_LOG,
    log1: "",
    stats: stats(whole),
  };
}

/** Puts a load before the running kernel, with logs at level 2 and at level 1. */
export function askKernel(load: ProgramLoad): KernelAnswer {
  return { ...askKernelOnce(load), log1: shorten(withoutTimes(loadOnce(load, 1).log)) };
}
