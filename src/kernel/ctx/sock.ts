// SPDX-License-Identifier: MIT

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
