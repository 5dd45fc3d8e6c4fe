// SPDX-License-Identifier: GPL-2.0-only
import { readFileSync } from "node:fs";
import t from "tap";
import { kernelProfile, kernelReleases } from "../../src/kernel/profile.js";
import { type LoadRecord, readRecord } from "../../src/model/record.js";
import { lastMeaningfulLine } from "../../src/syscall/errors.js";
import { verify } from "../../src/verifier/index.js";
import { programs } from "../fixtures/verifier/programs/index.js";
import { acceptedSince, acceptedUntil, rejectedOtherwise, releases } from "../fixtures/verifier/programs/releases.js";
import { knownOf } from "../support/known.js";

/*
 * Programs that kernels judge differently, with what each kernel said, and an older kernel's verdicts on the others.
 */

const read = (name: string): string =>
  readFileSync(new URL(`../fixtures/verifier/${name}`, import.meta.url), "utf8").trimEnd();

const records: readonly LoadRecord[] = read("releases.jsonl").split("\n").map(readRecord);
const releaseOf = ({ kernel }: LoadRecord): string => /^\d+\.\d+/.exec(kernel!.release)![0];
const errnoOf = (name: string, release: string): number | undefined =>
  records.find((record) => record.id === name && releaseOf(record) === release)?.kernel?.errno;

/** CPUs of the machines that made the recordings. */
const RECORDED_CPUS = 2;

t.test("the recordings are of the programs as they stand, from every release", (t) => {
  t.same(
    records.map((record) => [record.id, releaseOf(record), record.load]),
    releases.flatMap(({ name, load }) => kernelReleases().map((release) => [name, release, load])),
  );
  for (const { name } of acceptedSince) t.ok(errnoOf(name, "6.12") !== 0 && errnoOf(name, "6.18") === 0, name);
  for (const { name } of acceptedUntil) t.ok(errnoOf(name, "6.12") === 0 && errnoOf(name, "6.18") !== 0, name);
  for (const { name } of rejectedOtherwise) t.not(errnoOf(name, "6.12"), errnoOf(name, "6.18"), name);
  t.end();
});

t.test("each profile says what its kernel said", (t) => {
  for (const record of records) {
    const profile = kernelProfile(releaseOf(record));
    const { errno, lastMessage, verdict } = verify(record.load, { logLevel: 2, profile, nrCpuIds: RECORDED_CPUS });
    const kernel = record.kernel!;
    t.match(
      { verdict, errno, lastMessage: errno === 0 ? "" : lastMessage },
      {
        verdict: kernel.errno === 0 ? "accepted" : "rejected",
        errno: kernel.errno,
        lastMessage: kernel.errno === 0 ? "" : lastMeaningfulLine(kernel.log),
      },
      `${record.id} on ${releaseOf(record)}`,
    );
  }
  t.end();
});

t.test("6.12's verdicts on the whole collection", (t) => {
  const verdicts = JSON.parse(read("verdicts-6.12.json")) as Record<string, readonly [number, string]>;
  const profile = kernelProfile("6.12");
  const knownDifferences = knownOf("6.12");
  let compared = 0;
  for (const { name, load } of programs) {
    const recorded = verdicts[name];
    // Programs that came later than the recording, which needs the other kernel.
    if (recorded === undefined) continue;
    const { errno, verdict } = verify(load, { profile, nrCpuIds: RECORDED_CPUS });
    if (knownDifferences.has(name)) continue;
    compared++;
    if (verdict === "unsupported" || errno !== recorded[0]) {
      t.fail(`${name}: ${verdict} ${errno}, the kernel ${recorded[0]}: ${recorded[1]}`);
    }
  }
  t.ok(compared >= 400, `${compared} programs`);
  t.end();
});
