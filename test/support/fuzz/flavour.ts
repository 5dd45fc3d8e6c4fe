// SPDX-License-Identifier: MIT

import { type CtxLayout, ctxLayout } from "../../../src/kernel/ctx/index.js";
import { type HelperProto, helperNames, helperProto } from "../../../src/kernel/helpers/index.js";
import { isNetAdminProgType, isPerfmonProgType } from "../../../src/kernel/prog-rights.js";
import { AttachType, ProgFlag, ProgType } from "../../../src/kernel/uapi.js";
import type { Capabilities } from "../../../src/verifier/index.js";

/** One way of being a program: type, attach type, and what comes with them. */
export interface Flavour {
  readonly type: number;
  readonly attach: number;
  /** Load flags that the type takes besides none. */
  readonly sleepable: "never" | "maybe" | "always";
  /** Structure that its BTF calls the context. */
  readonly ctxName: string;
  readonly layout: CtxLayout | undefined;
  /** Return values that every kernel takes. */
  readonly returns: readonly number[];
  /** Offsets in the context of packet begin and end, null for a type without packet access. */
  readonly packet: readonly [begin: number, end: number, size: "w" | "dw"] | null;
  readonly ldAbs: boolean;
}

const T = ProgType;
const A = AttachType;

const PACKETS: Readonly<Record<number, Flavour["packet"]>> = {
  [T.XDP]: [0, 4, "w"],
  [T.SCHED_CLS]: [76, 80, "w"],
  [T.SCHED_ACT]: [76, 80, "w"],
  [T.CGROUP_SKB]: [76, 80, "w"],
  [T.LWT_XMIT]: [76, 80, "w"],
  [T.LWT_IN]: [76, 80, "w"],
  [T.SK_SKB]: [76, 80, "w"],
  [T.FLOW_DISSECTOR]: [76, 80, "w"],
  [T.SK_MSG]: [0, 8, "dw"],
  [T.SK_REUSEPORT]: [0, 8, "dw"],
  [T.CGROUP_SOCKOPT]: [8, 16, "dw"],
};

const CTX_NAMES: Readonly<Record<number, string>> = {
  [T.SOCKET_FILTER]: "__sk_buff",
  [T.SCHED_CLS]: "__sk_buff",
  [T.SCHED_ACT]: "__sk_buff",
  [T.CGROUP_SKB]: "__sk_buff",
  [T.XDP]: "xdp_md",
  [T.CGROUP_SOCK_ADDR]: "bpf_sock_addr",
  [T.SK_LOOKUP]: "bpf_sk_lookup",
  [T.KPROBE]: "pt_regs",
  [T.RAW_TRACEPOINT]: "bpf_raw_tracepoint_args",
};

const LD_ABS: ReadonlySet<number> = new Set([T.SOCKET_FILTER, T.SCHED_CLS, T.SCHED_ACT]);

function flavour(
  type: number,
  attach = 0,
  returns: readonly number[] = [0, 1],
  sleepable: Flavour["sleepable"] = "never",
): Flavour {
  return {
    type,
    attach,
    sleepable,
    ctxName: CTX_NAMES[type] ?? "",
    layout: ctxLayout(type),
    returns,
    packet: PACKETS[type] ?? null,
    ldAbs: LD_ABS.has(type),
  };
}

