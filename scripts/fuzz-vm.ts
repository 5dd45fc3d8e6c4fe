// SPDX-License-Identifier: MIT

/*
 * Holds the machine against the running kernel, or against the mirror:
 *
 *   npm run fuzz:vm -- [--count K] [--minutes M] [--seed S] [--jobs N] [--contain]
 *
 * Random programs that the verifier accepts run in the machine and by BPF_PROG_TEST_RUN; return value, packet, context
 * and maps must be the same. With --contain no kernel is asked: each register must lie in a state that the mirror had at
 * the instruction. Each process stays on one CPU. Loads are paced. Needs root, except with --contain.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "1000" },
    minutes: { type: "string", default: "600" },
    seed: { type: "string", default: String(Math.floor(Date.now() / 1000)) },
    jobs: { type: "string", default: String(availableParallelism()) },
    contain: { type: "boolean", default: false },
  },
});
const root = fileURLToPath(new URL("..", import.meta.url));
const wanted = Number(values.count);
const good = values.contain ? "contained" : "same";
const bad = values.contain ? "outside" : "different";
const counts: Record<string, number> = {};
let steps = 0;
let lastNews = Date.now();
const start = Date.now();

function line(): string {
  const seconds = (Date.now() - start) / 1000;
  return `${counts[good] ?? 0} ${good}, ${counts[bad] ?? 0} ${bad}, ${steps} instructions, ${Math.round(((counts[good] ?? 0) / seconds) * 10) / 10}/s`;
}

async function worker(directory: string): Promise<string> {
  const outfile = join(directory, "worker.mjs");
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  await build({
    entryPoints: [join(root, "scripts/fuzz-vm-worker.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    logLevel: "error",
    sourcemap: "inline",
  });
  return outfile;
}

interface Word {
  readonly counts: Readonly<Record<string, number>>;
  readonly found: readonly { readonly n: number; readonly detail: string }[];
  readonly steps: number;
}

/** One process, which hears that it is enough by being ended. */
function run(file: string, job: number, jobs: number, deadline: number): Promise<void> {
  const orders = [values.seed, job, jobs, job % availableParallelism(), availableParallelism(), deadline];
  const args = [
    process.execPath,
    "--enable-source-maps",
    file,
    ...orders.map(String),
    values.contain ? "contain" : "kernel",
  ];
  const child = spawn("taskset", ["-c", String(job % availableParallelism()), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  createInterface({ input: child.stdout }).on("line", (text) => {
    const word = JSON.parse(text) as Word;
    for (const [key, n] of Object.entries(word.counts)) counts[key] = (counts[key] ?? 0) + n;
    for (const { n, detail } of word.found) console.log(`seed ${values.seed} number ${n}: ${detail.slice(0, 1000)}`);
    steps += word.steps;
    if (Date.now() - lastNews > 30_000) {
      lastNews = Date.now();
      console.log(line());
    }
    if ((counts[good] ?? 0) >= wanted) child.kill("SIGTERM");
  });
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      if (code !== 0 && signal !== "SIGTERM") {
        console.log(`a process ended with ${code ?? signal}`);
        process.exitCode = 1;
      }
      resolve();
    });
  });
}

const directory = mkdtempSync(join(tmpdir(), "bpfsmith-fuzz-vm-"));
try {
  const file = await worker(directory);
  const jobs = Math.max(1, Number(values.jobs));
  const deadline = start + Number(values.minutes) * 60_000;
  await Promise.all(Array.from({ length: jobs }, (_, job) => run(file, job, jobs, deadline)));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
for (const [key, n] of Object.entries(counts).sort(([, a], [, b]) => b - a)) {
  if (key !== good && key !== bad) console.log(`${n} ${key}`);
}
console.log(`seed ${values.seed}: ${line()}`);
if ((counts[bad] ?? 0) > 0) process.exitCode = 1;
