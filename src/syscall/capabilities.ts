// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { ProgType } from "../kernel/uapi.js";

/** Bits of the capability sets in use (include/uapi/linux/capability.h). */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

/** Name of a capability that BPF asks for. */
export type Capability = keyof typeof CAPABILITIES;

/**
 * Whether this process has a capability in effect; CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON
 * as in the kernel's bpf_capable() and perfmon_capable(). Undefined when /proc does not say.
 */
export function hasCapability(capability: Capability): boolean | undefined {
  const set = effectiveSet();
  if (set === undefined) return undefined;
  const has = (name: Capability) => ((set >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
  if (has(capability)) return true;
  return (capability === "CAP_BPF" || capability === "CAP_PERFMON") && has("CAP_SYS_ADMIN");
}

function effectiveSet(): bigint | undefined {
  const line = readText("/proc/self/status")?.match(/^CapEff:\s*([0-9a-f]+)$/m);
  return line ? BigInt(`0x${line[1]}`) : undefined;
}

/** Content of a sysctl such as `kernel/unprivileged_bpf_disabled`, trimmed; undefined when it cannot be read. */
export function readSysctl(name: string): string | undefined {
  return readText(`/proc/sys/${name}`)?.trim();
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** The kernel's is_net_admin_prog_type(). */
const NETWORK_TYPES: ReadonlySet<number> = new Set([
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.XDP,
  ProgType.LWT_IN,
  ProgType.LWT_OUT,
  ProgType.LWT_XMIT,
  ProgType.LWT_SEG6LOCAL,
  ProgType.SK_SKB,
  ProgType.SK_MSG,
  ProgType.FLOW_DISSECTOR,
  ProgType.CGROUP_DEVICE,
  ProgType.CGROUP_SOCK,
  ProgType.CGROUP_SOCK_ADDR,
  ProgType.CGROUP_SOCKOPT,
  ProgType.CGROUP_SYSCTL,
  ProgType.SOCK_OPS,
  ProgType.EXT,
  ProgType.NETFILTER,
]);

/** The kernel's is_perfmon_prog_type(). */
const TRACING_TYPES: ReadonlySet<number> = new Set([
  ProgType.KPROBE,
  ProgType.TRACEPOINT,
  ProgType.PERF_EVENT,
  ProgType.RAW_TRACEPOINT,
  ProgType.RAW_TRACEPOINT_WRITABLE,
  ProgType.TRACING,
  ProgType.LSM,
  ProgType.STRUCT_OPS,
  ProgType.EXT,
]);

/** Capabilities that loading a program of a type asks for. */
export function capabilitiesFor(progType: number): readonly Capability[] {
  const needed: Capability[] = ["CAP_BPF"];
  if (NETWORK_TYPES.has(progType)) needed.push("CAP_NET_ADMIN");
  if (TRACING_TYPES.has(progType)) needed.push("CAP_PERFMON");
  return needed;
}
