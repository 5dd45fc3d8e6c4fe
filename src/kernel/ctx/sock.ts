// SPDX-License-Identifier: MIT
import { AttachType } from "../uapi.js";
import { type CtxLayout, field, words } from "./types.js";

/**
 * Offsets in the socket structures that programs reach through pointers (include/uapi/linux/bpf.h).
 * bpf_sock_is_valid_access() and its kin judge by them.
 */
export const BpfSock = {
  bound_dev_if: 0,
  family: 4,
  type: 8,
  protocol: 12,
  mark: 16,
  priority: 20,
  src_ip4: 24,
  src_ip6: 28,
  src_port: 44,
  dst_port: 48,
  /** Two bytes of padding follow dst_port. */
  dst_port_end: 50,
  dst_ip4: 52,
  dst_ip6: 56,
  state: 72,
  rx_queue_mapping: 76,
  size: 80,
} as const;

/** `struct bpf_tcp_sock`: 4-byte fields but for two of 8 bytes. */
export const BpfTcpSock = { bytes_received: 80, bytes_acked: 88, size: 112 } as const;

/** Whether `off` is the upper half of an 8-byte field. */
export function isBpfTcpSockUpperHalf(off: number): boolean {
  return off === BpfTcpSock.bytes_received + 4 || off === BpfTcpSock.bytes_acked + 4;
}

/** `struct bpf_xdp_sock`: one 4-byte field. */
export const BpfXdpSock = { size: 4 } as const;

const network = { network: 32 } as const;
const network6 = { network: 32, count: 4 } as const;

/** Fields that a socket of any state has. */
const commonFields = [
  field("bound_dev_if", BpfSock.bound_dev_if, 4, "full"),
  field("family", BpfSock.family, 4, "full"),
  field("src_ip4", BpfSock.src_ip4, 4, "full", network),
  field("src_ip6", BpfSock.src_ip6, 4, "full", network6),
  field("src_port", BpfSock.src_port, 4, "full"),
  field("dst_port", BpfSock.dst_port, 2, "full", { network: 16 }),
  field("dst_ip4", BpfSock.dst_ip4, 4, "full", network),
  field("dst_ip6", BpfSock.dst_ip6, 4, "full", network6),
  field("state", BpfSock.state, 4, "full"),
  field("rx_queue_mapping", BpfSock.rx_queue_mapping, 4, "full"),
] as const;

/** What programs read of a socket that may be no full one (bpf_sock_common_is_valid_access()). */
export const sockCommonLayout = { name: "struct bpf_sock", size: BpfSock.size, fields: commonFields } as const;

/** What programs read of a full socket (bpf_sock_is_valid_access()). */
export const sockLayout = {
  name: "struct bpf_sock",
  size: BpfSock.size,
  fields: [
    ...commonFields,
    field("type", BpfSock.type, 4, "full"),
    field("protocol", BpfSock.protocol, 4, "full"),
    field("mark", BpfSock.mark, 4, "full"),
    field("priority", BpfSock.priority, 4, "full"),
  ],
} as const;

const created = [AttachType.CGROUP_INET_SOCK_CREATE, AttachType.CGROUP_INET_SOCK_RELEASE] as const;
const bound4 = [AttachType.CGROUP_INET4_POST_BIND] as const;
const bound6 = [AttachType.CGROUP_INET6_POST_BIND] as const;

/**
 * What cgroup_sock programs may do with their context, by attach type (sock_filter_is_valid_access()). Smaller accesses
 * than these, which the kernel allows too, are the verifier's to judge.
 */
export const cgroupSockCtx = {
  name: "struct bpf_sock",
  size: BpfSock.size,
  fields: [
    field("bound_dev_if", BpfSock.bound_dev_if, 4, "full", { write: "full", attach: created }),
    field("family", BpfSock.family, 4, "full"),
    field("type", BpfSock.type, 4, "full"),
    field("protocol", BpfSock.protocol, 4, "full"),
    field("mark", BpfSock.mark, 4, "full", { write: "full", attach: created }),
    field("priority", BpfSock.priority, 4, "full", { write: "full", attach: created }),
    field("src_ip4", BpfSock.src_ip4, 4, "full", { attach: bound4, network: 32 }),
    field("src_ip6", BpfSock.src_ip6, 4, "full", { attach: bound6, count: 4, network: 32 }),
    field("src_port", BpfSock.src_port, 4, "full", { attach: [...bound4, ...bound6] }),
    field("dst_port", BpfSock.dst_port, 2, "full", { network: 16 }),
    field("dst_ip4", BpfSock.dst_ip4, 4, "full", network),
    field("dst_ip6", BpfSock.dst_ip6, 4, "full", network6),
    field("state", BpfSock.state, 4, "full"),
    field("rx_queue_mapping", BpfSock.rx_queue_mapping, 4, "full"),
  ],
} as const satisfies CtxLayout;

/** `struct bpf_tcp_sock` (bpf_tcp_sock_is_valid_access()). */
export const tcpSockLayout = {
  name: "struct bpf_tcp_sock",
  size: BpfTcpSock.size,
  fields: [
    ...words(0, "full", ["snd_cwnd", "srtt_us", "rtt_min", "snd_ssthresh", "rcv_nxt", "snd_nxt", "snd_una"]),
    ...words(28, "full", ["mss_cache", "ecn_flags", "rate_delivered", "rate_interval_us", "packets_out"]),
    ...words(48, "full", ["retrans_out", "total_retrans", "segs_in", "data_segs_in", "segs_out", "data_segs_out"]),
    ...words(72, "full", ["lost_out", "sacked_out"]),
    field("bytes_received", BpfTcpSock.bytes_received, 8, "full"),
    field("bytes_acked", BpfTcpSock.bytes_acked, 8, "full"),
    ...words(96, "full", ["dsack_dups", "delivered", "delivered_ce", "icsk_retransmits"]),
  ],
} as const;
