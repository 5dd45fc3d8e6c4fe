// SPDX-License-Identifier: MIT

/*
 * Shows what the fuzzer finds: plants one mistake after the other in a copy of the mirror and fuzzes until it is found.
 *
 *   npm run fuzz:strength -- [--minutes M] [--seed S] [--jobs N] [--only N]
 *
 * Prints the seconds that each mistake took; exit code 1 when one was not found within M minutes (default 10), or is not
 * to be planted because its place is gone. Needs root.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Fleet } from "../test/support/fuzz/fleet.js";
import { FAULTS, type Fault } from "./fuzz/faults.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: String(availableParallelism()) },
    only: { type: "string" },
  },
});

/** A copy of what is fuzzed. */
function copyCheckout(): string {
  const copy = mkdtempSync(join(tmpdir(), "bpfsmith-strength-"));
  for (const part of ["src", "scripts", "test/support", "test/fixtures/verifier", "package.json", "tsconfig.json"]) {
    cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

/** Changes one file; gives the way back. */
function plant(copy: string, { what, file, from, to }: Fault): () => void {
  const path = join(copy, "src/verifier", file);
  const text = readFileSync(path, "utf8");
  const places = text.split(from).length - 1;
  if (places !== 1) throw new Error(`"${what}" stands ${places} times in ${file}, not once`);
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
  return () => writeFileSync(path, text);
}

async function secondsToFind(copy: string): Promise<{ seconds: number; finding: string | null }> {
  const start = Date.now();
  const fleet = new Fleet({
    root: copy,
    seed: Number(values.seed),
    caps: "root",
    raw: false,
    jobs: Number(values.jobs),
    first: 0,
    end: Number.MAX_SAFE_INTEGER,
    deadline: start + Number(values.minutes) * 60_000,
    keep: null,
    untilFound: true,
    say: () => {},
  });
  await fleet.run();
  return { seconds: (Date.now() - start) / 1000, finding: fleet.firstFinding };
}

const copy = copyCheckout();
let found = 0;
const chosen = values.only === undefined ? FAULTS : FAULTS.slice(Number(values.only) - 1, Number(values.only));
try {
  for (const fault of chosen) {
    const restore = plant(copy, fault);
    const { seconds, finding } = await secondsToFind(copy);
    restore();
    const number = String(FAULTS.indexOf(fault) + 1).padStart(2);
    if (finding !== null) found++;
    const took = finding === null ? "not found" : `${seconds.toFixed(1).padStart(6)} s`;
    console.log(`${number}  ${took}  ${fault.what}${finding === null ? "" : `\n       ${finding}`}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${found} of ${chosen.length} planted mistakes found`);
if (found < chosen.length) process.exitCode = 1;
