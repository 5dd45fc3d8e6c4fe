#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// The command starts here. Compiling the program takes longer than running it, so V8's compiled code is kept
// between runs, one file a command: with whatever functions that command needed, and no others. `verify`, which CI
// runs thousands of times, has a smaller script.
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";
import { cacheDir, replaceFile } from "./cache.js";
import type { NeedsMore, Runner } from "./rooms.js";

type Main = (argv: readonly string[]) => Promise<number>;

/** Bytes in front of the compiled code: which build it belongs to, when it was first kept, when last. */
const HEADER = 128;

/** Compiled code that was kept, and when (milliseconds since 1970). */
interface KeptCode {
  readonly code: Buffer;
  readonly first: number;
  readonly last: number;
}

/** Tells a script apart from every other build's: V8 itself compares little more than the length. */
function buildName(file: string): string {
  const { ino, mtimeMs, size } = statSync(file);
  return `${ino} ${mtimeMs} ${size}`;
}

function readCode(path: string, build: string): KeptCode | undefined {
  try {
    const kept = readFileSync(path);
    const [name, first, last] = kept.toString("latin1", 0, HEADER).split(", ");
    return name === build ? { code: kept.subarray(HEADER), first: Number(first), last: Number(last) } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Other runs need other functions: what is kept is made again now and then, ever more rarely, from what was kept and
 * what was compiled besides.
 */
function isStale({ first, last }: KeptCode, now: number): boolean {
  return !(now - first < 2 * (last - first) + 1000);
}

/** Keeps what was compiled by the end of a run that went well. */
function keepCode(path: string, build: string, first: number, script: Script): void {
  process.once("exit", (code) => {
    if (code !== 0) return;
    try {
      const header = Buffer.from(`${build}, ${first}, ${Date.now()}, `.padEnd(HEADER).slice(0, HEADER));
      replaceFile(path, Buffer.concat([header, script.createCachedData()]));
    } catch {
      // A full or read-only disk costs the next start some time, no more.
    }
  });
}

function loadScript(runner: Runner): { main: Main } {
  const file = join(__dirname, `${runner}.cjs`);
  const dir = cacheDir();
  const command = /^[a-z]{1,16}$/.exec(process.argv[2] ?? "")?.[0] ?? "other";
  const path =
    dir === undefined ? undefined : join(dir, `${runner}-${command}-${process.version}-${process.arch}.code`);
  const build = buildName(file);
  const kept = path === undefined ? undefined : readCode(path, build);
  // The script is plain ASCII.
  const source = `(function (module, exports, require, __filename) {${readFileSync(file, "latin1")}\n})`;
  const script = new Script(source, { filename: file, cachedData: kept?.code });
  const now = Date.now();
  const current = kept !== undefined && script.cachedDataRejected === false;
  if (path !== undefined && !(current && !isStale(kept, now)))
    keepCode(path, build, current ? kept.first : now, script);
  const module = { exports: {} };
  script.runInThisContext()(module, module.exports, createRequire(file), file);
  return module.exports as { main: Main };
}

async function run(runner: Runner): Promise<number> {
  const { main } = runner === "modules" ? ((await import("./command-line.js")) as { main: Main }) : loadScript(runner);
  try {
    return await main(process.argv);
  } catch (error) {
    // Of whichever copy: every script has a class of its own.
    if ((error as Error).name !== "NeedsMore") throw error;
    return run((error as NeedsMore).runner);
  }
}

run(process.argv[2] === "verify" ? "verify" : "app").then((code) => {
  process.exitCode = code;
});
