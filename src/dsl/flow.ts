// SPDX-License-Identifier: MIT
import type { Position } from "./position.js";

/** A ring-buffer record that a program reserved. */
export interface OpenRecord {
  /** The map's name. */
  readonly map: string;
  /** Where it was reserved. */
  readonly at: Position | null;
  /** Where it was last submitted or discarded, on whichever path. */
  closedAt: Position | null;
}

/** What is known of a record at one place of a program. */
export type RecordState = "unchecked" | "open";

/**
 * Which records are unfinished at one place of a program; null where the program never gets to.
 * Values are never changed: each step makes a new one.
 */
export type Flow = ReadonlyMap<OpenRecord, RecordState> | null;

export const NO_RECORDS: Flow = new Map();

export function withRecord(flow: Flow, record: OpenRecord, state: RecordState): Flow {
  return flow === null ? null : new Map(flow).set(record, state);
}

export function withoutRecord(flow: Flow, record: OpenRecord): Flow {
  if (flow === null) return null;
  const next = new Map(flow);
  next.delete(record);
  return next;
}

/** A record that one way to a place leaves in another state than the other way does; undefined when they agree. */
export function disagreement(a: Flow, b: Flow): OpenRecord | undefined {
  if (a === null || b === null) return undefined;
  for (const record of [...a.keys(), ...b.keys()]) if (a.get(record) !== b.get(record)) return record;
  return undefined;
}

/** The state where two agreeing ways meet. */
export function joined(a: Flow, b: Flow): Flow {
  return a ?? b;
}
