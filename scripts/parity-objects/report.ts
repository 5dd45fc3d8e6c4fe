// SPDX-License-Identifier: MIT
import type { Outcome } from "./outcome.js";
import { reasonFor } from "./reasons.js";

/** Outcomes listed of each kind of difference. */
const EXAMPLES = 3;

/** Sums outcomes up. */
export class Report {
  readonly #same: number;
  readonly #setAside = new Map<string, number>();
  /** By reason. */
  readonly #explained = new Map<string, Outcome[]>();
  /** By what differs first. */
  readonly #unexplained = new Map<string, Outcome[]>();
  readonly #compared: number;
  readonly #least: number;

  /** @param least percent of the compared programs that must be the same. */
  constructor(outcomes: readonly Outcome[], least: number) {
    this.#least = least;
    const compared = outcomes.filter(({ setAside }) => setAside === null);
    this.#compared = compared.length;
    this.#same = compared.filter(({ first }) => first === null).length;
    for (const { setAside } of outcomes) {
      if (setAside !== null) this.#setAside.set(setAside, (this.#setAside.get(setAside) ?? 0) + 1);
    }
    for (const outcome of compared) {
      if (outcome.first === null) continue;
      const reason = reasonFor(outcome);
      const [groups, key] = reason === undefined ? [this.#unexplained, outcome.first] : [this.#explained, reason];
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [outcome]);
      else group.push(outcome);
    }
  }

  get percent(): number {
    return this.#compared === 0 ? 100 : (100 * this.#same) / this.#compared;
  }

  get passed(): boolean {
    return this.percent >= this.#least && this.#unexplained.size === 0;
  }

  json(): object {
    return {
      compared: this.#compared,
      same: this.#same,
      percent: this.percent,
      setAside: Object.fromEntries(this.#setAside),
      explained: Object.fromEntries(this.#explained),
      unexplained: Object.fromEntries(this.#unexplained),
    };
  }

  text(all: boolean): string {
    const lines: string[] = [];
    for (const [reason, count] of this.#setAside) lines.push(`set aside: ${count} × ${reason}`);
    const groups = (title: string, map: ReadonlyMap<string, readonly Outcome[]>) => {
      for (const [key, group] of [...map].sort((a, b) => b[1].length - a[1].length)) {
        lines.push(`${title}${group.length} × ${key}`);
        for (const { id, detail } of all ? group : group.slice(0, EXAMPLES)) lines.push(`    ${id}: ${detail}`);
      }
    };
    groups("explained: ", this.#explained);
    groups("", this.#unexplained);
    const different = this.#compared - this.#same;
    lines.push(`${this.#same} of ${this.#compared} the same (${this.percent.toFixed(2)} %), ${different} not`);
    return lines.join("\n");
  }
}
