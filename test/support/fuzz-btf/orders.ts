// SPDX-License-Identifier: MIT

/* What the processes of `npm run fuzz:btf` say to each other. */

/** Cases of a block. */
export const BTF_BLOCK = 2000;

export interface BtfOrders {
  readonly seed: number;
  /** Blocks to run: every `step`th from `first`, below `end`, until `deadline` (ms since 1970). */
  readonly first: number;
  readonly step: number;
  readonly end: number;
  readonly deadline: number;
  readonly kernel: boolean;
  /** File of BTFs (base64, one a line) of which bytes are changed; null for none. */
  readonly pool: string | null;
}

export interface BtfTally {
  cases: number;
  accepted: number;
  /** Faults and differences by what tells them apart, with an example. */
  faults: Record<string, { count: number; number: number; detail: string }>;
  /** The longest step: how long, what it was, and of which case. */
  maxMs: number;
  maxWhat: string;
  /** The most memory that the process ever had, in MiB. */
  rssMib: number;
}

export type FromBtfWorker = { readonly block: number; readonly tally: BtfTally | null };

export function emptyTally(): BtfTally {
  return { cases: 0, accepted: 0, faults: {}, maxMs: 0, maxWhat: "", rssMib: 0 };
}

export function addTally(to: BtfTally, from: BtfTally): void {
  to.cases += from.cases;
  to.accepted += from.accepted;
  if (from.maxMs > to.maxMs) {
    to.maxMs = from.maxMs;
    to.maxWhat = from.maxWhat;
  }
  to.rssMib = Math.max(to.rssMib, from.rssMib);
  for (const [key, fault] of Object.entries(from.faults)) {
    const known = to.faults[key];
    if (known === undefined) to.faults[key] = { ...fault };
    else known.count += fault.count;
  }
}
