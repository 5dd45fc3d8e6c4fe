// SPDX-License-Identifier: GPL-2.0-only

/*
 * Work arrays as long as the program, kept from one verification to the next: the passes run one
 * after the other and none needs its arrays afterwards.
 */

/** Bytes, all zero after {@link ScratchBytes.reset}. */
export class ScratchBytes {
  bytes = new Uint8Array(256);

  reset(len: number): void {
    if (this.bytes.length < len) this.bytes = new Uint8Array(Math.max(len, this.bytes.length * 2));
    else this.bytes.fill(0, 0, len);
  }
}

/** 32-bit numbers, all zero after {@link ScratchInts.reset}. */
export class ScratchInts {
  ints = new Int32Array(256);

  reset(len: number): void {
    if (this.ints.length < len) this.ints = new Int32Array(Math.max(len, this.ints.length * 2));
    else this.ints.fill(0, 0, len);
  }
}
