// SPDX-License-Identifier: MIT
import { Errno } from "../kernel/errno.js";
import { Cmd } from "../kernel/uapi.js";
import { Attr, bpf, cmdName } from "./attr.js";
import { checked, SyscallError } from "./errors.js";
import { Fd } from "./fd.js";
import { MAP_BATCH, MAP_CREATE, MAP_ELEM } from "./layout.js";

/** What BPF_MAP_CREATE takes; sizes in bytes, absent numbers are 0. */
export interface MapRequest {
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
  readonly extra?: bigint;
  /** The template of a map-in-map. */
  readonly innerMap?: Fd | null;
  readonly btf?: Fd | null;
  readonly btfKeyTypeId?: number;
  readonly btfValueTypeId?: number;
  readonly btfVmlinuxValueTypeId?: number;
  /** Module's BTF that `btfVmlinuxValueTypeId` is of, with BPF_F_VTYPE_BTF_OBJ_FD. */
  readonly valueTypeBtfFd?: number;
  readonly numaNode?: number;
  readonly ifindex?: number;
}

/**
 * Creates a map (BPF_MAP_CREATE).
 * @throws SyscallError
 */
export function createMap(request: MapRequest): Fd {
  const attr = new Attr()
    .u32(MAP_CREATE.map_type, request.type)
    .u32(MAP_CREATE.key_size, request.keySize)
    .u32(MAP_CREATE.value_size, request.valueSize)
    .u32(MAP_CREATE.max_entries, request.maxEntries)
    .u32(MAP_CREATE.map_flags, request.flags ?? 0)
    .u32(MAP_CREATE.numa_node, request.numaNode ?? 0)
    .u32(MAP_CREATE.map_ifindex, request.ifindex ?? 0)
    .u64(MAP_CREATE.map_extra, request.extra ?? 0)
    .name(MAP_CREATE.map_name, request.name);
  if (request.innerMap) attr.u32(MAP_CREATE.inner_map_fd, request.innerMap.number);
  if (request.btf) {
    attr
      .u32(MAP_CREATE.btf_fd, request.btf.number)
      .u32(MAP_CREATE.btf_key_type_id, request.btfKeyTypeId ?? 0)
      .u32(MAP_CREATE.btf_value_type_id, request.btfValueTypeId ?? 0);
  }
  attr
    .u32(MAP_CREATE.btf_vmlinux_value_type_id, request.btfVmlinuxValueTypeId ?? 0)
    .u32(MAP_CREATE.value_type_btf_obj_fd, request.valueTypeBtfFd ?? 0);
  const what = `map ${request.name}`;
  return new Fd(checked(bpf(Cmd.MAP_CREATE, attr, MAP_CREATE.size), "BPF_MAP_CREATE", what), what);
}

/**
 * Makes a map read-only for user space, for good (BPF_MAP_FREEZE).
 * @throws SyscallError
 */
export function freezeMap(map: Fd): void {
  const attr = new Attr().u32(MAP_ELEM.map_fd, map.number);
  checked(bpf(Cmd.MAP_FREEZE, attr, 4), "BPF_MAP_FREEZE", map.what);
}

/**
 * Operations on single elements of one map. Key and value pass through buffers that stand at fixed
 * addresses, so that an operation is one system call and nothing else: write {@link keyBytes} (and
 * {@link valueBytes}), call, read.
 */
export class MapAccess {
  readonly map: Fd;
  readonly keyBytes: Uint8Array;
  readonly key: DataView;
  readonly valueBytes: Uint8Array;
  readonly value: DataView;
  readonly #attr = new Attr(MAP_ELEM.size);
  readonly #deleteAttr = new Attr(MAP_ELEM.size);
  readonly #nextKey: Uint8Array;
  readonly #nextAttr = new Attr(MAP_ELEM.size);
  readonly #firstAttr = new Attr(MAP_ELEM.size);

  /**
   * @param keySize Bytes; 0 for queues, stacks and bloom filters.
   * @param valueSize Bytes that user space sees: of a per-CPU map, all CPUs' values together.
   */
  constructor(map: Fd, keySize: number, valueSize: number) {
    this.map = map;
    this.keyBytes = new Uint8Array(keySize);
    this.key = new DataView(this.keyBytes.buffer);
    this.valueBytes = new Uint8Array(valueSize);
    this.value = new DataView(this.valueBytes.buffer);
    this.#nextKey = new Uint8Array(keySize);
    this.#attr.pointer(MAP_ELEM.key, this.keyBytes).pointer(MAP_ELEM.value, this.valueBytes);
    // The kernel insists that members which a command does not use are zero.
    this.#deleteAttr.pointer(MAP_ELEM.key, this.keyBytes);
    this.#nextAttr.pointer(MAP_ELEM.key, this.keyBytes).pointer(MAP_ELEM.next_key, this.#nextKey);
    this.#firstAttr.pointer(MAP_ELEM.next_key, this.#nextKey);
  }

  /** Reads the value of the key; false when the map does not hold it. */
  lookup(flags = 0): boolean {
    return this.#found(Cmd.MAP_LOOKUP_ELEM, this.#attr, flags);
  }

