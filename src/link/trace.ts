// SPDX-License-Identifier: MIT
import type { Fd } from "../syscall/fd.js";
import { openRawTracepoint } from "../syscall/link.js";
import { Link } from "./link.js";

/**
 * Attaches a tracing program (tp_btf, fentry, fexit, fmod_ret) or an LSM program to the function or
 * tracepoint for which it was loaded.
 * @param target For messages.
 * @throws SyscallError
 */
export function attachTrace(program: Fd, target: string): Link {
  return new Link("trace", target, openRawTracepoint(program, null));
}
