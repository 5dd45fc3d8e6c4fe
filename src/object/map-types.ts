// SPDX-License-Identifier: MIT
import { resolveId, sizeOf } from "../btf/size.js";
import type { Btf, BtfType } from "../btf/types.js";
import { MapType } from "../kernel/uapi.js";
import type { MapSpec } from "../model/spec.js";

/** Map types whose keys and values no kernel lets BTF describe, so that libbpf does not try. */
const UNTYPED: ReadonlySet<number> = new Set([
  MapType.PERF_EVENT_ARRAY,
  MapType.CGROUP_ARRAY,
  MapType.STACK_TRACE,
  MapType.ARRAY_OF_MAPS,
  MapType.HASH_OF_MAPS,
  MapType.DEVMAP,
  MapType.DEVMAP_HASH,
  MapType.CPUMAP,
  MapType.XSKMAP,
  MapType.SOCKMAP,
  MapType.SOCKHASH,
  MapType.QUEUE,
  MapType.STACK,
  MapType.ARENA,
]);

type KeyRule = (key: BtfType, btf: Btf, keySize: number) => boolean;

const isInt = (type: BtfType | undefined, size: number): boolean =>
  type?.kind === "int" && type.size === size && type.bits === size * 8 && type.bitOffset === 0;
const int32: KeyRule = (key) => isInt(key, 4);

/** sizeof(struct bpf_cgroup_storage_key). */
const CGROUP_KEY_SIZE = 16;

/** A cgroup's id, or with the attach type (kernel/bpf/local_storage.c: cgroup_storage_check_btf()). */
const cgroupKey: KeyRule = (key, btf, keySize) => {
  if (keySize !== CGROUP_KEY_SIZE) return isInt(key, 8);
  if (key.kind !== "struct" || key.members.length !== 2) return false;
  return key.members.every(({ type, bitOffset, bitSize }, i) => {
    const member = btf.types[resolveId(btf, type)];
    return bitSize === 0 && bitOffset === i * 64 && isInt(member, i === 0 ? 8 : 4);
  });
};

/** What the kernel wants a key's type to be (`map_check_btf` of `struct bpf_map_ops`). */
const KEY_RULES: Readonly<Record<number, KeyRule>> = {
  [MapType.ARRAY]: int32,
  [MapType.PERCPU_ARRAY]: int32,
  [MapType.SK_STORAGE]: int32,
  [MapType.INODE_STORAGE]: int32,
  [MapType.TASK_STORAGE]: int32,
  [MapType.CGRP_STORAGE]: int32,
  [MapType.LPM_TRIE]: (key) => key.kind === "struct",
  [MapType.CGROUP_STORAGE]: cgroupKey,
  [MapType.PERCPU_CGROUP_STORAGE]: cgroupKey,
};

/**
 * Whether the kernel takes a map with the types that the object gives it; libbpf creates it without, where it does
 * not. Special fields of values are not looked at: the kernel says for which maps it takes them.
 */
export function kernelTakesTypes(btf: Btf, map: MapSpec): boolean {
  if (UNTYPED.has(map.type) || map.valueTypeId === 0) return false;
  if (sizeOf(btf, map.valueTypeId) !== map.valueSize) return false;
  // A bloom filter is the one map whose values have a type without a key.
  if (map.type === MapType.BLOOM_FILTER || map.keyTypeId === 0) {
    return map.type === MapType.BLOOM_FILTER && map.keyTypeId === 0;
  }
  const key = btf.types[resolveId(btf, map.keyTypeId)]!;
  if (sizeOf(btf, map.keyTypeId) !== map.keySize) return false;
  return KEY_RULES[map.type]?.(key, btf, map.keySize) ?? true;
}
