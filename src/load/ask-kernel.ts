// SPDX-License-Identifier: MIT
import { release } from "node:os";
import type { ProgramLoad } from "../model/load.js";
import type { KernelAnswer, VerifierStats } from "../model/record.js";
import { SyscallError, VerifierRejection } from "../syscall/errors.js";
import { loadObject } from "./load-object.js";

interface Attempt {
  readonly errno: number;
  readonly log: string;
}

function attempt(load: ProgramLoad, logLevel: number): Attempt {
  try {
    using object = loadObject({ maps: load.maps, programs: [{ load, section: "" }] }, { logLevel });
    return { errno: 0, log: object.programs.get(load.name)?.log ?? "" };
  } catch (error) {
    if (error instanceof VerifierRejection) return { errno: error.errno, log: error.log };
    if (error instanceof SyscallError && error.command === "BPF_PROG_LOAD") return { errno: error.errno, log: "" };
    throw error;
  }
}

/** The figures of the log's last line; null when there is none. */
export function readStats(log: string): VerifierStats | null {
  const found =
    /^processed (\d+) insns \(limit \d+\) max_states_per_insn (\d+) total_states (\d+) peak_states (\d+) mark_read (\d+)$/m.exec(
      log,
    );
  if (found === null) return null;
  const [insnsProcessed, maxStatesPerInsn, totalStates, peakStates, markRead] = found.slice(1).map(Number);
  return {
    insnsProcessed: insnsProcessed!,
    maxStatesPerInsn: maxStatesPerInsn!,
    totalStates: totalStates!,
    peakStates: peakStates!,
    markRead: markRead!,
  };
}

/**
 * Loads one program into the running kernel, takes down what the kernel says at log levels 2 and 1,
 * and unloads it. Its maps are made for it and go with it.
 * @throws SyscallError when a map or the BTF cannot be brought there; VerifierRejection for refused BTF
 */
export function askKernel(load: ProgramLoad): KernelAnswer {
  const second = attempt(load, 2);
  const first = attempt(load, 1);
  const stats = readStats(second.log);
  return {
    release: release(),
    errno: second.errno,
    stage: stats === null ? "before" : "verifier",
    log: second.log,
    logTruncated: false,
    log1: first.log,
    stats,
  };
}
