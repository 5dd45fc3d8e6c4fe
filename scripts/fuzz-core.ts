// SPDX-License-Identifier: MIT

/*
 * Holds CO-RE relocation against libbpf:
 *
 *   npm run fuzz:core -- --libbpf DIR [--count K] [--seed S] [--keep DIR]
 *
 * Random types, changed ones as another kernel might have them, and relocations between them. libbpf's debug output
 * for each (local spec, candidates, old and new value, refusal) must be what we say. DIR holds a static libbpf:
 * `libbpf.a` and `include/bpf`. The files of each difference are kept. No kernel is asked.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { coreTypes } from "../src/btf/core/index.js";
import { openBtf } from "../src/btf/lazy.js";
import { readBtf } from "../src/btf/read.js";
import { askCoreJudge, buildCoreJudge, compareCore } from "../test/support/core-judge.js";
import { coreLog, readCoreObject } from "../test/support/core-log.js";
import { type CoreCase, coreCase } from "../test/support/core-random.js";
import { mixSeed, Rng } from "../test/support/fuzz/rng.js";
import { scratchDir } from "../test/support/tools.js";

/** Cases that one process of the judge gets. */
const BATCH = 500;

const { values } = parseArgs({
  options: {
    libbpf: { type: "string" },
    count: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    keep: { type: "string" },
  },
});

function main(): number {
  if (values.libbpf === undefined) throw new Error("--libbpf DIR is missing");
  const dir = scratchDir();
  const keep = values.keep ?? join(dir, "kept");
  const judge = buildCoreJudge(dir, values.libbpf);
  const count = Number(values.count);
  const tally = { cases: 0, refused: 0, steps: 0, unasked: 0, different: 0 };
  for (let first = 0; first < count; first += BATCH) {
    const cases: CoreCase[] = [];
    for (let i = first; i < Math.min(count, first + BATCH); i++) {
      cases.push(coreCase(new Rng(mixSeed(Number(values.seed), i))));
    }
    const pairs = cases.map(({ object, target }, i) => {
      const pair = [join(dir, `${i}.o`), join(dir, `${i}.btf`)] as const;
      writeFileSync(pair[0], object);
      writeFileSync(pair[1], target);
      return pair;
    });
    const { verdicts } = askCoreJudge(judge, pairs);
    for (const [i, { object, target }] of cases.entries()) {
      const verdict = verdicts[i]!;
      tally.cases++;
      tally.steps += verdict.lines.length;
      if (verdict.refusal !== null) tally.refused++;
      if (verdict.unasked) {
        tally.unasked++;
        continue;
      }
      const btf = i % 2 === 0 ? openBtf(target) : readBtf(target);
      const ours = coreLog(readCoreObject(object)!, { name: "target", types: coreTypes(btf) });
      const difference = compareCore(ours, verdict);
      if (difference === null) continue;
      tally.different++;
      console.log(`case ${first + i} of seed ${values.seed}:\n${difference}`);
      mkdirSync(keep, { recursive: true });
      writeFileSync(join(keep, `${first + i}.o`), object);
      writeFileSync(join(keep, `${first + i}.btf`), target);
    }
  }
  console.log(
    `${tally.cases} objects, ${tally.steps} steps, ${tally.refused} refused, ${tally.unasked} not asked: ${tally.different} different`,
  );
  return tally.different === 0 ? 0 : 1;
}

process.exitCode = main();
