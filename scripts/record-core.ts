// SPDX-License-Identifier: MIT

/*
 * Compiles the sources in test/fixtures/core and records what libbpf makes of their CO-RE relocations:
 *
 *   node --import tsx scripts/record-core.ts --libbpf DIR
 *
 * Every program X.bpf.c is relocated against the types of its own, and against those of each X-*.target.c. DIR holds a
 * static libbpf (`libbpf.a` and `include/bpf`). Needs clang-19, llvm-strip-19 and gcc; no kernel is asked.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readElf } from "../src/elf/read-elf.js";
import { askCoreJudge, buildCoreJudge, bytesOf, type CoreQuestion } from "../test/support/core-judge.js";
import { readCoreObject } from "../test/support/core-log.js";
import { runQuietly } from "../test/support/tools.js";

const dir = fileURLToPath(new URL("../test/fixtures/core", import.meta.url));
const { values } = parseArgs({ options: { libbpf: { type: "string" } } });
if (values.libbpf === undefined) throw new Error("--libbpf DIR is missing");

function compile(source: string, out: string): void {
  runQuietly(
    "clang-19",
    "-target",
    "bpf",
    "-mcpu=v3",
    "-O2",
    "-g",
    "-Wno-visibility",
    "-c",
    join(dir, source),
    "-o",
    out,
  );
  runQuietly("llvm-strip-19", "-g", out);
}

const scratch = mkdtempSync(join(tmpdir(), "core-"));
const sources = readdirSync(dir).sort();
const questions: { object: string; target: string; program: string }[] = [];
for (const source of sources.filter((name) => name.endsWith(".bpf.c"))) {
  const object = source.replace(/c$/, "o");
  compile(source, join(dir, object));
  const name = source.slice(0, -".bpf.c".length);
  const targets = [object];
  for (const target of sources.filter((other) => other.startsWith(`${name}-`) && other.endsWith(".target.c"))) {
    const compiled = join(scratch, "target.o");
    compile(target, compiled);
    const types = readElf(bytesOf(compiled)).sections.find((section) => section.name === ".BTF")!;
    targets.push(target.replace(/target\.c$/, "btf"));
    writeFileSync(join(dir, targets.at(-1)!), types.content);
  }
  const { functions } = readCoreObject(bytesOf(join(dir, object)))!;
  const programs = functions.filter(({ section }) => section !== ".text").map((func) => func.name);
  for (const target of targets) for (const program of programs) questions.push({ object, target, program });
}

const judge = buildCoreJudge(scratch, values.libbpf);
const asked = questions.map(
  ({ object, target, program }): CoreQuestion => [join(dir, object), join(dir, target), program],
);
const { version, verdicts } = askCoreJudge(judge, asked);
const answers = questions.map((question, i) => {
  const { lines, refusal, unasked, programs } = verdicts[i]!;
  if (unasked) throw new Error(`libbpf does not come to the relocations of ${JSON.stringify(question)}`);
  return { ...question, lines, refusal, insns: programs[question.program.slice(0, 15)] ?? null };
});
writeFileSync(join(dir, "answers.json"), `${JSON.stringify({ libbpf: version, answers }, null, 1)}\n`);
rmSync(scratch, { recursive: true });
console.log(
  `libbpf ${version}: ${answers.length} answers, ${answers.filter(({ refusal }) => refusal !== null).length} refusals`,
);
