// SPDX-License-Identifier: MIT
import { ElemFlag, MapFlag, MapType, PerfOutputFlag } from "../kernel/uapi.js";
import type { Codec, MapDecl } from "../model/codec.js";
import { InputError } from "../util/errors.js";
import { callHelper } from "./call.js";
import type { Code } from "./code.js";

import { Condition } from "./condition.js";
import { CODE, MAP, MEMORY, type Memory, type Scope } from "./internals.js";
import { AnyMap, HashMap, innerMap, type MapOptions, mapAddress, noKey } from "./maps.js";
import { type Init, type Place, stackPlace, withArgument } from "./places.js";
import { type Nullable, nullable } from "./pointers.js";
import {
  type ArrayType,
  array,
  type CType,
  type IntType,
  type JsOf,
  type StructType,
  s32,
  s64,
  struct,
  u32,
  u64,
} from "./types.js";
import { coerce, type Int, type IntArg, Value } from "./values.js";

/*
 * Maps for particular purposes: each with the operations that programs have on it, and typed keys and values for user
 * space.
 */

/** `p` of a program that has these helpers. */
export type CallerOf<Method extends string> = Scope & { readonly [K in Method]: unknown };

/** Where the program is written, when it may call the helper. */
function callerCode<Method extends string>(p: CallerOf<NoInfer<Method>>, method: Method): Code {
  const code = p[CODE];
  code.mark();
  const { objection } = p[method] as { readonly objection: string | null };
  if (objection !== null) throw code.fail(objection);
  return code;
}

/* Prefixes. */

/** Key of a trie: how many bits of `data` count, from the first byte on. */
export type PrefixKey<D extends CType<unknown>> = StructType<{ prefixlen: typeof u32; data: D }>;

/**
 * A trie of prefixes (BPF_MAP_TYPE_LPM_TRIE): looking up `{ prefixlen: 32, data: address }` finds the longest one that
 * holds the address. Data is compared from its first byte on: addresses are `be32` or bytes.
 * @throws InputError for impossible names and sizes.
 */
export function lpmTrie<D extends CType<unknown>, V extends CType<unknown>>(
  name: string,
  data: D,
  value: V,
  options: MapOptions,
): HashMap<PrefixKey<D>, V> {
  if (data.size > 256) throw new InputError(`map ${name}: prefixes have at most 256 bytes, these have ${data.size}`);
  const key = struct(`${name}_key`, { prefixlen: u32, data }, { packed: true });
  const flags = (options.flags ?? 0) | MapFlag.NO_PREALLOC;
  return new HashMap(name, MapType.LPM_TRIE, key, value, { ...options, flags });
}

/**
 * A hash table with values for each CPU that forgets the least recently used key when it is full.
 * @throws InputError for impossible names and sizes.
 */
export function lruPercpuHashMap<K extends CType<unknown>, V extends CType<unknown>>(
  name: string,
  key: K,
  value: V,
  options: MapOptions,
): HashMap<K, V> {
  return new HashMap(name, MapType.LRU_PERCPU_HASH, key, value, options);
}

/* Maps without keys. */

/** A map of values without keys. In user space, `set(undefined, value)` adds one and `take(undefined)` takes one out. */
abstract class Keyless<V extends CType<unknown>> extends AnyMap implements MapDecl<undefined, JsOf<V>> {
  readonly key: Codec<undefined> = noKey;
  readonly value: Codec<JsOf<V>>;
  protected readonly type: V;

  /** @internal */
  constructor(name: string, type: number, value: V, options: MapOptions, extra = 0n) {
    super(name, type, { key: null, value }, options, { extra });
    this.type = value;
    this.value = value as CType<unknown> as Codec<JsOf<V>>;
  }

