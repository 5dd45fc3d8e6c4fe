// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/** A place in the JavaScript that is running; lines and columns count from 1. */
export interface Position {
  /** Path or file URL, as the JavaScript engine names it. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A place in the user's source. */
export interface SourceLine extends Position {
  /** The line's text; empty when the source is not at hand. */
  readonly text: string;
}

/**
 * Maps places of the running JavaScript to the user's source (`.ts`). Whoever loads the user's file
 * knows how it was compiled and gives one of these to `build`.
 */
export interface SourceMapper {
  /** Undefined when nothing is known about the place. */
  locate(file: string, line: number, column: number): SourceLine | undefined;
}

/** What V8 tells about a frame; the part of NodeJS.CallSite that is needed. */
interface CallSite {
  getFileName(): string | null | undefined;
  getLineNumber(): number | null;
  getColumnNumber(): number | null;
}

/** The part of V8's Error that other engines lack. */
interface V8Error {
  captureStackTrace?(target: object): void;
  prepareStackTrace?: unknown;
  stackTraceLimit?: number;
}

/** Deep enough for the frames of the DSL between the user's call and here. */
const FRAMES = 16;

/**
 * The directory whose frames are ours: the package's sources or its built files, where this module stands in a
 * folder of its own or in one of shared pieces; else wherever somebody bundled it to.
 */
function ownDirectory(): string | undefined {
  try {
    const here = new URL(".", import.meta.url).href;
    return /\/(?:dsl|chunks)\/$/.test(here) ? new URL("..", import.meta.url).href : here;
  } catch {
    return undefined; // A bundle that is no module has no address.
  }
}

const ownUrl = ownDirectory();
const ownPath = ownUrl?.startsWith("file://") ? decodeURI(ownUrl.slice("file://".length)) : undefined;

function isOwn(file: string): boolean {
  return (ownUrl !== undefined && file.startsWith(ownUrl)) || (ownPath !== undefined && file.startsWith(ownPath));
}

function callSites(): readonly CallSite[] {
  const v8 = Error as unknown as V8Error;
  if (v8.captureStackTrace === undefined) return [];
  const prepare = v8.prepareStackTrace;
  const limit = v8.stackTraceLimit;
  const holder: { stack?: unknown } = {};
  try {
    v8.stackTraceLimit = FRAMES;
    v8.prepareStackTrace = (_: unknown, sites: readonly CallSite[]) => sites;
    v8.captureStackTrace(holder);
    return Array.isArray(holder.stack) ? (holder.stack as CallSite[]) : [];
  } catch {
    return []; // Frozen intrinsics: positions are a comfort, not a need.
  } finally {
    if (limit !== undefined) v8.stackTraceLimit = limit;
    if (prepare === undefined) delete v8.prepareStackTrace;
    else v8.prepareStackTrace = prepare;
  }
}

/** Where the user's code called the DSL: the nearest frame that is not ours. Null when the engine does not tell. */
export function callerPosition(): Position | null {
  for (const site of callSites()) {
    const file = site.getFileName();
    if (typeof file !== "string" || file === "" || file.startsWith("node:") || isOwn(file)) continue;
    return { file, line: site.getLineNumber() ?? 1, column: site.getColumnNumber() ?? 1 };
  }
  return null;
}

/** Maps a position, falling back to the running JavaScript itself. */
export function mapPosition(position: Position, mapper: SourceMapper | undefined): SourceLine {
  const { file, line, column } = position;
  const found = mapper?.locate(file, line, column);
  if (found !== undefined) return found;
  return { file: file.startsWith("file://") ? decodeURI(file.slice("file://".length)) : file, line, column, text: "" };
}

/** `file.ts:12`, for the inside of messages. */
export function shortPlace(position: Position | null, mapper: SourceMapper | undefined): string {
  if (position === null) return "an unknown line";
  const { file, line } = mapPosition(position, mapper);
  return `${file.slice(file.lastIndexOf("/") + 1)}:${line}`;
}

/** An InputError that names the user's line. */
export function errorAt(
  message: string,
  position: Position | null,
  mapper: SourceMapper | undefined,
  options?: ErrorOptions,
): InputError {
  if (position === null) return new InputError(message, {}, options);
  const { file, line, column } = mapPosition(position, mapper);
  return new InputError(message, { file, line, column }, options);
}
