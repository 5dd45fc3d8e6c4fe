// SPDX-License-Identifier: MIT

/*
 * Puts the programs of a corpus that say what becomes of them without privileges before the mirror and before the
 * running kernel, by a process without capabilities:
 *
 *   npm run parity:unprivileged -- FILE.jsonl... | DIRECTORY
 *
 * Compares verdict, errno and log of both, and counts for how many the expectation holds (`annotations` of the records:
 * `expect_unpriv` and `msgs_unpriv`, else those for the privileged). Needs root; kernel.unprivileged_bpf_disabled is 0
 * meanwhile and set back. Exit code 1 when mirror and kernel differ.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { readLines } from "../src/cli/lines.js";
import { LogLevel } from "../src/kernel/uapi.js";
import type { MapLoad, ProgramLoad } from "../src/model/load.js";
import { readRecord } from "../src/model/record.js";
import { SyscallError } from "../src/syscall/errors.js";
import { InputError } from "../src/util/errors.js";
import { verify } from "../src/verifier/index.js";
import { dropCommand, parseCapabilities } from "../test/support/fuzz/capabilities.js";
import { compare } from "../test/support/fuzz/compare.js";
import { KernelJudge } from "../test/support/fuzz/kernel.js";
import { UnprivilegedBpf } from "../test/support/fuzz/unprivileged.js";
import { recordFiles } from "./parity/pool.js";

const WORKER = "--worker";
const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Annotations {
  readonly unpriv?: boolean | null;
  readonly expect?: string | null;
  readonly expect_unpriv?: string | null;
  readonly msgs?: readonly string[] | null;
  readonly msgs_unpriv?: readonly string[] | null;
}

/** What one process without capabilities says about one record. */
interface Answer {
  readonly id: string;
  /** Why there is no comparison. */
  readonly aside?: string;
  /** How mirror and kernel differ, null when they do not. */
  readonly difference?: string | null;
  /** Whether the expectation holds for the kernel and for the mirror. */
  readonly kernel?: boolean;
  readonly mirror?: boolean;
}

/** A message of an annotation; `{{...}}` in it is a regular expression. */
function pattern(message: string): RegExp {
  const quote = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const parts = message.split(/\{\{(.*?)\}\}/);
  return new RegExp(parts.map((part, i) => (i % 2 === 0 ? quote(part) : part)).join(""), "m");
}

function holds({ expect, expect_unpriv, msgs, msgs_unpriv }: Annotations, accepted: boolean, log: string): boolean {
  if (((expect_unpriv ?? expect) === "success") !== accepted) return false;
  let rest = log;
  for (const message of (msgs_unpriv?.length ?? 0) > 0 ? msgs_unpriv! : expect_unpriv == null ? (msgs ?? []) : []) {
    const match = pattern(message).exec(rest);
    if (match === null) return false;
    rest = rest.slice(match.index + match[0].length);
  }
  return true;
}

/** What libbpf loads where types are refused: BPF_BTF_LOAD wants CAP_BPF. */
function withoutTypes(load: ProgramLoad): ProgramLoad {
  const plain = (map: MapLoad): MapLoad => ({
    ...map,
    btf: null,
    btfKeyTypeId: 0,
    btfValueTypeId: 0,
    inner: map.inner === null ? null : plain(map.inner),
  });
  return { ...load, btf: null, funcInfo: null, lineInfo: null, maps: load.maps.map(plain) };
}

function answer(judge: KernelJudge, line: string): Answer {
  const { id, load: privileged } = readRecord(line);
  const load = withoutTypes(privileged);
  const { annotations } = JSON.parse(line) as { annotations: Annotations };
  const caps = parseCapabilities("none");
  let said: { accepted: boolean; log: string } | null = null;
  try {
    const outcome = compare(load, caps, LogLevel.LEVEL2, (load, level) => {
      const kernel = judge.ask(load, level);
      said = { accepted: kernel.errno === 0, log: kernel.log };
      return kernel;
    });
    if ("skipped" in outcome) return { id, aside: outcome.skipped };
    if ("unsupported" in outcome) return { id, aside: `not modelled: ${outcome.unsupported}` };
    const difference = "finding" in outcome ? `${outcome.finding.kernel} | ours: ${outcome.finding.ours}` : null;
    const ours = verify(load, { caps, logLevel: LogLevel.LEVEL2 });
    const kernel = said! as { accepted: boolean; log: string };
    return {
      id,
      difference,
      kernel: holds(annotations, kernel.accepted, kernel.log),
      mirror: holds(annotations, ours.verdict === "accepted", ours.log),
    };
  } catch (error) {
    if (error instanceof SyscallError) return { id, aside: `the kernel makes no map: ${error.message}` };
    throw error;
  }
}

async function work(): Promise<void> {
  using judge = new KernelJudge();
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(answer(judge, line)));
  }
}

/** The lines of records that say something about the unprivileged. */
function* annotated(paths: readonly string[]): Generator<string> {
  for (const file of recordFiles(paths)) {
    for (const line of readLines(file)) {
      if (line.trim() === "") continue;
      const { annotations } = JSON.parse(line) as { annotations?: Annotations | null };
      if (annotations?.unpriv === true) yield line;
    }
  }
}

async function bundle(directory: string): Promise<string> {
  chmodSync(directory, 0o755);
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
  const outfile = join(directory, "worker.mjs");
  const settings = { bundle: true, platform: "node", format: "esm", target: "node20", packages: "external" } as const;
  await build({ ...settings, entryPoints: [fileURLToPath(import.meta.url)], outfile, logLevel: "error" });
  return outfile;
}

function report(answers: readonly Answer[]): boolean {
  const compared = answers.filter(({ aside }) => aside === undefined);
  const different = compared.filter(({ difference }) => difference !== null);
  for (const { id, difference } of different) console.log(`${id}: ${difference}`);
  const reasons = new Map<string, number>();
  for (const { aside } of answers) if (aside !== undefined) reasons.set(aside, (reasons.get(aside) ?? 0) + 1);
  console.log(`${answers.length} programs say what becomes of them without privileges, ${compared.length} compared`);
  for (const [why, count] of reasons) console.log(`  set aside: ${count}, ${why}`);
  console.log(`same verdict, errno and log: ${compared.length - different.length} of ${compared.length}`);
  const met = (by: "kernel" | "mirror"): number => compared.filter((one) => one[by]).length;
  console.log(`as expected: ${met("kernel")} by the kernel, ${met("mirror")} by the mirror`);
  return different.length === 0;
}

async function main(paths: readonly string[]): Promise<boolean> {
  if (paths.length === 0) throw new InputError("usage: npm run parity:unprivileged -- FILE.jsonl... | DIRECTORY");
  const directory = mkdtempSync(join(tmpdir(), "bpfsmith-unprivileged-"));
  try {
    const worker = await bundle(directory);
    using permission = new UnprivilegedBpf();
    permission.allow();
    const [command, ...args] = [...dropCommand("none"), process.execPath, worker, WORKER];
    const child = spawn(command!, args, { stdio: ["pipe", "pipe", "inherit"] });
    const answers: Answer[] = [];
    const ended = (async () => {
      for await (const line of createInterface({ input: child.stdout })) answers.push(JSON.parse(line) as Answer);
    })();
    const lines = [...annotated(paths)];
    for (const line of lines) {
      permission.allow();
      if (!child.stdin.write(`${line}\n`)) await once(child.stdin, "drain");
    }
    child.stdin.end();
    await ended;
    if (answers.length !== lines.length) throw new Error(`the process ended at record ${answers.length + 1}`);
    return report(answers);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

if (process.argv.includes(WORKER)) await work();
else process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
