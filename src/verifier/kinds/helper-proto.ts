// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import {
  HELPER_MAX_ID,
  type HelperFacts,
  type HelperProto,
  helperByName,
  helperProto,
} from "../../kernel/helpers/index.js";
import type { VerifierEnv } from "../env.js";

/** By helper, as far as asked for: the prototype or the negative errno. */
type Protos = (HelperProto | number | undefined)[];

const protosByFacts = new WeakMap<HelperFacts, Map<number, Protos>>();

/** What was found out about the helpers of programs such as this one: they are looked up by name through several sets. */
function protosOf(env: VerifierEnv): Protos {
  const { attachType, caps } = env;
  let byKind = protosByFacts.get(env.helpers);
  if (byKind === undefined) {
    byKind = new Map();
    protosByFacts.set(env.helpers, byKind);
  }
  if (attachType > 0xff) return [];
  const flags = (env.sleepable ? 4 : 0) | (caps.bpf ? 2 : 0) | (caps.perfmon ? 1 : 0);
  const kind = env.load.progType * 2048 + attachType * 8 + flags;
  let protos = byKind.get(kind);
  if (protos === undefined) {
    protos = [];
    byKind.set(kind, protos);
  }
  return protos;
}

/** The prototype under which the program may call a helper, or a negative errno. Mirrors get_helper_proto(). */
export function getHelperProto(env: VerifierEnv, funcId: number): HelperProto | number {
  if (funcId < 0 || funcId >= HELPER_MAX_ID) return -Errno.ERANGE;
  env.helperProtos ??= protosOf(env);
  const known = env.helperProtos;
  let proto = known[funcId];
  if (proto === undefined) {
    const { progType } = env.load;
    proto = helperProto(progType, env.attachType, funcId, env.caps, env.sleepable, env.helpers) ?? -Errno.EINVAL;
    known[funcId] = proto;
  }
  return proto;
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
