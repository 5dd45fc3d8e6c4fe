// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";
import { ffi } from "./backend.js";

/** Numbers of the system calls in use (asm/unistd.h). */
interface SyscallNumbers {
  readonly close: number;
  readonly ioctl: number;
  readonly mmap: number;
  readonly munmap: number;
  readonly socket: number;
  readonly bind: number;
  readonly setsockopt: number;
  readonly mount: number;
  readonly perf_event_open: number;
  readonly bpf: number;
}

const X86_64: SyscallNumbers = {
  close: 3,
  ioctl: 16,
  mmap: 9,
  munmap: 11,
  socket: 41,
  bind: 49,
  setsockopt: 54,
  mount: 165,
  perf_event_open: 298,
  bpf: 321,
};

/** asm-generic/unistd.h. */
const GENERIC: SyscallNumbers = {
  close: 57,
  ioctl: 29,
  mmap: 222,
  munmap: 215,
  socket: 198,
  bind: 200,
  setsockopt: 208,
  mount: 40,
  perf_event_open: 241,
  bpf: 280,
};

const BY_ARCH: Readonly<Record<string, SyscallNumbers>> = {
  x64: X86_64,
  arm64: GENERIC,
  riscv64: GENERIC,
  loong64: GENERIC,
};

const numbers = BY_ARCH[process.arch];

/** Names of the system calls that {@link sys} makes. */
export type SyscallName = keyof SyscallNumbers;

/**
 * Makes a system call. Returns its result, or its negated errno.
 * @throws InputError on an architecture without a table of system call numbers.
 */
export function sys(name: SyscallName, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  if (numbers === undefined) throw new InputError(`no table of system call numbers for ${process.arch}`);
  return ffi().syscall(numbers[name], a, b, c, d, e, f);
}
