// SPDX-License-Identifier: MIT
import { AttachType, ProgType } from "./uapi.js";

/*
 * What programs may return, and what they may do with packets, by type: check_return_code() and
 * may_access_direct_pkt_data() of kernel/bpf/verifier.c.
 */

/** The results that programs of a type, and of these attach types, may have; in ascending order, without gaps. */
interface ResultRule {
  readonly type: number;
  /** Every one when absent. */
  readonly attach?: readonly number[];
  readonly results: readonly number[];
}

const addressGiven = [
  AttachType.CGROUP_UDP4_RECVMSG,
  AttachType.CGROUP_UDP6_RECVMSG,
  AttachType.CGROUP_UNIX_RECVMSG,
  AttachType.CGROUP_INET4_GETPEERNAME,
  AttachType.CGROUP_INET6_GETPEERNAME,
  AttachType.CGROUP_UNIX_GETPEERNAME,
  AttachType.CGROUP_INET4_GETSOCKNAME,
  AttachType.CGROUP_INET6_GETSOCKNAME,
  AttachType.CGROUP_UNIX_GETSOCKNAME,
] as const;

const bind = [AttachType.CGROUP_INET4_BIND, AttachType.CGROUP_INET6_BIND] as const;
const session = [AttachType.TRACE_KPROBE_SESSION, AttachType.TRACE_UPROBE_SESSION] as const;

/** The first that fits counts; types that are not named may return anything. */
export const RESULT_RULES = [
  { type: ProgType.CGROUP_SOCK_ADDR, attach: addressGiven, results: [1] },
  { type: ProgType.CGROUP_SOCK_ADDR, attach: bind, results: [0, 1, 2, 3] },
  { type: ProgType.CGROUP_SOCK_ADDR, results: [0, 1] },
  { type: ProgType.CGROUP_SKB, attach: [AttachType.CGROUP_INET_EGRESS], results: [0, 1, 2, 3] },
  { type: ProgType.CGROUP_SKB, results: [0, 1] },
  { type: ProgType.CGROUP_SOCK, results: [0, 1] },
  { type: ProgType.SOCK_OPS, results: [0, 1] },
  { type: ProgType.CGROUP_DEVICE, results: [0, 1] },
  { type: ProgType.CGROUP_SYSCTL, results: [0, 1] },
  { type: ProgType.CGROUP_SOCKOPT, results: [0, 1] },
  { type: ProgType.SK_LOOKUP, results: [0, 1] },
  { type: ProgType.NETFILTER, results: [0, 1] },
  { type: ProgType.KPROBE, attach: session, results: [0, 1] },
] as const satisfies readonly ResultRule[];

/** What a program may return; null for anything. Programs that attach by BTF follow other rules. */
export function resultsOf(progType: number, attachType: number): readonly number[] | null {
  const rules: readonly ResultRule[] = RESULT_RULES;
  const rule = rules.find(({ type, attach }) => type === progType && (attach?.includes(attachType) ?? true));
  return rule?.results ?? null;
}

/** Which program types get at a packet's bytes, and whether they may write them. */
export const PACKET_RIGHTS = {
  [ProgType.LWT_IN]: "read",
  [ProgType.LWT_OUT]: "read",
  [ProgType.LWT_SEG6LOCAL]: "read",
  [ProgType.SK_REUSEPORT]: "read",
  [ProgType.FLOW_DISSECTOR]: "read",
  [ProgType.CGROUP_SKB]: "read",
  [ProgType.SCHED_CLS]: "write",
  [ProgType.SCHED_ACT]: "write",
  [ProgType.XDP]: "write",
  [ProgType.LWT_XMIT]: "write",
  [ProgType.SK_SKB]: "write",
  [ProgType.SK_MSG]: "write",
  [ProgType.CGROUP_SOCKOPT]: "write",
} as const satisfies Readonly<Record<number, "read" | "write">>;

/** What a program of this type may do with a packet's bytes; null when nothing. */
export function packetRights(progType: number): "read" | "write" | null {
  return (PACKET_RIGHTS as Readonly<Record<number, "read" | "write">>)[progType] ?? null;
}
