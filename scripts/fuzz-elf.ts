// SPDX-License-Identifier: MIT

/*
 * Spoils object files and reads, resolves and writes what comes of it; anything but an answer or an InputError within
 * 200 ms and 256 MiB is a fault:
 *
 *   npm run fuzz:elf -- [--count N] [--minutes M] [--seed S] [--jobs J] [OBJECT | DIRECTORY]...
 *
 * The files are the programs of examples/, an object with one of everything in either byte order, what clang makes of
 * bench/*.bpf.c where it is installed, and objects of up to 64 KiB that the arguments name. The same seed and files give
 * the same cases. Faults are written below /tmp. Exit code 1 when there are any.
 */
import { fork } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { readInput } from "../src/cli/input.js";
import { writeObject } from "../src/elf/write-object.js";
import { fullObject } from "../test/elf/full-object.js";
import { addRawTally, emptyRawTally, type RawTally } from "../test/support/fuzz/raw.js";
import { ELF_BLOCK, runElfBlock } from "../test/support/fuzz-elf/run.js";
import { run, whyNoTool } from "../test/support/tools.js";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Larger files take their time and find no more. */
const MAX_SEED = 64 << 10;

interface Orders {
  readonly directory: string;
  readonly seed: number;
  readonly first: number;
  readonly end: number;
  readonly step: number;
  readonly deadline: number;
}

const readSeeds = (directory: string): Uint8Array[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".o"))
    .sort()
    .map((name) => new Uint8Array(readFileSync(join(directory, name))));

function work({ directory, seed, first, end, step, deadline }: Orders): void {
  const seeds = readSeeds(directory);
  const next = (block: number): void => {
    if (block >= end || Date.now() >= deadline) {
      process.disconnect();
      return;
    }
    process.send!({ block }, () => {
      process.send!({ tally: runElfBlock(seed, block, seeds) }, () => next(block + step));
    });
  };
  next(first);
}

/** Fills a directory with sound objects. */
async function gatherSeeds(directory: string, named: readonly string[]): Promise<number> {
  let count = 0;
  const add = (bytes: Uint8Array): void => {
    if (bytes.length <= MAX_SEED) writeFileSync(join(directory, `${count++}.o`), bytes);
  };
  for (const name of readdirSync(join(root, "examples")).sort()) {
    if (name.endsWith(".ts")) add(writeObject((await readInput(join(root, "examples", name))).spec));
  }
  for (const endianness of ["little", "big"] as const) add(writeObject(fullObject(endianness)));
  if (whyNoTool("clang-19") === undefined) {
    const object = join(directory, "clang.tmp");
    for (const name of readdirSync(join(root, "bench")).filter((file) => file.endsWith(".bpf.c"))) {
      const flags = ["-target", "bpf", "-g", "-O2", "-c", join(root, "bench", name), "-o", object];
      if (run("clang-19", ...flags).status === 0) add(readFileSync(object));
    }
  }
  for (const path of named) {
    const files = statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
    for (const file of files.sort()) if (file.endsWith(".o")) add(readFileSync(file));
  }
  return count;
}

/** One process after another for every `step`th block; one that dies is a fault, and the next goes on behind it. */
async function employ(worker: string, orders: Orders, hear: (tally: RawTally) => void): Promise<void> {
  for (let next = orders.first; next < orders.end; ) {
    let block = next;
    const child = fork(worker, [JSON.stringify({ ...orders, first: next })], { execArgv: ["--enable-source-maps"] });
    child.on("message", (message: { block?: number; tally?: RawTally }) => {
      if (message.block !== undefined) block = message.block;
      if (message.tally !== undefined) hear(message.tally);
    });
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    if (code === 0) return;
    const lost = emptyRawTally();
    lost.faults[`a process ended with ${code} in block ${block}`] = { count: 1, example: "", stack: "" };
    hear(lost);
    next = block + orders.step;
  }
}

async function main(directory: string): Promise<boolean> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      count: { type: "string" },
      minutes: { type: "string" },
      seed: { type: "string", default: "1" },
      jobs: { type: "string", default: String(availableParallelism()) },
    },
  });
  const seeds = await gatherSeeds(directory, positionals);
  const outfile = join(directory, "worker.mjs");
  const settings = { bundle: true, platform: "node", format: "esm", target: "node20", packages: "external" } as const;
  await build({ ...settings, entryPoints: [fileURLToPath(import.meta.url)], outfile, logLevel: "error" });
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  const count = values.count === undefined ? (values.minutes === undefined ? 100_000 : Infinity) : Number(values.count);
  const jobs = Number(values.jobs);
  const start = Date.now();
  const deadline = values.minutes === undefined ? Number.MAX_SAFE_INTEGER : start + Number(values.minutes) * 60_000;
  const total = emptyRawTally();
  let news = start;
  const line = (): string => {
    const answers = Object.entries(total.answers).map(([answer, n]) => `${n} ${answer}`);
    const rate = Math.round(total.cases / ((Date.now() - start) / 1000));
    const kinds = Object.keys(total.faults).length;
    return (
      `${total.cases} cases from ${seeds} files, seed ${values.seed}: ${answers.join(", ")}; ${kinds} kinds of faults, ` +
      `longest ${Math.round(total.maxMs)} ms, at most ${total.rssMib} MiB, ${rate} cases/s`
    );
  };
  const hear = (tally: RawTally): void => {
    addRawTally(total, tally);
    if (Date.now() - news < 30_000) return;
    news = Date.now();
    console.log(line());
  };
  const end = Math.min(Math.ceil(count / ELF_BLOCK), Number.MAX_SAFE_INTEGER);
  const common = { directory, seed: Number(values.seed), end, step: jobs, deadline };
  await Promise.all(Array.from({ length: jobs }, (_, first) => employ(outfile, { ...common, first }, hear)));
  Object.entries(total.faults).forEach(([key, { count, example, stack }], i) => {
    const file = join(tmpdir(), `fuzz-elf-fault-${i}.o`);
    writeFileSync(file, Buffer.from(example, "base64"));
    console.log(`${count} × ${key}\n    ${stack}\n    ${file}`);
  });
  console.log(line());
  return Object.keys(total.faults).length === 0;
}

if (process.send !== undefined) {
  work(JSON.parse(process.argv[2]!) as Orders);
} else {
  const directory = mkdtempSync(join(tmpdir(), "bpfsmith-fuzz-elf-"));
  try {
    process.exitCode = (await main(directory)) ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
