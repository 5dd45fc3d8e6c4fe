// SPDX-License-Identifier: MIT
import type { Tally } from "./campaign.js";
import type { Finding } from "./compare.js";
import type { RawTally } from "./raw.js";

/* What the processes of a fuzzing campaign say to each other. */

export interface WorkerOrders {
  readonly seed: number;
  /** `root`, `none`, or names with commas between. */
  readonly caps: string;
  /** Blocks to run: every `step`th from `first`, below `end`, until `deadline` (ms since 1970). */
  readonly first: number;
  readonly step: number;
  readonly end: number;
  readonly deadline: number;
  readonly raw: boolean;
  /** Keys of differences that need not be made small. */
  readonly known: readonly string[];
}

export type FromWorker =
  | { readonly kind: "block"; readonly block: number }
  | { readonly kind: "tally"; readonly tally: Tally }
  | { readonly kind: "raw"; readonly tally: RawTally }
  | { readonly kind: "found"; readonly finding: Finding; readonly logLevel: number; readonly record: string };
