// SPDX-License-Identifier: MIT

/*
 * Puts random programs before the running kernel and before the mirror, and lists where they disagree:
 *
 *   npx tsx scripts/fuzz-parity.ts [--seed N] [--count N] [--write FILE.jsonl]
 *
 * --seed is the first seed (default: from the clock), --count how many (default 1000). --write keeps the
 * programs on which they disagree, with the kernel's answers, as load records for `npm run parity`.
 * Loads are paced. Needs root.
 */
import { appendFileSync } from "node:fs";
import { askKernelOnce, kernelLog, readStats } from "../src/load/ask-kernel.js";
import { writeRecord } from "../src/model/record.js";
import { judge } from "../test/support/parity.js";
import { randomProgram } from "../test/support/random-program.js";

function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
}

const seed = option("--seed", Math.floor(Date.now() / 1000));
const count = option("--count", 1000);
const writeAt = process.argv.indexOf("--write");
const out = writeAt < 0 ? undefined : process.argv[writeAt + 1];

/** Instructions of a verification whose log is still worth comparing. */
const MAX_WALK = 20_000;

/** The kernel's own mistake in a later phase: functions that dead code removal took away are looked for. */
const KERNEL_BUG = /^verifier bug: No program to jit at insn/m;

let compared = 0;
let accepted = 0;
let verdicts = 0;
let logs = 0;
for (let i = seed; i < seed + count; i++) {
  const { load } = randomProgram(i);
  if ((readStats(kernelLog(load, 4))?.insnsProcessed ?? 0) > MAX_WALK) continue;
  const record = { id: `random/${i}`, load, kernel: askKernelOnce(load) };
  if (KERNEL_BUG.test(record.kernel.log)) continue;
  compared++;
  if (record.kernel.errno === 0) accepted++;
  let said: string;
  try {
    const { result, sameVerdict, difference } = judge(record);
    if (sameVerdict) verdicts++;
    if (difference === null) logs++;
    if (sameVerdict && difference === null) continue;
    const verdict = sameVerdict
      ? ""
      : ` kernel errno ${record.kernel.errno}, ours ${result.verdict} ${result.errno} ${result.construct?.what ?? ""}`;
    said = `${record.id}:${verdict}\n  line ${difference?.line}\n    kernel: ${difference?.kernel}\n    ours:   ${difference?.ours}`;
  } catch (error) {
    said = `${record.id}: ${(error as Error).stack}`;
  }
  console.log(said);
  if (out !== undefined) appendFileSync(out, `${writeRecord(record)}\n`);
}
console.log(
  `${compared} programs from seed ${seed}, ${accepted} accepted, ${verdicts} identical verdicts, ${logs} identical logs`,
);
if (verdicts < compared || logs < compared) process.exitCode = 1;
