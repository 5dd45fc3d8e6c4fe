// SPDX-License-Identifier: MIT
import { MapType } from "../kernel/uapi.js";
import type { Codec, MapDecl } from "../model/codec.js";
import type { Fd } from "../syscall/fd.js";
import { type OnRecord, type RingBufferOptions, RingBufferReader } from "../syscall/ringbuf.js";
import { InputError } from "../util/errors.js";

/** Receives one event. Returning false says "not now": the event stays in the ring and delivery rests. */
// biome-ignore lint/suspicious/noConfusingVoidType: a callback may return nothing
export type OnEvent<T> = (event: T) => void | boolean;

/** How to read a typed ring buffer. */
export interface TypedRingOptions extends RingBufferOptions {
  /**
   * Reads the program's own count of events for which the ring had no room. Without it
   * {@link TypedRing.lost} is 0, since the kernel does not count them.
   */
  readonly lost?: () => number | bigint;
}

/**
 * A ring buffer as a stream of events of one TypeScript type. Either call back from the event loop
 * ({@link TypedRing.start}), or iterate (`for await`), which reads no further than the loop has come:
 * a slow reader fills the ring, and it is the programs that see it full.
 */
export class TypedRing<T> implements Disposable, AsyncIterable<T> {
  readonly name: string;
  readonly #codec: Codec<T>;
  readonly #reader: RingBufferReader;
  readonly #lost: () => number | bigint;

  /** Use {@link typedRing}. */
  constructor(fd: Fd, decl: MapDecl<undefined, T>, options: TypedRingOptions = {}) {
    this.name = decl.spec.name;
    this.#codec = decl.value;
    this.#lost = options.lost ?? (() => 0);
    this.#reader = new RingBufferReader(fd, options);
  }

  /** Events delivered so far. */
  get delivered(): number {
    return this.#reader.delivered;
  }

  /** Records that programs reserved and then discarded. */
  get discarded(): number {
    return this.#reader.discarded;
  }

  /** Events for which there was no room, as far as the program counts them. */
  get lost(): number {
    return Number(this.#lost());
  }

  /** Bytes in the ring not yet read, record headers included. */
  get pending(): number {
    return this.#reader.pending;
  }

  /**
   * Delivers the events that stand in the ring now, without waiting.
   * @returns How many were delivered.
   * @throws InputError when a record is shorter than the event type.
   */
  consume(onEvent: OnEvent<T>, limit?: number): number {
    return this.#reader.consume(this.#receiver(onEvent), limit);
  }

  /** Delivers events from the event loop until {@link TypedRing.stop}; keeps the process alive meanwhile. */
  start(onEvent: OnEvent<T>): void {
    this.#reader.start(this.#receiver(onEvent));
  }

  /** Goes on with delivery after a receiver returned false. */
  resume(): void {
    this.#reader.resume();
  }

  /** Ends delivery from the event loop; events stay in the ring. */
  stop(): void {
    this.#reader.stop();
  }

  /** Lets the process end although delivery is on. */
  unref(): void {
    this.#reader.unref();
  }

  /** Events one by one, until the ring is closed. An event counts as read once it is handed out. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    while (!this.#reader.closed) {
      const events: T[] = [];
      this.consume((event) => {
        events.push(event);
      }, 1);
      if (events.length > 0) yield events[0]!;
      else if (!this.#reader.closed) await this.#next();
    }
  }

  async #next(): Promise<void> {
    // A record that its program has not submitted yet is pending, but not to be read.
    if (this.#reader.pending > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    else await this.#reader.readable();
  }

  #receiver(onEvent: OnEvent<T>): OnRecord {
    const { size } = this.#codec;
    return (view, offset, length) => {
      if (length < size) {
        throw new InputError(`a record of ring buffer ${this.name} has ${length} bytes, its event type ${size}`);
      }
      return onEvent(this.#codec.decode(view, offset));
    };
  }

  close(): void {
    this.#reader.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a ring buffer as its declaration types it.
 * @param fd The map; must stay open until the ring is closed.
 * @throws InputError when the map is no ring buffer; SyscallError
 */
export function typedRing<T>(fd: Fd, decl: MapDecl<undefined, T>, options?: TypedRingOptions): TypedRing<T> {
  if (decl.spec.type !== MapType.RINGBUF) throw new InputError(`map ${decl.spec.name} is no ring buffer`);
  return new TypedRing(fd, decl, options);
}
