// SPDX-License-Identifier: MIT
import { AttachType } from "../uapi.js";
import { type CtxLayout, field, words } from "./types.js";

/*
 * Contexts of the program types that are about sockets and cgroups, as include/uapi/linux/bpf.h lays
 * them out.
 */

const packet = { points: "packet" } as const;
const packetEnd = { points: "packetEnd" } as const;
const socket = { points: "socket" } as const;
const socketOrNull = { points: "socketOrNull" } as const;
const network = { network: 32 } as const;
const network6 = { network: 32, count: 4 } as const;

/** cgroup_dev_is_valid_access(). */
export const cgroupDeviceCtx = {
  name: "struct bpf_cgroup_dev_ctx",
  size: 12,
  fields: [field("access_type", 0, 4, "narrow"), field("major", 4, 4, "full"), field("minor", 8, 4, "full")],
} as const satisfies CtxLayout;

/** sysctl_is_valid_access(). */
export const cgroupSysctlCtx = {
  name: "struct bpf_sysctl",
  size: 8,
  fields: [field("write", 0, 4, "narrow"), field("file_pos", 4, 4, "narrow", { write: "full" })],
} as const satisfies CtxLayout;

const set = [AttachType.CGROUP_SETSOCKOPT] as const;
const get = [AttachType.CGROUP_GETSOCKOPT] as const;

/** cg_sockopt_is_valid_access(). */
export const cgroupSockoptCtx = {
  name: "struct bpf_sockopt",
  size: 40,
  fields: [
    field("sk", 0, 8, "full", socket),
    field("optval", 8, 8, "full", packet),
    field("optval_end", 16, 8, "full", packetEnd),
    field("level", 24, 4, "full", { write: "full", writeAttach: set }),
    field("optname", 28, 4, "full", { write: "full", writeAttach: set }),
    field("optlen", 32, 4, "full", { write: "full" }),
    field("retval", 36, 4, "full", { write: "full", attach: get }),
  ],
} as const satisfies CtxLayout;

const ip4 = [
  AttachType.CGROUP_INET4_BIND,
  AttachType.CGROUP_INET4_CONNECT,
  AttachType.CGROUP_INET4_GETPEERNAME,
  AttachType.CGROUP_INET4_GETSOCKNAME,
  AttachType.CGROUP_UDP4_SENDMSG,
  AttachType.CGROUP_UDP4_RECVMSG,
] as const;
const ip6 = [
  AttachType.CGROUP_INET6_BIND,
  AttachType.CGROUP_INET6_CONNECT,
  AttachType.CGROUP_INET6_GETPEERNAME,
  AttachType.CGROUP_INET6_GETSOCKNAME,
  AttachType.CGROUP_UDP6_SENDMSG,
  AttachType.CGROUP_UDP6_RECVMSG,
] as const;

/** sock_addr_is_valid_access(). */
export const cgroupSockAddrCtx = {
  name: "struct bpf_sock_addr",
  size: 72,
  fields: [
    field("user_family", 0, 4, "full"),
    field("user_ip4", 4, 4, "narrow", { write: "full", attach: ip4, network: 32 }),
    field("user_ip6", 8, 4, "narrowPair", { count: 4, write: "fullPair", attach: ip6, network: 32 }),
    field("user_port", 24, 4, "narrow", { write: "full", network: 16 }),
    ...words(28, "full", ["family", "type", "protocol"]),
    field("msg_src_ip4", 40, 4, "narrow", {
      write: "full",
      attach: [AttachType.CGROUP_UDP4_SENDMSG],
      network: 32,
    }),
    field("msg_src_ip6", 44, 4, "narrowPair", {
      count: 4,
      write: "fullPair",
      attach: [AttachType.CGROUP_UDP6_SENDMSG],
      network: 32,
    }),
    field("sk", 64, 8, "full", socket),
  ],
} as const satisfies CtxLayout;

