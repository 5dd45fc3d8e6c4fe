// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { isNetAdminProgType, isPerfmonProgType } from "../kernel/prog-rights.js";

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

/** Capabilities that loading a program of a type asks for. */
export function capabilitiesFor(progType: number): readonly Capability[] {
  const needed: Capability[] = ["CAP_BPF"];
  if (isNetAdminProgType(progType)) needed.push("CAP_NET_ADMIN");
  if (isPerfmonProgType(progType)) needed.push("CAP_PERFMON");
  return needed;
}
