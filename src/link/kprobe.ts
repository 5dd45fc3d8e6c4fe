// SPDX-License-Identifier: MIT
import type { Fd } from "../syscall/fd.js";
import type { Link } from "./link.js";
import { attachProbe } from "./probe.js";

/** Where in a function a kprobe sits, and what it tells the program. */
export interface KprobeOptions {
  /** Where the function returns instead of where it begins. */
  readonly isReturn?: boolean;
  /** Bytes from the function's start; not for returns. */
  readonly offset?: number;
  /** What bpf_get_attach_cookie() returns in the program; needs Linux 5.15. */
  readonly cookie?: bigint;
}

/**
 * Attaches a kprobe-type program to a kernel function.
 * @throws InputError when the kernel has no such function, or no kprobes; SyscallError
 */
export function attachKprobe(program: Fd, functionName: string, options: KprobeOptions = {}): Link {
  const isReturn = options.isReturn ?? false;
  const kind = isReturn ? "kretprobe" : "kprobe";
  return attachProbe(program, kind, {
    pmu: "kprobe",
    where: functionName,
    offset: options.offset ?? 0,
    isReturn,
    pid: -1,
    cookie: options.cookie,
  });
}
