// SPDX-License-Identifier: MIT
import { ProgType } from "./uapi.js";

const NET_ADMIN_TYPES: ReadonlySet<number> = new Set([
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

const PERFMON_TYPES: ReadonlySet<number> = new Set([
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

/** Whether programs of a type change what the network does, so that loading asks for CAP_NET_ADMIN (is_net_admin_prog_type()). */
export function isNetAdminProgType(progType: number): boolean {
  return NET_ADMIN_TYPES.has(progType);
}

/** Whether programs of a type look into the kernel, so that loading asks for CAP_PERFMON (is_perfmon_prog_type()). */
export function isPerfmonProgType(progType: number): boolean {
  return PERFMON_TYPES.has(progType);
}
