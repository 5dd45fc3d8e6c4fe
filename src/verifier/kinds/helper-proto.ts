// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { HELPER_MAX_ID, type HelperProto, helperByName, helperProto } from "../../kernel/helpers/index.js";
import type { VerifierEnv } from "../env.js";

/** The prototype under which the program may call a helper, or a negative errno. Mirrors get_helper_proto(). */
export function getHelperProto(env: VerifierEnv, funcId: number): HelperProto | number {
  if (funcId < 0 || funcId >= HELPER_MAX_ID) return -Errno.ERANGE;
  const { progType } = env.load;
  return helperProto(progType, env.attachType, funcId, env.caps, env.sleepable, env.helpers) ?? -Errno.EINVAL;
}

const PKT_DATA_CHANGERS: ReadonlySet<number> = new Set(
  [
    "clone_redirect",
    "l3_csum_replace",
    "l4_csum_replace",
    "lwt_push_encap",
    "lwt_seg6_action",
    "lwt_seg6_adjust_srh",
    "lwt_seg6_store_bytes",
    "msg_pop_data",
    "msg_pull_data",
    "msg_push_data",
    "skb_adjust_room",
    "skb_change_head",
    "skb_change_proto",
    "skb_change_tail",
    "skb_pull_data",
    "skb_store_bytes",
    "skb_vlan_pop",
    "skb_vlan_push",
    "store_hdr_opt",
    "xdp_adjust_head",
    "xdp_adjust_meta",
    "xdp_adjust_tail",
    // What it calls could do any of these.
    "tail_call",
  ].map((name) => helperByName(name)!),
);

/** Whether packet pointers are stale after the helper. Mirrors bpf_helper_changes_pkt_data(). */
export function bpfHelperChangesPktData(funcId: number): boolean {
  return PKT_DATA_CHANGERS.has(funcId);
}
