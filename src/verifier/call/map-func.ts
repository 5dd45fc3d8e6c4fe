// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import type { HelperName } from "../../kernel/helpers/index.js";
import { AttachType, MapType, ProgType } from "../../kernel/uapi.js";
import { type VerifierEnv, type VerifierMap, verbose } from "../env.js";
import { Func, funcText } from "../kinds/func.js";

function ids(...names: HelperName[]): ReadonlySet<number> {
  return new Set(names.map((name) => Func[name]));
}

const redirectOrLookup = ids("redirect_map", "map_lookup_elem");
const cgroupStorage = ids("get_local_storage");
const queue = ids("map_peek_elem", "map_pop_elem", "map_push_elem");
const lookup = ids("map_lookup_elem");

/** Helpers that may be given a map of this type; types that are not here leave it to the helpers. */
const funcsOfMap: ReadonlyMap<number, ReadonlySet<number>> = new Map<number, ReadonlySet<number>>([
  [MapType.PROG_ARRAY, ids("tail_call")],
  [
    MapType.PERF_EVENT_ARRAY,
    ids("perf_event_read", "perf_event_output", "skb_output", "perf_event_read_value", "xdp_output"),
  ],
  [
    MapType.RINGBUF,
    ids(
      "ringbuf_output",
      "ringbuf_reserve",
      "ringbuf_query",
      "ringbuf_reserve_dynptr",
      "ringbuf_submit_dynptr",
      "ringbuf_discard_dynptr",
    ),
  ],
  [MapType.USER_RINGBUF, ids("user_ringbuf_drain")],
  [MapType.STACK_TRACE, ids("get_stackid")],
  [MapType.CGROUP_ARRAY, ids("skb_under_cgroup", "current_task_under_cgroup")],
  [MapType.CGROUP_STORAGE, cgroupStorage],
  [MapType.PERCPU_CGROUP_STORAGE, cgroupStorage],
  [MapType.DEVMAP, redirectOrLookup],
  [MapType.DEVMAP_HASH, redirectOrLookup],
  [MapType.CPUMAP, ids("redirect_map")],
  [MapType.XSKMAP, redirectOrLookup],
  [MapType.ARRAY_OF_MAPS, lookup],
  [MapType.HASH_OF_MAPS, lookup],
  [
    MapType.SOCKMAP,
    ids("sk_redirect_map", "sock_map_update", "msg_redirect_map", "sk_select_reuseport", "map_lookup_elem"),
  ],
  [
    MapType.SOCKHASH,
    ids("sk_redirect_hash", "sock_hash_update", "msg_redirect_hash", "sk_select_reuseport", "map_lookup_elem"),
  ],
  [MapType.REUSEPORT_SOCKARRAY, ids("sk_select_reuseport")],
  [MapType.QUEUE, queue],
  [MapType.STACK, queue],
  [MapType.SK_STORAGE, ids("sk_storage_get", "sk_storage_delete", "kptr_xchg")],
  [MapType.INODE_STORAGE, ids("inode_storage_get", "inode_storage_delete", "kptr_xchg")],
  [MapType.TASK_STORAGE, ids("task_storage_get", "task_storage_delete", "kptr_xchg")],
  [MapType.CGRP_STORAGE, ids("cgrp_storage_get", "cgrp_storage_delete", "kptr_xchg")],
  [MapType.BLOOM_FILTER, ids("map_peek_elem", "map_push_elem")],
]);

const { PERF_EVENT_ARRAY, RINGBUF, CGROUP_ARRAY, SOCKMAP, SOCKHASH, QUEUE, STACK, BLOOM_FILTER } = MapType;

/** Map types that a helper takes; helpers that are not here leave it to the maps. */
const mapsOfFunc: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>(
  (
    [
      [["tail_call"], [MapType.PROG_ARRAY]],
      [
        ["perf_event_read", "perf_event_output", "perf_event_read_value", "skb_output", "xdp_output"],
        [PERF_EVENT_ARRAY],
      ],
      [
        [
          "ringbuf_output",
          "ringbuf_reserve",
          "ringbuf_query",
          "ringbuf_reserve_dynptr",
          "ringbuf_submit_dynptr",
          "ringbuf_discard_dynptr",
        ],
        [RINGBUF],
      ],
      [["user_ringbuf_drain"], [MapType.USER_RINGBUF]],
      [["get_stackid"], [MapType.STACK_TRACE]],
      [["current_task_under_cgroup", "skb_under_cgroup"], [CGROUP_ARRAY]],
      [["redirect_map"], [MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.CPUMAP, MapType.XSKMAP]],
      [["sk_redirect_map", "msg_redirect_map", "sock_map_update"], [SOCKMAP]],
      [["sk_redirect_hash", "msg_redirect_hash", "sock_hash_update"], [SOCKHASH]],
      [["get_local_storage"], [MapType.CGROUP_STORAGE, MapType.PERCPU_CGROUP_STORAGE]],
      [["sk_select_reuseport"], [MapType.REUSEPORT_SOCKARRAY, SOCKMAP, SOCKHASH]],
      [["map_pop_elem"], [QUEUE, STACK]],
      [
        ["map_peek_elem", "map_push_elem"],
        [QUEUE, STACK, BLOOM_FILTER],
      ],
      [["map_lookup_percpu_elem"], [MapType.PERCPU_ARRAY, MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH]],
      [["sk_storage_get", "sk_storage_delete"], [MapType.SK_STORAGE]],
      [["inode_storage_get", "inode_storage_delete"], [MapType.INODE_STORAGE]],
      [["task_storage_get", "task_storage_delete"], [MapType.TASK_STORAGE]],
      [["cgrp_storage_get", "cgrp_storage_delete"], [MapType.CGRP_STORAGE]],
    ] satisfies [HelperName[], number[]][]
  ).flatMap(([names, types]) => names.map((name): [number, readonly number[]] => [Func[name], types])),
);

/** Whether the plain map helpers may change a sockmap here. Mirrors may_update_sockmap(). */
function mayUpdateSockmap(env: VerifierEnv, funcId: number): boolean {
  if (funcId !== Func.map_update_elem && funcId !== Func.map_delete_elem) return false;
  switch (env.load.progType) {
    case ProgType.TRACING:
      if (env.attachType === AttachType.TRACE_ITER) return true;
      break;
    case ProgType.SOCK_OPS:
      if (funcId === Func.map_delete_elem) return true;
      break;
    case ProgType.SOCKET_FILTER:
    case ProgType.SCHED_CLS:
    case ProgType.SCHED_ACT:
    case ProgType.XDP:
    case ProgType.SK_REUSEPORT:
    case ProgType.FLOW_DISSECTOR:
    case ProgType.SK_LOOKUP:
      return true;
  }
  verbose(env, "cannot update sockmap in this context\n");
  return false;
}

function mapTakesFunc(env: VerifierEnv, mapType: number, funcId: number): boolean {
  const funcs = funcsOfMap.get(mapType);
  if (funcs === undefined || funcs.has(funcId)) return true;
  return (mapType === SOCKMAP || mapType === SOCKHASH) && mayUpdateSockmap(env, funcId);
}

/** Whether map and helper go together. Mirrors check_map_func_compatibility(). */
export function checkMapFuncCompatibility(env: VerifierEnv, map: VerifierMap | null, funcId: number): number {
  if (map === null) return 0;
  const type = map.load.type;
  const types = mapsOfFunc.get(funcId);
  if (mapTakesFunc(env, type, funcId) && (types === undefined || types.includes(type))) return 0;
  verbose(env, `cannot pass map_type ${type} into func ${funcText(funcId)}\n`);
  return -Errno.EINVAL;
}
