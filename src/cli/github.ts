// SPDX-License-Identifier: MIT
import { isAbsolute, relative } from "node:path";
import type { ProgramLoad } from "../model/load.js";
import { rejectedInsn, sourceLine } from "./place.js";
import { reasonOf, type TimedVerdict } from "./verdict.js";

/** Text of an annotation's message. */
function message(text: string): string {
  return text.replace(/%/g, "%25").replace(/\r/g, "%0D").replace(/\n/g, "%0A");
}

/** Text of an annotation's property. */
function property(text: string): string {
  return message(text).replace(/:/g, "%3A").replace(/,/g, "%2C");
}

/** The path as it stands in the repository, when the file is in this directory. */
function inRepository(path: string): string {
  const below = isAbsolute(path) ? relative(process.cwd(), path) : path;
  return below.startsWith("..") ? path : below;
}

/**
 * The line by which a workflow on GitHub shows a program's refusal beside the source line that causes it; undefined for
 * an accepted program.
 */
export function annotation(
  file: string,
  name: string,
  load: ProgramLoad,
  { result, explanation }: Pick<TimedVerdict, "result" | "explanation">,
): string | undefined {
  if (result.verdict === "accepted") return undefined;
  const insn = explanation?.insn ?? rejectedInsn(result);
  const place = insn === undefined ? undefined : sourceLine(load, insn);
  const properties = [
    `file=${property(inRepository(place?.file ?? file))}`,
    ...(place === undefined ? [] : [`line=${place.line}`, `col=${place.column}`]),
    `title=${property(`BPF program ${name}: ${result.verdict}`)}`,
  ];
  const text =
    result.verdict === "rejected" ? reasonOf(result, explanation) : `not modelled: ${result.construct?.what ?? ""}`;
  const at = insn === undefined ? "" : ` (insn ${insn})`;
  return `::${result.verdict === "rejected" ? "error" : "warning"} ${properties.join(",")}::${message(text + at)}`;
}