  /** Reads the value of the key and removes it (of a queue or stack: pops); false when there is none. */
  lookupAndDelete(flags = 0): boolean {
    return this.#found(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, this.#attr, flags);
  }

  /** Removes the key; false when the map does not hold it. */
  delete(): boolean {
    return this.#found(Cmd.MAP_DELETE_ELEM, this.#deleteAttr, 0);
  }

  /** Stores the value under the key. `flags` is one of BPF_ANY, BPF_NOEXIST, BPF_EXIST, with BPF_F_LOCK. */
  update(flags = 0): void {
    const result = this.#call(Cmd.MAP_UPDATE_ELEM, this.#attr, flags);
    if (result < 0) throw new SyscallError("BPF_MAP_UPDATE_ELEM", -result, this.map.what);
  }

  /**
   * Moves the key to the next one in the map's order; false at the end.
   * @param first Begin at the first key instead. The kernel also does so when the key is gone.
   */
  nextKey(first: boolean): boolean {
    const found = this.#found(Cmd.MAP_GET_NEXT_KEY, first ? this.#firstAttr : this.#nextAttr, 0);
    if (found) this.keyBytes.set(this.#nextKey);
    return found;
  }

  #found(cmd: number, attr: Attr, flags: number): boolean {
    const result = this.#call(cmd, attr, flags);
    if (result >= 0) return true;
    if (-result === Errno.ENOENT) return false;
    throw new SyscallError(cmdName(cmd), -result, this.map.what);
  }

  #call(cmd: number, attr: Attr, flags: number): number {
    attr.view.setUint32(MAP_ELEM.map_fd, this.map.number, true);
    attr.view.setUint32(MAP_ELEM.flags, flags, true);
    return bpf(cmd, attr, MAP_ELEM.size);
  }
}

/** One call's worth of elements, packed. Keys and values of `count` elements must fit the buffers. */
export interface Batch {
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly count: number;
}

/** Where a walk by batches stands: opaque to all but the kernel. Zeroes begin a walk. */
export class BatchCursor {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  started = false;

  constructor(keySize: number) {
    // Hash maps keep a bucket number here, others a key.
    this.from = new Uint8Array(Math.max(8, keySize));
    this.to = new Uint8Array(Math.max(8, keySize));
  }

  advance(): void {
    this.from.set(this.to);
    this.started = true;
  }
}

/** What a batch read brought. `more` is false when the walk came to its end. */
export interface BatchResult {
  readonly count: number;
  readonly more: boolean;
}

/**
 * Reads elements by the batch (BPF_MAP_LOOKUP_BATCH, or BPF_MAP_LOOKUP_AND_DELETE_BATCH) and
 * advances the cursor. Throws a SyscallError with ENOSPC, the cursor unmoved, when not even one
 * bucket of a hash map fits the batch: repeat with a larger one. Map types without batches answer
 * EINVAL or ENOTSUPP.
 */
export function lookupBatch(map: Fd, cursor: BatchCursor, batch: Batch, remove = false): BatchResult {
  const cmd = remove ? Cmd.MAP_LOOKUP_AND_DELETE_BATCH : Cmd.MAP_LOOKUP_BATCH;
  const attr = batchAttr(map, batch)
    .pointer(MAP_BATCH.in_batch, cursor.started ? cursor.from : null)
    .pointer(MAP_BATCH.out_batch, cursor.to);
  const result = bpf(cmd, attr, MAP_BATCH.size);
  const end = -result === Errno.ENOENT;
  if (result < 0 && !end) throw new SyscallError(cmdName(cmd), -result, map.what);
  cursor.advance();
  return { count: attr.getU32(MAP_BATCH.count), more: !end };
}

/**
 * Stores elements by the batch (BPF_MAP_UPDATE_BATCH).
 * @throws SyscallError; elements before the failing one are stored then.
 */
export function updateBatch(map: Fd, batch: Batch, elemFlags = 0): void {
  const attr = batchAttr(map, batch).u64(MAP_BATCH.elem_flags, elemFlags);
  checked(bpf(Cmd.MAP_UPDATE_BATCH, attr, MAP_BATCH.size), "BPF_MAP_UPDATE_BATCH", map.what);
}

/**
 * Removes elements by the batch (BPF_MAP_DELETE_BATCH; `values` is not used).
 * @throws SyscallError; elements before the failing one are removed then.
 */
export function deleteBatch(map: Fd, keys: Uint8Array, count: number): void {
  const attr = batchAttr(map, { keys, values: new Uint8Array(0), count });
  checked(bpf(Cmd.MAP_DELETE_BATCH, attr, MAP_BATCH.size), "BPF_MAP_DELETE_BATCH", map.what);
}

function batchAttr(map: Fd, batch: Batch): Attr {
  return new Attr()
    .u32(MAP_BATCH.map_fd, map.number)
    .u32(MAP_BATCH.count, batch.count)
    .pointer(MAP_BATCH.keys, batch.keys)
    .pointer(MAP_BATCH.values, batch.values);
}
