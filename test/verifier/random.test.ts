// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { differenceOf, judgeLive, needsMirroredKernel } from "../support/live-parity.js";
import { randomProgram } from "../support/random-program.js";

const FIRST = Number(process.env.BPFSMITH_RANDOM_SEED ?? 1);
const COUNT = Number(process.env.BPFSMITH_RANDOM_COUNT ?? 400);

/** The kernel's own mistake in a later phase: functions that dead code removal took away are looked for. */
const KERNEL_BUG = /^verifier bug: No program to jit at insn/m;

t.test("random programs: the same verdict and the same log as the running kernel", needsMirroredKernel(), (t) => {
  let accepted = 0;
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const parity = judgeLive(randomProgram(seed));
    if (KERNEL_BUG.test(parity.kernel.log)) continue;
    if (parity.kernel.errno === 0) accepted++;
    const difference = differenceOf(parity);
    if (difference !== null) t.fail(difference);
  }
  t.ok(accepted >= COUNT / 8, `${accepted} of ${COUNT} programs were accepted`);
  t.end();
});
