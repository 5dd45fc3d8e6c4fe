// SPDX-License-Identifier: MIT
import type { Fd } from "../syscall/fd.js";
import type { Link } from "./link.js";
import { attachProbe } from "./probe.js";

/** Which processes a uprobe sees, and what it tells the program. */
export interface UprobeOptions {
  /** Where the function returns instead of where it begins. */
  readonly isReturn?: boolean;
  /** Process to observe; all by default. */
  readonly pid?: number;
  /** What bpf_get_attach_cookie() returns in the program; needs Linux 5.15. */
  readonly cookie?: bigint;
}

/**
 * Attaches a kprobe-type program to an instruction of an executable file or shared library.
 * @param path The file; its symbolic links are followed.
 * @param offset Bytes from the start of the file (not a virtual address).
 * @throws InputError when there is no such file, or no uprobes; SyscallError
 */
export function attachUprobe(program: Fd, path: string, offset: number, options: UprobeOptions = {}): Link {
  const isReturn = options.isReturn ?? false;
  const kind = isReturn ? "uretprobe" : "uprobe";
  return attachProbe(program, kind, {
    pmu: "uprobe",
    where: path,
    offset,
    isReturn,
    pid: options.pid ?? -1,
    cookie: options.cookie,
  });
}
