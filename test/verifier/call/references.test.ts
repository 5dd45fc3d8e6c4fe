// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { differenceOf, judgeLive, needsMirroredKernel } from "../../support/live-parity.js";
import { randomReferences } from "../../support/random-references.js";

const FIRST = Number(process.env.BPFSMITH_RANDOM_SEED ?? 1);
const COUNT = Number(process.env.BPFSMITH_RANDOM_COUNT ?? 200);

t.test("references taken and given back at random: as the running kernel says", needsMirroredKernel(), (t) => {
  let accepted = 0;
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const parity = judgeLive(randomReferences(seed));
    if (parity.kernel.errno === 0) accepted++;
    const difference = differenceOf(parity);
    if (difference !== null) t.fail(difference);
  }
  t.ok(accepted >= COUNT / 2, `${accepted} of ${COUNT} programs were accepted`);
  t.ok(accepted <= COUNT * 0.95, `${COUNT - accepted} were rejected`);
  t.end();
});
