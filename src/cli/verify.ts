// SPDX-License-Identifier: MIT
import { resolveObject } from "../object/resolve.js";
import { InputError } from "../util/errors.js";
import { readInput } from "./input.js";
import { ExitCode, print } from "./output.js";
import { printVerdictJson, timedVerify, type VerifyTarget, verdictExit, verdictLine, worse } from "./verdict.js";
import { verifyRecords } from "./verify-records.js";

/** Options of `verify`. */
export interface VerifyOptions extends VerifyTarget {
  readonly log?: number;
  readonly json?: boolean;
  readonly records?: string;
}

/** `bpfsmith verify FILE` and `bpfsmith verify --records FILE` */
export async function verifyCommand(file: string | undefined, options: VerifyOptions): Promise<number> {
  if (options.records !== undefined) return verifyRecords(options.records, options);
  const { spec } = await readInput(file!);
  const { programs } = resolveObject(spec);
  if (programs.length === 0) throw new InputError("the object has no programs", { file });
  let exit: number = ExitCode.OK;
  for (const { name, section, load } of programs) {
    // A rejection without its log helps nobody: the path to the error is shown unasked.
    let verdict = timedVerify(load, options.log ?? 0, options);
    if (options.log === undefined && verdict.result.verdict === "rejected")
      verdict = timedVerify(load, 1, { ...options, logSize: undefined });
    if (options.json) printVerdictJson({ program: name, section }, verdict);
    else {
      if (verdict.result.log !== "") print(verdict.result.log.trimEnd());
      print(verdictLine(name, load.insns.length, verdict));
    }
    exit = worse(exit, verdictExit(verdict.result));
  }
  return exit;
}
