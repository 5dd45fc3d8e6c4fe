// SPDX-License-Identifier: MIT

/*
 * Fuzzes what reads and judges BTF:
 *
 *   npm run fuzz:btf -- [--minutes M | --count K] [--seed S] [--case N] [--jobs N] [--no-kernel] [--records FILE|DIR]
 *
 * Random BTFs, most of them sound or nearly so, go before validateBtf() and before BPF_BTF_LOAD of the running kernel:
 * error number, log and log_true_size must be the same, and what the kernel takes readBtf() has to read. With --records,
 * the BTFs of load records come first, unchanged, and mutations of them after. --no-kernel asks no kernel: whatever reads
 * BTF, and one of what can be made of it (dumps, layouts, deduplication, split and lazy reading, writing), must answer or
 * throw InputError, within 200 ms and 256 MiB. The same seed gives the same cases; --case shows one.
 * Needs root, except for --no-kernel.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { readBtf } from "../src/btf/read.js";
import { InputError } from "../src/util/errors.js";
import { btfCase } from "../test/support/fuzz-btf/cases.js";
import { BtfKernel, difference, latin1, ourAnswer } from "../test/support/fuzz-btf/compare.js";
import {
  addTally,
  BTF_BLOCK,
  type BtfOrders,
  type BtfTally,
  emptyTally,
  type FromBtfWorker,
} from "../test/support/fuzz-btf/orders.js";
import { runRawCase } from "../test/support/fuzz-btf/raw.js";
import { btfsOfRecords } from "../test/support/fuzz-btf/records.js";

/** MiB that a process may have at any time, its code included. */
const MEMORY = 256;
/** Milliseconds without a word after which a process is taken to hang. */
const SILENCE = 120_000;
/** Milliseconds between two words on how it goes. */
const NEWS = 30_000;
/** Bytes of a BTF of which mutations are made: longer ones take their time. */
const POOLED = 30_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    count: { type: "string" },
    seed: { type: "string" },
    case: { type: "string" },
    jobs: { type: "string" },
    "no-kernel": { type: "boolean", default: false },
    records: { type: "string" },
  },
});

function number(name: "minutes" | "count" | "seed" | "case" | "jobs", otherwise: number): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  const n = Number(text);
  if (!Number.isFinite(n) || n < 0) throw new InputError(`--${name} must be a number, not ${text}`);
  return n;
}

const kernelVmlinux = () => readBtf(readFileSync("/sys/kernel/btf/vmlinux"));

/** Compares the BTFs themselves; gives how many differ. */
function compareUnchanged(btfs: readonly Uint8Array[]): number {
  const kernel = new BtfKernel();
  const vmlinux = kernelVmlinux();
  let differ = 0;
  let bytes = 0;
  let logged = 0;
  for (const [i, btf] of btfs.entries()) {
    const input = { bytes: btf, logLevel: 2, logSize: null };
    const theirs = kernel.ask(input);
    const found = difference(
      theirs,
      ourAnswer(input, () => vmlinux),
    );
    bytes += btf.length;
    logged += theirs.log.length;
    if (found === "") continue;
    differ++;
    console.log(`BTF ${i} of ${btf.length} bytes: ${found}`);
  }
  console.log(`${btfs.length} BTFs of the records (${bytes} bytes, logs of ${logged}): ${differ} differ`);
  return differ;
}

/** One case with what both sides say. */
function show(seed: number, at: number, pool: readonly Uint8Array[]): void {
  if (values["no-kernel"]) {
    const slowest = { ms: 0, what: "" };
    for (const { key, detail } of runRawCase(seed, at, slowest)) console.log(`${key}\n  ${detail}`);
    console.log(`longest step ${Math.round(slowest.ms)} ms (${slowest.what})`);
    return;
  }
  const input = btfCase(seed, at, pool);
  console.log(Buffer.from(input.bytes).toString("base64"));
  const ours = ourAnswer(input, kernelVmlinux);
  console.log(`log level ${input.logLevel}, size ${input.logSize}; ours: ${ours.errno}\n${latin1(ours.log)}`);
  const theirs = new BtfKernel().ask(input);
  console.log(`kernel: ${theirs.errno}\n${latin1(theirs.log)}\n${difference(theirs, ours) || "no difference"}`);
}

class Campaign {
  readonly tally: BtfTally = emptyTally();
  readonly #start = Date.now();
  readonly #children = new Set<ReturnType<typeof spawn>>();
  #lastNews = Date.now();
  #stopping = false;

