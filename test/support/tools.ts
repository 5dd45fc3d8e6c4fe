// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { bpfPermission } from "../../src/syscall/permissions.js";

/** What a command answered. */
export interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const EXTRA_DIRS = ["/usr/sbin", "/sbin", "/usr/lib/llvm-19/bin"];

function find(name: string): string | undefined {
  for (const dir of [...(process.env.PATH ?? "").split(delimiter), ...EXTRA_DIRS]) {
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

/** A reason to skip a test that needs these commands; undefined when they are all installed. */
export function whyNoTool(...names: string[]): string | undefined {
  const missing = names.filter((name) => find(name) === undefined);
  return missing.length === 0 ? undefined : `skipped: no ${missing.join(", ")}`;
}

/** A reason to skip a test that loads programs; undefined when bpf(2) is allowed. */
export function whyNoBpf(): string | undefined {
  const permission = bpfPermission();
  return permission.permitted ? undefined : `skipped: no bpf(2) (${permission.reason})`;
}

/** A reason to skip a test that pins objects. */
export function whyNoBpffs(): string | undefined {
  const reason = whyNoBpf();
  if (reason !== undefined) return reason;
  const probe = join("/sys/fs/bpf", `bpfsmith_probe_${process.pid}`);
  try {
    mkdirSync(probe);
    rmSync(probe, { recursive: true });
    return undefined;
  } catch {
    return "skipped: no writable bpf file system at /sys/fs/bpf";
  }
}

/** Runs a command that {@link whyNoTool} knows to be there. */
export function run(name: string, ...args: string[]): Answer {
  const path = find(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  const { status, stdout, stderr, error } = spawnSync(path, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

/** {@link run} for a command that must succeed without a word of complaint; gives what it printed. */
export function runQuietly(name: string, ...args: string[]): string {
  const { status, stdout, stderr } = run(name, ...args);
  if (status !== 0 || stderr !== "") {
    throw new Error(`${name} ${args.join(" ")}: exit code ${status}\n${stderr}`);
  }
  return stdout;
}

/** A directory that is gone when the process ends. */
export function scratchDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "bpfsmith-test-"));
  process.on("exit", () => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

/** Runs `body` with a path on the bpf file system at which nothing is; removes what stands there afterwards. */
export function withPinDir<T>(body: (dir: string) => T): T {
  const dir = join("/sys/fs/bpf", `bpfsmith_test_${process.pid}`);
  if (existsSync(dir)) rmSync(dir, { recursive: true });
  try {
    return body(dir);
  } finally {
    if (existsSync(dir)) rmSync(dir, { recursive: true });
  }
}
