#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// The command starts here. Compiling the program takes longer than running it, so V8's compiled code is kept
// between runs, one file a command: with whatever functions that command needed, and no others.
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";
import { cacheDir, replaceFile } from "./cache.js";

type Main = (argv: readonly string[]) => Promise<number>;

const appFile = join(__dirname, "app.cjs");

/** Bytes in front of the compiled code that say which build it belongs to; keeps the code aligned. */
const HEADER = 128;

/** Tells this file apart from every other build's: V8 itself compares little more than the length. */
function buildHeader(): Buffer {
  const { ino, mtimeMs, size } = statSync(appFile);
  return Buffer.from(`${ino} ${mtimeMs} ${size}`.padEnd(HEADER).slice(0, HEADER));
}

function readCode(path: string, header: Buffer): Buffer | undefined {
  try {
    const kept = readFileSync(path);
    return kept.subarray(0, HEADER).equals(header) ? kept.subarray(HEADER) : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps what was compiled by the end of a run that went well. */
function keepCode(path: string, header: Buffer, script: Script): void {
  process.once("exit", (code) => {
    if (code !== 0) return;
    try {
      replaceFile(path, Buffer.concat([header, script.createCachedData()]));
    } catch {
      // A full or read-only disk costs the next start some time, no more.
    }
  });
}

function loadApp(): { main: Main } {
  const dir = cacheDir();
  const command = /^[a-z]{1,16}$/.exec(process.argv[2] ?? "")?.[0] ?? "other";
  const path = dir === undefined ? undefined : join(dir, `${command}-${process.version}-${process.arch}.code`);
  const header = buildHeader();
  const cachedData = path === undefined ? undefined : readCode(path, header);
  const source = `(function (module, exports, require, __filename) {${readFileSync(appFile, "utf8")}\n})`;
  const script = new Script(source, { filename: appFile, cachedData });
  if (path !== undefined && script.cachedDataRejected !== false) keepCode(path, header, script);
  const module = { exports: {} };
  script.runInThisContext()(module, module.exports, createRequire(appFile), appFile);
  return module.exports as { main: Main };
}

async function start(): Promise<number> {
  try {
    return await loadApp().main(process.argv);
  } catch (error) {
    if ((error as Error).name !== "NeedsModules") throw error;
    const { main } = (await import("./command-line.js")) as { main: Main };
    return main(process.argv);
  }
}

start().then((code) => {
  process.exitCode = code;
});
