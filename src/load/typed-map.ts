// SPDX-License-Identifier: MIT
import { Errno } from "../kernel/errno.js";
import { ElemFlag, MapType, mapTypeName } from "../kernel/uapi.js";
import type { Codec, MapDecl } from "../model/codec.js";
import { SyscallError } from "../syscall/errors.js";
import type { Fd } from "../syscall/fd.js";
import { BatchCursor, type BatchResult, lookupBatch, MapAccess, updateBatch } from "../syscall/map.js";
import { InputError } from "../util/errors.js";
import { possibleCpus } from "./cpus.js";

const PER_CPU_TYPES: ReadonlySet<number> = new Set([
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_PERCPU_HASH,
  MapType.PERCPU_CGROUP_STORAGE,
]);

const RING_TYPES: ReadonlySet<number> = new Set([MapType.RINGBUF, MapType.USER_RINGBUF]);

/** Whether a map type keeps a value for each CPU under every key. */
export function isPerCpu(mapType: number): boolean {
  return PER_CPU_TYPES.has(mapType);
}

/** Values of all possible CPUs as user space exchanges them: each rounded up to 8 bytes. */
export function perCpuCodec<V>(value: Codec<V>, cpus: number = possibleCpus()): Codec<V[]> {
  const stride = (value.size + 7) & ~7;
  return {
    size: stride * cpus,
    decode: (view, offset) => Array.from({ length: cpus }, (_, cpu) => value.decode(view, offset + cpu * stride)),
    encode(values, view, offset) {
      if (values.length !== cpus) {
        throw new InputError(`a per-CPU value needs one value for each of ${cpus} possible CPUs, got ${values.length}`);
      }
      for (let cpu = 0; cpu < cpus; cpu++) value.encode(values[cpu]!, view, offset + cpu * stride);
    },
  };
}

/** When an element may be stored: always, only under a new key, only under one that exists. */
export type SetMode = "any" | "new" | "existing";

const SET_FLAGS = { any: ElemFlag.ANY, new: ElemFlag.NOEXIST, existing: ElemFlag.EXIST } as const;

/** Elements and bytes that one batch call exchanges at most. */
const BATCH_ELEMENTS = 4096;
const BATCH_BYTES = 1 << 20;

/**
 * A map in the kernel as keys and values of TypeScript types. Every operation is one system call;
 * walks and bulk stores use batches where the map type has them.
 *
 * All methods throw a SyscallError when the kernel refuses.
 */
export class TypedMap<K, V> {
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  /** The map; stays the owner's. */
  readonly fd: Fd;
  readonly #key: Codec<K>;
  readonly #value: Codec<V>;
  readonly #maxEntries: number;
  #lazyAccess: MapAccess | null = null;
  #batches = true;

  /** Use {@link typedMap} or {@link perCpuMap}. */
  constructor(fd: Fd, decl: MapDecl<K, V>) {
    this.fd = fd;
    this.name = decl.spec.name;
    this.type = decl.spec.type;
    this.#key = decl.key;
    this.#value = decl.value;
    this.#maxEntries = decl.spec.maxEntries;
  }

