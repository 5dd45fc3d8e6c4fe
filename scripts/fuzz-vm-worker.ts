// SPDX-License-Identifier: MIT

/* One process of `npm run fuzz:vm`: its orders are arguments; it writes one JSON object a line. */
import { writeSync } from "node:fs";
import { mixSeed } from "../test/support/fuzz/rng.js";
import { isAccepted, judge, randomCase } from "../test/support/vm/campaign.js";
import { contain } from "../test/support/vm/contain.js";

const [seed, first, step, cpu, cpus, deadline, mode] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];
const place = { cpu: Number(cpu), cpus: Number(cpus) };
/** Seeds between two words. */
const WORD = 200;

const outcome = (n: number): { key: string; detail: string; steps: number } | null => {
  const it = randomCase(mixSeed(Number(seed), n), place.cpus);
  if (!isAccepted(it.load)) return null;
  const result = mode === "contain" ? contain(it, place) : judge(it, place);
  if (result.kind === "left out") return { key: `left out: ${result.why}`, detail: "", steps: 0 };
  const detail = result.kind === "different" || result.kind === "outside" ? result.what : "";
  const steps = result.kind === "same" ? result.executed : result.kind === "contained" ? result.steps : 0;
  return { key: result.kind, detail, steps };
};

for (let n = Number(first); Date.now() < Number(deadline); ) {
  const counts: Record<string, number> = {};
  const found: { n: number; detail: string }[] = [];
  let steps = 0;
  for (let i = 0; i < WORD; i++, n += Number(step)) {
    const result = outcome(n);
    if (result === null) continue;
    counts[result.key] = (counts[result.key] ?? 0) + 1;
    steps += result.steps;
    if (result.detail !== "") found.push({ n, detail: result.detail });
  }
  writeSync(1, `${JSON.stringify({ counts, found, steps })}\n`);
}
