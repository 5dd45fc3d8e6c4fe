// SPDX-License-Identifier: MIT
import { ProgType } from "../uapi.js";
import { base, type HelperSet } from "./sets-base.js";
import {
  cgroupDevice,
  cgroupSkb,
  cgroupSock,
  cgroupSockAddr,
  cgroupSockopt,
  cgroupSysctl,
  sockOps,
} from "./sets-cgroup.js";
import {
  flowDissector,
  lwtIn,
  lwtOut,
  lwtSeg6local,
  lwtXmit,
  schedCls,
  skLookup,
  skMsg,
  skReuseport,
  skSkb,
  socketFilter,
  xdp,
} from "./sets-packet.js";
import { kprobe, lircMode2, lsm, perfEvent, rawTracepoint, syscall, tracepoint, tracing } from "./sets-tracing.js";

/**
 * Where the search for a helper's prototype begins, by program type. STRUCT_OPS has the base set only (a struct_ops
 * may add its own); EXT has none of its own: it takes its target's.
 */
export const helperSetTable = {
  [ProgType.SOCKET_FILTER]: socketFilter,
  [ProgType.KPROBE]: kprobe,
  [ProgType.SCHED_CLS]: schedCls,
  [ProgType.SCHED_ACT]: schedCls,
  [ProgType.TRACEPOINT]: tracepoint,
  [ProgType.XDP]: xdp,
  [ProgType.PERF_EVENT]: perfEvent,
  [ProgType.CGROUP_SKB]: cgroupSkb,
  [ProgType.CGROUP_SOCK]: cgroupSock,
  [ProgType.LWT_IN]: lwtIn,
  [ProgType.LWT_OUT]: lwtOut,
  [ProgType.LWT_XMIT]: lwtXmit,
  [ProgType.SOCK_OPS]: sockOps,
  [ProgType.SK_SKB]: skSkb,
  [ProgType.CGROUP_DEVICE]: cgroupDevice,
  [ProgType.SK_MSG]: skMsg,
  [ProgType.RAW_TRACEPOINT]: rawTracepoint,
  [ProgType.CGROUP_SOCK_ADDR]: cgroupSockAddr,
  [ProgType.LWT_SEG6LOCAL]: lwtSeg6local,
  [ProgType.LIRC_MODE2]: lircMode2,
  [ProgType.SK_REUSEPORT]: skReuseport,
  [ProgType.FLOW_DISSECTOR]: flowDissector,
  [ProgType.CGROUP_SYSCTL]: cgroupSysctl,
  [ProgType.RAW_TRACEPOINT_WRITABLE]: rawTracepoint,
  [ProgType.CGROUP_SOCKOPT]: cgroupSockopt,
  [ProgType.TRACING]: tracing,
  [ProgType.STRUCT_OPS]: base,
  [ProgType.LSM]: lsm,
  [ProgType.SK_LOOKUP]: skLookup,
  [ProgType.SYSCALL]: syscall,
  [ProgType.NETFILTER]: base,
} as const satisfies Readonly<Record<number, HelperSet>>;

/** The same, to look numbers up in. */
export const helperSets: ReadonlyMap<number, HelperSet> = new Map<number, HelperSet>(
  Object.entries(helperSetTable).map(([type, set]) => [Number(type), set]),
);
