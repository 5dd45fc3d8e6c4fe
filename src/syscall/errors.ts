// SPDX-License-Identifier: MIT
import { Errno, errnoName, errnoText } from "../kernel/errno.js";
import { type Capability, hasCapability, readSysctl } from "./capabilities.js";

/** A system call failed. */
export class SyscallError extends Error {
  override readonly name: string = "SyscallError";
  /** Positive error number. */
  readonly errno: number;
  /** Its name, e.g. `EPERM`. */
  readonly code: string;
  /** What was called, e.g. `BPF_MAP_CREATE` or `perf_event_open`. */
  readonly command: string;
  /** What the errno means there, as a sentence; empty when nothing is known beyond the errno. */
  readonly explanation: string;

  /**
   * @param object What the call was about, e.g. `map events`; may be empty.
   * @param needs Capabilities that the call asks for, for the explanation of EPERM.
   * @param meaning An explanation that the caller knows better.
   */
  constructor(
    command: string,
    errno: number,
    object = "",
    needs: readonly Capability[] = ["CAP_BPF"],
    meaning?: string,
  ) {
    const code = errnoName(errno) ?? `errno ${errno}`;
    const explanation = meaning ?? explain(command, errno, needs);
    const subject = object === "" ? command : `${command} of ${object}`;
    super(`${subject}: ${code} (${errnoText(errno)})${explanation === "" ? "" : `: ${explanation}`}`);
    this.errno = errno;
    this.code = code;
    this.command = command;
    this.explanation = explanation;
  }

  /**
   * Whether this process lacks a right: EPERM or EACCES, but not where the kernel says something else
   * with them (a frozen map, a path that is on no bpf file system).
   */
  get isPermission(): boolean {
    if (this.errno !== Errno.EPERM && this.errno !== Errno.EACCES) return false;
    return EXPLANATIONS[`${this.command} ${this.code}`] === undefined;
  }
}

/** What an errno means for one command, where that differs from the general meaning. */
const EXPLANATIONS: Readonly<Record<string, string>> = {
  "BPF_MAP_CREATE EINVAL":
    "the kernel refuses this combination of type, key size, value size, max_entries and flags, or does not know the map type",
  "BPF_MAP_CREATE E2BIG": "the key, the value or the whole map is too large",
  "BPF_MAP_CREATE ENOMEM": "not enough memory for the map's elements",
  "BPF_MAP_UPDATE_ELEM E2BIG": "the map is full (max_entries), or the array index is out of range",
  "BPF_MAP_UPDATE_ELEM EEXIST": "the key exists already (BPF_NOEXIST)",
  "BPF_MAP_UPDATE_ELEM ENOENT": "the key does not exist (BPF_EXIST)",
  "BPF_MAP_UPDATE_ELEM EPERM": "the map is frozen or read-only for user space",
  "BPF_MAP_DELETE_ELEM EINVAL": "elements of this map type cannot be deleted",
  "BPF_MAP_FREEZE EBUSY": "the map is mapped writable, or being written to",
  "BPF_MAP_FREEZE EPERM": "the map is frozen already, or read-only for user space",
  "BPF_MAP_FREEZE ENOTSUPP": "this map type cannot be frozen",
  "BPF_PROG_LOAD EINVAL":
    "the kernel refuses the program's attributes, or does not know this program type or one of its flags",
  "BPF_PROG_LOAD E2BIG": "the program has too many instructions, or the kernel does not know one of the attributes",
  "BPF_PROG_LOAD ENOSPC": "the verifier's log does not fit the largest buffer",
  "BPF_BTF_LOAD EINVAL": "the BTF is malformed, or holds kinds that this kernel does not know",
  "BPF_BTF_LOAD E2BIG": "the BTF is larger than the kernel takes",
  "BPF_OBJ_PIN EEXIST": "the path exists already",
  "BPF_OBJ_PIN EPERM": "objects can be pinned on a mounted bpf file system only (usually /sys/fs/bpf)",
  "BPF_OBJ_PIN ENOENT": "the directory does not exist",
  "BPF_OBJ_GET ENOENT": "nothing is pinned at this path",
  "BPF_OBJ_GET EACCES": "the path holds no pinned BPF object, or its file mode forbids access",
  "BPF_LINK_CREATE EBUSY": "another program is attached there already",
  "BPF_LINK_CREATE E2BIG": "as many programs as the kernel allows (64 for a tracepoint) are attached there already",
  "BPF_LINK_CREATE EEXIST": "this program is attached there already, or one that excludes it (XDP: in another mode)",
  "BPF_LINK_CREATE EINVAL": "the program does not fit this attachment, or the kernel lacks this kind of link",
  "BPF_LINK_CREATE ENODEV": "there is no such network interface",
  "BPF_LINK_CREATE EOPNOTSUPP": "the interface's driver, or this kernel's configuration, lacks the attach mode",
  "BPF_RAW_TRACEPOINT_OPEN ENOENT": "the kernel has no such tracepoint",
  "BPF_RAW_TRACEPOINT_OPEN EINVAL": "the program reads more arguments than the tracepoint has, or is of another type",
  "BPF_PROG_TEST_RUN ENOTSUPP": "programs of this type cannot be test-run",
  "BPF_PROG_TEST_RUN EOPNOTSUPP": "programs of this type cannot be test-run",
  "BPF_PROG_TEST_RUN EINVAL":
    "the input is too short (packets need 14 bytes), too long, or an option does not fit the type",
  "perf_event_open ENOENT": "the kernel or the machine has no such event (for kprobes: the kernel lacks kprobes)",
  "perf_event_open ENODEV": "the machine has no hardware for this event",
  "mmap EPERM": "this part of the map cannot be mapped with these rights",
};

