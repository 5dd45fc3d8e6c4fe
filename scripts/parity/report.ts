// SPDX-License-Identifier: MIT
import { errnoName } from "../../src/kernel/errno.js";
import type { Known, KnownDifferences } from "../../test/support/known.js";
import { DIFFERENCE_KINDS } from "../../test/support/parity.js";
import type { Outcome } from "./outcome.js";
import { addTo, emptyRow, percent, type Row, reached, type Share, shares } from "./tally.js";

/** Differences that are listed unless all are asked for. */
const LISTED = 40;
const SLOWEST = 20;

export interface ReportOptions {
  /** List every difference. */
  readonly all: boolean;
  /** Without the table. */
  readonly brief: boolean;
  readonly timings: boolean;
}

/** The outcomes of a run, sorted. */
export class Report {
  /** Programs in scope, by source file. */
  readonly sources = new Map<string, Row>();
  readonly total = emptyRow();
  /** Set aside, but given a verdict by the mirror. */
  readonly asideAnswered = emptyRow();
  readonly aside = new Map<string, number>();
  readonly unjudged = new Map<string, number>();
  readonly unreadable: Outcome[] = [];
  readonly unexplained: Outcome[] = [];
  readonly explained: { readonly outcome: Outcome; readonly reason: string }[] = [];
  readonly gone: readonly Known[];
  private readonly outcomes: readonly Outcome[];
  private readonly release: string;

  constructor(outcomes: readonly Outcome[], known: KnownDifferences) {
    this.outcomes = outcomes;
    this.release = outcomes.find(({ profile }) => profile !== "")?.profile ?? "";
    for (const outcome of outcomes) this.sort(outcome, known);
    this.gone = known.gone();
  }

  private sort(outcome: Outcome, known: KnownDifferences): void {
    const { status, reason, answered, kind, source } = outcome;
    if (status === "unreadable") this.unreadable.push(outcome);
    if (status === "unjudged") count(this.unjudged, reason);
    if (status === "set aside") {
      count(this.aside, reason);
      if (!answered) return;
      addTo(this.asideAnswered, outcome);
    }
    if (status === "compared") {
      const row = this.sources.get(source) ?? emptyRow();
      this.sources.set(source, row);
      addTo(row, outcome);
      addTo(this.total, outcome);
    }
    const why = known.reasonOf(outcome);
    if (kind === null) return;
    if (why === null) this.unexplained.push(outcome);
    else this.explained.push({ outcome, reason: why });
  }

  get shares(): readonly Share[] {
    return shares(this.total, this.release);
  }

  /** Whether nothing differs but what is known, and nothing known is gone. */
  get passed(): boolean {
    return this.unexplained.length === 0 && this.gone.length === 0 && this.unreadable.length === 0;
  }

  text(options: ReportOptions): string {
    return [
      ...this.differences(options.all),
      ...(options.brief ? [] : table(this.sources)),
      ...(options.timings ? this.slowest() : []),
      ...this.summary(),
    ].join("\n");
  }

  private differences(all: boolean): string[] {
    const shown = all ? this.unexplained : this.unexplained.slice(0, LISTED);
    const lines = shown.map(describe);
    if (shown.length < this.unexplained.length) {
      lines.push(`… and ${this.unexplained.length - shown.length} more differences (--all lists them)`);
    }
    for (const { id, reason } of this.unreadable) lines.push(`${id}: unreadable: ${reason}`);
    for (const { outcome, reason } of this.explained) lines.push(`${outcome.id}: ${outcome.kind}, known: ${reason}`);
    for (const { id, kind, reason } of this.gone)
      lines.push(`${id}: no longer differs (${kind}: ${reason}): remove it`);
    return lines.length === 0 ? lines : [...lines, ""];
  }

  private summary(): string[] {
    const { programs } = this.total;
    const lines: string[] = [];
    lines.push(...listing("programs without a kernel's verdict", this.unjudged));
    lines.push(...listing("set aside, needing kernel types", this.aside));
    lines.push(`set aside but answered: ${rowText(this.asideAnswered)}`);
    lines.push(`in scope: ${rowText(this.total)}`);
    for (const share of this.shares) {
      const goal =
        share.wanted === null ? "" : ` (wanted ${share.wanted} %: ${reached(share, programs) ? "reached" : "MISSED"})`;
      lines.push(`  ${share.name}: ${share.count} of ${programs}, ${percent(share.count, programs)}${goal}`);
    }
    lines.push(
      `profile ${this.release || "-"}; ${this.unexplained.length} unexplained differences, ` +
        `${this.explained.length} known, ${this.gone.length} known ones gone`,
    );
    return lines;
  }

