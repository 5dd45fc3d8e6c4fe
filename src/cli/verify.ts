// SPDX-License-Identifier: MIT
import { SECTION } from "../elf/format.js";
import type { ObjectSpec } from "../model/spec.js";
import { setGlobal } from "../object/globals.js";
import { explainMissing } from "../object/missing.js";
import { type RefusedProgram, type ResolvedProgram, resolveObject } from "../object/resolve.js";
import { InputError } from "../util/errors.js";
import { paint } from "./colors.js";
import { annotation } from "./github.js";
import { readInput } from "./input.js";
import { ExitCode, note, print } from "./output.js";
import { type KernelTarget, resolveFor } from "./target.js";
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
export interface VerifyOptions extends VerifyTarget, KernelTarget {
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
function judge({ load, missing }: ResolvedProgram, options: VerifyOptions): TimedVerdict {
  const verdict = timedVerify(load, options.log ?? 0, options);
  if (verdict.result.verdict !== "rejected") return verdict;
  const path = () => timedVerify(load, 1, { ...options, logSize: undefined });
  const shown = options.log === undefined ? path() : verdict;
  if (missing.length === 0) return shown;
  const explanation = explainMissing(shown.result.log, missing) ?? explainMissing(path().result.log, missing);
  return { ...shown, explanation };
}

/** The log for people: what the kernel could not know is said in place of its words. */
function readableLog({ result: { log } }: TimedVerdict, { missing }: ResolvedProgram): string {
  return explainMissing(log, missing)?.log ?? log;
}

/** @throws InputError when the user asks for a program that the object does not have */
function checkNames(spec: ObjectSpec, names: readonly string[]): void {
  const known = spec.functions.filter(({ section }) => section !== SECTION.TEXT).map(({ name }) => name);
  const missing = names.find((name) => !known.includes(name));
  if (missing !== undefined) throw new InputError(`the object has no program ${missing}; it has ${known.join(", ")}`);
}

function show(file: string, program: ResolvedProgram, verdict: TimedVerdict, options: VerifyOptions) {
  const { name, section, load } = program;
  if (options.json) return printVerdictJson({ program: name, section }, verdict);
  const log = readableLog(verdict, program);
  if (log !== "") print(log.trimEnd());
  print(verdictLine(name, load.insns.length, verdict, 1));
  const shown = options.format === "github" ? annotation(file, name, load, verdict) : undefined;
  if (shown !== undefined) print(shown);
}

/** A program that this kernel cannot have is no verdict of its verifier's. */
function showRefused({ name, section, error }: RefusedProgram, options: VerifyOptions): void {
  if (options.json) print(JSON.stringify({ program: name, section, verdict: "refused", message: error.message }));
  else print(`${name}: ${paint("red", "refused", 1)}: ${error.message}`);
}

/** `3 programs: 2 accepted, 1 rejected` */
function summary(verdicts: readonly string[]): string {
  const counts = ["accepted", "rejected", "refused", "unsupported"]
    .map((verdict) => ({ verdict, count: verdicts.filter((one) => one === verdict).length }))
    .filter(({ count }) => count > 0)
    .map(({ verdict, count }) => `${count} ${verdict}`);
  return `${verdicts.length} program${verdicts.length === 1 ? "" : "s"}: ${counts.join(", ")}`;
}

/** `bpfsmith verify FILE` and `bpfsmith verify --records FILE` */
export async function verifyCommand(file: string | undefined, options: VerifyOptions): Promise<number> {
  if (options.records !== undefined) return verifyRecords(options.records, options);
  const { spec } = await readInput(file!);
  const { prog: names } = options;
  if (names !== undefined) checkNames(spec, names);
  const assigned = (options.setGlobal ?? []).reduce((before: ObjectSpec, text) => setGlobal(before, text), spec);
  const wanted = (name: string) => names === undefined || names.includes(name);
  const resolved = resolveObject(assigned, { ...resolveFor(options), wanted, keepGoing: true });
  const { programs, refused, btfFault } = resolved;
  if (btfFault !== null) note(`the kernel refuses the object's BTF, which goes without it then: ${btfFault}`);
  if (programs.length + refused.length === 0) throw new InputError("the object has no programs", { file });
  let exit: number = ExitCode.OK;
  const verdicts: string[] = [];
  for (const program of programs) {
    const verdict = judge(program, options);
    show(file!, program, verdict, options);
    verdicts.push(verdict.result.verdict);
    exit = worse(exit, verdictExit(verdict.result));
  }
  for (const program of refused) {
    showRefused(program, options);
    verdicts.push("refused");
    // On demand is also: where the kernel has what it needs.
    if (names !== undefined || !program.section.startsWith("?")) exit = worse(exit, ExitCode.REJECTED);
  }
  if (!options.json) print(summary(verdicts));
  return exit;
}
