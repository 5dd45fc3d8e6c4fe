// SPDX-License-Identifier: GPL-2.0-only
import { decodeUtf8 } from "../util/bytes.js";

/** Bytes that are there from the start; the rest of a large buffer comes when something is written there. */
const FIRST_SIZE = 1 << 16;

const encoder = new TextEncoder();

/**
 * The buffer that the loading process gives for the log, byte by byte as the kernel leaves it. A fixed one keeps the
 * beginning of a log that does not fit. The other kind keeps the end: it is written round and round, and turned so that
 * it starts with its oldest byte when the log is done. Mirrors what bpf_verifier_vlog(), bpf_vlog_reset() and
 * bpf_vlog_finalize() do to the memory of the user.
 */
export class LogBuffer {
  /** attr.log_size; 0 for no buffer at all. */
  readonly size: number;
  private readonly fixed: boolean;
  private mem: Uint8Array<ArrayBuffer>;
  /** Position in the log of the oldest byte that a rotating buffer still holds. */
  private start = 0;
  /** Position in the log behind the last byte. */
  private end = 0;

  constructor(size: number, fixed: boolean) {
    this.size = size;
    this.fixed = fixed;
    this.mem = new Uint8Array(Math.min(size, FIRST_SIZE));
  }

  /** What stands in the buffer, which was zero before; bytes behind the array's end are still so. */
  get bytes(): Uint8Array {
    return this.mem;
  }

  /** One message (or a part of one) of `bytes` bytes. */
  write(text: string, bytes: number): void {
    const from = this.end;
    this.end += bytes;
    if (this.size === 0) return;
    if (this.fixed) {
      if (from >= this.size) return;
      const room = Math.min(bytes, this.size - 1 - from);
      this.put(from, text, bytes, 0, room);
      this.zero(from + room);
      return;
    }
    // The terminating NUL takes a place, too.
    if (this.end + 1 - this.start >= this.size) this.start = this.end + 1 - this.size;
    const kept = Math.min(bytes, this.size - 1);
    const at = (this.end - kept) % this.size;
    const first = Math.min(kept, this.size - at);
    this.put(at, text, bytes, bytes - kept, first);
    if (first < kept) this.put(0, text, bytes, bytes - kept + first, kept - first);
    this.zero(this.end % this.size);
  }

  /** The log ends at `pos` again. */
  reset(pos: number): void {
    this.end = pos;
    if (pos < this.start) this.start = pos;
    if (this.size === 0) return;
    // The kernel leaves one byte too many in a fixed buffer, until the next message overwrites it.
    const at = this.fixed ? pos + 1 : pos % this.size;
    if (at < this.size) this.zero(at);
  }

  /** Turns a buffer that was written round so that its oldest byte comes first. */
  finish(): void {
    if (this.fixed || this.size === 0 || this.start === 0) return;
    this.grow(this.size);
    const by = this.start % this.size;
    const head = this.mem.slice(0, by);
    this.mem.copyWithin(0, by);
    this.mem.set(head, this.size - by);
  }

  /** The text up to the first NUL. */
  toString(): string {
    const end = this.mem.indexOf(0);
    return decodeUtf8(end < 0 ? this.mem : this.mem.subarray(0, end));
  }

  /** Bytes `from` to `from + count` of a text that has `bytes` of them, to place `at`. */
  private put(at: number, text: string, bytes: number, from: number, count: number): void {
    this.grow(at + count);
    const { mem } = this;
    if (bytes !== text.length) {
      mem.set(encoder.encode(text).subarray(from, from + count), at);
      return;
    }
    for (let i = 0; i < count; i++) mem[at + i] = text.charCodeAt(from + i);
  }

  private zero(at: number): void {
    this.grow(at + 1);
    this.mem[at] = 0;
  }

  private grow(length: number): void {
    if (length <= this.mem.length) return;
    const grown = new Uint8Array(Math.min(this.size, Math.max(length, this.mem.length * 2)));
    grown.set(this.mem);
    this.mem = grown;
  }
}