  /** Adds a value. Gives 0, or a negative errno. */
  push(p: Scope, value: Init<V>, options: { readonly overwrite?: boolean } = {}): Int<"s64"> {
    const code = p[CODE];
    code.mark();
    const reg = withArgument(code, this.type, value, `a value of ${this.name}`, (address) => {
      const flags = code.toReg({ value: BigInt(options.overwrite === true ? ElemFlag.EXIST : ElemFlag.ANY) });
      return callHelper(code, "map_push_elem", [mapAddress(code, this), address, flags], "push");
    });
    return new Value(code, s64, { reg });
  }
}

/** A queue (first in, first out) or a stack (last in, first out). */
export class Queue<V extends CType<unknown>> extends Keyless<V> {
  #read(p: Scope, helper: "map_pop_elem" | "map_peek_elem"): Nullable<Place<V>> {
    const code = p[CODE];
    code.mark();
    const place = stackPlace(code, this.type, undefined, true);
    const { mem } = (place as Memory)[MEMORY];
    const reg = callHelper(code, helper, [mapAddress(code, this), code.addressOf(mem)]);
    return nullable(code, { test: code.compare("jeq", 64, { reg }, { value: 0n }), make: () => place });
  }

  /** Takes the next value out: a copy of it on the stack, null when there is none. */
  pop(p: Scope): Nullable<Place<V>> {
    return this.#read(p, "map_pop_elem");
  }

  /** The next value, which stays: a copy of it on the stack, null when there is none. */
  peek(p: Scope): Nullable<Place<V>> {
    return this.#read(p, "map_peek_elem");
  }
}

/** A queue: the first value that was pushed comes out first. @throws InputError for impossible names and sizes. */
export function queueMap<V extends CType<unknown>>(name: string, value: V, options: MapOptions): Queue<V> {
  return new Queue(name, MapType.QUEUE, value, options);
}

/** A stack: the last value that was pushed comes out first. @throws InputError for impossible names and sizes. */
export function stackMap<V extends CType<unknown>>(name: string, value: V, options: MapOptions): Queue<V> {
  return new Queue(name, MapType.STACK, value, options);
}

/** A Bloom filter: a set that may say yes too often and never no. */
export class BloomFilter<V extends CType<unknown>> extends Keyless<V> {
  /** Whether the value may have been pushed; when not, it surely was not. */
  has(p: Scope, value: Init<V>): Condition {
    const code = p[CODE];
    code.mark();
    const reg = withArgument(code, this.type, value, `a value of ${this.name}`, (address) =>
      callHelper(code, "map_peek_elem", [mapAddress(code, this), address], "has"),
    );
    return new Condition(code.compare("jeq", 64, { reg }, { value: 0n }));
  }
}

/**
 * A Bloom filter.
 * @param options `hashes` is how many hash functions it uses, 1 to 15: 5 by default.
 * @throws InputError for impossible names and sizes.
 */
export function bloomFilter<V extends CType<unknown>>(
  name: string,
  value: V,
  options: MapOptions & { readonly hashes?: number },
): BloomFilter<V> {
  const { hashes = 5 } = options;
  if (!Number.isInteger(hashes) || hashes < 1 || hashes > 15) {
    throw new InputError(`map ${name}: a Bloom filter has 1 to 15 hash functions, got ${hashes}`);
  }
  return new BloomFilter(name, MapType.BLOOM_FILTER, value, options, BigInt(hashes));
}

/* Events and stacks. */

/** Perf events, one for each CPU: programs write records to user space through them, or read their counters. */
export class PerfEventArray<V extends CType<unknown>> extends AnyMap implements MapDecl<number, number> {
  readonly key = u32;
  readonly value = u32;
  readonly #type: V;

  /** @internal */
  constructor(name: string, value: V, options: MapOptions) {
    super(name, MapType.PERF_EVENT_ARRAY, { key: u32, value: u32 }, options);
    this.#type = value;
  }

