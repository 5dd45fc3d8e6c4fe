// SPDX-License-Identifier: MIT
import type { Difference, DifferenceKind } from "../../test/support/parity.js";

/** A stretch of a file of records: the lines that begin there. */
export interface Unit {
  /** Counts from 0. */
  readonly number: number;
  readonly file: string;
  readonly from: number;
  readonly to: number;
  /** Non-empty lines at its beginning that are done already. */
  readonly skip: number;
}

/** What every worker is told once. */
export interface Settings {
  readonly cpus: number | null;
  /** Release of the profile, null for that of the record. */
  readonly profile: string | null;
  /** File with the kernel's types, null for that beside the records or the running kernel's. */
  readonly vmlinux: string | null;
  /** Records whose id holds this text. */
  readonly only: string;
  readonly showLogs: boolean;
}

/** What became of a record. */
export interface Outcome {
  readonly id: string;
  /** The source file of the program. */
  readonly source: string;
  /** Release of the profile that was mirrored. */
  readonly profile: string;
  /** `unjudged`: the record holds no verdict of a kernel. */
  readonly status: "compared" | "set aside" | "unjudged" | "unreadable";
  /** Why it was set aside, is unjudged or unreadable. */
  readonly reason: string;
  /** Of what was set aside: the mirror gave a verdict nevertheless. */
  readonly answered: boolean;
  readonly kind: DifferenceKind | null;
  readonly kernel: { readonly errno: number; readonly message: string; readonly us: number | null } | null;
  readonly ours: {
    readonly verdict: string;
    readonly errno: number;
    readonly message: string;
    readonly insnsProcessed: number;
    /** With the log at level 2. */
    readonly us: number;
  } | null;
  /** First line of difference, what is not modelled, or the exception. */
  readonly difference: Difference | null;
  readonly detail: string;
  /** Both logs, when asked for. */
  readonly logs: string;
}

export type ToWorker = { readonly settings: Settings } | { readonly unit: Unit } | { readonly done: true };
export type FromWorker =
  | { readonly ready: true }
  | { readonly started: string; readonly source: string }
  | { readonly outcome: Outcome | null }
  | { readonly finished: true };
