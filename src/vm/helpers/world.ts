// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import type { HelperName } from "../../kernel/helpers/index.js";
import { Limit } from "../../kernel/limits.js";
import type { Helper, Machine } from "../machine.js";
import { format, textAt } from "./format.js";

/* Time, processes, strings, printing, reading memory: what programs of every kind ask for. */

/** Bytes of a thread's name. */
const TASK_COMM_LEN = 16;

function currentComm(machine: Machine): void {
  const size = machine.size(2);
  const at = machine.at(1, size, true);
  const name = new Uint8Array(size);
  const text = machine.environment.comm.slice(0, Math.min(size, TASK_COMM_LEN) - 1);
  for (let i = 0; i < text.length; i++) name[i] = text.charCodeAt(i);
  machine.memory.write(at, name);
}

/** What reading an address that is not there gives: the kernel's half of addresses may be tried, the rest may not. */
function readError(machine: Machine, kernel: boolean): number {
  if (kernel && machine.high(3) >> 15 !== -1) return -Errno.ERANGE;
  return machine.isNull(2) ? 0 : -Errno.EFAULT;
}

/** bpf_probe_read_kernel() and the like: what cannot be read becomes zeros. */
function probeRead(machine: Machine, kernel: boolean): void {
  const size = machine.size(2);
  const at = machine.at(1, size, true);
  const from = machine.memory.find(machine.low(3), machine.high(3), size);
  if (from >= 0) machine.memory.move(at, from, size);
  else {
    machine.memory.fill(at, size);
    machine.setNumber(readError(machine, kernel));
  }
}

/** bpf_probe_read_kernel_str(): gives the bytes with the zero byte, which is always there. */
function probeReadStr(machine: Machine, kernel: boolean): void {
  const size = machine.size(2);
  const at = machine.at(1, size, true);
  const { memory } = machine;
  const room = Math.min(memory.room(machine.low(3), machine.high(3)), size);
  const from = room > 0 ? memory.find(machine.low(3), machine.high(3), room) : -1;
  if (from < 0 || size === 0) {
    memory.fill(at, size);
    machine.setNumber(size === 0 ? 0 : readError(machine, kernel));
    return;
  }
  const end = memory.bytes.subarray(from, from + room).indexOf(0);
  if (end < 0 && room < size) {
    memory.fill(at, size);
    machine.setNumber(-Errno.EFAULT);
    return;
  }
  const length = end < 0 ? size - 1 : end;
  memory.move(at, from, length);
  memory.fill(at + length, 1);
  machine.setNumber(length + 1);
}

/** Values of an array of u64. */
function values(machine: Machine, n: number, size: number): bigint[] {
  const at = machine.at(n, size);
  return Array.from({ length: size / 8 }, (_, i) => machine.memory.view.getBigUint64(at + 8 * i, true));
}

/** The format in memory of a known size: its last byte must be the zero. */
function templateAt(machine: Machine, n: number, size: number): string | null {
  const at = machine.at(n, size);
  const bytes = machine.memory.bytes.subarray(at, at + size);
  const end = bytes.indexOf(0);
  if (end < 0 || bytes.some((byte) => byte >= 0x80)) return null;
  const text = String.fromCharCode(...bytes.subarray(0, end));
  return /[^\x20-\x7e\t\n\r\v\f]/.test(text) ? null : text;
}

function print(machine: Machine, template: string | null, args: readonly bigint[]): void {
  const result = template === null ? { error: -Errno.EINVAL } : format(machine, template, args);
  if ("error" in result) {
    machine.setNumber(result.error);
    return;
  }
  const { printed } = machine.effects;
  const text = result.text.slice(0, Limit.MAX_BPRINTF_BUF - 1);
  printed.push(text);
  machine.memory.undo?.push(() => printed.pop());
  machine.setNumber(text.length);
}

function vprintk(machine: Machine): void {
  const size = machine.size(4);
  if (size % 8 !== 0 || size / 8 > Limit.MAX_BPRINTF_VARARGS) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  print(machine, templateAt(machine, 1, machine.size(2)), values(machine, 3, size));
}

function snprintf(machine: Machine): void {
  const size = machine.size(2);
  const dataSize = machine.size(5);
  if (dataSize % 8 !== 0 || dataSize / 8 > Limit.MAX_BPRINTF_VARARGS) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  const template = textAt(machine, machine.low(3), machine.high(3));
  const result = template === null ? { error: -Errno.EINVAL } : format(machine, template, values(machine, 4, dataSize));
  if ("error" in result) {
    machine.setNumber(result.error);
    return;
  }
  if (size > 0) {
    const text = result.text.slice(0, size - 1);
    machine.memory.write(
      machine.at(1, size, true),
      Uint8Array.from([...text, "\0"], (c) => c.charCodeAt(0)),
    );
  }
  machine.setNumber(result.text.length + 1);
}

