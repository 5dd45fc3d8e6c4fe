// SPDX-License-Identifier: MIT
import { MapType } from "../../kernel/uapi.js";
import type { MapLoad, ProgramLoad } from "../../model/load.js";
import { InputError } from "../../util/errors.js";
import { ArrayMap, MapOfMaps, ReferenceMap } from "./array.js";
import { PerfMap, RingMap } from "./events.js";
import { HashMap } from "./hash.js";
import { LpmMap } from "./lpm.js";
import type { MapContext, VmMap } from "./map.js";
import { BloomMap, QueueMap } from "./queue.js";
import { StorageMap } from "./storage.js";

/** PROG_ARRAY. */
export class ProgramMap extends ReferenceMap<ProgramLoad> {}

/** Devices, CPUs, sockets, cgroups: what a program can only hand on. An item says whatever its user wants. */
export class TargetMap extends ReferenceMap<unknown> {}

/**
 * Makes a map, empty or with what its record says.
 * @throws InputError for a type that the machine does not have, or one that is too large for it.
 */
export function createMap(context: MapContext, load: MapLoad): VmMap {
  switch (load.type) {
    case MapType.ARRAY:
    case MapType.PERCPU_ARRAY:
    case MapType.ARENA:
      return new ArrayMap(context, load);
    case MapType.CGROUP_STORAGE:
    case MapType.PERCPU_CGROUP_STORAGE:
      return new ArrayMap(context, load, 1);
    case MapType.HASH:
    case MapType.PERCPU_HASH:
    case MapType.LRU_HASH:
    case MapType.LRU_PERCPU_HASH:
      return new HashMap(context, load);
    case MapType.LPM_TRIE:
      return new LpmMap(context, load);
    case MapType.QUEUE:
    case MapType.STACK:
      return new QueueMap(context, load);
    case MapType.BLOOM_FILTER:
      return new BloomMap(context, load);
    case MapType.RINGBUF:
      return new RingMap(context, load);
    case MapType.PERF_EVENT_ARRAY:
      return new PerfMap(context, load);
    case MapType.PROG_ARRAY:
      return new ProgramMap(context, load);
    case MapType.ARRAY_OF_MAPS:
    case MapType.HASH_OF_MAPS:
      return new MapOfMaps(context, load);
    case MapType.SK_STORAGE:
    case MapType.TASK_STORAGE:
    case MapType.INODE_STORAGE:
    case MapType.CGRP_STORAGE:
      return new StorageMap(context, load);
    case MapType.CGROUP_ARRAY:
    case MapType.DEVMAP:
    case MapType.DEVMAP_HASH:
    case MapType.CPUMAP:
    case MapType.XSKMAP:
    case MapType.SOCKMAP:
    case MapType.SOCKHASH:
    case MapType.REUSEPORT_SOCKARRAY:
    case MapType.STACK_TRACE:
    case MapType.USER_RINGBUF:
      return new TargetMap(context, load);
    default:
      throw new InputError(`map ${load.name}: the machine has no maps of type ${load.type}`);
  }
}
