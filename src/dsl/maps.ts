// SPDX-License-Identifier: MIT
import type { HelperName } from "../kernel/helpers/names.js";
import { Limit } from "../kernel/limits.js";
import { ElemFlag, MapType, Ringbuf } from "../kernel/uapi.js";
import type { Codec, MapDecl } from "../model/codec.js";
import { mapSpec } from "../model/make.js";
import type { MapSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { callHelper } from "./call.js";
import type { Code, Mem } from "./code.js";
import type { OpenRecord } from "./flow.js";
import { CODE, MAP, type Memory, type Scope } from "./internals.js";
import { type Init, makePlace, type Place, withArgument } from "./places.js";
import { type Nullable, nullable } from "./pointers.js";
import { type CType, type JsOf, type StructType, s64, u32 } from "./types.js";
import { checkOwner, type Int, Value } from "./values.js";

/** What every map can be told. */
export interface MapOptions {
  /** Elements that fit. */
  readonly maxEntries: number;
  /** BPF_F_* flags of BPF_MAP_CREATE. */
  readonly flags?: number;
  /** Pinned under its name, so that it outlives the program and other objects find it. */
  readonly pinned?: boolean;
}

/** Types of a map's keys and values. */
export interface MapTypes {
  readonly key: CType<unknown> | null;
  readonly value: CType<unknown> | null;
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

function specOf(name: string, type: number, { key, value }: MapTypes, options: MapOptions): MapSpec {
  if (!IDENTIFIER.test(name)) throw new InputError(`"${name}" cannot name a map: it is not a C identifier`);
  const { maxEntries } = options;
  if (!Number.isInteger(maxEntries) || maxEntries < 1 || maxEntries > 0xffff_ffff) {
    throw new InputError(`map ${name}: maxEntries must be an integer of at least 1, got ${maxEntries}`);
  }
  return mapSpec({
    name,
    type,
    keySize: key?.size ?? 0,
    valueSize: value?.size ?? 0,
    maxEntries,
    flags: options.flags ?? 0,
    pinning: options.pinned === true ? "byName" : "none",
  });
}

/** What some kinds of maps have besides. */
export interface MapParts {
  /** `map_extra` of BPF_MAP_CREATE. */
  readonly extra?: bigint;
  /** What the maps in it are like. */
  readonly inner?: AnyMap;
  /** Maps in it from the start, by index. */
  readonly initial?: Readonly<Record<number, AnyMap>>;
}

/** A map, whatever its kind. */
export abstract class AnyMap {
  readonly spec: MapSpec;
  /** @internal */
  readonly [MAP]: MapTypes;
  /** @internal */
  readonly parts: MapParts;

  /** @internal */
  constructor(name: string, type: number, types: MapTypes, options: MapOptions, parts: MapParts = {}) {
    this.spec = { ...specOf(name, type, types, options), extra: parts.extra ?? 0n };
    this[MAP] = types;
    this.parts = parts;
  }

  get name(): string {
    return this.spec.name;
  }
}

const FOUND: unique symbol = Symbol("found");

interface Found extends Scope {
  readonly reg: number;
}

/** A map whose address a program looked up: it is used like the one that it is like. */
export function innerMap<M extends AnyMap>(code: Code, like: M, reg: number): M {
  const found: Found = { [CODE]: code, reg };
  return Object.create(like, { [FOUND]: { value: found } }) as M;
}

/** The register with a map's address. */
export function mapAddress(code: Code, map: AnyMap): number {
  const found = (map as { readonly [FOUND]?: Found })[FOUND];
  if (found !== undefined) {
    checkOwner(code, found);
    return found.reg;
  }
  return code.symbol({ kind: "map", map: code.surroundings.useMap(map, (message) => code.fail(message)) });
}

/** When an update may happen: `any`, only for `new` keys, or only for `existing` ones. */
export type UpdateMode = "any" | "new" | "existing";

const UPDATE_FLAGS = { any: ElemFlag.ANY, new: ElemFlag.NOEXIST, existing: ElemFlag.EXIST } as const;

function constant(code: Code, value: number): number {
  return code.toReg({ value: BigInt(value) });
}

/** A map from keys to values that programs and user space share. */
export abstract class KeyedMap<K extends CType<unknown>, V extends CType<unknown>>
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

  /** Looks a key up: a pointer to the value in the map, or null when there is none. */
  lookup(p: Scope, key: Init<K>): Nullable<Place<V>> {
    const code = p[CODE];
    code.mark();
    const reg = withArgument(code, this[MAP].key!, key, `a key of ${this.name}`, (address) =>
      callHelper(code, "map_lookup_elem", [mapAddress(code, this), address]),
    );
    return nullable(code, {
      test: code.compare("jne", 64, { reg }, { value: 0n }),
      make: () => makePlace(code, this[MAP].value as V, { base: { reg }, offset: 0, align: 8 }),
    });
  }

  /** Stores a value. Gives 0, or a negative errno. */
  update(p: Scope, key: Init<K>, value: Init<V>, mode: UpdateMode = "any"): Int<"s64"> {
    const code = p[CODE];
    code.mark();
    const result = withArgument(code, this[MAP].key!, key, `a key of ${this.name}`, (keyAddress) =>
      withArgument(code, this[MAP].value!, value, `a value of ${this.name}`, (valueAddress) =>
        callHelper(code, "map_update_elem", [
          mapAddress(code, this),
          keyAddress,
          valueAddress,
          constant(code, UPDATE_FLAGS[mode]),
        ]),
      ),
    );
    return new Value(code, s64, { reg: result });
  }
}

/** A hash table. */
export class HashMap<K extends CType<unknown>, V extends CType<unknown>> extends KeyedMap<K, V> {
  /** Removes a key. Gives 0, or a negative errno when there was none. */
  delete(p: Scope, key: Init<K>): Int<"s64"> {
    const code = p[CODE];
    code.mark();
    const result = withArgument(code, this[MAP].key!, key, `a key of ${this.name}`, (address) =>
      callHelper(code, "map_delete_elem", [mapAddress(code, this), address]),
    );
    return new Value(code, s64, { reg: result });
  }
}

/** An array: every index below `maxEntries` exists, and holds zeros at first. */
export class ArrayMap<V extends CType<unknown>> extends KeyedMap<typeof u32, V> {}

function checkKeySize(name: string, key: CType<unknown>): void {
  if (key.size > Limit.MAX_BPF_STACK) {
    throw new InputError(
      `map ${name}: keys have ${key.size} bytes, but ${Limit.MAX_BPF_STACK} is the most (they stand on the stack)`,
    );
  }
}

function hash<K extends CType<unknown>, V extends CType<unknown>>(
  type: number,
  name: string,
  key: K,
  value: V,
  options: MapOptions,
): HashMap<K, V> {
  checkKeySize(name, key);
  return new HashMap(name, type, key, value, options);
}

/**
 * A hash table.
 * @throws InputError for impossible names and sizes.
 */
export function hashMap<K extends CType<unknown>, V extends CType<unknown>>(
  name: string,
  key: K,
  value: V,
  options: MapOptions,
): HashMap<K, V> {
  return hash(MapType.HASH, name, key, value, options);
}

/**
 * A hash table with values of its own for each CPU: programs see theirs, user space all of them.
 * @throws InputError for impossible names and sizes.
 */
export function percpuHashMap<K extends CType<unknown>, V extends CType<unknown>>(
  name: string,
  key: K,
  value: V,
  options: MapOptions,
): HashMap<K, V> {
  return hash(MapType.PERCPU_HASH, name, key, value, options);
}

/**
 * A hash table that forgets the least recently used key when it is full.
 * @throws InputError for impossible names and sizes.
 */
export function lruHashMap<K extends CType<unknown>, V extends CType<unknown>>(
  name: string,
  key: K,
  value: V,
  options: MapOptions,
): HashMap<K, V> {
  return hash(MapType.LRU_HASH, name, key, value, options);
}

/**
 * An array of values with indices from 0.
 * @throws InputError for impossible names and sizes.
 */
export function arrayMap<V extends CType<unknown>>(name: string, value: V, options: MapOptions): ArrayMap<V> {
  return new ArrayMap(name, MapType.ARRAY, u32, value, options);
}

/**
 * An array with values of its own for each CPU: programs see theirs, user space all of them.
 * @throws InputError for impossible names and sizes.
 */
export function percpuArrayMap<V extends CType<unknown>>(name: string, value: V, options: MapOptions): ArrayMap<V> {
  return new ArrayMap(name, MapType.PERCPU_ARRAY, u32, value, options);
}

/* Ring buffers. */

/** Whether user space is woken: as the kernel sees fit, never, or always. */
export type Notify = "auto" | "never" | "always";

const NOTIFY_FLAGS = { auto: 0, never: Ringbuf.NO_WAKEUP, always: Ringbuf.FORCE_WAKEUP } as const;

/** A record of a ring buffer while it is written. It must be submitted or discarded exactly once on each path. */
export type RingRecord<V> = Place<V> & {
  /** Hands the record over to user space; it cannot be used any more. */
  submit(notify?: Notify): void;
  /** Gives the record up; it cannot be used any more. */
  discard(notify?: Notify): void;
};

export const noKey: Codec<undefined> = { size: 0, decode: () => undefined, encode: () => {} };

/** A ring buffer of records for user space, shared by all CPUs. */
export class RingBuffer<V extends CType<unknown>> extends AnyMap implements MapDecl<undefined, JsOf<V>> {
  readonly key: Codec<undefined> = noKey;
  readonly value: Codec<JsOf<V>>;
  readonly #type: V;

  /** @internal */
  constructor(name: string, value: V, options: MapOptions) {
    super(name, MapType.RINGBUF, { key: null, value: null }, options);
    this.#type = value;
    this.value = value as CType<unknown> as Codec<JsOf<V>>;
  }

  /** Reserves a record, null when the buffer is full. Its content is undefined at first. */
  reserve(p: Scope): Nullable<RingRecord<V>> {
    const code = p[CODE];
    code.mark();
    const reg = callHelper(code, "ringbuf_reserve", [
      mapAddress(code, this),
      constant(code, this.#type.size),
      constant(code, 0),
    ]);
    const record = code.openRecord(this.name);
    return nullable(code, {
      test: code.compare("jne", 64, { reg }, { value: 0n }),
      make: () => this.#record(code, reg, record),
      changes: () => code.recordBranches(record),
    });
  }

  #record(code: Code, reg: number, record: OpenRecord): RingRecord<V> {
    const mem: Mem = { base: { reg }, offset: 0, align: 8, record };
    const close =
      (helper: HelperName) =>
      (notify: Notify = "auto"): void => {
        code.mark();
        code.closeRecord(record);
        callHelper(code, helper, [reg, constant(code, NOTIFY_FLAGS[notify])]);
      };
    return Object.defineProperties(makePlace(code, this.#type, mem), {
      submit: { value: close("ringbuf_submit") },
      discard: { value: close("ringbuf_discard") },
    }) as RingRecord<V>;
  }

  /** Copies a finished record into the buffer. Gives 0, or a negative errno when it is full. */
  output(p: Scope, value: Init<V> | Memory, notify: Notify = "auto"): Int<"s64"> {
    const code = p[CODE];
    code.mark();
    const result = withArgument(code, this.#type, value, `a record of ${this.name}`, (address) =>
      callHelper(code, "ringbuf_output", [
        mapAddress(code, this),
        address,
        constant(code, this.#type.size),
        constant(code, NOTIFY_FLAGS[notify]),
      ]),
    );
    return new Value(code, s64, { reg: result });
  }
}

/** Bytes of a page, of which a ring buffer takes a power of two. */
const PAGE_SIZE = 4096;

/**
 * A ring buffer with records of one type.
 * @param options `bytes` is the buffer's size: a power of two and a multiple of the page size.
 * @throws InputError for impossible names and sizes.
 */
export function ringbuf<V extends CType<unknown>>(
  name: string,
  value: V,
  options: { readonly bytes: number; readonly pinned?: boolean },
): RingBuffer<V> {
  const { bytes } = options;
  if (!Number.isInteger(bytes) || bytes < PAGE_SIZE || (bytes & (bytes - 1)) !== 0) {
    throw new InputError(
      `ring buffer ${name}: bytes must be a power of two and a multiple of the page size (${PAGE_SIZE}), got ${bytes}`,
    );
  }
  if (value.kind === "struct") {
    const taken = (value as CType<unknown> as StructType).places.find(
      (field) => field.name === "submit" || field.name === "discard",
    );
    if (taken !== undefined) {
      throw new InputError(`ring buffer ${name}: a record cannot have a member named "${taken.name}"`);
    }
  }
  return new RingBuffer(name, value, { maxEntries: bytes, pinned: options.pinned });
}
