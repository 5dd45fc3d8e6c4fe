// SPDX-License-Identifier: MIT
import { Errno } from "../kernel/errno.js";
import { SyscallError } from "../syscall/errors.js";
import type { Fd } from "../syscall/fd.js";
import { openRawTracepoint } from "../syscall/link.js";
import { InputError } from "../util/errors.js";
import { similarNote } from "../util/similar.js";
import { Link } from "./link.js";
import { eventNames } from "./tracefs.js";

/** How to attach to a raw tracepoint. */
export interface RawTracepointOptions {
  /** What bpf_get_attach_cookie() returns in the program; needs Linux 6.10. */
  readonly cookie?: bigint;
}

/**
 * Attaches a raw_tracepoint program.
 * @param name The tracepoint's name without category, e.g. `sched_switch`.
 * @throws InputError when the kernel has no such tracepoint; SyscallError
 */
export function attachRawTracepoint(program: Fd, name: string, options: RawTracepointOptions = {}): Link {
  try {
    return new Link("rawTracepoint", name, openRawTracepoint(program, name, options.cookie));
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== Errno.ENOENT) throw error;
    throw new InputError(`this kernel has no raw tracepoint ${name}${similarNote(name, knownNames())}`);
  }
}

function knownNames(): string[] {
  try {
    return eventNames();
  } catch {
    return [];
  }
}
