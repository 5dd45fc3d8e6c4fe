// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { mapOf } from "../mem/map-value.js";
import { R_OFF, R_VAL_LO, regAt } from "../state/reg.js";

const PERCENT = 0x25;

function code(c: string): number {
  return c.charCodeAt(0);
}

function isOneOf(byte: number, chars: string): boolean {
  return byte !== 0 && chars.includes(String.fromCharCode(byte));
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function isPunct(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f && !/[0-9A-Za-z]/.test(String.fromCharCode(byte));
}

/** Whether a conversion may end before this byte. */
function endsSpec(byte: number): boolean {
  return byte === 0 || isSpace(byte) || isPunct(byte);
}

function isText(byte: number): boolean {
  return byte >= 0x80 || (byte >= 0x20 && byte < 0x7f) || isSpace(byte);
}

/** Format under inspection: bytes up to the ending zero. */
class Format {
  readonly bytes: Uint8Array;
  pos: number;

  constructor(bytes: Uint8Array, pos: number) {
    this.bytes = bytes;
    this.pos = pos;
  }

  at(ahead: number): number {
    return this.bytes[this.pos + ahead] ?? 0;
  }

  /** Steps over flags and width. */
  skipWidth(): void {
    while (isOneOf(this.at(0), "0+- ")) this.pos++;
    if (isOneOf(this.at(0), "123456789")) while (isOneOf(this.at(0), "0123456789")) this.pos++;
  }

  /** `%p` and its extensions; false when there is no such one. */
  pointer(): boolean {
    if (endsSpec(this.at(1))) return true;
    if (isOneOf(this.at(1), "ku") && this.at(2) === code("s")) {
      this.pos += 2;
      return endsSpec(this.at(1));
    }
    if (isOneOf(this.at(1), "KxsSB")) {
      this.pos++;
      return true;
    }
    if (!isOneOf(this.at(1), "iI") || !isOneOf(this.at(2), "46")) return false;
    this.pos += 2;
    return true;
  }

  /** One conversion behind its `%`; `pos` ends on its last byte. */
  conversion(): boolean {
    this.skipWidth();
    if (this.at(0) >= 0x80) return false;
    if (this.at(0) === code("p")) return this.pointer();
    if (this.at(0) === code("s")) return endsSpec(this.at(1));
    if (this.at(0) === code("c")) return true;
    if (this.at(0) === code("l")) this.pos++;
    if (this.at(0) === code("l")) this.pos++;
    return isOneOf(this.at(0), "iduxX");
  }
}

/** Whether the format is one that BPF can print with this many arguments. Mirrors bpf_bprintf_prepare() without arguments. */
export function bpfBprintfPrepare(bytes: Uint8Array, start: number, numArgs: number): number {
  const fmt = new Format(bytes, start);
  let specs = 0;
  for (; fmt.at(0) !== 0; fmt.pos++) {
    if (!isText(fmt.at(0))) return -Errno.EINVAL;
    if (fmt.at(0) !== PERCENT) continue;
    if (fmt.at(1) === PERCENT) {
      fmt.pos++;
      continue;
    }
    if (specs >= numArgs) return -Errno.EINVAL;
    fmt.pos++;
    if (!fmt.conversion()) return -Errno.EINVAL;
    specs++;
  }
  return 0;
}

/** The format of bpf_snprintf() is known, so it is checked here. Mirrors check_bpf_snprintf_call(). */
export function checkBpfSnprintfCall(env: VerifierEnv): number {
  const mem = env.cur().cur().mem;
  const fmt = regAt(3);
  const dataLen = mem[regAt(5) + R_VAL_LO]!;
  if ((dataLen & 7) !== 0) return -Errno.EINVAL;
  const map = mapOf(env, mem, fmt).load;
  const at = (mem[fmt + R_OFF]! + mem[fmt + R_VAL_LO]!) | 0;
  const err = bpfBprintfPrepare(map.value ?? new Uint8Array(0), at, dataLen >>> 3);
  if (err < 0) verbose(env, "Invalid format string\n");
  return err;
}
