// SPDX-License-Identifier: MIT
import { Cmd, OBJ_NAME_LEN } from "../kernel/uapi.js";
import { encodeUtf8 } from "../util/bytes.js";
import { ffi } from "./backend.js";
import { ATTR_SIZE } from "./layout.js";
import { type SyscallName, sys } from "./sys.js";

const TWO_32 = 2 ** 32;

/** Holds the structure of the running system call, so that it, and all that it points to, stays alive. */
const inFlight: { attr: Attr | null } = { attr: null };

/**
 * A zeroed structure that a system call reads or writes, `union bpf_attr` or another. What it points
 * to lives as long as the structure.
 */
export class Attr {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: number;
  readonly #kept: Uint8Array[] = [];

  constructor(size: number = ATTR_SIZE) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.address = ffi().address(this.bytes);
  }

  /** Writes a 32-bit word, signed or unsigned. */
  u32(offset: number, value: number): this {
    this.view.setUint32(offset, value, true);
    return this;
  }

  /** Writes a 64-bit word; as a number it must be a safe integer and not negative. */
  u64(offset: number, value: number | bigint): this {
    if (typeof value === "bigint") this.view.setBigUint64(offset, value, true);
    else {
      this.view.setUint32(offset, value % TWO_32, true);
      this.view.setUint32(offset + 4, value / TWO_32, true);
    }
    return this;
  }

  /** Writes the address of `bytes`; 0 for none. */
  pointer(offset: number, bytes: Uint8Array | null): this {
    if (bytes === null || bytes.byteLength === 0) return this.u64(offset, 0);
    this.#kept.push(bytes);
    return this.u64(offset, ffi().address(bytes));
  }

  /** Writes the address of a zero-terminated copy of `text`. */
  text(offset: number, text: string): this {
    return this.pointer(offset, cText(text));
  }

  /**
   * Writes an object's name in place: its first 15 bytes, with every character that the kernel
   * refuses (all but letters, digits, `_` and `.`) replaced by `_`.
   */
  name(offset: number, name: string): this {
    const clean = name.replace(/[^A-Za-z0-9_.]/g, "_").slice(0, OBJ_NAME_LEN - 1);
    this.bytes.set(encodeUtf8(clean), offset);
    return this;
  }

  /** The 32-bit word at `offset`, unsigned. */
  getU32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  /**
   * Makes a system call that uses the structure, whose address is among the arguments. Returns the
   * call's result, or its negated errno.
   */
  call(name: SyscallName, a = 0, b = 0, c = 0, d = 0, e = 0): number {
    inFlight.attr = this;
    const result = sys(name, a, b, c, d, e);
    inFlight.attr = null;
    return result;
  }
}

/** Zero-terminated UTF-8. */
export function cText(text: string): Uint8Array {
  return encodeUtf8(`${text}\0`);
}

/** Calls bpf(2). Returns its result, or its negated errno. */
export function bpf(cmd: number, attr: Attr, size: number): number {
  return attr.call("bpf", cmd, attr.address, size);
}

const names = new Map<number, string>();

/** A command's name in the kernel's spelling, e.g. `BPF_MAP_CREATE`. */
export function cmdName(cmd: number): string {
  if (names.size === 0) for (const [name, value] of Object.entries(Cmd)) names.set(value, `BPF_${name}`);
  return names.get(cmd) ?? `bpf command ${cmd}`;
}
