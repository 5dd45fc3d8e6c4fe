// SPDX-License-Identifier: MIT
// The mirror's speed against the running kernel's: every accepted program of some load records is verified and loaded
// in turns. Run as root after `npm run build`:
//   node bench/verifier.mjs [FILE.jsonl | DIRECTORY]... [--runs N] [--only TEXT] [--top N] [--json FILE]
import { spawnSync } from "node:child_process";
import { createReadStream, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepareLoad } from "../dist/load/index.js";
import { readRecord, writeRecord } from "../dist/model/index.js";
import { bpfPermission, SyscallError, VerifierRejection } from "../dist/syscall/index.js";
import { verify } from "../dist/verifier/index.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "15" },
    only: { type: "string", default: "" },
    top: { type: "string", default: "20" },
    json: { type: "string" },
    // Used by the script itself: prints the peak memory of verifying one program; measures cold starts.
    peak: { type: "string" },
    cold: { type: "string" },
  },
});
const runs = Number(values.runs);
const root = fileURLToPath(new URL("..", import.meta.url));
const fixtures = join(root, "test/fixtures/verifier/recorded.jsonl");

/** Programs beyond are not loaded with a log: it would have hundreds of megabytes. */
const MAX_LOGGED_INSNS = 20_000;
const LOG_LEVEL2 = 2;
const LOG_STATS = 4;
/** Processor time spent before anything is measured. */
const WARM_UP_SECONDS = 6;
/** Instructions of the programs of the cold start, about. */
const COLD_INSNS = 100;
const COLD_PROGRAMS = 9;
const MIB = 2 ** 20;

const sorted = (list) => [...list].sort((a, b) => a - b);
const quantile = (list, q) => sorted(list)[Math.min(list.length - 1, Math.floor(list.length * q))];
const median = (list) => quantile(list, 0.5);
const ms = (value) => (value < 10 ? value.toFixed(3) : value.toFixed(1));

/** The record files that the arguments name. */
function files() {
  const paths = positionals.length === 0 ? [fixtures] : positionals;
  return paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path).filter((name) => name.endsWith(".jsonl"));
    return names.sort().map((name) => join(path, name));
  });
}

/** Every record that the recording kernel accepted, or has not been asked about, with its own figures where it has some. */
async function* records() {
  for (const file of files()) {
    for await (const line of createInterface({ input: createReadStream(file) })) {
      if (line === "") continue;
      let record;
      try {
        record = readRecord(line);
      } catch {
        continue;
      }
      if (!record.id.includes(values.only) || (record.kernel !== null && record.kernel.errno !== 0)) continue;
      const { kernel } = JSON.parse(line);
      yield {
        id: record.id,
        load: record.load,
        recorded: { verification: kernel?.verification_us / 1000, syscall: kernel?.syscall_us / 1000 },
      };
    }
  }
}

/** Why a program is left out; loading stops at the first such thing. */
class SetAside extends Error {}

function refusalOf(error) {
  if (error instanceof VerifierRejection || error instanceof SyscallError) return new SetAside("the kernel refuses it");
  return error;
}

