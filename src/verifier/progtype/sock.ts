// SPDX-License-Identifier: GPL-2.0-only
import { BpfSock, BpfTcpSock, BpfXdpSock } from "../../kernel/ctx/sock.js";
import { AttachType } from "../../kernel/uapi.js";
import type { VerifierEnv } from "../env.js";
import { BPF_READ } from "../kinds/access.js";
import type { InsnAccessAux } from "./access-aux.js";

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

/** What a cgroup_sock program may do with the field at `off`, by its attach type: nothing, read, or anything. */
function sockFilterRights(off: number, attach: number): "none" | "read" | "all" {
  const bind4 = attach === AttachType.CGROUP_INET4_POST_BIND;
  const bind6 = attach === AttachType.CGROUP_INET6_POST_BIND;
  if (off === BpfSock.bound_dev_if || off === BpfSock.mark || off === BpfSock.priority) {
    const own = attach === AttachType.CGROUP_INET_SOCK_CREATE || attach === AttachType.CGROUP_INET_SOCK_RELEASE;
    return own ? "all" : "none";
  }
  if (within(off, BpfSock.src_ip4, 4)) return bind4 ? "read" : "none";
  if (within(off, BpfSock.src_ip6, 16)) return bind6 ? "read" : "none";
  if (within(off, BpfSock.src_port, 4)) return bind4 || bind6 ? "read" : "none";
  return "read";
}

/** Mirrors sock_filter_is_valid_access(). */
export function sockFilterIsValidAccess(
  env: VerifierEnv,
  off: number,
  size: number,
  type: number,
  info: InsnAccessAux,
): boolean {
  if (!bpfSockIsValidAccess(off, size, info)) return false;
  const rights = sockFilterRights(off, env.attachType);
  return rights === "all" || (rights === "read" && type === BPF_READ);
}
