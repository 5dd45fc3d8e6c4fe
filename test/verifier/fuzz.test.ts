// SPDX-License-Identifier: GPL-2.0-only
import { readFileSync } from "node:fs";
import t from "tap";
import { FAULTS } from "../../scripts/fuzz/faults.js";
import { readRecord } from "../../src/model/record.js";
import { Campaign } from "../support/fuzz/campaign.js";
import { putTogether, takeApart } from "../support/fuzz/edit.js";
import { ALL_CAPABILITIES, randomProgram } from "../support/fuzz/generate.js";
import { KernelJudge } from "../support/fuzz/kernel.js";
import { Minimiser } from "../support/fuzz/minimise.js";
import { runRawBlock } from "../support/fuzz/raw.js";
import { needsMirroredKernel } from "../support/live-parity.js";
import { judge } from "../support/parity.js";

const SEED = Number(process.env.BPFSMITH_FUZZ_SEED ?? 1);
const BLOCKS = Number(process.env.BPFSMITH_FUZZ_BLOCKS ?? 2);

t.test("a slice of fuzzing: the same verdict and the same log as the running kernel", needsMirroredKernel(), (t) => {
  using live = new KernelJudge();
  const campaign = new Campaign(SEED, ALL_CAPABILITIES, (load, logLevel) => live.ask(load, logLevel));
  let programs = 0;
  let accepted = 0;
  for (let block = 0; block < BLOCKS; block++) {
    const tally = campaign.run(block, ({ finding }) =>
      t.fail(`${finding.key}: ${finding.kernel}, ours ${finding.ours}`),
    );
    programs += tally.programs;
    accepted += tally.accepted;
  }
  t.ok(accepted >= programs * 0.3, `${accepted} of ${programs} programs were accepted`);
  t.end();
});

t.test("raw cases: an answer or an InputError", (t) => {
  const { cases, faults, answers } = runRawBlock(SEED, 0, 500);
  t.ok(cases === 500, `${cases} cases`);
  for (const [key, { stack, example }] of Object.entries(faults)) {
    // How long something takes here says nothing: many processes run at once.
    if (!key.startsWith("slow")) t.fail(`${key}: ${stack}\n${example}`);
  }
  t.ok((answers.InputError ?? 0) > 0 && (answers.accepted ?? 0) > 0, "all kinds of answers");
  t.end();
});

t.test("the same seed gives the same program", (t) => {
  for (let seed = 0; seed < 20; seed++) t.same(randomProgram(seed), randomProgram(seed));
  t.end();
});

t.test("a program taken apart and put together is the same", (t) => {
  for (let seed = 0; seed < 200; seed++) {
    const load = randomProgram(seed);
    const again = putTogether(takeApart(load));
    // Maps that no instruction names go, the others keep their places or move up: twice is as once.
    t.same(putTogether(takeApart(again)), again, `seed ${seed}`);
    if (again.maps.length === load.maps.length) t.same(again.insns, load.insns, `seed ${seed}`);
    t.same(again.funcInfo, load.funcInfo, `seed ${seed}`);
  }
  t.end();
});

t.test("minimising keeps what is interesting and little else", (t) => {
  const has = (load: { insns: Uint8Array }): boolean => load.insns.some((byte, i) => i % 8 === 0 && byte === 0x85);
  const small = new Minimiser(has).run(randomProgram(4711));
  t.equal(small.insns.length, 8);
  t.equal(small.insns[0], 0x85);
  t.end();
});

t.test("every mistake that the fuzzer's strength is shown with can be planted", (t) => {
  for (const { what, file, from, to } of FAULTS) {
    const text = readFileSync(new URL(`../../src/verifier/${file}`, import.meta.url), "utf8");
    t.equal(text.split(from).length - 1, 1, `"${what}" has one place in ${file}`);
    t.not(from, to);
  }
  t.equal(FAULTS.length, 20);
  t.end();
});

t.test("what fuzzing found stays mended", (t) => {
  const lines = readFileSync(new URL("../fixtures/fuzz/found.jsonl", import.meta.url), "utf8").split("\n");
  for (const line of lines.filter((text) => text !== "")) {
    const { id, kernel, difference, sameVerdict, result } = judge(readRecord(line), { cpus: 2 });
    t.ok(sameVerdict, `${id}: kernel errno ${kernel.errno}, ours ${result.errno}`);
    t.equal(difference, null, id);
  }
  t.end();
});
