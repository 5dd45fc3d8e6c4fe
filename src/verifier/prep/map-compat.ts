// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { MapType, ProgType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, type VerifierMap, verbose } from "../env.js";

/** Mirrors is_tracing_prog_type(). */
function isTracingProgType(type: number): boolean {
  return (
    type === ProgType.KPROBE ||
    type === ProgType.TRACEPOINT ||
    type === ProgType.PERF_EVENT ||
    type === ProgType.RAW_TRACEPOINT ||
    type === ProgType.RAW_TRACEPOINT_WRITABLE
  );
}

const SLEEPABLE_MAPS: ReadonlySet<number> = new Set([
  MapType.HASH,
  MapType.LRU_HASH,
  MapType.ARRAY,
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_PERCPU_HASH,
  MapType.ARRAY_OF_MAPS,
  MapType.HASH_OF_MAPS,
  MapType.RINGBUF,
  MapType.USER_RINGBUF,
  MapType.INODE_STORAGE,
  MapType.SK_STORAGE,
  MapType.TASK_STORAGE,
  MapType.CGRP_STORAGE,
  MapType.QUEUE,
  MapType.STACK,
  MapType.ARENA,
  MapType.INSN_ARRAY,
]);

function hasField(map: VerifierMap, ...kinds: string[]): boolean {
  return map.record?.fields.some((f) => kinds.includes(f.kind)) ?? false;
}

/** Whether the program's type may use the map at all. Mirrors check_map_prog_compatibility(). */
export function checkMapProgCompatibility(env: VerifierEnv, map: VerifierMap, insn: number): number {
  const { progType } = env.load;
  const mapType = map.load.type;
  if (hasField(map, "listHead", "rbRoot") && isTracingProgType(progType)) {
    verbose(env, "tracing progs cannot use bpf_{list_head,rb_root} yet\n");
    return -Errno.EINVAL;
  }
  if (hasField(map, "spinLock", "resSpinLock")) {
    if (progType === ProgType.SOCKET_FILTER) {
      verbose(env, "socket filter progs cannot use bpf_spin_lock yet\n");
      return -Errno.EINVAL;
    }
    if (isTracingProgType(progType)) {
      verbose(env, "tracing progs cannot use bpf_spin_lock yet\n");
      return -Errno.EINVAL;
    }
  }
  if (hasField(map, "timer") && isTracingProgType(progType)) {
    verbose(env, "tracing progs cannot use bpf_timer yet\n");
    return -Errno.EINVAL;
  }
  if (hasField(map, "workqueue") && isTracingProgType(progType)) {
    verbose(env, "tracing progs cannot use bpf_wq yet\n");
    return -Errno.EINVAL;
  }
  if (mapType === MapType.STRUCT_OPS) {
    verbose(env, "bpf_struct_ops map cannot be used in prog\n");
    return -Errno.EINVAL;
  }
  if (env.sleepable && !SLEEPABLE_MAPS.has(mapType)) {
    verbose(env, "Sleepable programs can only use array, hash, ringbuf and local storage maps\n");
    return -Errno.EINVAL;
  }
  if (mapType === MapType.CGROUP_STORAGE || mapType === MapType.PERCPU_CGROUP_STORAGE)
    return addCgroupStorage(env, map);
  return mapType === MapType.ARENA ? addArena(env, map, insn) : 0;
}

/**
 * A program has one arena, whose place in user space is known. Part of check_map_prog_compatibility().
 * @throws Unsupported when the creator of the map gave it no address: then mmap() did or did not
 */
function addArena(env: VerifierEnv, map: VerifierMap, insn: number): number {
  if (env.usedMaps.some((m) => m.load.type === MapType.ARENA)) {
    verbose(env, "Only one arena per program\n");
    return -Errno.EBUSY;
  }
  if (!env.allowPtrLeaks || !env.bpfCapable) {
    verbose(env, "CAP_BPF and CAP_PERFMON are required to use arena\n");
    return -Errno.EPERM;
  }
  if (map.load.extra === 0n) throw new Unsupported(insn, "arena whose address mmap() chose");
  return 0;
}

/** Mirrors bpf_cgroup_storage_assign(). */
function addCgroupStorage(env: VerifierEnv, map: VerifierMap): number {
  const other = env.usedMaps.find((m) => m.load.type === map.load.type);
  if (other === undefined) return 0;
  verbose(env, "only one cgroup storage of each type is allowed\n");
  return -Errno.EBUSY;
}