  stop(): void {
    this.#stopping = true;
    for (const child of this.#children) child.kill("SIGTERM");
  }

  /** One process after the other for its blocks: one that ends is noted, the next goes on behind it. */
  async work(worker: string, orders: BtfOrders): Promise<void> {
    for (let first = orders.first; first < orders.end && Date.now() < orders.deadline && !this.#stopping; ) {
      const ended = await this.#oneProcess(worker, { ...orders, first });
      if (ended === null) return;
      this.#note(`a process ended in block ${ended}`, ended * BTF_BLOCK, "memory, or it hung");
      first = ended + orders.step;
    }
  }

  #note(key: string, number: number, detail: string): void {
    addTally(this.tally, { ...emptyTally(), faults: { [key]: { count: 1, number, detail } } });
    console.log(`${key}\n  ${detail}`);
  }

  #oneProcess(worker: string, orders: BtfOrders): Promise<number | null> {
    const heap = orders.kernel ? [] : [`--max-old-space-size=${MEMORY - 64}`];
    const child = spawn(process.execPath, [...heap, worker, JSON.stringify(orders)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#children.add(child);
    let block = orders.first;
    const kill = (): boolean => child.kill("SIGKILL");
    let watch = setTimeout(kill, SILENCE);
    createInterface({ input: child.stdout }).on("line", (line) => {
      clearTimeout(watch);
      watch = setTimeout(kill, SILENCE);
      const message = JSON.parse(line) as FromBtfWorker;
      block = message.block;
      if (message.tally !== null) this.#hear(message.tally);
    });
    return new Promise((resolve) => {
      child.on("close", (code) => {
        clearTimeout(watch);
        this.#children.delete(child);
        resolve(code === 0 || this.#stopping ? null : block);
      });
    });
  }

  #hear(tally: BtfTally): void {
    for (const [key, { number, detail }] of Object.entries(tally.faults)) {
      if (this.tally.faults[key] === undefined) console.log(`case ${number}: ${key}\n  ${detail.slice(0, 3000)}`);
    }
    addTally(this.tally, tally);
    if (Date.now() - this.#lastNews < NEWS) return;
    this.#lastNews = Date.now();
    console.log(this.line());
  }

  line(): string {
    const { cases, accepted, faults, maxMs, maxWhat, rssMib } = this.tally;
    const found = Object.values(faults).reduce((sum, { count }) => sum + count, 0);
    const speed = Math.round(cases / ((Date.now() - this.#start) / 1000));
    return values["no-kernel"]
      ? `${cases} cases: ${found} faults, longest step ${Math.round(maxMs)} ms (${maxWhat}), at most ${rssMib} MiB, ${speed} cases/s`
      : `${cases} cases: ${accepted} accepted by the kernel, ${found} differences, ${speed} cases/s`;
  }
}

async function fuzz(directory: string, seed: number, pool: readonly Uint8Array[]): Promise<boolean> {
  const worker = join(directory, "worker.mjs");
  const root = fileURLToPath(new URL("..", import.meta.url));
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  await build({
    entryPoints: [join(root, "scripts/fuzz-btf-worker.ts")],
    outfile: worker,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    logLevel: "error",
  });
  const file = join(directory, "pool");
  if (pool.length > 0) writeFileSync(file, pool.map((btf) => Buffer.from(btf).toString("base64")).join("\n"));
  const count = number("count", 0);
  const jobs = Math.max(1, number("jobs", availableParallelism()));
  const campaign = new Campaign();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => campaign.stop());
  const orders = {
    seed,
    step: jobs,
    end: count === 0 ? Number.MAX_SAFE_INTEGER : Math.ceil(count / BTF_BLOCK),
    deadline: Date.now() + number("minutes", count === 0 ? 1 : 24 * 60) * 60_000,
    kernel: !values["no-kernel"],
    pool: pool.length > 0 ? file : null,
  };
  await Promise.all(Array.from({ length: jobs }, (_, first) => campaign.work(worker, { ...orders, first })));
  for (const [key, { count: n, number: at }] of Object.entries(campaign.tally.faults)) {
    console.log(`${n} × ${key} (first: --seed ${seed} --case ${at})`);
  }
  console.log(`seed ${seed}: ${campaign.line()}`);
  const tooMuch = values["no-kernel"] && campaign.tally.rssMib > MEMORY;
  return Object.keys(campaign.tally.faults).length === 0 && !tooMuch;
}

async function main(): Promise<boolean> {
  const seed = number("seed", Math.floor(Date.now() / 1000)) | 0;
  let same = true;
  let pool: Uint8Array[] = [];
  if (values.records !== undefined) {
    const all = btfsOfRecords(values.records, statSync(values.records).isDirectory());
    if (!values["no-kernel"]) same = compareUnchanged(all) === 0;
    pool = all.filter(({ length }) => length <= POOLED);
  }
  if (values.case !== undefined) {
    show(seed, number("case", 0), pool);
    return same;
  }
  const directory = mkdtempSync(join(tmpdir(), "bpfsmith-fuzz-btf-"));
  try {
    return (await fuzz(directory, seed, pool)) && same;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
