// SPDX-License-Identifier: MIT
import type { ProgramLoad } from "../../../src/model/load.js";
import type { KernelAnswer } from "../../../src/model/record.js";
import { SyscallError, VerifierRejection } from "../../../src/syscall/errors.js";
import { InputError } from "../../../src/util/errors.js";
import type { Capabilities } from "../../../src/verifier/index.js";
import { programs } from "../../fixtures/verifier/programs/index.js";
import { compare, type Finding, type Outcome } from "./compare.js";
import { randomProgram } from "./generate.js";
import { Minimiser } from "./minimise.js";
import { mutate } from "./mutate.js";
import { mixSeed, Rng } from "./rng.js";

/*
 * A campaign is a row of blocks. What a block holds follows from the campaign's seed and the block's number (and from
 * what the kernel accepted in it), so that each can be run again by itself.
 */

/** Programs of a block. */
export const BLOCK = 64;

/** Share of a block's programs that are made from accepted ones. */
const MUTANTS = 0.4;

/** Counts of a campaign. */
export interface Tally {
  programs: number;
  accepted: number;
  /** Same verdict and errno. */
  sameVerdict: number;
  /** Same log too. */
  sameLog: number;
  /** Left out, by the rule. */
  skipped: Record<string, number>;
  /** Not judged by the mirror, by construct. */
  unsupported: Record<string, number>;
  /** Differences by key. */
  findings: Record<string, number>;
}

export function emptyTally(): Tally {
  return { programs: 0, accepted: 0, sameVerdict: 0, sameLog: 0, skipped: {}, unsupported: {}, findings: {} };
}

const count = (into: Record<string, number>, key: string, by = 1): void => {
  into[key] = (into[key] ?? 0) + by;
};

/** Adds one tally to another. */
export function addTally(to: Tally, from: Tally): void {
  to.programs += from.programs;
  to.accepted += from.accepted;
  to.sameVerdict += from.sameVerdict;
  to.sameLog += from.sameLog;
  for (const kind of ["skipped", "unsupported", "findings"] as const) {
    for (const [key, n] of Object.entries(from[kind])) count(to[kind], key, n);
  }
}

function addOutcome(tally: Tally, outcome: Outcome): void {
  if ("skipped" in outcome) {
    count(tally.skipped, outcome.skipped);
    return;
  }
  if ("unsupported" in outcome) {
    count(tally.unsupported, outcome.unsupported.replace(/ at .*/, ""));
    return;
  }
  tally.programs++;
  if (outcome.accepted) tally.accepted++;
  const kind = "finding" in outcome ? outcome.finding.kind : null;
  if (kind === null || kind === "log" || kind === "message") tally.sameVerdict++;
  if (kind === null) tally.sameLog++;
  if ("finding" in outcome) count(tally.findings, outcome.finding.key);
}

export type Ask = (load: ProgramLoad, logLevel: number) => KernelAnswer;

/** A difference with the program that shows it, made small. */
export interface Found {
  readonly finding: Finding;
  readonly logLevel: number;
  readonly load: ProgramLoad;
}

/** Runs blocks; knows what was found before, so that each cause is made small once. */
export class Campaign {
  readonly #seed: number;
  readonly #caps: Capabilities;
  readonly #ask: Ask;
  readonly #known: Set<string>;

  constructor(seed: number, caps: Capabilities, ask: Ask, known: Iterable<string> = []) {
    this.#seed = seed;
    this.#caps = caps;
    this.#ask = ask;
    this.#known = new Set(known);
  }

  /** Runs a block; hands on what it finds for the first time. */
  run(block: number, found: (found: Found) => void): Tally {
    const tally = emptyTally();
    const rng = new Rng(mixSeed(this.#seed, block));
    const accepted: ProgramLoad[] = [];
    for (let i = 0; i < BLOCK; i++) {
      const load = this.#next(rng, block, i, accepted);
      const logLevel = rng.weighted(LOG_LEVELS);
      const outcome = this.#compare(load, logLevel);
      if (outcome === null) continue;
      addOutcome(tally, outcome);
      if ("accepted" in outcome && outcome.accepted) accepted.push(load);
      if ("finding" in outcome && !this.#known.has(outcome.finding.key)) {
        this.#known.add(outcome.finding.key);
        found(this.#minimised(load, logLevel, outcome.finding));
      }
    }
    return tally;
  }

  #next(rng: Rng, block: number, i: number, accepted: readonly ProgramLoad[]): ProgramLoad {
    const { bpf, perfmon, netAdmin } = this.#caps;
    if (i < 4 && bpf && perfmon && netAdmin) return mutate(rng, rng.pick(programs).load, accepted);
    if (accepted.length >= 4 && rng.chance(MUTANTS)) return mutate(rng, rng.pick(accepted), accepted);
    return randomProgram(mixSeed(this.#seed, block, i + 1), this.#caps);
  }

  /** Null when there is nothing to compare: a map or BTF could not be made, or an instruction names no map. */
  #compare(load: ProgramLoad, logLevel: number): Outcome | null {
    try {
      return compare(load, this.#caps, logLevel, this.#ask);
    } catch (error) {
      if (error instanceof SyscallError || error instanceof VerifierRejection || error instanceof InputError)
        return null;
      throw error;
    }
  }

  #minimised(load: ProgramLoad, logLevel: number, finding: Finding): Found {
    let last = finding;
    const small = new Minimiser((smaller) => {
      const outcome = this.#compare(smaller, logLevel);
      if (outcome === null || !("finding" in outcome) || outcome.finding.kind !== finding.kind) return false;
      if (finding.kind !== "log" && outcome.finding.key !== finding.key) return false;
      last = outcome.finding;
      return true;
    }).run(load);
    this.#known.add(last.key);
    return { finding: last, logLevel, load: small };
  }
}

const LOG_LEVELS: readonly (readonly [weight: number, level: number])[] = [
  [90, 2],
  [4, 1],
  [3, 4],
  [3, 6],
];
