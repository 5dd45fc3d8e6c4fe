// SPDX-License-Identifier: MIT

/*
 * Loads every program of test/fixtures/verifier/programs/ into the running kernel and writes what it
 * answers to test/fixtures/verifier/recorded.jsonl. Needs root:
 *
 *   npm run fixtures:record
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { askKernel } from "../src/load/ask-kernel.js";
import { readRecord, writeRecord } from "../src/model/record.js";
import { lastMeaningfulLine } from "../src/syscall/index.js";
import { programs } from "../test/fixtures/verifier/programs/index.js";
import { mask } from "../test/support/parity.js";

const path = fileURLToPath(new URL("../test/fixtures/verifier/recorded.jsonl", import.meta.url));

/** Recordings so far by all but what differs from run to run, so that those that say the same stay as they are. */
const before = new Map(
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => [mask(writeRecord(readRecord(line))), line]),
);

const lines: string[] = [];
const wrong: string[] = [];
for (const { name, expect, load } of programs) {
  const kernel = askKernel(load);
  const verdict = kernel.errno === 0 ? "accept" : "reject";
  if (verdict !== expect || kernel.stage !== "verifier") {
    wrong.push(
      `${name}: expected ${expect}, the kernel says ${verdict} (${kernel.errno}): ${lastMeaningfulLine(kernel.log)}`,
    );
  }
  if (process.argv.includes("--list")) console.log(`${name}\t${kernel.errno}\t${lastMeaningfulLine(kernel.log)}`);
  const line = writeRecord({ id: name, load, kernel });
  lines.push(before.get(mask(line)) ?? line);
}
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exitCode = 1;
} else {
  writeFileSync(path, `${lines.join("\n")}\n`);
}
const rejected = programs.filter(({ expect }) => expect === "reject").length;
console.log(`${programs.length} programs, ${rejected} to be rejected, ${wrong.length} judged otherwise`);
