// SPDX-License-Identifier: MIT
import type { Outcome } from "./outcome.js";

/** A difference that somebody understood. */
interface Reason {
  /** What must be in the outcome's id. */
  readonly id: RegExp;
  /** What differs first. */
  readonly first: string;
  readonly reason: string;
}

const REASONS: readonly Reason[] = [];

/** Why an outcome differs, when somebody knows. */
export function reasonFor(outcome: Outcome): string | undefined {
  return REASONS.find(({ id, first }) => first === outcome.first && id.test(outcome.id))?.reason;
}