  private slowest(): string[] {
    const timed = this.outcomes.filter(({ ours }) => ours !== null).sort((a, b) => b.ours!.us - a.ours!.us);
    const sum = timed.reduce((us, { ours }) => us + ours!.us, 0);
    const lines = timed.slice(0, SLOWEST).map(({ id, ours, kernel }) => {
      const kernelMs = kernel?.us == null ? "?" : (kernel.us / 1000).toFixed(1);
      return `  ${(ours!.us / 1000).toFixed(1)} ms (kernel ${kernelMs} ms, ${ours!.insnsProcessed} processed) ${id}`;
    });
    return [`mirror, with logs at level 2: ${(sum / 1e6).toFixed(1)} s in all; the slowest:`, ...lines, ""];
  }

  /** What tools read. */
  json(): object {
    const { programs } = this.total;
    return {
      profile: this.release,
      total: this.total,
      set_aside_answered: this.asideAnswered,
      set_aside: Object.fromEntries(this.aside),
      unjudged: Object.fromEntries(this.unjudged),
      shares: this.shares.map((share) => ({
        ...share,
        percent: programs === 0 ? null : (share.count / programs) * 100,
        reached: reached(share, programs),
      })),
      sources: Object.fromEntries(this.sources),
      unexplained: this.unexplained.map(({ logs: _, ...outcome }) => outcome),
      known: this.explained.map(({ outcome, reason }) => ({ id: outcome.id, kind: outcome.kind, reason })),
      gone: this.gone,
      unreadable: this.unreadable.map(({ id, reason }) => ({ id, reason })),
      passed: this.passed,
    };
  }
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

function listing(title: string, counts: ReadonlyMap<string, number>): string[] {
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const sum = sorted.reduce((n, [, k]) => n + k, 0);
  return [`${title}: ${sum}`, ...sorted.map(([what, n]) => `  ${String(n).padStart(5)}  ${what}`)];
}

function rowText({ programs, same, kinds }: Row): string {
  const parts = DIFFERENCE_KINDS.filter((kind) => kinds[kind] > 0).map((kind) => `${kind} ${kinds[kind]}`);
  return [`${programs} programs, ${same} the same in everything`, ...parts].join(", ");
}

function verdictText(errno: number, message: string): string {
  return `${errno === 0 ? "accepted" : `rejected, ${errnoName(errno) ?? errno}`}: ${message}`;
}

/** A difference for people. */
function describe({ id, kind, kernel, ours, difference, detail, status }: Outcome): string {
  const lines = [`${id}: ${kind}${status === "set aside" ? " (set aside)" : ""}`];
  if (kernel !== null && ours !== null && (kind === "verdict" || kind === "errno" || kind === "message")) {
    lines.push(`  kernel: ${verdictText(kernel.errno, kernel.message)}`);
    lines.push(`  ours:   ${verdictText(ours.errno, ours.message)}`);
  }
  if (difference !== null && kind !== "unsupported") {
    const where = difference.line < 0 ? "behind what the record leaves out" : `line ${difference.line}`;
    lines.push(`  ${where}`, `    kernel: ${difference.kernel}`, `    ours:   ${difference.ours}`);
  }
  if (detail !== "") lines.push(`  ${detail}`);
  return lines.join("\n");
}

function table(sources: ReadonlyMap<string, Row>): string[] {
  const width = Math.max(10, ...[...sources.keys()].map((name) => name.length));
  const head = ["programs", "same", ...DIFFERENCE_KINDS];
  const cells = (row: Row): number[] => [row.programs, row.same, ...DIFFERENCE_KINDS.map((kind) => row.kinds[kind])];
  const line = (name: string, row: readonly (string | number)[]): string =>
    `${name.padEnd(width)}  ${row.map((cell, i) => String(cell === 0 ? "." : cell).padStart(head[i]!.length)).join("  ")}`;
  const rows = [...sources].sort(([a], [b]) => (a < b ? -1 : 1));
  return [line("source", head), ...rows.map(([name, row]) => line(name, cells(row))), ""];
}
