// SPDX-License-Identifier: MIT
import type { ObjectSpec } from "../model/spec.js";
import { setGlobal } from "../object/globals.js";
import { type ResolvedProgram, resolveObject } from "../object/resolve.js";
import { InputError } from "../util/errors.js";
import { annotation } from "./github.js";
import { readInput } from "./input.js";
import { ExitCode, print } from "./output.js";
import {
  printVerdictJson,
  type TimedVerdict,
  timedVerify,
  type VerifyTarget,
  verdictExit,
  verdictLine,
  worse,
} from "./verdict.js";
import { verifyRecords } from "./verify-records.js";

/** Options of `verify`. */
export interface VerifyOptions extends VerifyTarget {
  readonly log?: number;
  readonly json?: boolean;
  readonly records?: string;
  /** Names of the programs to verify; default: all. */
  readonly prog?: readonly string[];
  /** `NAME=VALUE` for global variables. */
  readonly setGlobal?: readonly string[];
  readonly format?: "text" | "github";
}

/** A rejection without its log helps nobody: the path to the error is shown unasked. */
function judge({ load }: ResolvedProgram, options: VerifyOptions): TimedVerdict {
  const verdict = timedVerify(load, options.log ?? 0, options);
  if (options.log !== undefined || verdict.result.verdict !== "rejected") return verdict;
  return timedVerify(load, 1, { ...options, logSize: undefined });
}

/** The programs that the user asked for. */
function chosen(programs: readonly ResolvedProgram[], names: readonly string[] | undefined): ResolvedProgram[] {
  if (names === undefined) return [...programs];
  for (const name of names) {
    if (programs.some((program) => program.name === name)) continue;
    const known = programs.map((program) => program.name).join(", ");
    throw new InputError(`the object has no program ${name}; it has ${known}`);
  }
  return programs.filter(({ name }) => names.includes(name));
}

function show(file: string, { name, section, load }: ResolvedProgram, verdict: TimedVerdict, options: VerifyOptions) {
  if (options.json) return printVerdictJson({ program: name, section }, verdict);
  if (verdict.result.log !== "") print(verdict.result.log.trimEnd());
  print(verdictLine(name, load.insns.length, verdict));
  const shown = options.format === "github" ? annotation(file, name, load, verdict) : undefined;
  if (shown !== undefined) print(shown);
}

/** `3 programs: 2 accepted, 1 rejected` */
function summary(verdicts: readonly string[]): string {
  const counts = ["accepted", "rejected", "unsupported"]
    .map((verdict) => ({ verdict, count: verdicts.filter((one) => one === verdict).length }))
    .filter(({ count }) => count > 0)
    .map(({ verdict, count }) => `${count} ${verdict}`);
  return `${verdicts.length} program${verdicts.length === 1 ? "" : "s"}: ${counts.join(", ")}`;
}

/** `bpfsmith verify FILE` and `bpfsmith verify --records FILE` */
export async function verifyCommand(file: string | undefined, options: VerifyOptions): Promise<number> {
  if (options.records !== undefined) return verifyRecords(options.records, options);
  const { spec } = await readInput(file!);
  const assigned = (options.setGlobal ?? []).reduce((before: ObjectSpec, text) => setGlobal(before, text), spec);
  const { programs } = resolveObject(assigned);
  if (programs.length === 0) throw new InputError("the object has no programs", { file });
  let exit: number = ExitCode.OK;
  const verdicts: string[] = [];
  for (const program of chosen(programs, options.prog)) {
    const verdict = judge(program, options);
    show(file!, program, verdict, options);
    verdicts.push(verdict.result.verdict);
    exit = worse(exit, verdictExit(verdict.result));
  }
  if (!options.json) print(summary(verdicts));
  return exit;
}
