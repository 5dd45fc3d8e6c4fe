// SPDX-License-Identifier: MIT

/** What a kernel answered to one BTF. */
export interface RecordedBtf {
  readonly id: string;
  readonly release: string;
  /** Base64. */
  readonly btf: string;
  readonly logLevel: number;
  readonly logSize: number | null;
  readonly errno: number;
  readonly logTrueSize: number;
  /** One character a byte. */
  readonly log: string;
}

/** Random BTFs that are recorded besides those written by hand. */
export const RANDOM_CASES = 60;
export const RANDOM_SEED = 20260;
