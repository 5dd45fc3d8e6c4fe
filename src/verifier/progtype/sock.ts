// SPDX-License-Identifier: GPL-2.0-only
import { BpfSock, BpfTcpSock, BpfXdpSock } from "../../kernel/ctx/sock.js";
import type { InsnAccessAux } from "./ctx-access.js";

/** Fields that may be read in parts, but only from their first byte. */
const narrowAtStart: readonly number[] = [
  BpfSock.state,
  BpfSock.family,
  BpfSock.type,
  BpfSock.protocol,
  BpfSock.src_port,
  BpfSock.rx_queue_mapping,
];

function within(off: number, start: number, bytes: number): boolean {
  return off >= start && off < start + bytes;
}

/** Mirrors bpf_sock_is_valid_access(). */
export function bpfSockIsValidAccess(off: number, size: number, info: InsnAccessAux): boolean {
  if (off < 0 || off >= BpfSock.size || off % size !== 0) return false;
  if (
    narrowAtStart.includes(off) ||
    within(off, BpfSock.src_ip4, 4) ||
    within(off, BpfSock.src_ip6, 16) ||
    within(off, BpfSock.dst_ip4, 4) ||
    within(off, BpfSock.dst_ip6, 16)
  ) {
    info.ctxFieldSize = 4;
    return size <= 4;
  }
  if (within(off, BpfSock.dst_port, 2)) {
    info.ctxFieldSize = size === 4 ? 4 : 2;
    return size <= info.ctxFieldSize;
  }
  if (off >= BpfSock.dst_port_end && off < BpfSock.dst_ip4) return false;
  return size === 4;
}

/** Mirrors bpf_sock_common_is_valid_access(). */
export function bpfSockCommonIsValidAccess(off: number, size: number, info: InsnAccessAux): boolean {
  if (off >= BpfSock.type && off < BpfSock.src_ip4) return false;
  return bpfSockIsValidAccess(off, size, info);
}

/** Mirrors bpf_tcp_sock_is_valid_access(). */
export function bpfTcpSockIsValidAccess(off: number, size: number): boolean {
  if (off < 0 || off >= BpfTcpSock.size || off % size !== 0) return false;
  return size === (off === BpfTcpSock.bytes_received || off === BpfTcpSock.bytes_acked ? 8 : 4);
}

/** Mirrors bpf_xdp_sock_is_valid_access(). */
export function bpfXdpSockIsValidAccess(off: number, size: number): boolean {
  return off >= 0 && off < BpfXdpSock.size && off % size === 0 && size === 4;
}
