// SPDX-License-Identifier: MIT
import { InexpressibleLoad, type LoadRecord, readRecord } from "../model/record.js";
import { InputError } from "../util/errors.js";
import { readLines } from "./lines.js";
import { ExitCode, note, print } from "./output.js";
import {
  printVerdictJson,
  type TimedVerdict,
  timedVerify,
  type VerifyTarget,
  verdictExit,
  verdictLine,
  worse,
} from "./verdict.js";

/** Options of `verify --records`. */
export interface VerifyRecordsOptions extends VerifyTarget {
  readonly log?: number;
  readonly json?: boolean;
}

/** What the mirror says of a load that it is not even given. */
function inexpressible(construct: string): TimedVerdict {
  const stats = { insnsProcessed: 0, maxStatesPerInsn: 0, totalStates: 0, peakStates: 0, markRead: 0, stackDepth: "" };
  const empty = { errno: 0, log: "", lastMessage: "", logTrueSize: 0, stats };
  return { result: { ...empty, verdict: "unsupported", construct: { insn: 0, what: construct } }, microseconds: 0 };
}

/** The id in a line that is no sound record, null when it has none. */
function idOf(text: string): string | null {
  try {
    const { id } = JSON.parse(text) as { readonly id?: unknown };
    return typeof id === "string" ? id : null;
  } catch {
    return null;
  }
}

function answer(text: string, options: VerifyRecordsOptions): number {
  let id: string;
  let load: LoadRecord["load"] | null = null;
  let verdict: TimedVerdict;
  try {
    ({ id, load } = readRecord(text));
    verdict = timedVerify(load, options.log ?? 0, options);
  } catch (error) {
    if (!(error instanceof InexpressibleLoad)) throw error;
    id = error.id;
    verdict = inexpressible(error.construct);
  }
  if (options.json) printVerdictJson({ id }, verdict);
  else print(verdictLine(id, load?.insns.length ?? 0, verdict, 1));
  return verdictExit(verdict.result);
}

/**
 * Answers the load records of a file one by one and in order: one line for each, so that a file may be larger than
 * memory. Empty lines are passed over. A line that holds no sound record gets an answer too, in JSON
 * `{"id": …, "line": …, "error": …}` with the id null when it cannot be made out and lines counted from 1, and the
 * next one is read.
 * @throws InputError when there is no such file
 */
export function verifyRecords(path: string, options: VerifyRecordsOptions): number {
  let exit: number = ExitCode.OK;
  let line = 0;
  for (const text of readLines(path)) {
    line++;
    if (text.trim() === "") continue;
    try {
      exit = worse(exit, answer(text, options));
    } catch (error) {
      const ours = !(error instanceof InputError);
      const message = ours ? `a bug of bpfsmith: ${(error as Error).stack ?? String(error)}` : error.message;
      if (options.json) print(JSON.stringify({ id: idOf(text), line, error: message }));
      else note(`${path}:${line}: ${message}`);
      exit = worse(exit, ours ? ExitCode.BUG : ExitCode.REJECTED);
    }
  }
  return exit;
}
