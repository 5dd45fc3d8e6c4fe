// SPDX-License-Identifier: MIT
import { type ChildProcess, fork } from "node:child_process";
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { InputError } from "../../src/util/errors.js";
import type { FromWorker, Outcome, Settings, ToWorker, Unit } from "./outcome.js";

/** Bytes of a file that one worker takes at once. */
const UNIT_BYTES = 1 << 20;
const NEWLINE = 10;

/**
 * The record files among what was named: of a directory its *.jsonl, that is to say.
 * @throws InputError when one of them is missing
 */
export function recordFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    let isDirectory: boolean;
    try {
      isDirectory = statSync(path).isDirectory();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new InputError("no such file", { file: path });
      throw error;
    }
    if (!isDirectory) return [path];
    const names = readdirSync(path).filter((name) => name.endsWith(".jsonl"));
    if (names.length === 0) throw new InputError("no *.jsonl in this directory", { file: path });
    return names.sort().map((name) => join(path, name));
  });
}

interface WeighedUnit extends Unit {
  /** Instructions that the kernel processed for its records. */
  readonly weight: number;
}

const PROCESSED = Buffer.from('"insns_processed":');

/** Cuts a file at line ends into stretches of about {@link UNIT_BYTES}. */
function unitsOf(file: string): Omit<WeighedUnit, "number">[] {
  const fd = openSync(file, "r");
  const units: Omit<WeighedUnit, "number">[] = [];
  try {
    const buffer = Buffer.alloc(UNIT_BYTES + 64);
    let from = 0;
    let weight = 0;
    // A few bytes are read twice, so that no figure is torn.
    for (let at = 0; ; at += UNIT_BYTES) {
      const length = readSync(fd, buffer, 0, buffer.length, at);
      if (length === 0) break;
      const chunk = buffer.subarray(0, length);
      const end = chunk.subarray(0, UNIT_BYTES).lastIndexOf(NEWLINE);
      for (let p = chunk.indexOf(PROCESSED); p >= 0 && p < UNIT_BYTES; p = chunk.indexOf(PROCESSED, p + 1)) {
        if (p > end && end >= 0) continue;
        weight += Number.parseInt(chunk.toString("latin1", p + PROCESSED.length, p + PROCESSED.length + 12), 10) || 0;
      }
      if (end >= 0) {
        units.push({ file, from, to: at + end + 1, skip: 0, weight });
        from = at + end + 1;
        weight = 0;
      }
      if (length <= UNIT_BYTES) {
        if (from < at + length) units.push({ file, from, to: at + length, skip: 0, weight });
        break;
      }
    }
  } finally {
    closeSync(fd);
  }
  return units;
}

/** The work, the heaviest first so that no core has it alone at the end. */
function plan(files: readonly string[]): Unit[] {
  return files
    .flatMap(unitsOf)
    .map((unit, number) => ({ ...unit, number }))
    .sort((a, b) => b.weight - a.weight);
}

export interface PoolOptions {
  /** The worker's module, ready for `node`. */
  readonly module: string;
  readonly jobs: number;
  /** Seconds that one record may take. */
  readonly timeout: number;
}

/** Has worker processes go through files of records; a process that dies costs the record it was at. */
export class Pool {
  private readonly units: Unit[];
  private readonly outcomes: Outcome[][] = [];
  private readonly settings: Settings;
  private readonly options: PoolOptions;

  constructor(files: readonly string[], settings: Settings, options: PoolOptions) {
    this.units = plan(files);
    this.settings = settings;
    this.options = options;
  }

  /** What became of the records, in their order. */
  async run(): Promise<Outcome[]> {
    const jobs = Math.max(1, Math.min(this.options.jobs, this.units.length));
    await Promise.all(Array.from({ length: jobs }, () => this.keepWorking()));
    return this.outcomes.flat();
  }

  private async keepWorking(): Promise<void> {
    while (this.units.length > 0) await this.oneProcess();
  }

  /** Resolves when the process ends: of itself when nothing is left to do. */
  private oneProcess(): Promise<void> {
    const child = fork(this.options.module, [], { execArgv: ["--max-old-space-size=8192"], stdio: "inherit" });
    const turn = new Turn(child, this.options.timeout);
    const next = (): void => {
      const unit = this.units.shift();
      turn.begin(unit);
      turn.send(unit === undefined ? { done: true } : { unit });
    };
    child.on("message", (message: FromWorker) => {
      if ("ready" in message) turn.send({ settings: this.settings });
      if ("ready" in message || "finished" in message) next();
      if ("started" in message) turn.start(message.started, message.source);
      if ("outcome" in message) {
        turn.stop();
        if (message.outcome !== null) this.add(turn.unit!, message.outcome);
      }
    });
    return new Promise((resolve) => {
      child.on("exit", (code, signal) => {
        const { unit, done } = turn;
        turn.stop();
        if (unit !== undefined) {
          const why = turn.timedOut ? `no answer within ${this.options.timeout} s` : `process ended: ${signal ?? code}`;
          this.add(unit, turn.died(basename(unit.file), why));
          this.units.unshift({ ...unit, skip: unit.skip + done + 1 });
        }
        resolve();
      });
    });
  }

  private add(unit: Unit, outcome: Outcome): void {
    this.outcomes[unit.number] ??= [];
    this.outcomes[unit.number]!.push(outcome);
  }
}

/** What one process is at. */
class Turn {
  unit: Unit | undefined;
  /** Records of the unit that this process has done. */
  done = 0;
  timedOut = false;
  private readonly child: ChildProcess;
  private readonly timeout: number;
  private record: { readonly id: string; readonly source: string } | null = null;
  private timer: NodeJS.Timeout | undefined;

  constructor(child: ChildProcess, timeout: number) {
    this.child = child;
    this.timeout = timeout;
  }

  send(message: ToWorker): void {
    this.child.send(message);
  }

  begin(unit: Unit | undefined): void {
    this.unit = unit;
    this.done = 0;
    this.record = null;
  }

  start(id: string, source: string): void {
    this.record = { id, source };
    this.timer = setTimeout(() => {
      this.timedOut = true;
      this.child.kill("SIGKILL");
    }, this.timeout * 1000);
  }

  stop(): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    this.done++;
  }

  /** The outcome of the record at which the process died. */
  died(file: string, detail: string): Outcome {
    return {
      id: this.record?.id ?? "?",
      source: this.record?.source ?? file,
      profile: "",
      status: "compared",
      reason: "",
      answered: true,
      kind: "crash",
      kernel: null,
      ours: null,
      difference: null,
      detail,
      logs: "",
    };
  }
}
