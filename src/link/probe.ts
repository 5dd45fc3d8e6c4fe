// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { Errno } from "../kernel/errno.js";
import { SyscallError } from "../syscall/errors.js";
import type { Fd } from "../syscall/fd.js";
import { openPerfEvent } from "../syscall/perf-event.js";
import { InputError } from "../util/errors.js";
import type { Link } from "./link.js";
import { attachToPerfEvent } from "./tracepoint.js";

/** The kernel's two kinds of dynamic perf events. */
export type ProbePmu = "kprobe" | "uprobe";

/** A function entry or return, as a perf event. */
export interface ProbeRequest {
  readonly pmu: ProbePmu;
  /** Kernel function, or path of an executable file. */
  readonly where: string;
  /** Bytes from the function's, or the file's, start. */
  readonly offset: number;
  /** At the return instead of the entry. */
  readonly isReturn: boolean;
  /** Process to observe; -1 for all. */
  readonly pid: number;
  readonly cookie?: bigint;
}

function readDevice(pmu: ProbePmu, file: string): string {
  try {
    return readFileSync(`/sys/bus/event_source/devices/${pmu}/${file}`, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const option = pmu === "kprobe" ? "CONFIG_KPROBE_EVENTS" : "CONFIG_UPROBE_EVENTS";
    throw new InputError(`this kernel has no ${pmu}s (${option}), or sysfs is not mounted`);
  }
}

/** The bit of `config` that asks for a return probe: `config:0` in the device's description. */
function returnBit(pmu: ProbePmu): number {
  const match = /^config:(\d+)$/.exec(readDevice(pmu, "format/retprobe"));
  return match === null ? 0 : Number(match[1]);
}

/**
 * Attaches a program to a probe.
 * @throws InputError when the kernel lacks such probes, or the function or file; SyscallError
 */
export function attachProbe(program: Fd, kind: string, request: ProbeRequest): Link {
  const { pmu, where, offset, isReturn, pid } = request;
  const type = Number(readDevice(pmu, "type"));
  const config = isReturn ? 2 ** returnBit(pmu) : 0;
  const target = offset === 0 ? where : `${where}+${offset}`;
  // A process is observed on whatever CPU it runs; without one, a single CPU stands for all of them.
  const cpu = pid < 0 ? 0 : -1;
  let event: Fd;
  try {
    event = openPerfEvent({ type, config, config1: where, config2: offset, pid, cpu }, target);
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== Errno.ENOENT) throw error;
    throw new InputError(
      pmu === "uprobe" ? `there is no file ${where}` : `this kernel has no function ${where} to probe`,
    );
  }
  try {
    return attachToPerfEvent(program, event, kind, target, request.cookie);
  } catch (error) {
    event.close();
    throw error;
  }
}
