// SPDX-License-Identifier: MIT

/** Random numbers of which the same seed gives the same row (mulberry32). */
export class Rng {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 32 bits, unsigned. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** An integer in [0, n). */
  below(n: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }

  chance(p: number): boolean {
    return this.u32() < p * 0x1_0000_0000;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** One of the rows, each as likely as its weight. */
  weighted<T>(rows: readonly (readonly [weight: number, value: T])[]): T {
    let total = 0;
    for (const [weight] of rows) total += weight;
    let at = (this.u32() / 0x1_0000_0000) * total;
    for (const [weight, value] of rows) {
      at -= weight;
      if (at < 0) return value;
    }
    return rows[rows.length - 1]![1];
  }
}

/** Mixes numbers into one seed, so that neighbours have nothing in common. */
export function mixSeed(...parts: readonly number[]): number {
  let h = 0x811c9dc5;
  for (const part of parts) {
    h = Math.imul(h ^ (part | 0), 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return h | 0;
}
