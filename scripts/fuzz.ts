// SPDX-License-Identifier: MIT

/*
 * Fuzzes the mirror:
 *
 *   npm run fuzz -- [--minutes M | --count K] [--seed S] [--block B] [--jobs N] [--caps root|none|bpf,perfmon,net_admin]
 *                   [--raw | --no-kernel] [--keep FILE] [--until-found]
 *
 * Random programs, and accepted ones changed a little, go before the mirror and before the running kernel; verdict,
 * errno and the whole log are compared. Each difference is made small and kept as a load record in FILE (default
 * test/fixtures/fuzz/found.jsonl), one for each cause. --raw (or --no-kernel) asks no kernel: any bytes, any record,
 * must get an answer or an InputError, soon. The same seed gives the same programs; --block runs one block again.
 * --caps has the processes that load drop to these capabilities (with kernel.unprivileged_bpf_disabled=0 meanwhile for
 * `none`). Loads are paced. Needs root, except for --raw.
 */
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { InputError } from "../src/util/errors.js";
import { BLOCK } from "../test/support/fuzz/campaign.js";
import { parseCapabilities } from "../test/support/fuzz/capabilities.js";
import { Fleet } from "../test/support/fuzz/fleet.js";
import { RAW_BLOCK } from "../test/support/fuzz/raw.js";
import { UnprivilegedBpf } from "../test/support/fuzz/unprivileged.js";

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    count: { type: "string" },
    seed: { type: "string" },
    block: { type: "string" },
    jobs: { type: "string" },
    caps: { type: "string", default: "root" },
    raw: { type: "boolean", default: false },
    "no-kernel": { type: "boolean", default: false },
    "until-found": { type: "boolean", default: false },
    keep: { type: "string" },
  },
});

function number(name: "minutes" | "count" | "seed" | "block" | "jobs", otherwise: number): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  const n = Number(text);
  if (!Number.isFinite(n) || n < 0) throw new InputError(`--${name} must be a number, not ${text}`);
  return n;
}

async function main(): Promise<number> {
  const raw = values.raw || values["no-kernel"];
  const count = number("count", 0);
  const block = number("block", -1);
  const perBlock = raw ? RAW_BLOCK : BLOCK;
  const endless = count === 0 && block < 0;
  const minutes = number("minutes", endless ? 1 : 24 * 60);
  const keep = values.keep ?? fileURLToPath(new URL("../test/fixtures/fuzz/found.jsonl", import.meta.url));
  parseCapabilities(values.caps);
  if (!raw) mkdirSync(dirname(keep), { recursive: true });
  using unprivileged = new UnprivilegedBpf();
  const allow = values.caps === "none" && !raw ? () => unprivileged.allow() : () => {};
  allow();
  const fleet = new Fleet({
    allow,
    root: fileURLToPath(new URL("..", import.meta.url)),
    seed: number("seed", Math.floor(Date.now() / 1000)) | 0,
    caps: values.caps,
    raw,
    jobs: block >= 0 ? 1 : Math.max(1, number("jobs", availableParallelism())),
    first: Math.max(0, block),
    end: block >= 0 ? block + 1 : endless ? Number.MAX_SAFE_INTEGER : Math.ceil(count / perBlock),
    deadline: Date.now() + minutes * 60_000,
    keep: raw ? null : keep,
    untilFound: values["until-found"],
    say: (line) => console.log(line),
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => fleet.stop());
  return (await fleet.run()) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
