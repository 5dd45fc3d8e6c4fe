// SPDX-License-Identifier: GPL-2.0-only
import { ProgType } from "../../kernel/uapi.js";
import type { VerifierEnv } from "../env.js";
import { BPF_WRITE, type CallArgMeta } from "../kinds/access.js";

/**
 * Whether the program type may touch packet bytes (`meta`: the packet pointer goes to a helper).
 * Mirrors may_access_direct_pkt_data().
 */
export function mayAccessDirectPktData(env: VerifierEnv, meta: CallArgMeta | null, type: number): boolean {
  switch (env.load.progType) {
    case ProgType.LWT_IN:
    case ProgType.LWT_OUT:
    case ProgType.LWT_SEG6LOCAL:
    case ProgType.SK_REUSEPORT:
    case ProgType.FLOW_DISSECTOR:
    case ProgType.CGROUP_SKB:
      if (type === BPF_WRITE) return false;
      break;
    case ProgType.SCHED_CLS:
    case ProgType.SCHED_ACT:
    case ProgType.XDP:
    case ProgType.LWT_XMIT:
    case ProgType.SK_SKB:
    case ProgType.SK_MSG:
      break;
    case ProgType.CGROUP_SOCKOPT:
      if (type === BPF_WRITE) env.seenDirectWrite = true;
      return true;
    default:
      return false;
  }
  if (meta !== null) return meta.pktAccess;
  env.seenDirectWrite = true;
  return true;
}
