// SPDX-License-Identifier: MIT

/*
 * Compares what we make of object files with what libbpf handed to the kernel:
 *
 *   npm run parity:objects -- CORPUS [options]
 *
 * CORPUS holds objects/*.bpf.o; records/*.jsonl, load records of their programs; skipped.jsonl, the programs that
 * libbpf gave up, with its messages; and the kernel that the records are of: vmlinux.btf, kernel.config, and where it had
 * modules with types modules/N-NAME.btf in the order in which they were loaded. Every object is
 * read, each of its programs resolved and compared with its record: instructions, maps, type, flags, BTF, func and line
 * info. What libbpf gave up we must give up too. Exit code 1 when something differs that reasons.ts does not explain,
 * or when less than --least percent of the programs are the same.
 *
 *   --only TEXT     programs whose id (object/program) holds TEXT
 *   --all           list every difference, not three of each kind
 *   --json          one JSON object instead of text
 *   --least P       percent that must be the same (default 99.5)
 *   --release X.Y.Z of the kernel that the records are of (default: as the records say)
 *   --cpus N        its possible CPUs (default: those of this machine)
 *   --kprobes       it could attach kprobes
 *   --jobs N        threads (default: one per core)
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { possibleCpus } from "../src/load/cpus.js";
import { packKernelVersion } from "../src/load/kernel-facts.js";
import { InputError } from "../src/util/errors.js";
import type { Done, Outcome, Settings, Work } from "./parity-objects/outcome.js";
import { Report } from "./parity-objects/report.js";

const USAGE = "usage: npm run parity:objects -- CORPUS [--only TEXT] [--all] [--json] …";
/** Objects that a worker takes at once. */
const BATCH = 8;

function commandLine() {
  return parseArgs({
    allowPositionals: true,
    options: {
      only: { type: "string", default: "" },
      all: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      least: { type: "string", default: "99.5" },
      release: { type: "string" },
      cpus: { type: "string" },
      kprobes: { type: "boolean", default: false },
      jobs: { type: "string", default: String(availableParallelism()) },
    },
  });
}

/** In one piece: under a compiler on the fly everything is many times slower. */
async function bundleWorker(directory: string): Promise<string> {
  const outfile = join(directory, "worker.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("./parity-objects/worker.ts", import.meta.url))],
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    external: ["koffi", "ffi-napi", "ref-napi"],
    logLevel: "warning",
    outfile,
  });
  return outfile;
}

/** The release of the kernel that the first record is of. */
function recordedRelease(corpus: string): string {
  for (const name of readdirSync(join(corpus, "records"))) {
    const match = /"kernel":\{"release":"([^"]*)"/.exec(readFileSync(join(corpus, "records", name), "latin1"));
    if (match !== null) return match[1]!;
  }
  throw new InputError("no record says of which kernel it is", { file: corpus });
}

function versionOf(release: string): number {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(release);
  if (match === null) throw new InputError(`--release: expected X.Y.Z, got ${release}`);
  return packKernelVersion(Number(match[1]), Number(match[2]), Number(match[3]));
}

/** Has every thread take objects until none are left. */
async function runAll(module: string, settings: Settings, objects: readonly string[], jobs: number) {
  const outcomes: Outcome[] = [];
  let time = 0;
  let next = 0;
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      const worker = new Worker(module, { workerData: settings });
      try {
        while (next < objects.length) {
          const batch = objects.slice(next, next + BATCH);
          next += BATCH;
          const done = await new Promise<Done>((resolve, reject) => {
            worker.once("message", resolve);
            worker.once("error", reject);
            worker.postMessage({ objects: batch } satisfies Work);
          });
          worker.removeAllListeners("error");
          outcomes.push(...done.outcomes);
          time += done.time;
        }
      } finally {
        await worker.terminate();
      }
    }),
  );
  return { outcomes, time };
}

async function run(directory: string): Promise<number> {
  const { values, positionals } = commandLine();
  const [corpus] = positionals;
  if (corpus === undefined || positionals.length > 1) throw new InputError(USAGE);
  const object = values.only.split("/")[0]!;
  const objects = readdirSync(join(corpus, "objects"))
    .filter((name) => name.endsWith(".bpf.o") && (values.only.includes("/") ? name.endsWith(object) : true))
    .sort();
  const settings: Settings = {
    corpus,
    only: values.only,
    kernVersion: versionOf(values.release ?? recordedRelease(corpus)),
    possibleCpus: values.cpus === undefined ? possibleCpus() : Number(values.cpus),
    kprobes: values.kprobes,
  };
  const start = performance.now();
  const { outcomes, time } = await runAll(await bundleWorker(directory), settings, objects, Number(values.jobs));
  const report = new Report(outcomes, Number(values.least));
  if (values.json) console.log(JSON.stringify(report.json()));
  else {
    console.log(report.text(values.all));
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`${objects.length} objects in ${seconds} s, ${(time / 1000).toFixed(1)} s of it reading and resolving`);
  }
  return report.passed ? 0 : 1;
}

const directory = mkdtempSync(join(tmpdir(), "bpfsmith-parity-"));
try {
  process.exitCode = await run(directory);
} catch (error) {
  if (!(error instanceof InputError || (error as NodeJS.ErrnoException).code?.startsWith("ERR_PARSE_ARGS")))
    throw error;
  console.error((error as Error).message);
  process.exitCode = 2;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