  /** Writes a record to this CPU's buffer. Gives 0, or a negative errno, -ENOENT where nobody listens. */
  output(p: CallerOf<"perfEventOutput">, value: Init<V> | Memory): Int<"s64"> {
    const code = callerCode(p, "perfEventOutput");
    const reg = withArgument(code, this.#type, value, `a record of ${this.name}`, (address) =>
      callHelper(
        code,
        "perf_event_output",
        [
          code.ctx,
          mapAddress(code, this),
          code.toReg({ value: PerfOutputFlag.CURRENT_CPU }),
          address,
          code.toReg({ value: BigInt(this.#type.size) }),
        ],
        "output",
      ),
    );
    return new Value(code, s64, { reg });
  }
}

/** Perf events for records of one type. @throws InputError for impossible names and sizes. */
export function perfEventArray<V extends CType<unknown>>(
  name: string,
  value: V,
  options: MapOptions,
): PerfEventArray<V> {
  return new PerfEventArray(name, value, options);
}

/** A map that only helpers and user space use. */
export class HelperMap<K extends CType<unknown>, V extends CType<unknown>>
  extends AnyMap
  implements MapDecl<JsOf<K>, JsOf<V>>
{
  readonly key: Codec<JsOf<K>>;
  readonly value: Codec<JsOf<V>>;

  /** @internal */
  constructor(name: string, type: number, key: K, value: V, options: MapOptions) {
    super(name, type, { key, value }, options);
    this.key = key as CType<unknown> as Codec<JsOf<K>>;
    this.value = value as CType<unknown> as Codec<JsOf<V>>;
  }
}

/** Instruction addresses of a stack, the innermost first; unused places are 0. */
export type StackTrace = ArrayType<IntType<"u64">, number, bigint[]>;

/**
 * Stacks by the number that `p.getStackid(map, flags)` gives.
 * @param options `depth` is how many frames are kept, 127 by default.
 * @throws InputError for impossible names and sizes.
 */
export function stackTraceMap(
  name: string,
  options: MapOptions & { readonly depth?: number },
): HelperMap<typeof u32, StackTrace> {
  return new HelperMap(name, MapType.STACK_TRACE, u32, array(u64, options.depth ?? 127) as StackTrace, options);
}

/**
 * Cgroups by index, for `p.skbUnderCgroup()` and `p.currentTaskUnderCgroup()`; user space sets descriptors of them.
 * @throws InputError for impossible names and sizes.
 */
export function cgroupArray(name: string, options: MapOptions): HelperMap<typeof u32, typeof u32> {
  return new HelperMap(name, MapType.CGROUP_ARRAY, u32, u32, options);
}

/* Redirection. */

/** Targets for packets: interfaces, CPUs or sockets. */
export class RedirectMap<V extends CType<unknown>> extends HelperMap<typeof u32, V> {
  /**
   * What an XDP program returns to send the packet to the target under a key.
   * @param otherwise the result when there is no target: an `XdpAction`, ABORTED by default.
   */
  redirect(p: CallerOf<"redirectMap">, key: IntArg, otherwise: IntArg = 0): Int<"s64"> {
    const code = callerCode(p, "redirectMap");
    const index = code.toReg(coerce(code, key, u32));
    const flags = code.toReg(coerce(code, otherwise, u64));
    const reg = callHelper(code, "redirect_map", [mapAddress(code, this), index, flags], "redirect");
    return new Value(code, s64, { reg });
  }
}

/** `struct bpf_devmap_val`: an interface, and the program that sees its packets, as a descriptor or 0. */
export const DevmapValue = struct("bpf_devmap_val", { ifindex: u32, prog: s32 });

/** `struct bpf_cpumap_val`: how many packets wait for a CPU at most, and the program that sees them, or 0. */
export const CpumapValue = struct("bpf_cpumap_val", { qsize: u32, prog: s32 });

/** Interfaces by index. @throws InputError for impossible names and sizes. */
export function devMap(name: string, options: MapOptions): RedirectMap<typeof DevmapValue> {
  return new RedirectMap(name, MapType.DEVMAP, u32, DevmapValue, options);
}

/** Interfaces by any number. @throws InputError for impossible names and sizes. */
export function devMapHash(name: string, options: MapOptions): RedirectMap<typeof DevmapValue> {
  return new RedirectMap(name, MapType.DEVMAP_HASH, u32, DevmapValue, options);
}

/** CPUs that packets are handed to. @throws InputError for impossible names and sizes. */
export function cpuMap(name: string, options: MapOptions): RedirectMap<typeof CpumapValue> {
  return new RedirectMap(name, MapType.CPUMAP, u32, CpumapValue, options);
}

/** AF_XDP sockets by queue; user space sets their descriptors. @throws InputError for impossible names and sizes. */
export function xskMap(name: string, options: MapOptions): RedirectMap<typeof u32> {
  return new RedirectMap(name, MapType.XSKMAP, u32, u32, options);
}

/** Sockets by index, for the redirecting helpers; user space sets descriptors. @throws InputError for impossible names and sizes. */
export function sockMap(name: string, options: MapOptions): HelperMap<typeof u32, typeof u32> {
  return new HelperMap(name, MapType.SOCKMAP, u32, u32, options);
}

/** Sockets by key, for the redirecting helpers; user space sets descriptors. @throws InputError for impossible names and sizes. */
export function sockHash<K extends CType<unknown>>(
  name: string,
  key: K,
  options: MapOptions,
): HelperMap<K, typeof u32> {
  return new HelperMap(name, MapType.SOCKHASH, key, u32, options);
}

/** Sockets that share a port, for `p.skSelectReuseport()`; user space sets descriptors. @throws InputError for impossible names and sizes. */
export function reuseportArray(name: string, options: MapOptions): HelperMap<typeof u32, typeof u64> {
  return new HelperMap(name, MapType.REUSEPORT_SOCKARRAY, u32, u64, options);
}

/* Maps of maps. */

/** A map of maps that are all like one. In user space its values are descriptors of maps to set, and ids to get. */
export class MapOfMaps<K extends CType<unknown>, M extends AnyMap> extends AnyMap implements MapDecl<JsOf<K>, number> {
  readonly key: Codec<JsOf<K>>;
  readonly value = u32;
  readonly #inner: M;

  /** @internal */
  constructor(name: string, type: number, key: K, inner: M, options: MapsOptions<M>) {
    super(name, type, { key, value: u32 }, options, { inner, initial: options.initial ?? {} });
    this.key = key as CType<unknown> as Codec<JsOf<K>>;
    this.#inner = inner;
  }

  /** The map under a key, null when there is none: it is used as the one that it is like. */
  lookup(p: Scope, key: Init<K>): Nullable<M> {
    const code = p[CODE];
    code.mark();
    const reg = withArgument(code, this[MAP].key!, key, `a key of ${this.name}`, (address) =>
      callHelper(code, "map_lookup_elem", [mapAddress(code, this), address], "lookup"),
    );
    return nullable(code, {
      test: code.compare("jne", 64, { reg }, { value: 0n }),
      make: () => innerMap(code, this.#inner, reg),
    });
  }
}

/** What a map of maps is told. */
export interface MapsOptions<M extends AnyMap> extends MapOptions {
  /** Maps that it holds from the start, by index. */
  readonly initial?: Readonly<Record<number, M>>;
}

/** Maps by index. @param inner what all of them are like. @throws InputError for impossible names and sizes. */
export function arrayOfMaps<M extends AnyMap>(
  name: string,
  inner: M,
  options: MapsOptions<M>,
): MapOfMaps<typeof u32, M> {
  return new MapOfMaps(name, MapType.ARRAY_OF_MAPS, u32, inner, options);
}

/** Maps by key. @param inner what all of them are like. @throws InputError for impossible names and sizes. */
export function hashOfMaps<K extends CType<unknown>, M extends AnyMap>(
  name: string,
  key: K,
  inner: M,
  options: MapOptions,
): MapOfMaps<K, M> {
  return new MapOfMaps(name, MapType.HASH_OF_MAPS, key, inner, options);
}
