// SPDX-License-Identifier: MIT
import { Errno } from "../kernel/errno.js";
import { AttachType } from "../kernel/uapi.js";
import { SyscallError } from "../syscall/errors.js";
import type { Fd } from "../syscall/fd.js";
import { createLink } from "../syscall/link.js";
import { enablePerfEvent, openPerfEvent, PerfType, setPerfEventProgram } from "../syscall/perf-event.js";
import { Link } from "./link.js";
import { parseTracepointName, tracepointId } from "./tracefs.js";

/** How to attach to a tracepoint. */
export interface TracepointOptions {
  /** What bpf_get_attach_cookie() returns in the program; needs a kernel with perf links (5.15). */
  readonly cookie?: bigint;
}

/**
 * Attaches a tracepoint program.
 * @param target `category/name`, e.g. `syscalls/sys_enter_execve`.
 * @throws InputError when the kernel has no such tracepoint; SyscallError
 */
export function attachTracepoint(program: Fd, target: string, options: TracepointOptions = {}): Link {
  const id = tracepointId(parseTracepointName(target));
  // One event on one CPU is enough: the program hangs on the tracepoint itself and runs on every CPU.
  const event = openPerfEvent({ type: PerfType.TRACEPOINT, config: id }, target);
  try {
    return attachToPerfEvent(program, event, "tracepoint", target, options.cookie);
  } catch (error) {
    event.close();
    throw error;
  }
}

/** Attaches a program to a perf event and takes the event over: by a link, or on older kernels by ioctl. */
export function attachToPerfEvent(program: Fd, event: Fd, kind: string, target: string, cookie?: bigint): Link {
  const request = {
    program,
    target: event.number,
    attachType: AttachType.PERF_EVENT,
    perfEventCookie: cookie,
  };
  try {
    const link = createLink(request, target, ["CAP_PERFMON"]);
    // The link holds the event.
    event.close();
    return new Link(kind, target, link);
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== Errno.EINVAL || cookie) throw error;
  }
  // Kernels before 5.15 have no links of perf events. Where EINVAL meant something else, it comes again.
  setPerfEventProgram(event, program);
  enablePerfEvent(event);
  return new Link(kind, target, null, event);
}