  get #access(): MapAccess {
    this.#lazyAccess ??= new MapAccess(this.fd, this.#key.size, this.#value.size);
    return this.#lazyAccess;
  }

  /** The value under a key; undefined when the map does not hold the key. */
  get(key: K): V | undefined {
    const access = this.#withKey(key);
    return access.lookup() ? this.#value.decode(access.value, 0) : undefined;
  }

  has(key: K): boolean {
    return this.#withKey(key).lookup();
  }

  /** Stores a value. Stack and queue maps push it; their key is ignored. */
  set(key: K, value: V, mode: SetMode = "any"): void {
    const access = this.#withKey(key);
    this.#value.encode(value, access.value, 0);
    access.update(SET_FLAGS[mode]);
  }

  /** Removes a key; false when the map did not hold it. */
  delete(key: K): boolean {
    return this.#withKey(key).delete();
  }

  /** Removes a key and returns its value, or of a queue or stack the next element; undefined when there is none. */
  take(key: K): V | undefined {
    const access = this.#withKey(key);
    return access.lookupAndDelete() ? this.#value.decode(access.value, 0) : undefined;
  }

  #withKey(key: K): MapAccess {
    const access = this.#access;
    if (access.keyBytes.length > 0) this.#key.encode(key, access.key, 0);
    return access;
  }

  /**
   * All elements. While programs change the map, an element may be missing or come twice, as with
   * every walk through a map; removing the elements that come is safe.
   */
  *entries(): Generator<[K, V], void> {
    const size = this.#batches ? this.#batchSize() : 0;
    if (size > 0) {
      const cursor = new BatchCursor(this.#key.size);
      const first = this.#readBatch(cursor, size);
      if (first !== null) {
        yield* this.#walkBatches(cursor, first);
        return;
      }
      this.#batches = false;
    }
    yield* this.#walkKeys();
  }

  *keys(): Generator<K, void> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): Generator<V, void> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): Generator<[K, V], void> {
    return this.entries();
  }

  /** Stores many elements, by batches where the map type has them. */
  setAll(entries: Iterable<readonly [K, V]>): void {
    const size = this.#batches ? this.#batchSize() : 0;
    let chunk: (readonly [K, V])[] = [];
    for (const entry of entries) {
      chunk.push(entry);
      if (chunk.length < size) continue;
      this.#setChunk(chunk);
      chunk = [];
    }
    if (chunk.length > 0) this.#setChunk(chunk);
  }

  #setChunk(chunk: readonly (readonly [K, V])[]): void {
    if (this.#batches && chunk.length > 1) {
      const { keys, values } = this.#encodeChunk(chunk);
      try {
        updateBatch(this.fd, { keys, values, count: chunk.length });
        return;
      } catch (error) {
        if (!isMissingBatch(error)) throw error;
        this.#batches = false;
      }
    }
    for (const [key, value] of chunk) this.set(key, value);
  }

  #encodeChunk(chunk: readonly (readonly [K, V])[]): { keys: Uint8Array; values: Uint8Array } {
    const keys = new Uint8Array(chunk.length * this.#key.size);
    const values = new Uint8Array(chunk.length * this.#value.size);
    const keyView = new DataView(keys.buffer);
    const valueView = new DataView(values.buffer);
    chunk.forEach(([key, value], i) => {
      this.#key.encode(key, keyView, i * this.#key.size);
      this.#value.encode(value, valueView, i * this.#value.size);
    });
    return { keys, values };
  }

  /** Removes all elements; of an array, whose elements cannot be removed, EINVAL. */
  clear(): void {
    const access = this.#access;
    while (access.nextKey(true)) access.delete();
  }

  #batchSize(): number {
    const bytes = this.#key.size + this.#value.size;
    if (this.#key.size === 0) return 0;
    return Math.max(1, Math.min(BATCH_ELEMENTS, Math.floor(BATCH_BYTES / bytes), this.#maxEntries));
  }

  /** One batch, or null when the map type has none. Grows the batch until a bucket of a hash map fits. */
  #readBatch(cursor: BatchCursor, wanted: number): ReadBatch | null {
    for (let size = wanted; ; size *= 2) {
      const keys = new Uint8Array(size * this.#key.size);
      const values = new Uint8Array(size * this.#value.size);
      try {
        const result = lookupBatch(this.fd, cursor, { keys, values, count: size });
        return { ...result, size, keys: new DataView(keys.buffer), values: new DataView(values.buffer) };
      } catch (error) {
        if (isMissingBatch(error) && !cursor.started) return null;
        if (!(error instanceof SyscallError) || error.errno !== Errno.ENOSPC) throw error;
      }
    }
  }

  *#walkBatches(cursor: BatchCursor, first: ReadBatch): Generator<[K, V], void> {
    let batch: ReadBatch | null = first;
    while (batch !== null) {
      for (let i = 0; i < batch.count; i++) {
        yield [
          this.#key.decode(batch.keys, i * this.#key.size),
          this.#value.decode(batch.values, i * this.#value.size),
        ];
      }
      batch = batch.more ? this.#readBatch(cursor, batch.size) : null;
    }
  }

  *#walkKeys(): Generator<[K, V], void> {
    // An access of its own: the caller may use the map between two elements.
    const access = new MapAccess(this.fd, this.#key.size, this.#value.size);
    const current = new Uint8Array(this.#key.size);
    let more = access.nextKey(true);
    // When a program removes the key at which the walk stands, the kernel begins anew: so it is bounded.
    for (let steps = 0; more && steps < this.#maxEntries; steps++) {
      current.set(access.keyBytes);
      const key = this.#key.decode(access.key, 0);
      const value = access.lookup() ? this.#value.decode(access.value, 0) : undefined;
      // The step is taken before the caller has the element and may remove it.
      more = access.nextKey(false);
      if (value !== undefined) yield [key, value];
    }
  }
}

interface ReadBatch extends BatchResult {
  /** Elements asked for. */
  readonly size: number;
  readonly keys: DataView;
  readonly values: DataView;
}

/** Map types without batches answer ENOTSUPP, kernels without the command EINVAL. */
function isMissingBatch(error: unknown): boolean {
  return (
    error instanceof SyscallError &&
    (error.errno === Errno.ENOTSUPP || error.errno === Errno.EINVAL || error.errno === Errno.EOPNOTSUPP)
  );
}

function checkSizes<K, V>(decl: MapDecl<K, V>): void {
  const { spec, key, value } = decl;
  if (key.size !== spec.keySize) {
    throw new InputError(`map ${spec.name}: its key type has ${key.size} bytes, its key size is ${spec.keySize}`);
  }
  if (value.size !== spec.valueSize) {
    throw new InputError(
      `map ${spec.name}: its value type has ${value.size} bytes, its value size is ${spec.valueSize}`,
    );
  }
}

/**
 * Opens a map as its declaration types it.
 * @throws InputError for a per-CPU map or a ring buffer, and when the declaration contradicts itself.
 */
export function typedMap<K, V>(fd: Fd, decl: MapDecl<K, V>): TypedMap<K, V> {
  const { name, type } = decl.spec;
  if (isPerCpu(type)) throw new InputError(`map ${name} is per CPU: open it as such, its values are arrays`);
  if (RING_TYPES.has(type)) throw new InputError(`${name} is a ${mapTypeName(type)}: it has records, not elements`);
  checkSizes(decl);
  return new TypedMap(fd, decl);
}

/**
 * Opens a per-CPU map: each value is an array with one element for every possible CPU.
 * @throws InputError when the map is not per CPU, or its declaration contradicts itself.
 */
export function perCpuMap<K, V>(fd: Fd, decl: MapDecl<K, V>): TypedMap<K, V[]> {
  const { name, type } = decl.spec;
  if (!isPerCpu(type)) throw new InputError(`map ${name} (${mapTypeName(type) ?? type}) is not per CPU`);
  checkSizes(decl);
  return new TypedMap(fd, { spec: decl.spec, key: decl.key, value: perCpuCodec(decl.value) });
}
