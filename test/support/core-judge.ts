// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What libbpf makes of an object and a target. */
export interface CoreVerdict {
  /** Its lines about relocations, `libbpf: ` left out. */
  readonly lines: readonly string[];
  /** Its last words about the relocation for which it refused the object; null when it did not. */
  readonly refusal: string | null;
  /** It gave up before relocating anything. */
  readonly unasked: boolean;
  /** Instructions in hex by the program's name as the kernel gets it; only when not refused. */
  readonly programs: Readonly<Record<string, string>>;
}

/** Builds the judge (scripts/core-judge.c) and gives its path. `libbpf` has `include/bpf` and `libbpf.a` in it. */
export function buildCoreJudge(dir: string, libbpf: string): string {
  const source = fileURLToPath(new URL("../../scripts/core-judge.c", import.meta.url));
  const out = join(dir, "core-judge");
  const args = ["-O2", "-o", out, `-I${join(libbpf, "include")}`, source, "-Wl,--wrap=syscall"];
  const { status, stderr, error } = spawnSync("gcc", [...args, join(libbpf, "libbpf.a"), "-lelf", "-lz"]);
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`building the judge failed:\n${stderr.toString()}`);
  return out;
}

/** Paths of an object and of a file with BTF, and the program that is wanted; without it, all of them. */
export type CoreQuestion = readonly [object: string, target: string, program?: string];

/** Asks the judge. */
export function askCoreJudge(
  judge: string,
  pairs: readonly CoreQuestion[],
): { readonly version: string; readonly verdicts: readonly CoreVerdict[] } {
  const input = pairs.map((pair) => `${pair.join("\t")}\n`).join("");
  const { status, signal, stdout } = spawnSync(judge, { input, maxBuffer: 1 << 30, encoding: "utf8" });
  const [version = "", ...blocks] = stdout.split(/^begin /m);
  if (status !== 0 || blocks.length !== pairs.length || !blocks.at(-1)!.includes("\nend ")) {
    throw new Error(`the judge ended with ${signal ?? status} at ${pairs[blocks.length - 1]?.join(" ")}`);
  }
  return { version: version.replace("libbpf ", "").trim(), verdicts: blocks.map(parseVerdict) };
}

/** Lines that tell a step of a relocation, as test/support/core-log.ts writes them. */
const STEP =
  /^prog '.*': relo #\d+: (<[a-z_0-9]+> \[|matching cand|non-matching|no matching|patched|substituting|insn #\d+ \(LDX\/ST\/STX\) accesses)/;

function parseVerdict(block: string): CoreVerdict {
  const logs: string[] = [];
  const programs: Record<string, string> = {};
  for (const line of block.split("\n")) {
    if (line.startsWith("log ")) logs.push(line.slice(4).replace(/^libbpf: /, ""));
    const program = /^prog (\S+) ([0-9a-f]+)$/.exec(line);
    if (program !== null) programs[program[1]!] = program[2]!;
  }
  const failed = logs.findIndex((line) => /relo #\d+: failed to (relocate|patch insn)/.test(line));
  const lines = logs.filter((line) => STEP.test(line));
  const refusal = failed < 0 ? null : (logs[failed - 1] ?? "");
  const unasked = lines.length === 0 && failed < 0 && logs.some((line) => line.includes("failed to load object"));
  return { lines, refusal, unasked, programs: failed < 0 ? programs : {} };
}

/** The first place where our lines differ from libbpf's; null when there is none. */
export function compareCore(
  ours: { readonly lines: readonly string[]; readonly error: string | null },
  verdict: CoreVerdict,
): string | null {
  if ((ours.error === null) !== (verdict.refusal === null)) {
    return `ours: ${ours.error ?? "accepted"}\nlibbpf: ${verdict.refusal ?? "accepted"}`;
  }
  // What libbpf says about the refused relocation itself we say in other words.
  const end = ours.error === null ? Math.max(ours.lines.length, verdict.lines.length) : ours.lines.length;
  for (let i = 0; i < end; i++) {
    if (comparable(ours.lines[i]) !== comparable(verdict.lines[i]))
      return `ours: ${ours.lines[i]}\nlibbpf: ${verdict.lines[i]}`;
  }
  return null;
}

/** Of an enum that does not match, libbpf prints the first enumerator, even where there is none. */
function comparable(line: string | undefined): string | undefined {
  return line?.replace(/(non-matching candidate #\d+ <enumval_[a-z]+> .*?)::.*/, "$1");
}

/** A file's bytes. */
export function bytesOf(path: string): Uint8Array {
  return new Uint8Array(readFileSync(path));
}
