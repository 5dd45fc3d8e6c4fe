// SPDX-License-Identifier: GPL-2.0-only
import { type HelperName, helperById, helperNames } from "../../kernel/helpers/index.js";
import { MapType } from "../../kernel/uapi.js";

/** BPF_FUNC_* by the helper's name without `bpf_`. */
export const Func = Object.fromEntries(helperNames.map((name, id) => [name, id])) as Readonly<
  Record<HelperName, number>
>;

/** A helper as the log names it. Mirrors func_id_name(). */
export function funcIdName(id: number): string {
  const name = helperById(id);
  return name === undefined ? "unknown" : `bpf_${name}`;
}

/** `bpf_name#id`. */
export function funcText(id: number): string {
  return `${funcIdName(id)}#${id}`;
}

/** Whether the helper gives a reference; `mapType` is that of the map it is given, 0 without one. Mirrors is_acquire_function(). */
export function isAcquireFunction(id: number, mapType: number): boolean {
  switch (id) {
    case Func.sk_lookup_tcp:
    case Func.sk_lookup_udp:
    case Func.skc_lookup_tcp:
    case Func.ringbuf_reserve:
    case Func.kptr_xchg:
      return true;
    case Func.map_lookup_elem:
      return mapType === MapType.SOCKMAP || mapType === MapType.SOCKHASH;
    default:
      return false;
  }
}

/** Mirrors is_ptr_cast_function(). */
export function isPtrCastFunction(id: number): boolean {
  switch (id) {
    case Func.tcp_sock:
    case Func.sk_fullsock:
    case Func.skc_to_tcp_sock:
    case Func.skc_to_tcp6_sock:
    case Func.skc_to_udp6_sock:
    case Func.skc_to_mptcp_sock:
    case Func.skc_to_tcp_timewait_sock:
    case Func.skc_to_tcp_request_sock:
      return true;
    default:
      return false;
  }
}
