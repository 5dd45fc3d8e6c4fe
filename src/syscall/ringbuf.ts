// SPDX-License-Identifier: MIT
import { MapType, Ringbuf } from "../kernel/uapi.js";
import { BugError, InputError } from "../util/errors.js";
import { ffi } from "./backend.js";
import type { Fd } from "./fd.js";
import type { Watch } from "./ffi.js";
import { mapInfo } from "./info.js";
import { Mapping, pageSize } from "./memory.js";

/**
 * Receives one record: `length` bytes at `offset` of `view`. They stand in the ring buffer itself:
 * read-only, and valid until the function returns. Returning false says "not now": the record stays
 * in the ring buffer and delivery pauses.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a callback may return nothing
export type OnRecord = (view: DataView, offset: number, length: number) => void | boolean;

/** How the event loop is used. */
export interface RingBufferOptions {
  /** Milliseconds between looks at the ring where the backend knows no readiness (ffi-napi). Default 10. */
  readonly pollIntervalMs?: number;
}

/** Bits of a record's length word that are its length. */
const LENGTH_MASK = ~(Ringbuf.BUSY_BIT | Ringbuf.DISCARD_BIT);
/** Until a record that a program has reserved, but not yet submitted, is looked at again. */
const BUSY_RETRY_MS = 1;

/**
 * The reading side of a BPF_MAP_TYPE_RINGBUF, by mmap and without copying. There must be one reader
 * only. Records come in the order of their reservation.
 *
 * The ring buffer itself does not count what is lost: bpf_ringbuf_reserve() and bpf_ringbuf_output()
 * fail in the program when the ring is full, and it is the program that can count that, for example in
 * a per-CPU array that user space sums up.
 */
export class RingBufferReader implements Disposable {
  readonly #map: Fd;
  readonly #size: number;
  readonly #consumerPage: Mapping;
  readonly #data: Mapping;
  readonly #consumerWord: BigUint64Array;
  readonly #producerWord: BigUint64Array;
  /** Length words of records, one per 8 bytes. */
  readonly #words: Int32Array;
  /** Data, twice in a row, so that a record which wraps is contiguous. */
  readonly #view: DataView;
  readonly #pollIntervalMs: number;
  #position: number;
  #stored: number;
  #consuming = false;
  #closed = false;
  #delivered = 0;
  #discarded = 0;
  #loop: EventLoop | null = null;

  /**
   * @param map The ring buffer; must stay open until the reader is closed.
   * @throws InputError when the map is no ring buffer; SyscallError when it cannot be mapped.
   */
  constructor(map: Fd, options: RingBufferOptions = {}) {
    // The kernel is asked, since the size may have been rounded up to whole pages on creation.
    const { type, maxEntries: size } = mapInfo(map);
    if (type !== MapType.RINGBUF) throw new InputError(`${map.what} is no ring buffer`);
    const page = pageSize();
    this.#map = map;
    this.#size = size;
    this.#pollIntervalMs = options.pollIntervalMs ?? 10;
    this.#consumerPage = new Mapping(map, 0, page, "read-write");
    try {
      this.#data = new Mapping(map, page, page + 2 * size, "read");
    } catch (error) {
      this.#consumerPage.close();
      throw error;
    }
    const { buffer, byteOffset } = this.#data.bytes;
    this.#consumerWord = new BigUint64Array(this.#consumerPage.bytes.buffer, this.#consumerPage.bytes.byteOffset, 1);
    this.#producerWord = new BigUint64Array(buffer, byteOffset, 1);
    this.#words = new Int32Array(buffer, byteOffset + page, size / 4);
    this.#view = new DataView(buffer, byteOffset + page, 2 * size);
    this.#position = Number(Atomics.load(this.#consumerWord, 0));
    this.#stored = this.#position;
  }

  /** Records delivered so far. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Records met so far that their program had discarded. */
  get discarded(): number {
    return this.#discarded;
  }

