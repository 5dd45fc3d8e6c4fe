// SPDX-License-Identifier: MIT
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { addTally, emptyTally, type Tally } from "./campaign.js";
import { dropCommand } from "./capabilities.js";
import type { FromWorker, WorkerOrders } from "./orders.js";
import { addRawTally, emptyRawTally, type RawTally } from "./raw.js";

/** How a campaign goes. */
export interface FleetOptions {
  /** The checkout whose mirror is fuzzed. */
  readonly root: string;
  readonly seed: number;
  readonly caps: string;
  readonly raw: boolean;
  /** Processes. */
  readonly jobs: number;
  /** Blocks from `first` below `end`, until `deadline` (ms since 1970). */
  readonly first: number;
  readonly end: number;
  readonly deadline: number;
  /** File that differences are added to. */
  readonly keep: string | null;
  /** Stop at the first difference. */
  readonly untilFound: boolean;
  /** Called again and again: sees to it that the processes may use bpf(2). */
  readonly allow?: () => void;
  readonly say: (line: string) => void;
}

/** Milliseconds without a word after which a process is taken to hang. */
const SILENCE = 180_000;
/** Milliseconds between two words on how it goes. */
const NEWS = 30_000;

/** Makes one module of the worker and all that it imports; gives its path. */
export async function bundleWorker(root: string, directory: string): Promise<string> {
  const outfile = join(directory, "worker.mjs");
  await build({
    entryPoints: [join(root, "scripts/fuzz-worker.ts")],
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

/** The processes of one campaign. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #tally: Tally = emptyTally();
  readonly #raw: RawTally = emptyRawTally();
  readonly #children = new Set<ChildProcess>();
  readonly #known = new Map<string, string>();
  readonly #start = Date.now();
  /** The first difference, when one was found. */
  firstFinding: string | null = null;
  #failed = false;
  #stopping = false;
  #lastNews = Date.now();

  constructor(options: FleetOptions) {
    this.#options = options;
    if (options.keep !== null) for (const { id, key } of keptFindings(options.keep)) this.#known.set(key, id);
  }

  stop(): void {
    this.#stopping = true;
    for (const child of this.#children) child.kill("SIGTERM");
  }

  /** Runs all of it; true when nothing was found. */
  async run(): Promise<boolean> {
    const directory = mkdtempSync(join(tmpdir(), "bpfsmith-fuzz-"));
    try {
      chmodSync(directory, 0o755);
      symlinkSync(join(this.#options.root, "node_modules"), join(directory, "node_modules"));
      const worker = await bundleWorker(this.#options.root, directory);
      await Promise.all(
        Array.from({ length: this.#options.jobs }, (_, i) => this.#work(worker, this.#options.first + i)),
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
    this.#report();
    return (
      !this.#failed && Object.keys(this.#tally.findings).length === 0 && Object.keys(this.#raw.faults).length === 0
    );
  }

  /** One process after the other for every `jobs`th block from `first`: a hanging one is ended, the next goes on behind it. */
  async #work(worker: string, first: number): Promise<void> {
    const { seed, caps, jobs, end, deadline, raw } = this.#options;
    for (let next = first; next < end && Date.now() < deadline && !this.#stopping; ) {
      const orders: WorkerOrders = {
        seed,
        caps,
        first: next,
        step: jobs,
        end,
        deadline,
        raw,
        known: [...this.#known.keys()],
      };
      const stopped = await this.#oneProcess(worker, orders);
      if (stopped === null) return;
      next = stopped + jobs;
    }
  }

  /** Null when the process did all its blocks, else the block in which it ended. */
  #oneProcess(worker: string, orders: WorkerOrders): Promise<number | null> {
    const drop = orders.raw ? [] : dropCommand(orders.caps);
    const [command, ...args] = [...drop, process.execPath, "--enable-source-maps", worker, JSON.stringify(orders)];
    const child = spawn(command!, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#children.add(child);
    let block = orders.first;
    let hangs = false;
    const kill = (): void => {
      hangs = true;
      child.kill("SIGKILL");
    };
    let watch = setTimeout(kill, SILENCE);
    createInterface({ input: child.stdout! }).on("line", (line) => {
      clearTimeout(watch);
      watch = setTimeout(kill, SILENCE);
      const message = JSON.parse(line) as FromWorker;
      if (message.kind === "block") {
        block = message.block;
        this.#options.allow?.();
      }
      if (message.kind !== "block") this.#hear(message);
    });
    return new Promise((resolve) => {
      child.on("close", (code) => {
        clearTimeout(watch);
        this.#children.delete(child);
        if (code === 0 || this.#stopping) return resolve(null);
        this.#failed = true;
        this.#options.say(
          `a process ${hangs ? "hung" : `ended with ${code}`} in block ${block} of seed ${orders.seed}`,
        );
        resolve(block);
      });
    });
  }

  #hear(message: Exclude<FromWorker, { kind: "block" }>): void {
    if (message.kind === "tally") addTally(this.#tally, message.tally);
    else if (message.kind === "raw") this.#hearRaw(message.tally);
    else this.#keep(message);
    if (Date.now() - this.#lastNews < NEWS) return;
    this.#lastNews = Date.now();
    this.#options.say(this.#options.raw ? this.#rawLine() : this.#line());
  }

  #hearRaw(tally: RawTally): void {
    for (const [key, { example, stack }] of Object.entries(tally.faults)) {
      if (this.#raw.faults[key] === undefined) this.#options.say(`${key}\n  ${stack}\n  ${example.slice(0, 2000)}`);
    }
    addRawTally(this.#raw, tally);
  }

  #keep({ finding, logLevel, record }: Extract<FromWorker, { kind: "found" }>): void {
    this.firstFinding ??= finding.key;
    if (this.#known.has(finding.key)) return;
    const id = `fuzz/${finding.kind}-${createHash("sha256").update(finding.key).digest("hex").slice(0, 8)}`;
    this.#known.set(finding.key, id);
    const { say, keep, untilFound } = this.#options;
    say(`${id} (log level ${logLevel}) ${finding.key}\n    kernel: ${finding.kernel}\n    ours:   ${finding.ours}`);
    if (keep !== null) {
      appendFileSync(
        keep,
        `${JSON.stringify({ ...(JSON.parse(record) as object), id, key: finding.key, log_level: logLevel })}\n`,
      );
    }
    if (untilFound) this.stop();
  }

  #seconds(): number {
    return (Date.now() - this.#start) / 1000;
  }

  #line(): string {
    const { programs, accepted, sameVerdict, sameLog } = this.#tally;
    const share = (n: number, of: number): string => `${of === 0 ? 0 : Math.floor((n / of) * 100000) / 1000} %`;
    return (
      `${programs} programs from seed ${this.#options.seed}, ${share(accepted, programs)} accepted, ` +
      `${programs - sameVerdict} verdict differences, ${share(sameLog, programs)} identical logs, ` +
      `${Math.round(programs / this.#seconds())} programs/s`
    );
  }

  #rawLine(): string {
    const { cases, answers, faults, maxMs, rssMib } = this.#raw;
    return (
      `${cases} cases from seed ${this.#options.seed}: ${list(answers)}; ${Object.keys(faults).length} kinds of faults, ` +
      `longest ${Math.round(maxMs)} ms, at most ${rssMib} MiB, ${Math.round(cases / this.#seconds())} cases/s`
    );
  }

  #report(): void {
    const { say, raw } = this.#options;
    if (raw) {
      for (const [key, { count }] of Object.entries(this.#raw.faults)) say(`${count} × ${key}`);
      say(this.#rawLine());
      return;
    }
    const { skipped, unsupported, findings } = this.#tally;
    for (const [rule, n] of Object.entries(skipped)) say(`left out: ${n} (${rule})`);
    if (Object.keys(unsupported).length > 0) say(`not judged: ${list(unsupported)}`);
    for (const [key, n] of Object.entries(findings).sort(([, a], [, b]) => b - a)) say(`${n} × ${key}`);
    say(this.#line());
  }
}

function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([what, n]) => `${n} ${what}`)
    .join(", ");
}

/** What a file of findings holds already. */
function keptFindings(file: string): { id: string; key: string }[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { id: string; key: string });
}
