// SPDX-License-Identifier: MIT

/*
 * Puts the BTFs of test/fixtures/btf-load/cases.ts, and some random ones, before the running kernel and writes what it
 * answers to test/fixtures/btf-load/recorded.jsonl. Needs root:
 *
 *   npm run fixtures:record-btf
 */
import { writeFileSync } from "node:fs";
import { release } from "node:os";
import { fileURLToPath } from "node:url";
import { loadCases } from "../test/fixtures/btf-load/cases.js";
import { type BtfCase, btfCase } from "../test/support/fuzz-btf/cases.js";
import { BtfKernel, latin1 } from "../test/support/fuzz-btf/compare.js";
import { RANDOM_CASES, RANDOM_SEED, type RecordedBtf } from "../test/support/fuzz-btf/recorded.js";

const path = fileURLToPath(new URL("../test/fixtures/btf-load/recorded.jsonl", import.meta.url));
const kernel = new BtfKernel();
const wrong: string[] = [];

function record(id: string, input: BtfCase): RecordedBtf {
  const { errno, log, logTrueSize } = kernel.ask(input);
  const { bytes, logLevel, logSize } = input;
  return {
    id,
    release: release(),
    btf: Buffer.from(bytes).toString("base64"),
    logLevel,
    logSize,
    errno,
    logTrueSize,
    log: latin1(log),
  };
}

const lines: RecordedBtf[] = [];
for (const { name, expect, bytes } of loadCases) {
  const line = record(name, { bytes, logLevel: 2, logSize: null });
  const matches = expect === null ? line.errno === 0 : line.log.trimEnd().split("\n").pop()!.includes(expect);
  if (!matches) wrong.push(`${name}: ${line.errno} ${JSON.stringify(line.log.slice(-160))}`);
  lines.push(line);
}
for (let i = 0; i < RANDOM_CASES; i++) lines.push(record(`random ${i}`, btfCase(RANDOM_SEED, i)));
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exitCode = 1;
} else {
  writeFileSync(path, `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`);
}
console.log(
  `${lines.length} BTFs, ${lines.filter(({ errno }) => errno !== 0).length} refused, ${wrong.length} unexpected`,
);
