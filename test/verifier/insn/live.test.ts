// SPDX-License-Identifier: GPL-2.0-only
import t, { type Test } from "tap";
import { ProgFlag, ProgType } from "../../../src/kernel/uapi.js";
import { askKernelOnce } from "../../../src/load/ask-kernel.js";
import { nrCpuIds } from "../../../src/load/cpus.js";
import type { ProgramLoad } from "../../../src/model/load.js";
import { verify } from "../../../src/verifier/index.js";
import { needsMirroredKernel } from "../../support/live-parity.js";
import { loadOf } from "./one-insn.js";
import { randomPackets } from "./random-packets.js";
import { type Mix, randomScalars } from "./random-scalars.js";

const COUNT = Number(process.env.BPFSMITH_RANDOM_COUNT ?? 150);
const FIRST = Number(process.env.BPFSMITH_RANDOM_SEED ?? 1);

/** First line in which the texts differ, both sides of it. */
function firstDifference(kernel: string, ours: string): string {
  const a = kernel.split("\n");
  const b = ours.split("\n");
  const at = a.findIndex((line, i) => line !== b[i]);
  return `line ${at + 1}: kernel "${a[at]}", ours "${b[at]}"`;
}

/** Counts what the running kernel accepted; every printed state must be the mirror's. */
function compare(t: Test, loadFor: (seed: number) => ProgramLoad): { accepted: number; violations: number } {
  let accepted = 0;
  let violations = 0;
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const load = loadFor(seed);
    const kernel = askKernelOnce(load);
    if (kernel.logTruncated) continue;
    const ours = verify(load, { logLevel: 2, nrCpuIds: nrCpuIds() });
    if (kernel.errno === 0) accepted++;
    if (kernel.log.includes("REG INVARIANTS VIOLATION")) violations++;
    if (kernel.errno !== ours.errno || kernel.log !== ours.log) {
      t.fail(`seed ${seed}: errno ${kernel.errno} and ${ours.errno}, ${firstDifference(kernel.log, ours.log)}`);
    }
  }
  return { accepted, violations };
}

const scalars =
  (mix: Mix, flags = 0) =>
  (seed: number): ProgramLoad =>
    loadOf(randomScalars(seed, mix), flags);

const packets =
  (progType: number) =>
  (seed: number): ProgramLoad => ({ ...loadOf(randomPackets(seed, progType, 12)), progType });

t.test("arithmetic: every state is printed as by the running kernel", needsMirroredKernel(), (t) => {
  const { accepted } = compare(t, scalars({ length: 24, jumps: 15 }));
  t.equal(accepted, COUNT, "all were accepted");
  t.end();
});

t.test("comparisons: every state is printed as by the running kernel", needsMirroredKernel(), (t) => {
  const { accepted } = compare(t, scalars({ length: 20, jumps: 60 }));
  t.ok(accepted > COUNT / 2, `${accepted} were accepted`);
  t.end();
});

t.test("bounds that contradict themselves are refused where the program asks for it", needsMirroredKernel(), (t) => {
  const { accepted, violations } = compare(t, scalars({ length: 30, jumps: 70 }, ProgFlag.TEST_REG_INVARIANTS));
  t.comment(`${violations} violations`);
  t.ok(accepted > COUNT / 2, `${accepted} were accepted`);
  t.end();
});

for (const type of ["SCHED_CLS", "XDP"] as const) {
  t.test(`packet pointers of ${type}: every state is printed as by the running kernel`, needsMirroredKernel(), (t) => {
    const { accepted } = compare(t, packets(ProgType[type]));
    t.ok(accepted > COUNT / 10, `${accepted} were accepted`);
    t.end();
  });
}
