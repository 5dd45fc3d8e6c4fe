// SPDX-License-Identifier: MIT

/* The binary format of WebAssembly 1.0, as far as compiled programs need it. */

/** Opcodes by their names in the text format. */
export const W = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  br_if: 0x0d,
  br_table: 0x0e,
  return: 0x0f,
  call: 0x10,
  select: 0x1b,
  local_get: 0x20,
  local_set: 0x21,
  local_tee: 0x22,
  global_get: 0x23,
  global_set: 0x24,
  i32_load: 0x28,
  i64_load: 0x29,
  i64_load8_s: 0x30,
  i64_load8_u: 0x31,
  i64_load16_s: 0x32,
  i64_load16_u: 0x33,
  i64_load32_s: 0x34,
  i64_load32_u: 0x35,
  i32_store: 0x36,
  i64_store: 0x37,
  i64_store8: 0x3c,
  i64_store16: 0x3d,
  i64_store32: 0x3e,
  i32_const: 0x41,
  i64_const: 0x42,
  i32_eqz: 0x45,
  i32_eq: 0x46,
  i32_ne: 0x47,
  i32_lt_s: 0x48,
  i32_lt_u: 0x49,
  i32_gt_s: 0x4a,
  i32_gt_u: 0x4b,
  i32_le_s: 0x4c,
  i32_le_u: 0x4d,
  i32_ge_s: 0x4e,
  i32_ge_u: 0x4f,
  i64_eqz: 0x50,
  i64_eq: 0x51,
  i64_ne: 0x52,
  i64_lt_s: 0x53,
  i64_lt_u: 0x54,
  i64_gt_s: 0x55,
  i64_gt_u: 0x56,
  i64_le_s: 0x57,
  i64_le_u: 0x58,
  i64_ge_s: 0x59,
  i64_ge_u: 0x5a,
  i32_add: 0x6a,
  i32_sub: 0x6b,
  i32_mul: 0x6c,
  i32_div_s: 0x6d,
  i32_div_u: 0x6e,
  i32_rem_s: 0x6f,
  i32_rem_u: 0x70,
  i32_and: 0x71,
  i32_or: 0x72,
  i32_xor: 0x73,
  i32_shl: 0x74,
  i32_shr_s: 0x75,
  i32_shr_u: 0x76,
  i32_rotl: 0x77,
  i32_rotr: 0x78,
  i64_add: 0x7c,
  i64_sub: 0x7d,
  i64_mul: 0x7e,
  i64_div_s: 0x7f,
  i64_div_u: 0x80,
  i64_rem_s: 0x81,
  i64_rem_u: 0x82,
  i64_and: 0x83,
  i64_or: 0x84,
  i64_xor: 0x85,
  i64_shl: 0x86,
  i64_shr_s: 0x87,
  i64_shr_u: 0x88,
  i64_rotl: 0x89,
  i32_wrap: 0xa7,
  i64_extend_s: 0xac,
  i64_extend_u: 0xad,
} as const;

/** Types of values; `none` is the type of a block without one. */
export const T = { i32: 0x7f, i64: 0x7e, none: 0x40, func: 0x60 } as const;

/** Bytes of a module in the making. */
export class WasmWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;

  byte(...bytes: readonly number[]): this {
    if (this.#length + bytes.length > this.#bytes.length) {
      const bytesNow = new Uint8Array(this.#bytes.length * 2 + bytes.length);
      bytesNow.set(this.#bytes);
      this.#bytes = bytesNow;
    }
    for (const byte of bytes) this.#bytes[this.#length++] = byte;
    return this;
  }

  /** An unsigned number of up to 32 bits. */
  u32(value: number): this {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.byte(rest);
  }

  /** A signed number of up to 32 bits. */
  s32(value: number): this {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  /** A signed number of 64 bits, as halves. */
  s64(low: number, high: number): this {
    if (high === low >> 31) return this.s32(low);
    let [l, h] = [low, high];
    for (;;) {
      const bits = l & 0x7f;
      l = (l >>> 7) | (h << 25);
      h >>= 7;
      const done = (l === 0 && h === 0 && (bits & 0x40) === 0) || (l === -1 && h === -1 && (bits & 0x40) !== 0);
      this.byte(done ? bits : bits | 0x80);
      if (done) return this;
    }
  }

  name(text: string): this {
    return this.u32(text.length).byte(...Array.from(text, (c) => c.charCodeAt(0)));
  }

  append(other: WasmWriter): this {
    const bytes = other.finish();
    while (this.#length + bytes.length > this.#bytes.length) {
      const bytesNow = new Uint8Array(this.#bytes.length * 2 + bytes.length);
      bytesNow.set(this.#bytes);
      this.#bytes = bytesNow;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Another writer's content with its length in front. */
  sized(other: WasmWriter): this {
    return this.u32(other.#length).append(other);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}
