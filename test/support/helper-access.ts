// SPDX-License-Identifier: MIT
import { encodeInsns } from "../../src/asm/insn.js";
import { AttachType, HELPER_MAX_ID, ProgFlag, ProgType } from "../../src/kernel/index.js";
import { loadProgram, SyscallError, VerifierRejection } from "../../src/syscall/index.js";

/** Program types with the expected attach types that can change which helpers they may call. */
const probedAttachTypes: readonly (readonly [keyof typeof ProgType, readonly (keyof typeof AttachType)[]])[] = [
  ["SOCKET_FILTER", []],
  ["KPROBE", []],
  ["KPROBE", ["TRACE_KPROBE_MULTI", "TRACE_KPROBE_SESSION", "TRACE_UPROBE_MULTI"]],
  ["SCHED_CLS", []],
  ["SCHED_ACT", []],
  ["TRACEPOINT", []],
  ["XDP", ["XDP", "XDP_DEVMAP"]],
  ["PERF_EVENT", []],
  ["CGROUP_SKB", ["CGROUP_INET_INGRESS", "CGROUP_INET_EGRESS"]],
  ["CGROUP_SOCK", ["CGROUP_INET_SOCK_CREATE", "CGROUP_INET4_POST_BIND", "CGROUP_INET_SOCK_RELEASE"]],
  ["LWT_IN", []],
  ["LWT_OUT", []],
  ["LWT_XMIT", []],
  ["SOCK_OPS", ["CGROUP_SOCK_OPS"]],
  ["SK_SKB", []],
  ["CGROUP_DEVICE", ["CGROUP_DEVICE"]],
  ["SK_MSG", []],
  ["RAW_TRACEPOINT", []],
  [
    "CGROUP_SOCK_ADDR",
    ["CGROUP_INET4_BIND", "CGROUP_INET4_CONNECT", "CGROUP_UNIX_CONNECT", "CGROUP_UDP4_SENDMSG", "CGROUP_UDP4_RECVMSG"],
  ],
  ["LWT_SEG6LOCAL", []],
  ["SK_REUSEPORT", ["SK_REUSEPORT_SELECT"]],
  ["FLOW_DISSECTOR", []],
  ["CGROUP_SYSCTL", ["CGROUP_SYSCTL"]],
  ["RAW_TRACEPOINT_WRITABLE", []],
  ["CGROUP_SOCKOPT", ["CGROUP_GETSOCKOPT", "CGROUP_SETSOCKOPT"]],
  ["SK_LOOKUP", ["SK_LOOKUP"]],
  ["SYSCALL", []],
  ["NETFILTER", ["NETFILTER"]],
];

/** One combination that is probed. */
export interface AccessProbe {
  /** `PROG_TYPE` or `PROG_TYPE/ATTACH_TYPE`. */
  readonly key: string;
  readonly progType: number;
  readonly attachType: number;
}

/** Every combination that is probed. */
export const accessProbes: readonly AccessProbe[] = probedAttachTypes.flatMap(([type, attachTypes]): AccessProbe[] => {
  const progType = ProgType[type];
  if (attachTypes.length === 0) return [{ key: type, progType, attachType: 0 }];
  return attachTypes.map((attach) => ({ key: `${type}/${attach}`, progType, attachType: AttachType[attach] }));
});

/** Whether the running kernel lets a program call a helper; null when it knows no such program type. */
function mayCall({ progType, attachType }: AccessProbe, helper: number): boolean | null {
  const insns = encodeInsns([
    { opcode: 0x85, dst: 0, src: 0, off: 0, imm: helper },
    { opcode: 0x95, dst: 0, src: 0, off: 0, imm: 0 },
  ]);
  const flags = progType === ProgType.SYSCALL ? ProgFlag.SLEEPABLE : 0;
  try {
    const request = {
      name: "helper_access",
      type: progType,
      expectedAttachType: attachType,
      insns,
      license: "GPL",
      flags,
    };
    loadProgram(request, 1).fd.close();
    return true;
  } catch (error) {
    if (error instanceof VerifierRejection) return !/cannot use helper|^invalid func/.test(error.reason);
    if (error instanceof SyscallError) return null;
    throw error;
  }
}

/** Ids of the helpers that the running kernel lets a program call; null when it knows no such program type. */
export function allowedHelpers(probe: AccessProbe): number[] | null {
  const allowed: number[] = [];
  for (let id = 0; id < HELPER_MAX_ID + 2; id++) {
    const may = mayCall(probe, id);
    if (may === null) return null;
    if (may) allowed.push(id);
  }
  return allowed;
}

/** Ascending numbers as `1-3 5`. */
export function toRanges(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length; ) {
    let end = i;
    while (numbers[end + 1] === numbers[end]! + 1) end++;
    parts.push(end === i ? `${numbers[i]}` : `${numbers[i]}-${numbers[end]}`);
    i = end + 1;
  }
  return parts.join(" ");
}
