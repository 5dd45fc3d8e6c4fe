// SPDX-License-Identifier: GPL-2.0-only
import { readFileSync } from "node:fs";
import t from "tap";
import { verify } from "../../../src/verifier/index.js";
import {
  accesses,
  accessProgram,
  askAll,
  type PlaceAnswers,
  places,
  REFUSED,
  shortAnswer,
} from "../../support/access-matrix.js";
import { kernelAnswer } from "../../support/kernel-answer.js";
import { needsMirroredKernel } from "../../support/live-parity.js";

const file = new URL("../../fixtures/kernel/access-matrix.json", import.meta.url);
const recorded: { readonly release: string; readonly answers: Readonly<Record<string, PlaceAnswers>> } = JSON.parse(
  readFileSync(file, "utf8"),
);

/** What the mirror says; with a log only where there is something to read in it. */
function ours(load: Parameters<typeof verify>[0]): string {
  const result = verify(load, { logLevel: 1 });
  if (result.verdict === "unsupported") return `unsupported: ${result.construct?.what}`;
  if (result.errno !== 0) return shortAnswer(result.errno, result.log);
  return shortAnswer(0, verify(load, { logLevel: 2 }).log);
}

t.test("the mirror answers as the kernel did", (t) => {
  t.same(
    places.map(({ key }) => key),
    Object.keys(recorded.answers),
  );
  let allowed = 0;
  for (const place of places) {
    const answers = askAll(place, ours);
    t.same(answers, recorded.answers[place.key], place.key);
    allowed += Object.values(answers).filter((byAnswer) => Object.keys(byAnswer).some((a) => !/^\d/.test(a))).length;
  }
  t.ok(allowed > 400, `${allowed} ways of access are allowed somewhere`);
  t.end();
});

/** One access in so many is tried again; no divisor of the number of ways, so that every way has its turn. */
const STRIDE = 53;

t.test("the running kernel still answers so", needsMirroredKernel(), (t) => {
  let n = 0;
  let tried = 0;
  let refused = 0;
  for (const place of places) {
    for (let off = place.from; off < place.below; off++) {
      for (const [name, insn] of accesses) {
        if (n++ % STRIDE !== 0) continue;
        const load = accessProgram(place, insn, off);
        const answer = kernelAnswer(load);
        tried++;
        if (answer === REFUSED) refused++;
        if (answer !== ours(load)) t.equal(ours(load), answer, `${place.key}: ${name} at ${off}`);
      }
    }
  }
  t.ok(tried > 1000 && refused < tried * 0.95, `${tried} accesses, ${tried - refused} not refused outright`);
  t.end();
});