/** How often programs are what. */
const FLAVOURS: readonly (readonly [weight: number, flavour: Flavour])[] = [
  [9, flavour(T.SOCKET_FILTER)],
  [10, flavour(T.XDP, A.XDP, [0, 1, 2, 3])],
  [2, flavour(T.XDP, 0, [2])],
  [12, flavour(T.SCHED_CLS, 0, [0, 2])],
  [1, flavour(T.SCHED_CLS, A.TCX_INGRESS, [0])],
  [2, flavour(T.SCHED_ACT)],
  [10, flavour(T.TRACEPOINT)],
  [6, flavour(T.KPROBE, 0, [0], "maybe")],
  [4, flavour(T.RAW_TRACEPOINT)],
  [1, flavour(T.RAW_TRACEPOINT_WRITABLE)],
  [4, flavour(T.PERF_EVENT)],
  [4, flavour(T.CGROUP_SKB, A.CGROUP_INET_INGRESS)],
  [3, flavour(T.CGROUP_SKB, A.CGROUP_INET_EGRESS, [0, 1, 2, 3])],
  [1, flavour(T.CGROUP_SOCK, A.CGROUP_INET_SOCK_CREATE)],
  [1, flavour(T.CGROUP_SOCK, A.CGROUP_INET4_POST_BIND)],
  [2, flavour(T.CGROUP_SOCK_ADDR, A.CGROUP_INET4_CONNECT)],
  [1, flavour(T.CGROUP_SOCK_ADDR, A.CGROUP_INET6_BIND, [0, 1, 2, 3])],
  [1, flavour(T.CGROUP_SOCK_ADDR, A.CGROUP_UDP4_SENDMSG)],
  [1, flavour(T.CGROUP_SOCK_ADDR, A.CGROUP_UDP6_RECVMSG, [1])],
  [1, flavour(T.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_CONNECT)],
  [2, flavour(T.SOCK_OPS, A.CGROUP_SOCK_OPS)],
  [2, flavour(T.SK_SKB, A.SK_SKB_STREAM_VERDICT)],
  [2, flavour(T.SK_MSG, A.SK_MSG_VERDICT)],
  [3, flavour(T.SK_LOOKUP, A.SK_LOOKUP)],
  [2, flavour(T.SK_REUSEPORT, A.SK_REUSEPORT_SELECT)],
  [1, flavour(T.FLOW_DISSECTOR, A.FLOW_DISSECTOR)],
  [1, flavour(T.CGROUP_DEVICE, A.CGROUP_DEVICE)],
  [1, flavour(T.CGROUP_SYSCTL, A.CGROUP_SYSCTL)],
  [1, flavour(T.CGROUP_SOCKOPT, A.CGROUP_SETSOCKOPT)],
  [1, flavour(T.CGROUP_SOCKOPT, A.CGROUP_GETSOCKOPT)],
  [1, flavour(T.LWT_IN)],
  [1, flavour(T.LWT_XMIT)],
  [0.5, flavour(T.LWT_SEG6LOCAL)],
  [3, flavour(T.SYSCALL, 0, [0], "always")],
  [0.5, flavour(T.NETFILTER, A.NETFILTER)],
];

function permitted({ type }: Flavour, caps: Capabilities): boolean {
  if (type !== T.SOCKET_FILTER && type !== T.CGROUP_SKB && !caps.bpf) return false;
  if (isNetAdminProgType(type) && !caps.netAdmin) return false;
  return !isPerfmonProgType(type) || caps.perfmon;
}

/** The flavours that a process with these capabilities may load. */
export function flavoursFor(caps: Capabilities): readonly (readonly [number, Flavour])[] {
  return FLAVOURS.filter(([, it]) => permitted(it, caps));
}

const helperLists = new Map<string, readonly HelperProto[]>();

/** The helpers that a program may call. */
export function helpersOf(it: Flavour, caps: Capabilities, sleepable: boolean): readonly HelperProto[] {
  const key = `${it.type}/${it.attach}/${caps.bpf}/${caps.perfmon}/${sleepable}`;
  let list = helperLists.get(key);
  if (list === undefined) {
    list = helperNames.flatMap((_, id) => {
      const proto = helperProto(it.type, it.attach, id, caps, sleepable);
      return proto === null || proto.allowed !== null ? [] : [proto];
    });
    helperLists.set(key, list);
  }
  return list;
}

/** Test flags, and those that say how pointers are aligned. */
export const FLAG_CHOICES: readonly (readonly [weight: number, flags: number])[] = [
  [60, 0],
  [12, ProgFlag.TEST_STATE_FREQ],
  [10, ProgFlag.TEST_REG_INVARIANTS],
  [6, ProgFlag.STRICT_ALIGNMENT],
  [4, ProgFlag.TEST_RND_HI32],
  [2, ProgFlag.ANY_ALIGNMENT],
  [6, ProgFlag.TEST_STATE_FREQ | ProgFlag.TEST_REG_INVARIANTS],
];