const GENERAL: Readonly<Record<string, string>> = {
  ENOSYS: "the kernel was built without this system call",
  EMFILE: "this process has too many open files: raise `ulimit -n`",
  ENFILE: "the machine has too many open files",
  ENOMEM: "out of memory",
  EBADF: "the file descriptor is closed or of another kind",
};

/** What an errno means for a command, as a sentence; empty when there is nothing to add. */
export function explain(command: string, errno: number, needs: readonly Capability[] = ["CAP_BPF"]): string {
  const code = errnoName(errno) ?? "";
  const special = EXPLANATIONS[`${command} ${code}`];
  if (special !== undefined) return special;
  if (errno === Errno.EPERM || (errno === Errno.EACCES && command === "perf_event_open")) {
    return explainPermission(command, needs);
  }
  return GENERAL[code] ?? "";
}

function explainPermission(command: string, needs: readonly Capability[]): string {
  const missing = needs.filter((capability) => hasCapability(capability) === false);
  if (missing.length > 0) {
    const sysctl = command.startsWith("BPF_") ? unprivilegedNote() : paranoidNote(command);
    return `this process lacks ${missing.join(" and ")}: run as root${sysctl}`;
  }
  return (
    "the capabilities are there, so a policy refuses it: a container's seccomp filter, kernel lockdown, " +
    "a security module, or (before Linux 5.11) the limit on locked memory"
  );
}

function unprivilegedNote(): string {
  const value = readSysctl("kernel/unprivileged_bpf_disabled");
  return value === undefined || value === "0" ? "" : ` (kernel.unprivileged_bpf_disabled is ${value})`;
}

function paranoidNote(command: string): string {
  if (command !== "perf_event_open") return "";
  const value = readSysctl("kernel/perf_event_paranoid");
  return value === undefined ? "" : ` (kernel.perf_event_paranoid is ${value})`;
}

/** The verifier (or the check of the program's BTF) refused a program and said why. */
export class VerifierRejection extends Error {
  override readonly name: string = "VerifierRejection";
  /** Positive error number of BPF_PROG_LOAD or BPF_BTF_LOAD. */
  readonly errno: number;
  /** Its name, e.g. `EACCES`. */
  readonly code: string;
  /** Name of the program. */
  readonly program: string;
  /** The last line of the log that says something about the program. */
  readonly reason: string;
  /** The whole log. */
  readonly log: string;

  constructor(program: string, errno: number, log: string) {
    const code = errnoName(errno) ?? `errno ${errno}`;
    const reason = lastMeaningfulLine(log);
    super(`the kernel's verifier rejects ${program}: ${reason} (${code})`);
    this.errno = errno;
    this.code = code;
    this.program = program;
    this.reason = reason;
    this.log = log;
  }
}

/** Lines with which the verifier ends a log whatever it found: its statistics. */
const STATISTICS = /^(processed \d+ insns|verification time |stack depth |mark_precise: |insns processed )/;

/** The last line of a verifier log that is no statistics; empty when there is none. */
export function lastMeaningfulLine(log: string): string {
  const lines = log.split("\n");
  for (let i = lines.length - 1; i >= 0; i--) {
    const line = lines[i]!.trim();
    if (line !== "" && !STATISTICS.test(line)) return line;
  }
  return "";
}

/** Returns `result`, or throws the {@link SyscallError} that its negated errno says. */
export function checked(result: number, command: string, object?: string, needs?: readonly Capability[]): number {
  if (result < 0) throw new SyscallError(command, -result, object, needs);
  return result;
}
