// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import type { Machine } from "../machine.js";

/** What became of a format: the text, or a negative error number. */
export type Formatted = { readonly text: string } | { readonly error: number };

const SPECIFIER = /%(?:%|(-?\+?0?)(\d*)(p(?:ks|us|[Kk]?s|x|K|B|[iI][46])?|ll[diuxX]|l[diuxX]|[diuxXsc]))/g;

/** Bytes up to a zero byte as text, or null when there is none within the room or nothing at the address. */
export function textAt(machine: Machine, low: number, high: number, most = 4096): string | null {
  const room = Math.min(machine.memory.room(low, high), most);
  if (room === 0) return null;
  const at = machine.memory.find(low, high, room);
  const bytes = machine.memory.bytes.subarray(at, at + room);
  const end = bytes.indexOf(0);
  return end < 0 ? null : String.fromCharCode(...bytes.subarray(0, end));
}

function ipAddress(machine: Machine, kind: string, value: bigint): string {
  const size = kind.endsWith("4") ? 4 : 16;
  const at = machine.memory.find(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)), size);
  if (at < 0) return "";
  const bytes = [...machine.memory.copy(at, size)];
  const dotted = kind.startsWith("i") ? (b: number) => String(b).padStart(3, "0") : String;
  if (size === 4) return bytes.map(dotted).join(".");
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16));
  if (kind === "i6") return words.map((word) => word.padStart(4, "0")).join("");
  return shortIpv6(words);
}

/** The longest row of zeros, when there are at least two, becomes `::`. */
function shortIpv6(words: readonly string[]): string {
  const text = words.join(":");
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  const run = runs[0];
  if (run === undefined) return text;
  const before = text.slice(0, run.index);
  const after = text.slice(run.index + run[0].length);
  return `${before}::${after.replace(/^:/, "")}`;
}

/**
 * Formats as bpf_bprintf_prepare() and vsnprintf() do together.
 * @param args The values, unsigned.
 */
export function format(machine: Machine, template: string, args: readonly bigint[]): Formatted {
  let next = 0;
  let error = 0;
  const signed = (value: bigint, wide: boolean): bigint => BigInt.asIntN(wide ? 64 : 32, value);
  const unsigned = (value: bigint, wide: boolean): bigint => BigInt.asUintN(wide ? 64 : 32, value);
  const text = template.replace(SPECIFIER, (all, flags: string | undefined, width: string, kind: string) => {
    if (all === "%%") return "%";
    if (next >= args.length) {
      error = -Errno.EINVAL;
      return "";
    }
    const value = args[next++]!;
    const low = Number(BigInt.asIntN(32, value));
    const high = Number(BigInt.asIntN(32, value >> 32n));
    const wide = kind.startsWith("l");
    let out: string;
    if (kind === "s" || /^p.?s$/.test(kind)) out = textAt(machine, low, high) ?? "";
    else if (kind === "c") out = String.fromCharCode(low & 0xff);
    else if (/^p[iI]/.test(kind)) out = ipAddress(machine, kind.slice(1), value);
    else if (kind.startsWith("p")) out = unsigned(value, true).toString(16).padStart(16, "0");
    else if (/[di]$/.test(kind)) out = signed(value, wide).toString();
    else if (kind.endsWith("u")) out = unsigned(value, wide).toString();
    else if (kind.endsWith("x")) out = unsigned(value, wide).toString(16);
    else out = unsigned(value, wide).toString(16).toUpperCase();
    if (flags?.includes("+") && /[di]$/.test(kind) && !out.startsWith("-")) out = `+${out}`;
    const wanted = Number(width || 0);
    if (flags?.includes("-")) return out.padEnd(wanted);
    if (flags?.includes("0") && /[diuxX]$/.test(kind)) {
      const sign = /^[+-]/.exec(out)?.[0] ?? "";
      return sign + out.slice(sign.length).padStart(wanted - sign.length, "0");
    }
    return out.padStart(wanted);
  });
  if (error === 0 && /%/.test(template.replace(SPECIFIER, ""))) error = -Errno.EINVAL;
  return error === 0 ? { text } : { error };
}
