// SPDX-License-Identifier: MIT

/* One process of `npm run parity`: takes stretches of record files from its parent and sends back what became of each. */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { readLines } from "../../src/cli/lines.js";
import { DEFAULT_PROFILE, type KernelProfile, kernelProfile } from "../../src/kernel/profile.js";
import { nrCpuIds } from "../../src/load/cpus.js";
import { InexpressibleLoad, type KernelAnswer, type LoadRecord, readRecord } from "../../src/model/record.js";
import { InputError } from "../../src/util/errors.js";
import { judge, lastMessage, mask, type Parity } from "../../test/support/parity.js";
import { needsKernelTypes } from "../../test/support/parity-scope.js";
import type { FromWorker, Outcome, Settings, ToWorker, Unit } from "./outcome.js";

/** Bytes of a log's text that are compared whole. */
const MAX_WHOLE_LOG = 256 << 20;

let settings: Settings = { cpus: null, profile: null, vmlinux: null, only: "", showLogs: false };

/** Resolves when the parent has it: what was not yet sent when a process dies is lost. */
function send(message: FromWorker): Promise<void> {
  return new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()));
}

/** `verifier/x.c/name`, `x.cpuv4.bpf.o/name` → the file it was compiled from. */
function sourceOf(id: string): string {
  const parts = id.split("/");
  if (parts[0] === "verifier" && parts.length > 2) return `${parts[0]}/${parts[1]}`;
  return parts[0]!.replace(/(\.cpuv\d)?\.bpf\.o$/, "");
}

/** That of the record's kernel where there is one, unless somebody asked for another. */
function profileOf(kernel: KernelAnswer): KernelProfile {
  const release = settings.profile ?? /^\d+\.\d+/.exec(kernel.release)?.[0] ?? "";
  return kernelProfile(release) ?? DEFAULT_PROFILE;
}

/** The kernel's whole log where it lies beside the records; undefined where the record's own must do. */
function wholeLog(file: string, { logFile, logTruncated, logOverflowed }: KernelAnswer): string | undefined {
  if (logFile === undefined || !logTruncated || logOverflowed === true) return undefined;
  const directory = dirname(file);
  const path = [join(directory, "logs"), join(directory, "..", "logs"), directory]
    .map((place) => join(place, basename(logFile)))
    .find(existsSync);
  if (path === undefined) return undefined;
  const text = gunzipSync(readFileSync(path));
  return text.length < MAX_WHOLE_LOG ? text.toString("utf8") : undefined;
}

/** The types of the kernel that recorded, where they lie beside the records. */
function vmlinuxBeside(file: string): string | undefined {
  const directory = dirname(file);
  return [directory, join(directory, "..")].map((place) => join(place, "vmlinux.btf")).find(existsSync);
}

/** The errno alone, where the verifier was not reached. */
function unjudged({ kernel }: LoadRecord): string | null {
  if (kernel === null) return "the record holds no kernel's answer";
  return kernel.stage === "before" ? `refused before the verifier, errno ${kernel.errno}` : null;
}

const nothing = {
  profile: "",
  reason: "",
  answered: false,
  kind: null,
  kernel: null,
  ours: null,
  difference: null,
  detail: "",
  logs: "",
} as const;

function describe(parity: Parity, record: LoadRecord, us: number): Partial<Outcome> {
  const { result, kernel, kind, difference } = parity;
  const { construct } = result;
  return {
    kind,
    kernel: { errno: kernel.errno, message: lastMessage(kernel.log), us: kernel.verificationUs ?? null },
    ours: {
      verdict: result.verdict,
      errno: result.errno,
      message: lastMessage(result.log),
      insnsProcessed: result.stats.insnsProcessed,
      us,
    },
    difference,
    detail: construct === undefined ? counters(parity, record) : `${construct.what} at insn ${construct.insn}`,
  };
}

function counters({ kind, result, kernel }: Parity, { id }: LoadRecord): string {
  if (kind !== "counters") return "";
  const { stackDepth: _, ...ours } = result.stats;
  return `${id}: kernel ${JSON.stringify(kernel.stats)}, ours ${JSON.stringify(ours)}`;
}

function compare(file: string, record: LoadRecord): Outcome {
  const { id, load } = record;
  const kernel = record.kernel!;
  const profile = profileOf(kernel);
  const reason = needsKernelTypes(load);
  const base: Outcome = {
    ...nothing,
    id,
    source: sourceOf(id),
    profile: profile.release,
    status: reason === null ? "compared" : "set aside",
    reason: reason ?? "",
  };
  const log = wholeLog(file, kernel);
  const start = performance.now();
  let us = 0;
  try {
    const parity = judge(record, {
      profile,
      cpus: settings.cpus ?? nrCpuIds(),
      vmlinux: settings.vmlinux ?? vmlinuxBeside(file),
      ...(log === undefined ? {} : { wholeLog: log }),
      onVerified: () => {
        us = Math.round((performance.now() - start) * 1000);
      },
    });
    return {
      ...base,
      ...describe(parity, record, us),
      answered: parity.result.verdict !== "unsupported",
      logs: settings.showLogs ? `kernel:\n${mask(log ?? kernel.log)}\nours:\n${mask(parity.result.log)}` : "",
    };
  } catch (error) {
    if (error instanceof InputError) return { ...base, status: "unreadable", reason: error.message };
    return { ...base, answered: true, kind: "crash", detail: (error as Error).stack ?? String(error) };
  }
}

/** Null for a record that nobody asked for. */
async function answer(file: string, line: string): Promise<Outcome | null> {
  const base = { ...nothing, id: "?", source: basename(file) };
  let record: LoadRecord;
  try {
    record = readRecord(line);
  } catch (error) {
    if (error instanceof InexpressibleLoad) {
      if (!error.id.includes(settings.only)) return null;
      return { ...base, id: error.id, source: sourceOf(error.id), status: "set aside", reason: error.construct };
    }
    if (error instanceof InputError) return { ...base, status: "unreadable", reason: error.message };
    throw error;
  }
  const { id } = record;
  if (!id.includes(settings.only)) return null;
  const why = unjudged(record);
  if (why !== null) return { ...base, id, source: sourceOf(id), status: "unjudged", reason: why };
  await send({ started: id, source: sourceOf(id) });
  return compare(file, record);
}

async function work({ file, from, to, skip }: Unit): Promise<void> {
  let number = 0;
  for (const line of readLines(file, { from, to })) {
    if (line.trim() === "" || number++ < skip) continue;
    await send({ outcome: await answer(file, line) });
  }
  await send({ finished: true });
}

process.on("message", (message: ToWorker) => {
  if ("settings" in message) settings = message.settings;
  else if ("unit" in message) void work(message.unit);
  else process.disconnect();
});
await send({ ready: true });
