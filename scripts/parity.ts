// SPDX-License-Identifier: MIT

/*
 * Compares the mirror's verdicts, logs and counters with a kernel's:
 *
 *   npm run parity -- examples | FILE.jsonl... | DIRECTORY [options]
 *
 * The files hold load records with kernel answers; `examples` builds the programs of examples/ and puts them before the
 * running kernel. Every core runs a process of its own. Programs that need the kernel's own types are set aside
 * (test/support/parity-scope.ts says which), but compared if the mirror answers them. Whole logs are read from logs/
 * beside the records. Exit code 1 when something differs that test/fixtures/parity/known.json does not explain, or when
 * a difference explained there is gone.
 *
 *   --only TEXT      records whose id holds TEXT
 *   --all            list every difference, not the first 40 only
 *   --brief          without the table by source file
 *   --log            print both logs
 *   --json           one JSON object instead of text
 *   --timings        the mirror's time, and its slowest programs
 *   --profile X.Y    mirror this release (default: that of the record, if there is a profile for it)
 *   --cpus N         CPUs of the machine that recorded (default: of this one)
 *   --vmlinux FILE   the kernel's BTF (default: vmlinux.btf beside the records, else the running kernel's)
 *   --known FILE     another file of known disagreements
 *   --jobs N         processes (default: one per core)
 *   --timeout S      seconds that a record may take (default 900)
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { kernelProfile } from "../src/kernel/profile.js";
import { bpfPermission } from "../src/syscall/permissions.js";
import { InputError } from "../src/util/errors.js";
import { KNOWN_FILE, KnownDifferences, readKnown } from "../test/support/known.js";
import type { Settings } from "./parity/outcome.js";
import { Pool, recordFiles } from "./parity/pool.js";
import { Report } from "./parity/report.js";

const USAGE = "usage: npm run parity -- examples | FILE.jsonl... | DIRECTORY [--only TEXT] [--all] [--json] …";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

function commandLine() {
  return parseArgs({
    allowPositionals: true,
    options: {
      only: { type: "string", default: "" },
      all: { type: "boolean", default: false },
      brief: { type: "boolean", default: false },
      log: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      timings: { type: "boolean", default: false },
      profile: { type: "string" },
      cpus: { type: "string" },
      vmlinux: { type: "string" },
      known: { type: "string", default: fileURLToPath(KNOWN_FILE) },
      jobs: { type: "string", default: String(availableParallelism()) },
      timeout: { type: "string", default: "900" },
    },
  });
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InputError(`--${name}: expected a number from 1 on, got ${text}`);
  return value;
}

/** Under a compiler on the fly the mirror is twenty times slower: the workers get it in one piece. */
async function bundleWorker(directory: string): Promise<string> {
  const outfile = join(directory, "worker.mjs");
  await build({
    entryPoints: [here("./parity/worker.ts")],
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
    outfile,
  });
  return outfile;
}

/** Writes the programs of examples/ with the running kernel's answers into a file of records. */
async function recordExamples(directory: string): Promise<string> {
  const { readInput } = await import("../src/cli/input.js");
  const { askKernel } = await import("../src/load/ask-kernel.js");
  const { runningKernel } = await import("../src/load/kernel-facts.js");
  const { resolveObject } = await import("../src/object/resolve.js");
  const { writeRecord } = await import("../src/model/record.js");
  const lines: string[] = [];
  for (const name of readdirSync(here("../examples")).sort()) {
    if (!name.endsWith(".ts")) continue;
    const { spec } = await readInput(join(here("../examples"), name));
    for (const { name: program, load } of resolveObject(spec, runningKernel()).programs) {
      lines.push(writeRecord({ id: `${name}/${program}`, load, kernel: askKernel(load) }));
    }
  }
  const file = join(directory, "examples.jsonl");
  writeFileSync(file, `${lines.join("\n")}\n`);
  return file;
}

async function run(directory: string): Promise<number> {
  const { values, positionals } = commandLine();
  if (positionals.length === 0) throw new InputError(USAGE);
  if (values.profile !== undefined && kernelProfile(values.profile) === undefined) {
    throw new InputError(`--profile: there is none for ${values.profile}`);
  }
  if (positionals.includes("examples") && !bpfPermission().permitted) {
    console.log("skipped: no bpf(2)");
    return 0;
  }
  const named = await Promise.all(positionals.map((path) => (path === "examples" ? recordExamples(directory) : path)));
  const files = recordFiles(named);
  const settings: Settings = {
    cpus: values.cpus === undefined ? null : positive("cpus", values.cpus),
    profile: values.profile ?? null,
    vmlinux: values.vmlinux ?? null,
    only: values.only,
    showLogs: values.log,
  };
  const module = await bundleWorker(directory);
  const start = performance.now();
  const options = { module, jobs: positive("jobs", values.jobs), timeout: positive("timeout", values.timeout) };
  const outcomes = await new Pool(files, settings, options).run();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  for (const { logs } of outcomes) if (logs !== "") console.log(logs);
  const report = new Report(outcomes, new KnownDifferences(readKnown(values.known)));
  if (values.json) console.log(JSON.stringify(report.json()));
  else console.log(`${report.text(values)}\n${outcomes.length} records in ${seconds} s`);
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
