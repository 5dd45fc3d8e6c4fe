// SPDX-License-Identifier: MIT

/*
 * What the running kernel says of the programs that releases judge differently (test/fixtures/verifier/releases.jsonl:
 * a record for each program and release), and, on a kernel that is not the one of recorded.jsonl, its verdict on every
 * other program of the collection (verdicts-RELEASE.json). Needs root; answers of other kernels are kept.
 *
 *   node --import tsx scripts/record-releases.ts [DIRECTORY]
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { askKernel } from "../src/load/ask-kernel.js";
import { type LoadRecord, readRecord, writeRecord } from "../src/model/record.js";
import { lastMeaningfulLine } from "../src/syscall/index.js";
import { programs } from "../test/fixtures/verifier/programs/index.js";
import { releases } from "../test/fixtures/verifier/programs/releases.js";

/** The release of recorded.jsonl. */
const NEWEST = "6.18";

const directory = process.argv[2] ?? fileURLToPath(new URL("../test/fixtures/verifier", import.meta.url));
const running = /^\d+\.\d+/.exec(release())![0];

const path = join(directory, "releases.jsonl");
const before = existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n").map(readRecord) : [];
const lines: string[] = [];
for (const { name, load } of releases) {
  const others = before.filter(({ id, kernel }) => id === name && !kernel!.release.startsWith(`${running}.`));
  const now: LoadRecord = { id: name, load, kernel: askKernel(load) };
  const all = [...others, now].sort((a, b) => (a.kernel!.release < b.kernel!.release ? -1 : 1));
  lines.push(...all.map(writeRecord));
}
writeFileSync(path, `${lines.join("\n")}\n`);

if (running !== NEWEST) {
  const verdicts: Record<string, readonly [errno: number, message: string]> = {};
  for (const { name, load } of programs) {
    const { errno, log } = askKernel(load);
    verdicts[name] = [errno, errno === 0 ? "" : lastMeaningfulLine(log)];
  }
  const rows = Object.entries(verdicts).map(([name, row]) => `  ${JSON.stringify(name)}: ${JSON.stringify(row)}`);
  writeFileSync(join(directory, `verdicts-${running}.json`), `{\n${rows.join(",\n")}\n}\n`);
}
console.log(`${releases.length} programs of releases, ${running === NEWEST ? 0 : programs.length} others`);
