// SPDX-License-Identifier: GPL-2.0-only
import { packetRights } from "../../kernel/prog-results.js";
import { ProgType } from "../../kernel/uapi.js";
import type { VerifierEnv } from "../env.js";
import { BPF_WRITE, type CallArgMeta } from "../kinds/access.js";

/**
 * Whether the program type may touch packet bytes (`meta`: the packet pointer goes to a helper).
 * Mirrors may_access_direct_pkt_data().
 */
export function mayAccessDirectPktData(env: VerifierEnv, meta: CallArgMeta | null, type: number): boolean {
  const { progType } = env.load;
  if (progType === ProgType.CGROUP_SOCKOPT) {
    if (type === BPF_WRITE) env.seenDirectWrite = true;
    return true;
  }
  const rights = packetRights(progType);
  if (rights === null || (rights === "read" && type === BPF_WRITE)) return false;
  if (meta !== null) return meta.pktAccess;
  env.seenDirectWrite = true;
  return true;
}