/** sock_ops_is_valid_access(). */
export const sockOpsCtx = {
  name: "struct bpf_sock_ops",
  size: 224,
  fields: [
    field("op", 0, 4, "full"),
    field("reply", 4, 4, "full", { write: "full" }),
    field("args", 8, 4, "full", { count: 3 }),
    field("family", 20, 4, "full"),
    field("remote_ip4", 24, 4, "full", network),
    field("local_ip4", 28, 4, "full", network),
    field("remote_ip6", 32, 4, "full", network6),
    field("local_ip6", 48, 4, "full", network6),
    field("remote_port", 64, 4, "full", network),
    ...words(68, "full", ["local_port", "is_fullsock", "snd_cwnd", "srtt_us", "bpf_sock_ops_cb_flags"]),
    ...words(88, "full", [
      "state",
      "rtt_min",
      "snd_ssthresh",
      "rcv_nxt",
      "snd_nxt",
      "snd_una",
      "mss_cache",
      "ecn_flags",
    ]),
    ...words(120, "full", ["rate_delivered", "rate_interval_us", "packets_out", "retrans_out", "total_retrans"]),
    ...words(140, "full", ["segs_in", "data_segs_in", "segs_out", "data_segs_out", "lost_out", "sacked_out"]),
    field("sk_txhash", 164, 4, "full", { write: "full" }),
    field("bytes_received", 168, 8, "full"),
    field("bytes_acked", 176, 8, "full"),
    field("sk", 184, 8, "full", socketOrNull),
    field("skb_data", 192, 8, "full", packet),
    field("skb_data_end", 200, 8, "full", packetEnd),
    field("skb_len", 208, 4, "full"),
    field("skb_tcp_flags", 212, 4, "narrowStart"),
    field("skb_hwtstamp", 216, 8, "full"),
  ],
} as const satisfies CtxLayout;

/** sk_msg_is_valid_access(). */
export const skMsgCtx = {
  name: "struct sk_msg_md",
  size: 80,
  fields: [
    field("data", 0, 8, "full", packet),
    field("data_end", 8, 8, "full", packetEnd),
    field("family", 16, 4, "full"),
    field("remote_ip4", 20, 4, "full", network),
    field("local_ip4", 24, 4, "full", network),
    field("remote_ip6", 28, 4, "full", network6),
    field("local_ip6", 44, 4, "full", network6),
    field("remote_port", 60, 4, "full", network),
    ...words(64, "full", ["local_port", "size"]),
    field("sk", 72, 8, "full", socket),
  ],
} as const satisfies CtxLayout;

/** sk_reuseport_is_valid_access(). */
export const skReuseportCtx = {
  name: "struct sk_reuseport_md",
  size: 56,
  fields: [
    field("data", 0, 8, "full", packet),
    field("data_end", 8, 8, "full", packetEnd),
    field("len", 16, 4, "narrow"),
    field("eth_protocol", 20, 4, "narrow2", { network: 16 }),
    field("ip_protocol", 24, 4, "narrow"),
    field("bind_inany", 28, 4, "narrow"),
    field("hash", 32, 4, "full"),
    field("sk", 40, 8, "full", socket),
    field("migrating_sk", 48, 8, "full", { points: "sockCommonOrNull" }),
  ],
} as const satisfies CtxLayout;

/** sk_lookup_is_valid_access(). The two bytes behind remote_port are readable padding. */
export const skLookupCtx = {
  name: "struct bpf_sk_lookup",
  size: 72,
  fields: [
    field("sk", 0, 8, "full", socketOrNull),
    ...words(8, "narrow", ["family", "protocol"]),
    field("remote_ip4", 16, 4, "narrow", network),
    field("remote_ip6", 20, 4, "narrow", network6),
    field("remote_port", 36, 2, "padded", { network: 16 }),
    field("", 38, 2, "narrow"),
    field("local_ip4", 40, 4, "narrow", network),
    field("local_ip6", 44, 4, "narrow", network6),
    ...words(60, "narrow", ["local_port", "ingress_ifindex"]),
  ],
} as const satisfies CtxLayout;
