// SPDX-License-Identifier: MIT
import { DIFFERENCE_KINDS, type DifferenceKind } from "../../test/support/parity.js";
import type { Outcome } from "./outcome.js";

/** How many programs came out how. */
export interface Row {
  programs: number;
  /** Equal in everything. */
  same: number;
  readonly kinds: Record<DifferenceKind, number>;
}

export function emptyRow(): Row {
  const kinds = Object.fromEntries(DIFFERENCE_KINDS.map((kind) => [kind, 0])) as Record<DifferenceKind, number>;
  return { programs: 0, same: 0, kinds };
}

export function addTo(row: Row, { kind }: Outcome): void {
  row.programs++;
  if (kind === null) row.same++;
  else row.kinds[kind]++;
}

/** A share of programs that must be reached. */
export interface Share {
  readonly name: string;
  readonly count: number;
  /** Percent. */
  readonly wanted: number | null;
}

/** Percentages wanted of each profile; null: not asked for. */
const wanted: Readonly<Record<string, { verdict: number; message: number | null; log: number | null }>> = {
  "6.18": { verdict: 100, message: 99.5, log: 97 },
  "6.12": { verdict: 99.5, message: null, log: null },
};

/** What counts: each difference weighs also in the shares of what is finer than it. */
export function shares({ kinds, programs }: Row, release: string): Share[] {
  const goal = wanted[release] ?? { verdict: 100, message: null, log: null };
  const verdict = programs - kinds.crash - kinds.unsupported - kinds.verdict - kinds.errno;
  const message = verdict - kinds.message;
  return [
    { name: "same verdict and errno", count: verdict, wanted: goal.verdict },
    { name: "same last message", count: message, wanted: goal.message },
    { name: "same log and counters", count: message - kinds.log - kinds.counters, wanted: goal.log },
  ];
}

export function reached({ count, wanted }: Share, programs: number): boolean {
  return wanted === null || programs === 0 || count * 100 >= wanted * programs;
}

/** Cut, not rounded: only all are 100 %. */
export function percent(count: number, programs: number): string {
  return programs === 0 ? "-" : `${(Math.floor((count / programs) * 10000) / 100).toFixed(2)} %`;
}
