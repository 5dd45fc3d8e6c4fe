// SPDX-License-Identifier: MIT

const FIRST_BUCKETS = 4;

/**
 * Types by the hash of their content: those that a type may turn out to be the same as. A chained hash
 * table in typed arrays, never asked whether it holds something: the walker compares.
 *
 * Where a type has several candidates (the same forward declaration completed differently, say), the first
 * one wins, so the order of walking belongs to the result. It is libbpf's: the newest first, turned round
 * each time that the table grows, which it does when it would be more than three quarters full.
 */
export class CandidateTable {
  #heads = new Int32Array(FIRST_BUCKETS).fill(-1);
  #used = 0;
  #ids = new Int32Array(1024);
  #hashes = new Int32Array(1024);
  #nexts = new Int32Array(1024);

  /** First entry of the bucket of a hash, or -1. It and its {@link next} may have another hash. */
  first(hash: number): number {
    return this.#heads[hash & (this.#heads.length - 1)]!;
  }

  /** The entry after an entry, or -1. */
  next(entry: number): number {
    return this.#nexts[entry]!;
  }

  /** Hash of an entry's type. */
  hash(entry: number): number {
    return this.#hashes[entry]!;
  }

  /** An entry's type. */
  id(entry: number): number {
    return this.#ids[entry]!;
  }

  /** Enters a type. */
  add(hash: number, id: number): void {
    if (Math.floor(((this.#used + 1) * 4) / 3) > this.#heads.length) this.#growBuckets();
    if (this.#used === this.#ids.length) this.#growEntries();
    this.#ids[this.#used] = id;
    this.#hashes[this.#used] = hash;
    this.#link(this.#used++);
  }

  #link(entry: number): void {
    const bucket = this.#hashes[entry]! & (this.#heads.length - 1);
    this.#nexts[entry] = this.#heads[bucket]!;
    this.#heads[bucket] = entry;
  }

  #growBuckets(): void {
    const old = this.#heads;
    this.#heads = new Int32Array(old.length * 2).fill(-1);
    for (let entry of old) {
      while (entry >= 0) {
        const next = this.#nexts[entry]!;
        this.#link(entry);
        entry = next;
      }
    }
  }

  #growEntries(): void {
    const grow = (array: Int32Array): Int32Array<ArrayBuffer> => {
      const bigger = new Int32Array(array.length * 2);
      bigger.set(array);
      return bigger;
    };
    this.#ids = grow(this.#ids);
    this.#hashes = grow(this.#hashes);
    this.#nexts = grow(this.#nexts);
  }
}