function timed(work) {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/** One load; the milliseconds of the system call, and of the verification where the log says them. */
function kernelLoad(prepared, logLevel, logSize) {
  const { fd, log, ms } = prepared.load(logLevel, { logSize });
  fd.close();
  const match = /^verification time (\d+) usec$/m.exec(log);
  return { ms, verification: match === null ? Number.NaN : Number(match[1]) / 1000, logSize: log.length };
}

/** Both sides in turns; the least of each. */
function measure({ id, load, recorded }) {
  const { verdict, stats, construct } = verify(load);
  if (verdict === "unsupported") throw new SetAside(`the mirror does not model it (${construct.what})`);
  if (verdict === "rejected") throw new SetAside("the mirror rejects it");
  const row = { id, insns: load.insns.length / 8, processed: stats.insnsProcessed, recorded };
  const least = { ours: Infinity, verification: Infinity, syscall: Infinity, oursLog: Infinity, syscallLog: Infinity };
  const take = (name, value) => {
    least[name] = Math.min(least[name], value);
  };
  try {
    const prepared = prepareLoad(load);
    try {
      const withLog = row.processed <= MAX_LOGGED_INSNS;
      const logSize = withLog ? kernelLoad(prepared, LOG_LEVEL2).logSize + 4096 : 0;
      const first = timed(() => verify(load));
      const rounds = first > 200 ? 3 : first > 20 ? Math.min(5, runs) : runs;
      for (let i = 0; i < rounds; i++) {
        take(
          "ours",
          timed(() => verify(load)),
        );
        take("verification", kernelLoad(prepared, LOG_STATS).verification);
        take("syscall", kernelLoad(prepared, 0).ms);
        if (!withLog) continue;
        take(
          "oursLog",
          timed(() => verify(load, { logLevel: LOG_LEVEL2 })),
        );
        take("syscallLog", kernelLoad(prepared, LOG_LEVEL2, logSize).ms);
      }
    } finally {
      prepared.close();
    }
  } catch (error) {
    throw refusalOf(error);
  }
  return { ...row, ...least };
}

/** Seconds of processor time since the process started. */
function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Runs the first programs until the JavaScript engine has compiled what they need, which it does on the side. */
async function warmUp() {
  const loads = [];
  for await (const { load } of records()) {
    loads.push(load);
    if (loads.length === 300) break;
  }
  const end = cpuSeconds() + WARM_UP_SECONDS;
  while (loads.length > 0 && cpuSeconds() < end) {
    for (const load of loads) {
      if (verify(load).stats.insnsProcessed < 1000) verify(load, { logLevel: LOG_LEVEL2 });
    }
  }
}

function ratioRow(what, rows, ours, theirs, target) {
  const usable = rows.filter((row) => Number.isFinite(ours(row)) && theirs(row) > 0);
  if (usable.length === 0) return;
  const ratios = usable.map((row) => ours(row) / theirs(row));
  const sum = (of) => usable.reduce((all, row) => all + of(row), 0);
  console.log(
    `${what}: ratio median ${median(ratios).toFixed(2)} (target ${target}), p90 ${quantile(ratios, 0.9).toFixed(2)}, ` +
      `worst ${Math.max(...ratios).toFixed(2)}; medians ${ms(median(usable.map(ours)))} against ` +
      `${ms(median(usable.map(theirs)))} ms, sums ${ms(sum(ours))} against ${ms(sum(theirs))} ms  [${usable.length} programs]`,
  );
}

function list(title, rows) {
  console.log(`\n${title}`);
  console.log("   ratio     ours ms   kernel ms (recorded)  syscall ms  processed   insns  program");
  for (const row of rows) {
    const recorded = row.recorded.verification >= 0 ? `(${ms(row.recorded.verification)})` : "";
    console.log(
      [
        (row.ours / row.verification).toFixed(2).padStart(8),
        ms(row.ours).padStart(11),
        ms(row.verification).padStart(11),
        recorded.padEnd(10),
        ms(row.syscall).padStart(11),
        String(row.processed).padStart(10),
        String(row.insns).padStart(7),
        ` ${row.id}`,
      ].join(" "),
    );
  }
}

/** Processes from their start to the verdict of one program, for several programs of about the same size. */
function coldStart(file) {
  const scratch = mkdtempSync(join(tmpdir(), "bpfsmith-bench-"));
  const run = (...args) => timed(() => spawnSync(process.execPath, args));
  try {
    const perProgram = readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line, at) => {
        const one = join(scratch, `${at}.jsonl`);
        writeFileSync(one, `${line}\n`);
        return { one, size: readRecord(line).load.insns.length / 8, ours: [] };
      });
    const bare = [];
    for (let i = 0; i < Math.max(runs, 15); i++) {
      for (const { one, ours } of perProgram) {
        ours.push(run(join(root, "dist/cli/main.cjs"), "verify", "--records", one));
      }
      bare.push(run("-e", "0"));
    }
    const medians = perProgram.map(({ ours }) => median(ours));
    const sizes = perProgram.map(({ size }) => size);
    console.log(
      `\ncold start of the process to the verdict of ${Math.min(...sizes)} to ${Math.max(...sizes)} instructions: median ` +
        `${ms(median(medians))} ms, slowest ${ms(Math.max(...medians))} ms (target 120), of which \`node -e 0\` is ` +
        `${ms(median(bare))} ms  [${medians.length} programs, ${bare.length} runs each]`,
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The programs nearest to a size, written as records; measured in a process that is small and starts others fast. */
function coldStarts(rows) {
  const scratch = mkdtempSync(join(tmpdir(), "bpfsmith-bench-"));
  try {
    const file = join(scratch, "cold.jsonl");
    const distance = ({ insns }) => Math.abs(insns - COLD_INSNS);
    const nearest = rows
      .filter(({ load }) => load !== undefined)
      .sort((a, b) => distance(a) - distance(b))
      .slice(0, COLD_PROGRAMS);
    const lines = nearest.map(({ id, load }) => `${writeRecord({ id, load, kernel: null })}\n`);
    writeFileSync(file, lines.join(""));
    spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--cold", file], { stdio: "inherit" });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Peak memory of a process that verifies one program, in bytes. */
function peakMemory(id) {
  const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--peak", id, ...positionals], {
    encoding: "utf8",
  });
  return Number(child.stdout);
}

async function printPeak(id) {
  for await (const record of records()) {
    if (record.id !== id) continue;
    verify(record.load);
    console.log(process.resourceUsage().maxRSS * 1024);
    return;
  }
}

async function main() {
  const permission = bpfPermission();
  if (!permission.permitted) return console.log(`skipped: no bpf(2): ${permission.reason}`);
  await warmUp();
  const rows = [];
  const aside = new Map();
  for await (const record of records()) {
    try {
      const row = measure(record);
      rows.push(row);
      if (Math.abs(row.insns - COLD_INSNS) < COLD_INSNS / 2) row.load = record.load;
    } catch (error) {
      if (!(error instanceof SetAside)) throw error;
      aside.set(error.message, (aside.get(error.message) ?? 0) + 1);
    }
  }
  console.log(`${rows.length} programs, each the least of up to ${runs} runs, both sides in turns`);
  for (const [why, count] of sorted(aside.entries())) console.log(`  set aside: ${count}, ${why}`);
  if (rows.length === 0) return;
  ratioRow(
    "no log, against the verification time",
    rows,
    (row) => row.ours,
    (row) => row.verification,
    1.5,
  );
  ratioRow(
    "no log, against the recorded verification time",
    rows,
    (row) => row.ours,
    (row) => row.recorded.verification,
    1.5,
  );
  ratioRow(
    "no log, against BPF_PROG_LOAD",
    rows,
    (row) => row.ours,
    (row) => row.syscall,
    1.0,
  );
  ratioRow(
    "level-2 log, against BPF_PROG_LOAD with it",
    rows,
    (row) => row.oursLog,
    (row) => row.syscallLog,
    0.7,
  );
  const top = Number(values.top);
  const bySize = [...rows].sort((a, b) => b.processed - a.processed);
  const ratio = (row) => row.ours / row.verification;
  list(`the ${top} programs with the most processed instructions (target: ratios up to 3)`, bySize.slice(0, top));
  list(`the ${top} worst ratios`, [...rows].sort((a, b) => ratio(b) - ratio(a)).slice(0, top));
  coldStarts(rows);
  const largest = bySize[0];
  console.log(
    `peak memory of a process verifying ${largest.id} (${largest.processed} processed): ` +
      `${(peakMemory(largest.id) / MIB).toFixed(0)} MiB (target 1024)`,
  );
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      JSON.stringify(rows, (key, value) => (key === "load" ? undefined : value)),
    );
}

if (values.peak !== undefined) await printPeak(values.peak);
else if (values.cold !== undefined) coldStart(values.cold);
else await main();
