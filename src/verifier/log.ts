// SPDX-License-Identifier: GPL-2.0-only

export const BPF_LOG_LEVEL1 = 1;
export const BPF_LOG_LEVEL2 = 2;
export const BPF_LOG_STATS = 4;
export const BPF_LOG_LEVEL = BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2;

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

/** The verifier's log, written piecewise and cut back when a path succeeded. Mirrors struct bpf_verifier_log. */
export class Log {
  readonly level: number;
  private readonly chunks: string[] = [];
  /** End position of each chunk, in bytes. */
  private readonly ends: number[] = [];
  /** Chunks in front that were joined from many. */
  private joined = 0;
  /** Bytes written and not cut back. */
  endPos = 0;

  constructor(level: number) {
    this.level = level;
  }

  /** Appends ASCII text when any level is on. */
  write(text: string): void {
    if (this.level !== 0) this.append(text, text.length);
  }

  /** Like {@link write} for text of the user's. */
  writeUtf8(text: string): void {
    if (this.level !== 0) this.append(text, utf8Length(text));
  }

  private append(text: string, bytes: number): void {
    if (bytes === 0) return;
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
  }

  /** Cuts the log back to `pos` bytes. Mirrors bpf_vlog_reset(). */
  reset(pos: number): void {
    if (this.level === 0) return;
    const { chunks, ends } = this;
    while (ends.length > 0 && ends[ends.length - 1]! > pos) {
      const start = ends.length > 1 ? ends[ends.length - 2]! : 0;
      const chunk = chunks.pop()!;
      ends.pop();
      if (start >= pos) continue;
      // In the middle of a chunk: only line feeds and other ASCII are ever cut off.
      chunks.push(cutUtf8(chunk, pos - start));
      ends.push(pos);
    }
    if (this.joined > chunks.length) this.joined = chunks.length;
    this.endPos = ends.length === 0 ? 0 : ends[ends.length - 1]!;
  }

  /** The last line that ends at or before `pos`, blank ones left out. */
  lineBefore(pos: number): string {
    let i = this.ends.length;
    while (i > 0 && (i > 1 ? this.ends[i - 2]! : 0) >= pos) i--;
    if (i === 0) return "";
    const start = i > 1 ? this.ends[i - 2]! : 0;
    let text = cutUtf8(this.chunks[i - 1]!, pos - start).trimEnd();
    while (--i > 0 && !text.includes("\n")) text = (this.chunks[i - 1]! + text).trimEnd();
    return text.slice(text.lastIndexOf("\n") + 1);
  }

  toString(): string {
    return this.chunks.join("");
  }
}