/** bpf_strtol() and bpf_strtoul(): white space, sign, prefix by the base, digits. */
function parseNumber(machine: Machine, signed: boolean): void {
  const size = machine.size(2);
  const at = machine.at(1, size);
  const text = String.fromCharCode(...machine.memory.bytes.subarray(at, at + size)).split("\0", 1)[0]!;
  const flags = machine.flags(3);
  if (![0, 8, 10, 16].includes(flags)) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  const [lead = "", sign = ""] = /^\s*(-?)/.exec(text) ?? [];
  let rest = text.slice(lead.length);
  let base = flags;
  if (base === 0) base = /^0[xX][\da-fA-F]/.test(rest) ? 16 : rest.startsWith("0") ? 8 : 10;
  let used = lead.length;
  if (base === 16 && /^0[xX]/.test(rest)) {
    rest = rest.slice(2);
    used += 2;
  }
  const digits = new RegExp(base === 16 ? "^[\\da-fA-F]+" : base === 8 ? "^[0-7]+" : "^\\d+").exec(rest)?.[0] ?? "";
  if (digits === "") {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  if (sign === "-" && !signed) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  let value = 0n;
  for (const digit of digits) value = value * BigInt(base) + BigInt(Number.parseInt(digit, base));
  const limit = signed ? (1n << 63n) - (sign === "-" ? 0n : 1n) : (1n << 64n) - 1n;
  if (value > limit) {
    machine.setNumber(-Errno.ERANGE);
    return;
  }
  machine.memory.setU64(machine.at(4, 8, true), sign === "-" ? -value : value);
  machine.setNumber(used + digits.length);
}

function strncmp(machine: Machine): void {
  const size = machine.u32(2);
  const a = machine.at(1, size);
  const b = textBytes(machine, 3, size);
  for (let i = 0; i < size; i++) {
    const x = machine.memory.bytes[a + i]!;
    const y = b[i] ?? 0;
    if (x !== y) {
      machine.setNumber(x < y ? -1 : 1);
      return;
    }
    if (x === 0) return;
  }
}

function textBytes(machine: Machine, n: number, most: number): Uint8Array {
  const room = Math.min(machine.memory.room(machine.low(n), machine.high(n)), most);
  return machine.memory.copy(machine.at(n, room), room);
}

export const worldHelpers = {
  ktime_get_ns: (machine) => machine.setResult(machine.environment.ktime()),
  ktime_get_boot_ns: (machine) => machine.setResult(machine.environment.bootTime()),
  ktime_get_coarse_ns: (machine) => machine.setResult(machine.environment.ktime()),
  ktime_get_tai_ns: (machine) => machine.setResult(machine.environment.taiTime()),
  jiffies64: (machine) => machine.setResult(machine.environment.jiffies()),
  get_prandom_u32: (machine) => machine.setArg(0, machine.environment.random() | 0, 0),
  get_smp_processor_id: (machine) => machine.setNumber(machine.environment.cpu),
  get_numa_node_id: (machine) => machine.setNumber(machine.environment.numaNode),
  get_current_pid_tgid: (machine) => machine.setArg(0, machine.environment.pid, machine.environment.tgid),
  get_current_uid_gid: (machine) => machine.setArg(0, machine.environment.uid, machine.environment.gid),
  get_current_comm: currentComm,
  get_current_cgroup_id: (machine) => machine.setResult(machine.environment.cgroupId),
  get_netns_cookie: (machine) => machine.setResult(machine.environment.netnsCookie),
  probe_read: (machine) => probeRead(machine, true),
  probe_read_kernel: (machine) => probeRead(machine, true),
  probe_read_user: (machine) => probeRead(machine, false),
  probe_read_str: (machine) => probeReadStr(machine, true),
  probe_read_kernel_str: (machine) => probeReadStr(machine, true),
  probe_read_user_str: (machine) => probeReadStr(machine, false),
  copy_from_user: (machine) => probeRead(machine, false),
  trace_printk: (machine) => {
    print(machine, templateAt(machine, 1, machine.size(2)), [machine.u64(3), machine.u64(4), machine.u64(5)]);
  },
  trace_vprintk: vprintk,
  snprintf,
  strtol: (machine) => parseNumber(machine, true),
  strtoul: (machine) => parseNumber(machine, false),
  strncmp,
} satisfies Partial<Record<HelperName, Helper>>;
