// SPDX-License-Identifier: GPL-2.0-only
import { Limit } from "../kernel/limits.js";
import { LogLevel } from "../kernel/uapi.js";
import { LogBuffer } from "./log-buffer.js";

export const BPF_LOG_LEVEL1 = LogLevel.LEVEL1;
export const BPF_LOG_LEVEL2 = LogLevel.LEVEL2;
export const BPF_LOG_STATS = LogLevel.STATS;
export const BPF_LOG_FIXED = LogLevel.FIXED;
export const BPF_LOG_LEVEL = BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2;
const BPF_LOG_MASK = BPF_LOG_LEVEL | BPF_LOG_STATS | BPF_LOG_FIXED;

const UINT_MAX = 0xffffffff;

/** Whether BPF_PROG_LOAD takes such log attributes. Mirrors bpf_verifier_log_attr_valid(). */
export function bpfVerifierLogAttrValid(level: number, hasBuffer: boolean, size: number): boolean {
  if (hasBuffer !== (size !== 0)) return false;
  if (hasBuffer && level === 0) return false;
  return (level & ~BPF_LOG_MASK) === 0 && size <= UINT_MAX >>> 2;
}

/** Bytes of `text` in UTF-8. */
function utf8Length(text: string): number {
  let n = text.length;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x80) continue;
    if (c < 0x800) n += 1;
    else if (c >= 0xd800 && c < 0xdc00) {
      n += 2;
      i++;
    } else n += 2;
  }
  return n;
}

/** The first `bytes` bytes of a text in UTF-8; a character cut in two goes. */
function cutUtf8(text: string, bytes: number): string {
  if (utf8Length(text) === text.length) return text.slice(0, bytes);
  let end = 0;
  let n = 0;
  for (const c of text) {
    n += utf8Length(c);
    if (n > bytes) break;
    end += c.length;
  }
  return text.slice(0, end);
}

/** Chunks after which they are joined. */
const JOIN_COUNT = 4096;
/** Text beyond is counted but not kept: strings of JavaScript end there. */
const MAX_BYTES = 500_000_000;

/**
 * The verifier's log, written piecewise and cut back when a path succeeded. Mirrors struct bpf_verifier_log. Without
 * a buffer it keeps everything; with one, what the kernel would leave there and the newest lines.
 */
export class Log {
  readonly level: number;
  /** What the kernel writes to, null when the log is to be kept whole. */
  readonly buffer: LogBuffer | null;
  private readonly chunks: string[] = [];
  /** End position of each chunk, in bytes. */
  private readonly ends: number[] = [];
  /** Chunks in front that were joined from many. */
  private joined = 0;
  /** Where the first chunk starts: text in front of it is kept by the buffer alone. */
  private startPos = 0;
  /** Bytes written and not cut back. */
  endPos = 0;
  /** The furthest that {@link endPos} came before the log was cut back. */
  private maxPos = 0;

  /** @param size Bytes of the user's buffer; undefined for a log that is kept whole. */
  constructor(level: number, size?: number) {
    this.level = level;
    this.buffer = size === undefined ? null : new LogBuffer(size, (level & BPF_LOG_FIXED) !== 0);
  }

  /** Bytes of a buffer that would have held everything, the NUL included: log_true_size. */
  get trueSize(): number {
    return this.level === 0 ? 0 : Math.min(Math.max(this.maxPos, this.endPos) + 1, UINT_MAX);
  }

  /** Appends ASCII text when any level is on. */
  write(text: string): void {
    if (this.level !== 0) this.append(text, text.length);
  }

  /** Like {@link write} for text of the user's, which may be too long for one message. */
  writeUtf8(text: string): void {
    if (this.level === 0) return;
    const bytes = utf8Length(text);
    const room = Limit.BPF_VERIFIER_TMP_LOG_SIZE - 1;
    if (bytes <= room) {
      this.append(text, bytes);
      return;
    }
    const cut = cutUtf8(text, room);
    // The kernel cuts bytes: of a character it leaves a part that cannot be read.
    this.append(utf8Length(cut) === room ? cut : `${cut}\ufffd`, room);
  }

  private append(text: string, bytes: number): void {
    if (bytes === 0) return;
    if (this.buffer !== null) this.buffer.write(text, bytes);
    this.endPos += bytes;
    this.chunks.push(this.endPos <= MAX_BYTES ? text : "");
    this.ends.push(this.endPos);
    if (this.chunks.length - this.joined >= JOIN_COUNT) this.join();
  }

  /** Makes one chunk of the newest ones: a million little strings take ten times the room of their text. */
  private join(): void {
    const tail = this.chunks.splice(this.joined).join("");
    this.ends.length = this.joined;
    this.chunks.push(tail);
    this.ends.push(this.endPos);
    this.joined = this.chunks.length;
    if (this.buffer === null || this.joined < 3) return;
    this.startPos = this.ends.shift()!;
    this.chunks.shift();
    this.joined--;
  }

  /** Cuts the log back to `pos` bytes. Mirrors bpf_vlog_reset(). */
  reset(pos: number): void {
    if (this.level === 0) return;
    if (this.endPos > this.maxPos) this.maxPos = this.endPos;
    if (this.buffer !== null) this.buffer.reset(pos);
    const { chunks, ends } = this;
    while (ends.length > 0 && ends[ends.length - 1]! > pos) {
      const start = this.startOf(ends.length - 1);
      const chunk = chunks.pop()!;
      ends.pop();
      if (start >= pos) continue;
      // In the middle of a chunk: only line feeds and other ASCII are ever cut off.
      chunks.push(cutUtf8(chunk, pos - start));
      ends.push(pos);
    }
    if (this.joined > chunks.length) this.joined = chunks.length;
    if (pos < this.startPos) this.startPos = pos;
    this.endPos = this.startOf(ends.length);
  }

  /** Where chunk `i` starts, or would start. */
  private startOf(i: number): number {
    return i > 0 ? this.ends[i - 1]! : this.startPos;
  }

  /** The last line that ends at or before `pos`, blank ones left out. */
  lineBefore(pos: number): string {
    if (this.level === 0) return "";
    let i = this.ends.length;
    while (i > 0 && this.startOf(i - 1) >= pos) i--;
    if (i === 0) return "";
    let text = cutUtf8(this.chunks[i - 1]!, pos - this.startOf(i - 1)).trimEnd();
    while (--i > 0 && !text.includes("\n")) text = (this.chunks[i - 1]! + text).trimEnd();
    return text.slice(text.lastIndexOf("\n") + 1);
  }

  /** The log; of one with a buffer, what its reader finds there. */
  toString(): string {
    if (this.level === 0) return "";
    return this.buffer !== null ? this.buffer.toString() : this.chunks.join("");
  }
}
