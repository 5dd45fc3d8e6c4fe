// SPDX-License-Identifier: MIT
import { RegType, TypeFlag } from "../bpf-types.js";
import { AttachType } from "../uapi.js";
import type { CtxField, CtxLayout, CtxSizes } from "./types.js";

/*
 * Contexts of the program types that are about sockets and cgroups, as include/uapi/linux/bpf.h lays
 * them out.
 */

function field(
  name: string,
  offset: number,
  size: number,
  read: CtxSizes | null,
  more: Partial<CtxField> = {},
): CtxField {
  return { name, offset, size, count: 1, read, write: null, ...more };
}

/** Fields of 4 bytes one behind the other, from `offset`. */
function words(offset: number, read: CtxSizes, names: readonly string[]): CtxField[] {
  return names.map((name, i) => field(name, offset + 4 * i, 4, read));
}

const packet = { regType: RegType.PTR_TO_PACKET };
const packetEnd = { regType: RegType.PTR_TO_PACKET_END };
const socket = { regType: RegType.PTR_TO_SOCKET };
const socketOrNull = { regType: RegType.PTR_TO_SOCKET | TypeFlag.PTR_MAYBE_NULL };

/** cgroup_dev_is_valid_access(). */
export const cgroupDeviceCtx: CtxLayout = {
  name: "struct bpf_cgroup_dev_ctx",
  size: 12,
  fields: [field("access_type", 0, 4, "narrow"), field("major", 4, 4, "full"), field("minor", 8, 4, "full")],
};

/** sysctl_is_valid_access(). */
export const cgroupSysctlCtx: CtxLayout = {
  name: "struct bpf_sysctl",
  size: 8,
  fields: [field("write", 0, 4, "narrow"), field("file_pos", 4, 4, "narrow", { write: "full" })],
};

const set = [AttachType.CGROUP_SETSOCKOPT];
const get = [AttachType.CGROUP_GETSOCKOPT];

/** cg_sockopt_is_valid_access(). */
export const cgroupSockoptCtx: CtxLayout = {
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
};

const ip4: readonly number[] = [
  AttachType.CGROUP_INET4_BIND,
  AttachType.CGROUP_INET4_CONNECT,
  AttachType.CGROUP_INET4_GETPEERNAME,
  AttachType.CGROUP_INET4_GETSOCKNAME,
  AttachType.CGROUP_UDP4_SENDMSG,
  AttachType.CGROUP_UDP4_RECVMSG,
];
const ip6: readonly number[] = [
  AttachType.CGROUP_INET6_BIND,
  AttachType.CGROUP_INET6_CONNECT,
  AttachType.CGROUP_INET6_GETPEERNAME,
  AttachType.CGROUP_INET6_GETSOCKNAME,
  AttachType.CGROUP_UDP6_SENDMSG,
  AttachType.CGROUP_UDP6_RECVMSG,
];

/** sock_addr_is_valid_access(). */
export const cgroupSockAddrCtx: CtxLayout = {
  name: "struct bpf_sock_addr",
  size: 72,
  fields: [
    field("user_family", 0, 4, "full"),
    field("user_ip4", 4, 4, "narrow", { write: "full", attach: ip4 }),
    field("user_ip6", 8, 4, "narrowPair", { count: 4, write: "fullPair", attach: ip6 }),
    field("user_port", 24, 4, "narrow", { write: "full" }),
    ...words(28, "full", ["family", "type", "protocol"]),
    field("msg_src_ip4", 40, 4, "narrow", { write: "full", attach: [AttachType.CGROUP_UDP4_SENDMSG] }),
    field("msg_src_ip6", 44, 4, "narrowPair", {
      count: 4,
      write: "fullPair",
      attach: [AttachType.CGROUP_UDP6_SENDMSG],
    }),
    field("sk", 64, 8, "full", socket),
  ],
};

/** sock_ops_is_valid_access(). */
export const sockOpsCtx: CtxLayout = {
  name: "struct bpf_sock_ops",
  size: 224,
  fields: [
    field("op", 0, 4, "full"),
    field("reply", 4, 4, "full", { write: "full" }),
    field("args", 8, 4, "full", { count: 3 }),
    ...words(20, "full", ["family", "remote_ip4", "local_ip4"]),
    field("remote_ip6", 32, 4, "full", { count: 4 }),
    field("local_ip6", 48, 4, "full", { count: 4 }),
    ...words(64, "full", ["remote_port", "local_port", "is_fullsock", "snd_cwnd", "srtt_us", "bpf_sock_ops_cb_flags"]),
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
};

/** sk_msg_is_valid_access(). */
export const skMsgCtx: CtxLayout = {
  name: "struct sk_msg_md",
  size: 80,
  fields: [
    field("data", 0, 8, "full", packet),
    field("data_end", 8, 8, "full", packetEnd),
    ...words(16, "full", ["family", "remote_ip4", "local_ip4"]),
    field("remote_ip6", 28, 4, "full", { count: 4 }),
    field("local_ip6", 44, 4, "full", { count: 4 }),
    ...words(60, "full", ["remote_port", "local_port", "size"]),
    field("sk", 72, 8, "full", socket),
  ],
};

/** sk_reuseport_is_valid_access(). */
export const skReuseportCtx: CtxLayout = {
  name: "struct sk_reuseport_md",
  size: 56,
  fields: [
    field("data", 0, 8, "full", packet),
    field("data_end", 8, 8, "full", packetEnd),
    field("len", 16, 4, "narrow"),
    field("eth_protocol", 20, 4, "narrow2"),
    field("ip_protocol", 24, 4, "narrow"),
    field("bind_inany", 28, 4, "narrow"),
    field("hash", 32, 4, "full"),
    field("sk", 40, 8, "full", socket),
    field("migrating_sk", 48, 8, "full", { regType: RegType.PTR_TO_SOCK_COMMON | TypeFlag.PTR_MAYBE_NULL }),
  ],
};

/** sk_lookup_is_valid_access(). The two bytes behind remote_port are readable padding. */
export const skLookupCtx: CtxLayout = {
  name: "struct bpf_sk_lookup",
  size: 72,
  fields: [
    field("sk", 0, 8, "full", socketOrNull),
    ...words(8, "narrow", ["family", "protocol", "remote_ip4"]),
    field("remote_ip6", 20, 4, "narrow", { count: 4 }),
    field("remote_port", 36, 2, "padded"),
    field("", 38, 2, "narrow"),
    field("local_ip4", 40, 4, "narrow"),
    field("local_ip6", 44, 4, "narrow", { count: 4 }),
    ...words(60, "narrow", ["local_port", "ingress_ifindex"]),
  ],
};