  /** Bytes in the ring not yet read, headers included. */
  get pending(): number {
    return this.#closed ? 0 : this.#produced() - this.#position;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Delivers the records that stand in the ring now, without waiting. A record whose receiver throws
   * counts as read; the exception passes on.
   * @param limit The largest number of records to deliver.
   * @returns How many were delivered.
   * @throws BugError when called from within `onRecord`.
   */
  consume(onRecord: OnRecord, limit = Number.POSITIVE_INFINITY): number {
    if (this.#closed) return 0;
    if (this.#consuming) throw new BugError("a ring buffer's receiver must not consume from the same ring buffer");
    this.#consuming = true;
    const before = this.#delivered;
    try {
      this.#drain(onRecord, before + limit);
    } finally {
      this.#consuming = false;
      if (!this.#closed) this.#store();
    }
    return this.#delivered - before;
  }

  #drain(onRecord: OnRecord, until: number): void {
    const mask = this.#size - 1;
    const end = this.#produced();
    while (this.#position < end && this.#delivered < until) {
      const offset = this.#position & mask;
      const word = Atomics.load(this.#words, offset >> 2);
      // The busy bit is the sign: its program has not submitted the record yet.
      if (word < 0) return;
      const length = word & LENGTH_MASK;
      const next = this.#position + ((length + Ringbuf.HDR_SZ + 7) & ~7);
      if ((word & Ringbuf.DISCARD_BIT) !== 0) {
        this.#position = next;
        this.#discarded++;
        continue;
      }
      let taken = true;
      try {
        taken = onRecord(this.#view, offset + Ringbuf.HDR_SZ, length) !== false;
      } finally {
        if (taken) {
          this.#position = next;
          this.#delivered++;
        }
      }
      if (!taken || this.#closed) return;
      // Storing takes longer than reading a record; a program waits for room an eighth of the ring at most.
      if (this.#position - this.#stored > this.#size / 8) this.#store();
    }
  }

  #produced(): number {
    return Number(Atomics.load(this.#producerWord, 0));
  }

  #store(): void {
    if (this.#stored === this.#position) return;
    this.#stored = this.#position;
    Atomics.store(this.#consumerWord, 0, BigInt(this.#position));
  }

  /**
   * Delivers records from the event loop until {@link RingBufferReader.stop}, and keeps the process
   * alive meanwhile. When the receiver returns false, delivery rests until {@link RingBufferReader.resume};
   * the ring fills up then and programs fail to reserve. An exception of the receiver becomes an
   * uncaught exception.
   */
  start(onRecord: OnRecord): void {
    if (this.#closed) throw new BugError("the ring buffer reader is closed");
    if (this.#loop !== null) throw new BugError("the ring buffer is being read already");
    const loop: EventLoop = new EventLoop(this.#map, this.#pollIntervalMs, () => this.#turn(loop, onRecord));
    this.#loop = loop;
    loop.wake();
  }

  #turn(loop: EventLoop, onRecord: OnRecord): Turn {
    let paused = false;
    const delivered = this.consume((view, offset, length) => {
      // The receiver of an earlier record may have ended delivery.
      if (this.#loop !== loop) return false;
      const taken = onRecord(view, offset, length);
      paused = taken === false;
      return taken;
    });
    if (paused) return "pause";
    return delivered === 0 && this.pending > 0 ? "busy" : "wait";
  }

  /** Goes on with delivery after a receiver returned false. */
  resume(): void {
    this.#loop?.wake();
  }

  /** Ends delivery from the event loop; records stay in the ring. */
  stop(): void {
    this.#loop?.close();
    this.#loop = null;
  }

  /** Lets the process end although delivery from the event loop is on. */
  unref(): void {
    this.#loop?.unref();
  }

  /**
   * Resolves once there is something to read, or the reader is closed. Not to be used while
   * {@link RingBufferReader.start} delivers.
   */
  readable(): Promise<void> {
    if (this.#closed || this.pending > 0) return Promise.resolve();
    if (this.#loop !== null) throw new BugError("the ring buffer is being read already");
    return new Promise((resolve) => {
      const loop = new EventLoop(
        this.#map,
        this.#pollIntervalMs,
        () => {
          if (this.pending === 0) return "wait";
          this.stop();
          return "pause";
        },
        resolve,
      );
      this.#loop = loop;
      loop.wake();
    });
  }

  /**
   * Ends delivery and gives the ring's memory back; the map itself stays open. What was delivered
   * before must not be read any more (it reads as zeroes).
   */
  close(): void {
    if (this.#closed) return;
    this.stop();
    this.#store();
    this.#closed = true;
    this.#data.close();
    this.#consumerPage.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * What to do after a turn: wait for the descriptor, look again soon (a record is being written), or
 * rest until woken.
 */
type Turn = "wait" | "busy" | "pause";

/** Runs turns when a descriptor is readable, each from an immediate. */
class EventLoop {
  readonly #fd: Fd;
  readonly #pollIntervalMs: number;
  readonly #turn: () => Turn;
  readonly #onClose: () => void;
  #watch: Watch | null = null;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #referenced = true;
  #closed = false;

  constructor(fd: Fd, pollIntervalMs: number, turn: () => Turn, onClose: () => void = () => {}) {
    this.#fd = fd;
    this.#pollIntervalMs = pollIntervalMs;
    this.#turn = turn;
    this.#onClose = onClose;
  }

  /** Takes a turn in the next round of the event loop. */
  wake(): void {
    if (this.#closed || this.#immediate !== null) return;
    // Not at once: the backend's callback runs outside of Node's bookkeeping, so that promise jobs
    // would wait for something else to happen, and exceptions would get lost.
    this.#immediate = setImmediate(() => {
      this.#immediate = null;
      this.#takeTurn();
    });
    if (!this.#referenced) this.#immediate.unref();
  }

  #takeTurn(): void {
    // After an exception of the receiver the watch goes on where it was.
    let next: Turn = "wait";
    try {
      next = this.#turn();
    } finally {
      if (!this.#closed) this.#arm(next);
    }
  }

  #arm(next: Turn): void {
    if (next === "wait" && ffi().watch !== null) {
      this.#watch ??= this.#watchFd();
      return;
    }
    this.#disarm();
    if (next === "pause") return;
    this.#timer = setTimeout(() => this.wake(), next === "busy" ? BUSY_RETRY_MS : this.#pollIntervalMs);
    if (!this.#referenced) this.#timer.unref();
  }

  #watchFd(): Watch | null {
    const watch = ffi().watch?.(this.#fd.number, () => this.wake()) ?? null;
    if (!this.#referenced) watch?.unref();
    return watch;
  }

  #disarm(): void {
    this.#watch?.close();
    this.#watch = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  unref(): void {
    this.#referenced = false;
    this.#watch?.unref();
    this.#timer?.unref();
    this.#immediate?.unref();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#disarm();
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#immediate = null;
    this.#onClose();
  }
}
