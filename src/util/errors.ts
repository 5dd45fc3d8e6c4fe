// SPDX-License-Identifier: MIT

/** Where in the user's material something is wrong. Every part is optional; what is known is printed. */
export interface ErrorPlace {
  /** Path of the file as the user named it. */
  readonly file?: string;
  /** 1-based line. */
  readonly line?: number;
  /** 1-based column. */
  readonly column?: number;
  /** Index of the instruction (8-byte slot) within its program. */
  readonly insn?: number;
  /** ELF or BTF section. */
  readonly section?: string;
}

/** Renders a place as `file:line:column, section S, insn N`; empty when nothing is known. */
export function formatPlace(place: ErrorPlace): string {
  const parts: string[] = [];
  if (place.file !== undefined) {
    let at = place.file;
    if (place.line !== undefined) at += `:${place.line}`;
    if (place.line !== undefined && place.column !== undefined) at += `:${place.column}`;
    parts.push(at);
  }
  if (place.section !== undefined) parts.push(`section ${place.section}`);
  if (place.insn !== undefined) parts.push(`insn ${place.insn}`);
  return parts.join(", ");
}

/**
 * What the user gave us is wrong: a malformed file, an impossible program, a missing tracepoint.
 * The message says what is wrong, where, and what was expected. The command line turns it into
 * one message and exit code 1.
 */
export class InputError extends Error {
  override readonly name: string = "InputError";
  /** Where the fault lies, as far as known. */
  readonly place: ErrorPlace;

  constructor(message: string, place: ErrorPlace = {}, options?: ErrorOptions) {
    const at = formatPlace(place);
    super(at === "" ? message : `${at}: ${message}`, options);
    this.place = place;
  }
}

/** bpfsmith contradicts itself: a bug of ours, never the user's. */
export class BugError extends Error {
  override readonly name: string = "BugError";
}

/** Throws a {@link BugError} unless `condition` holds. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new BugError(what);
}
