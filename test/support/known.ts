// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { InputError } from "../../src/util/errors.js";
import { array, object, string } from "../../src/util/json.js";
import { DIFFERENCE_KINDS, type DifferenceKind } from "./parity.js";

/** Where they are listed. */
export const KNOWN_FILE = new URL("../fixtures/parity/known.json", import.meta.url);

/** A disagreement that somebody understood. */
export interface Known {
  /** Of the record. */
  readonly id: string;
  readonly kind: DifferenceKind;
  /** Release of the profile for which it holds. */
  readonly release: string;
  readonly reason: string;
}

/** @throws InputError when the file is not as it should be */
export function readKnown(path: string | URL): Known[] {
  const json = object(JSON.parse(readFileSync(path, "utf8")), "known disagreements");
  return array(json, "known").map((value, i) => {
    const entry = object(value, `known[${i}]`);
    const kind = DIFFERENCE_KINDS.find((name) => name === entry.kind);
    if (kind === undefined) throw new InputError(`known[${i}]: no such kind: ${String(entry.kind)}`);
    const reason = string(entry, "reason");
    if (reason === "") throw new InputError(`known[${i}]: a reason is wanted`);
    return { id: string(entry, "id"), kind, release: string(entry, "release"), reason };
  });
}

/** Why the mirror of a release is known to disagree, by the record's id. */
export function knownOf(release: string): ReadonlyMap<string, Known> {
  return new Map(
    readKnown(KNOWN_FILE)
      .filter((known) => known.release === release)
      .map((known) => [known.id, known]),
  );
}

/** How a record came out, as far as it matters here. */
interface Compared {
  readonly id: string;
  readonly kind: DifferenceKind | null;
  readonly profile: string;
}

/** Which differences are known, and which known ones are gone. */
export class KnownDifferences {
  private readonly entries: readonly Known[];
  private readonly met = new Set<Known>();
  private readonly seen = new Set<string>();

  constructor(entries: readonly Known[]) {
    this.entries = entries;
  }

  /** Why an outcome differs, null when nobody knows. */
  reasonOf({ id, kind, profile }: Compared): string | null {
    this.seen.add(`${profile} ${id}`);
    if (kind === null) return null;
    const entry = this.entries.find((known) => known.id === id && known.kind === kind && known.release === profile);
    if (entry === undefined) return null;
    this.met.add(entry);
    return entry.reason;
  }

  /** Entries whose record was compared without that difference. */
  gone(): Known[] {
    return this.entries.filter((known) => !this.met.has(known) && this.seen.has(`${known.release} ${known.id}`));
  }
}
