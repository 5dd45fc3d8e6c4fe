// SPDX-License-Identifier: MIT
import { mixSeed, Rng } from "../fuzz/rng.js";
import { randomBtf } from "./generate.js";
import { mutated } from "./mutate.js";
import { encodeRaw } from "./raw-btf.js";

/** One BTF and how to ask about it. */
export interface BtfCase {
  readonly bytes: Uint8Array;
  readonly logLevel: number;
  /** Bytes of the log's buffer; null for one that everything fits into. */
  readonly logSize: number | null;
}

function blob(rng: Rng, pool: readonly Uint8Array[]): Uint8Array {
  const kind = rng.below(100);
  if (kind < 2) return Uint8Array.from({ length: rng.below(80) }, () => rng.u32() & 0xff);
  if (kind < 8 && pool.length > 0) {
    const out = rng.pick(pool).slice();
    for (let n = 1 + rng.below(3); n > 0; n--) out[rng.below(out.length)] = rng.u32() & 0xff;
    return out;
  }
  const raw = randomBtf(rng, rng.chance(0.05) ? 120 : 24);
  return kind < 45 ? encodeRaw(raw) : mutated(rng, raw, 1 + rng.below(rng.chance(0.2) ? 6 : 2));
}

/** Case `number` of a seed; `pool` are BTFs of which bytes are changed. */
export function btfCase(seed: number, number: number, pool: readonly Uint8Array[] = []): BtfCase {
  const rng = new Rng(mixSeed(seed, number));
  const bytes = blob(rng, pool);
  const logLevel = rng.weighted([
    [60, 1],
    [30, 2],
    [3, 0],
    [3, 4],
    [2, 9],
    [2, rng.below(20)],
  ] as const);
  const logSize = rng.chance(0.92) ? null : rng.chance(0.9) ? rng.below(1500) : rng.below(3);
  return { bytes, logLevel, logSize };
}
