// SPDX-License-Identifier: MIT

/* Sums in one's complement of 16-bit words in the machine's order, as include/net/checksum.h has them. */

/** Sum of two, the carry added again. */
export function csumAdd(a: number, b: number): number {
  const sum = (a >>> 0) + (b >>> 0);
  return sum > 0xffff_ffff ? (sum + 1) >>> 0 : sum >>> 0;
}

export function csumSub(a: number, b: number): number {
  return csumAdd(a, ~b >>> 0);
}

/** The sum in 16 bits, inverted. */
export function csumFold(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/** The sum in 16 bits: csum_from32to16(). */
export function csumTo16(sum: number): number {
  return ~csumFold(sum) & 0xffff;
}

/** Adds bytes to a sum; missing ones at the end are 0. */
export function csumPartial(bytes: Uint8Array, seed: number): number {
  let sum = seed >>> 0;
  for (let i = 0; i < bytes.length; i += 4) {
    const word = bytes[i]! | ((bytes[i + 1] ?? 0) << 8) | ((bytes[i + 2] ?? 0) << 16) | ((bytes[i + 3] ?? 0) << 24);
    sum = csumAdd(sum, word >>> 0);
  }
  return sum;
}

/** A checksum field after what it covers changed by a difference. */
export function csumReplaceByDiff(field: number, diff: number): number {
  return csumFold(csumAdd(diff, ~field >>> 0));
}

/** A checksum field after 32 bits that it covers changed. */
export function csumReplace4(field: number, from: number, to: number): number {
  return csumFold(csumAdd(csumSub(~field >>> 0, from), to));
}

/** A checksum field after 16 bits that it covers changed. */
export function csumReplace2(field: number, from: number, to: number): number {
  const add = (a: number, b: number): number => {
    const sum = (a + b) & 0xffff;
    return (sum + (sum < b ? 1 : 0)) & 0xffff;
  };
  return ~add(add(~field & 0xffff, ~from & 0xffff), to) & 0xffff;
}
