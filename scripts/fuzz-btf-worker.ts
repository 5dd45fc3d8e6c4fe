// SPDX-License-Identifier: MIT

/*
 * One process of `npm run fuzz:btf`: gets its orders as JSON in the first argument, writes one JSON object a line.
 */
import { readFileSync, writeSync } from "node:fs";
import { readBtf } from "../src/btf/read.js";
import { btfCase } from "../test/support/fuzz-btf/cases.js";
import { BtfKernel, difference, ourAnswer, readerFault } from "../test/support/fuzz-btf/compare.js";
import { BTF_BLOCK, type BtfOrders, emptyTally, type FromBtfWorker } from "../test/support/fuzz-btf/orders.js";
import { runRawCase } from "../test/support/fuzz-btf/raw.js";

// InputErrors are thrown by the million.
Error.stackTraceLimit = 0;

const orders = JSON.parse(process.argv[2]!) as BtfOrders;

function tell(message: FromBtfWorker): void {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

/** Numbers say where, not what. */
function keyOf(difference: string): string {
  return difference.replace(/\d+/g, "N").slice(0, 200);
}

function runner(): (block: number) => FromBtfWorker {
  const pool =
    orders.pool === null
      ? []
      : readFileSync(orders.pool, "latin1")
          .split("\n")
          .map((line) => new Uint8Array(Buffer.from(line, "base64")));
  const kernel = orders.kernel ? new BtfKernel() : null;
  const vmlinux = orders.kernel ? readBtf(readFileSync("/sys/kernel/btf/vmlinux")) : null;
  return (block) => {
    const tally = emptyTally();
    const slowest = { ms: 0, what: "" };
    const note = (key: string, number: number, detail: string): void => {
      const known = tally.faults[key];
      if (known === undefined) tally.faults[key] = { count: 1, number, detail };
      else known.count++;
    };
    for (let number = block * BTF_BLOCK; number < (block + 1) * BTF_BLOCK; number++) {
      tally.cases++;
      if (kernel === null) {
        for (const { key, detail } of runRawCase(orders.seed, number, slowest)) note(key, number, detail);
        if (slowest.ms > tally.maxMs) {
          tally.maxMs = slowest.ms;
          tally.maxWhat = `${slowest.what} of case ${number}`;
        }
        continue;
      }
      const input = btfCase(orders.seed, number, pool);
      const theirs = kernel.ask(input);
      if (theirs.errno === 0) tally.accepted++;
      const found =
        difference(
          theirs,
          ourAnswer(input, () => vmlinux),
        ) || readerFault(input, theirs);
      if (found !== "") note(keyOf(found), number, `${found}\n  ${Buffer.from(input.bytes).toString("base64")}`);
    }
    tally.rssMib = Math.round(process.resourceUsage().maxRSS / 1024);
    return { block, tally };
  };
}

const run = runner();
for (let block = orders.first; block < orders.end && Date.now() < orders.deadline; block += orders.step) {
  tell({ block, tally: null });
  tell(run(block));
}
