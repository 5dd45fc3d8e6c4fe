// SPDX-License-Identifier: MIT

/*
 * One process of `npm run fuzz`: gets its orders as JSON in the first argument, writes one JSON object a line.
 */
import { writeSync } from "node:fs";
import { writeRecord } from "../src/model/record.js";
import { Campaign, type Found } from "../test/support/fuzz/campaign.js";
import { parseCapabilities } from "../test/support/fuzz/capabilities.js";
import { KernelJudge } from "../test/support/fuzz/kernel.js";
import type { FromWorker, WorkerOrders } from "../test/support/fuzz/orders.js";
import { runRawBlock } from "../test/support/fuzz/raw.js";

const orders = JSON.parse(process.argv[2]!) as WorkerOrders;
const caps = parseCapabilities(orders.caps);

function tell(message: FromWorker): void {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

function tellFound(judge: KernelJudge, { finding, logLevel, load }: Found): void {
  let record = "";
  try {
    const kernel = { ...judge.ask(load, 2), log1: judge.ask(load, 1).log };
    record = writeRecord({ id: "fuzz", load, kernel });
  } catch {
    record = writeRecord({ id: "fuzz", load, kernel: null });
  }
  tell({ kind: "found", finding, logLevel, record });
}

function runKernel(): void {
  using judge = new KernelJudge();
  const campaign = new Campaign(orders.seed, caps, (load, logLevel) => judge.ask(load, logLevel), orders.known);
  for (let block = orders.first; block < orders.end && Date.now() < orders.deadline; block += orders.step) {
    tell({ kind: "block", block });
    tell({ kind: "tally", tally: campaign.run(block, (found) => tellFound(judge, found)) });
  }
}

function runRaw(): void {
  for (let block = orders.first; block < orders.end && Date.now() < orders.deadline; block += orders.step) {
    tell({ kind: "block", block });
    tell({ kind: "raw", tally: runRawBlock(orders.seed, block) });
  }
}

if (orders.raw) runRaw();
else runKernel();
