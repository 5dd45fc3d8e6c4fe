// SPDX-License-Identifier: GPL-2.0-only

export const BPF_LOG_LEVEL1 = 1;
export const BPF_LOG_LEVEL2 = 2;
export const BPF_LOG_STATS = 4;
export const BPF_LOG_LEVEL = BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2;

/** Bytes of `text` in UTF-8; nearly every text of the log is ASCII. */
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

/** The verifier's log, written piecewise and cut back when a path succeeded. Mirrors struct bpf_verifier_log. */
export class Log {
  readonly level: number;
  private readonly chunks: string[] = [];
  /** End position of each chunk, in bytes. */
  private readonly ends: number[] = [];
  /** Bytes written and not cut back. */
  endPos = 0;

  constructor(level: number) {
    this.level = level;
  }

  /** Appends text when any level is on. */
  write(text: string): void {
    if (this.level === 0 || text === "") return;
    this.endPos += utf8Length(text);
    this.chunks.push(text);
    this.ends.push(this.endPos);
  }

  /** Cuts the log back to a position where a chunk ended. Mirrors bpf_vlog_reset(). */
  reset(pos: number): void {
    while (this.ends.length > 0 && this.ends[this.ends.length - 1]! > pos) {
      this.ends.pop();
      this.chunks.pop();
    }
    this.endPos = this.ends.length === 0 ? 0 : this.ends[this.ends.length - 1]!;
  }

  toString(): string {
    return this.chunks.join("");
  }
}
