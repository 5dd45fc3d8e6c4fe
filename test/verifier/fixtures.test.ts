// SPDX-License-Identifier: GPL-2.0-only
import { readFileSync } from "node:fs";
import { release } from "node:os";
import t from "tap";
import { askKernel } from "../../src/load/ask-kernel.js";
import { type LoadRecord, readRecord } from "../../src/model/record.js";
import { bpfPermission, lastMeaningfulLine } from "../../src/syscall/index.js";
import { verify } from "../../src/verifier/index.js";
import { programs } from "../fixtures/verifier/programs/index.js";
import { knownOf } from "../support/known.js";
import { compareLogs, judge, mask } from "../support/parity.js";

const file = new URL("../fixtures/verifier/recorded.jsonl", import.meta.url);
const records: readonly LoadRecord[] = readFileSync(file, "utf8").trimEnd().split("\n").map(readRecord);

const knownDifferences = knownOf("6.18");
const permission = bpfPermission();
const sameKernel = release().startsWith("6.18.");
const skip = !permission.permitted ? "skipped: no bpf(2)" : sameKernel ? false : "skipped: not Linux 6.18";
if (skip) t.comment(skip);

t.test("the recordings are of the programs as they stand", (t) => {
  t.same(
    records.map(({ id }) => id),
    programs.map(({ name }) => name),
  );
  t.same(
    records.map(({ load }) => load),
    programs.map(({ load }) => load),
  );
  for (const [i, { id, kernel }] of records.entries()) {
    const { expect } = programs[i]!;
    if ((kernel!.errno === 0) !== (expect === "accept") || kernel!.stage !== "verifier")
      t.fail(`${id}: not ${expect}ed`);
  }
  const rejected = records.filter(({ kernel }) => kernel!.errno !== 0);
  t.ok(rejected.length >= 200, `${rejected.length} bad programs`);
  t.ok(records.length - rejected.length >= 70, `${records.length - rejected.length} good programs`);
  const reasons = new Set(rejected.map(({ kernel }) => lastMeaningfulLine(kernel!.log).replace(/-?\d+/g, "N")));
  t.ok(reasons.size >= 90, `${reasons.size} different reasons`);
  t.end();
});

/** CPUs of the machine that made the recordings. */
const RECORDED_CPUS = 2;

t.test("the mirror says what the kernel said", (t) => {
  for (const record of records) {
    const { id, kind, result, kernel, sameVerdict, sameMessage, difference } = judge(record, { cpus: RECORDED_CPUS });
    const known = knownDifferences.get(id);
    if (known !== undefined) {
      t.equal(kind, known.kind, `${id}: known to differ: ${known.reason}`);
      continue;
    }
    t.match(
      { verdict: result.verdict, errno: result.errno, sameVerdict, sameMessage, difference, stats: result.stats },
      { errno: kernel.errno, sameVerdict: true, sameMessage: true, difference: null, stats: kernel.stats ?? {} },
      id,
    );
  }
  t.end();
});

t.test("the mirror's log at level 1", (t) => {
  for (const { id, load, kernel } of records) {
    if (knownDifferences.has(id)) continue;
    t.same(compareLogs(kernel!.log1, verify(load, { logLevel: 1, nrCpuIds: RECORDED_CPUS }).log), null, id);
  }
  t.end();
});

t.test("without a log the verdict is the same", (t) => {
  for (const { id, load, kernel } of records) {
    if (knownDifferences.has(id)) continue;
    const { errno, log } = verify(load, { nrCpuIds: RECORDED_CPUS });
    t.same({ errno, log }, { errno: kernel!.errno, log: "" }, id);
  }
  t.end();
});

t.test("the recordings are what the running kernel says", { skip }, (t) => {
  for (const { id, load, kernel } of records) {
    const now = askKernel(load);
    if (now.errno !== kernel!.errno) t.fail(`${id}: errno ${now.errno} instead of ${kernel!.errno}`);
    if (mask(now.log) !== mask(kernel!.log)) t.equal(mask(now.log), mask(kernel!.log), `${id}: log`);
    if (mask(now.log1) !== mask(kernel!.log1)) t.equal(mask(now.log1), mask(kernel!.log1), `${id}: log at level 1`);
  }
  t.pass(`${records.length} programs`);
  t.end();
});
