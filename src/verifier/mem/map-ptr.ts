// SPDX-License-Identifier: GPL-2.0-only
import { findType } from "../../btf/size.js";
import { RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { MapType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { BPF_READ } from "../kinds/access.js";
import { markRegKnownZero, markRegUnknown } from "../state/mark.js";
import { R_TYPE, R_U0, R_U1, regAt } from "../state/reg.js";
import { btfStructAccess, type StructAccess, WALK_PTR, WALK_SCALAR } from "./btf-access.js";
import { mapOf } from "./map-value.js";

const array = "bpf_array";
const htab = "bpf_htab";
const storage = "bpf_local_storage_map";

/** The kernel's struct behind a map, by its type: map_btf_id of the map's operations. */
const structNames: ReadonlyMap<number, string> = new Map<number, string>([
  [MapType.HASH, htab],
  [MapType.ARRAY, array],
  [MapType.PROG_ARRAY, array],
  [MapType.PERF_EVENT_ARRAY, array],
  [MapType.PERCPU_HASH, htab],
  [MapType.PERCPU_ARRAY, array],
  [MapType.STACK_TRACE, "bpf_stack_map"],
  [MapType.CGROUP_ARRAY, array],
  [MapType.LRU_HASH, htab],
  [MapType.LRU_PERCPU_HASH, htab],
  [MapType.LPM_TRIE, "lpm_trie"],
  [MapType.ARRAY_OF_MAPS, array],
  [MapType.HASH_OF_MAPS, htab],
  [MapType.DEVMAP, "bpf_dtab"],
  [MapType.SOCKMAP, "bpf_stab"],
  [MapType.CPUMAP, "bpf_cpu_map"],
  [MapType.XSKMAP, "xsk_map"],
  [MapType.SOCKHASH, "bpf_shtab"],
  [MapType.CGROUP_STORAGE, "bpf_cgroup_storage_map"],
  [MapType.REUSEPORT_SOCKARRAY, "reuseport_array"],
  [MapType.PERCPU_CGROUP_STORAGE, "bpf_cgroup_storage_map"],
  [MapType.QUEUE, "bpf_queue_stack"],
  [MapType.STACK, "bpf_queue_stack"],
  [MapType.SK_STORAGE, storage],
  [MapType.DEVMAP_HASH, "bpf_dtab"],
  [MapType.RINGBUF, "bpf_ringbuf_map"],
  [MapType.INODE_STORAGE, storage],
  [MapType.TASK_STORAGE, storage],
  [MapType.BLOOM_FILTER, "bpf_bloom_filter"],
  [MapType.USER_RINGBUF, "bpf_ringbuf_map"],
  [MapType.CGRP_STORAGE, storage],
  [MapType.ARENA, "bpf_arena"],
]);

/** The register that a read of a kernel struct fills. Mirrors mark_btf_ld_reg(). */
function markBtfLdReg(env: VerifierEnv, value: number, found: number, btfIndex: number, access: StructAccess): void {
  const { mem } = env.cur().cur();
  if (found === WALK_SCALAR) {
    markRegUnknown(env, mem, value);
    return;
  }
  const o = regAt(value);
  markRegKnownZero(env, mem, value);
  if (found === WALK_PTR) {
    mem[o + R_TYPE] = RegType.PTR_TO_BTF_ID | access.flag;
    mem[o + R_U0] = btfIndex;
    mem[o + R_U1] = access.id;
  } else {
    mem[o + R_TYPE] = RegType.PTR_TO_MEM | TypeFlag.MEM_RDONLY | TypeFlag.PTR_UNTRUSTED;
  }
}

/**
 * A read of the map itself instead of a value: what stands there the kernel's types tell.
 * @throws Unsupported when they are not at hand
 */
function readMapField(env: VerifierEnv, name: string, off: number, size: number, value: number): number {
  const btf = env.vmlinux();
  const id = btf === null ? undefined : findType(btf, "struct", name);
  if (btf === null || id === undefined) throw new Unsupported(env.insnIdx, "reading the fields of a map");
  const access: StructAccess = { btf, size, id, off, flag: 0 };
  const found = btfStructAccess(env, access);
  if (found < 0) return found;
  if (!env.btfs.includes(btf)) env.btfs.push(btf);
  if (value >= 0) markBtfLdReg(env, value, found, env.btfs.indexOf(btf) + 1, access);
  return 0;
}

/**
 * An access to the map itself instead of a value. Mirrors check_ptr_to_map_access().
 * @throws Unsupported for reads when the kernel's types are not at hand
 */
export function checkPtrToMapAccess(
  env: VerifierEnv,
  regno: number,
  off: number,
  size: number,
  type: number,
  value: number,
): number {
  const mapType = mapOf(env, env.cur().cur().mem, regAt(regno)).load.type;
  const name = structNames.get(mapType);
  if (name === undefined) throw new Unsupported(env.insnIdx, `access to the fields of a map of type ${mapType}`);
  if (!env.allowPtrLeaks) {
    verbose(env, `'struct ${name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN\n`);
    return -Errno.EPERM;
  }
  if (off < 0) {
    verbose(env, `R${regno} is ${name} invalid negative access: off=${off}\n`);
    return -Errno.EACCES;
  }
  if (type !== BPF_READ) {
    verbose(env, `only read from ${name} is supported\n`);
    return -Errno.EACCES;
  }
  return readMapField(env, name, off, size, value);
}
