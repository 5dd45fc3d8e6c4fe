// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import type { MapLoad } from "../../model/load.js";
import type { RegionOwner } from "../memory.js";
import { type MapContext, round8, VmMap } from "./map.js";

/** Something that a program sent to user space. */
export interface VmRecord {
  readonly data: Uint8Array;
  /** Of a perf event array: the index that it was sent to. */
  readonly cpu: number;
}

/** Bytes of a ring buffer record's header. */
const HEADER = 8;

/** What stands behind the pointer to a reserved record. */
export class RingRecord implements RegionOwner {
  readonly what: string;
  readonly ring: RingMap;
  readonly size: number;
  /** Order of reservation. */
  readonly number: number;
  state: "reserved" | "submitted" | "discarded" = "reserved";
  data: Uint8Array = new Uint8Array(0);

  constructor(ring: RingMap, size: number, number: number) {
    this.what = `a record of ${ring.what}`;
    this.ring = ring;
    this.size = size;
    this.number = number;
  }
}

abstract class EventMap extends VmMap {
  override lookup(_keyAt: number, _cpu: number): number {
    return -1;
  }

  override update(_keyAt: number, _valueAt: number, _flags: number, _cpu: number): number {
    return -Errno.EOPNOTSUPP;
  }

  override remove(_keyAt: number): number {
    return -Errno.EOPNOTSUPP;
  }

  override keys(): Uint8Array[] {
    return [];
  }
}

/** RINGBUF: nothing is lost while the records that nobody took fit. */
export class RingMap extends EventMap {
  readonly #dataAt: number;
  #produced = 0;
  #consumed = 0;
  #records: RingRecord[] = [];
  #count = 0;

  constructor(context: MapContext, load: MapLoad) {
    super(context, load);
    // Twice, so that a record across the end of the ring is in one piece.
    this.#dataAt = this.memory.allocate(2 * load.maxEntries);
  }

  /** Bytes that records take which nobody took yet. */
  get available(): number {
    return this.#produced - this.#consumed;
  }

  get produced(): number {
    return this.#produced;
  }

  get consumed(): number {
    return this.#consumed;
  }

  /** Reserves a record; its region, -1 when there is no room. */
  reserve(size: number): number {
    const room = round8(size + HEADER);
    if (room > this.load.maxEntries || this.available + room > this.load.maxEntries - 1) return -1;
    const base = this.#dataAt + (this.#produced % this.load.maxEntries) + HEADER;
    const record = new RingRecord(this, size, this.#count);
    const { undo } = this.memory;
    if (undo !== null) {
      const produced = this.#produced;
      const records = [...this.#records];
      undo.push(() => {
        this.#produced = produced;
        this.#records = records;
        this.#count--;
      });
    }
    this.#count++;
    this.#produced += room;
    this.#records.push(record);
    return this.memory.region(base, size, record);
  }

  /** Ends a reservation. */
  commit(record: RingRecord, region: number, discard: boolean): void {
    const { undo } = this.memory;
    undo?.push(() => {
      record.state = "reserved";
      record.data = new Uint8Array(0);
    });
    record.data = this.memory.copy(this.memory.regionBase(region), record.size);
    record.state = discard ? "discarded" : "submitted";
    this.memory.resizeRegion(region, 0);
  }

  /** bpf_ringbuf_output(). */
  output(at: number, size: number): number {
    const region = this.reserve(size);
    if (region < 0) return -Errno.EAGAIN;
    this.memory.move(this.memory.regionBase(region), at, size);
    this.commit(this.#records.at(-1)!, region, false);
    return 0;
  }

  /** Takes the records that were submitted, oldest first; the room that they took is free then. */
  drain(): VmRecord[] {
    const open = this.#records.findIndex(({ state }) => state === "reserved");
    const ready = open < 0 ? this.#records : this.#records.slice(0, open);
    this.#records = open < 0 ? [] : this.#records.slice(open);
    for (const { size } of ready) this.#consumed += round8(size + HEADER);
    return ready.filter(({ state }) => state === "submitted").map(({ data }) => ({ data, cpu: 0 }));
  }
}

/** PERF_EVENT_ARRAY: every index has somebody listening, unless `closed`. */
export class PerfMap extends EventMap {
  #records: VmRecord[] = [];
  /** Nobody listens. */
  closed = false;

  output(cpu: number, data: Uint8Array): number {
    if (cpu >= this.load.maxEntries) return -Errno.E2BIG;
    if (this.closed) return -Errno.ENOENT;
    const old = this.#records;
    this.memory.undo?.push(() => {
      this.#records = old;
    });
    this.#records = [...old, { data, cpu }];
    return 0;
  }

  /** Takes what was sent, oldest first. */
  drain(): VmRecord[] {
    const records = this.#records;
    this.#records = [];
    return records;
  }
}
