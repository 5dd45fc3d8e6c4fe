// SPDX-License-Identifier: MIT
import { readObject } from "../../../src/elf/read-object.js";
import { writeObject } from "../../../src/elf/write-object.js";
import { resolveObject } from "../../../src/object/resolve.js";
import { InputError } from "../../../src/util/errors.js";
import { crash } from "../fuzz/compare.js";
import { emptyRawTally, type RawTally } from "../fuzz/raw.js";
import { mixSeed, Rng } from "../fuzz/rng.js";
import { Spoiler } from "./mutate.js";

/** Cases of a block. */
export const ELF_BLOCK = 2000;

/** Milliseconds of the CPU's time that a file may take. */
const SLOW = 200;

/** Bytes that the process may grow by in one case. */
const LARGE = 256 << 20;

const rss = (): number => process.resourceUsage().maxRSS * 1024;

/** Everything that is done with an object before it meets a verifier. */
function use(bytes: Uint8Array): string {
  const stages = ["read", "resolve", "write"] as const;
  let at = 0;
  try {
    const spec = readObject(bytes, { name: "fuzz" });
    at++;
    try {
      resolveObject(spec);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
    at++;
    writeObject(spec);
    return "taken";
  } catch (error) {
    if (error instanceof InputError) return `InputError (${stages[at]})`;
    throw error;
  }
}

function cpuMsOf(work: () => unknown): number {
  const start = process.cpuUsage();
  try {
    work();
  } catch {
    // Said already.
  }
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

/** Runs one block. The same seed, block and files give the same cases. */
export function runElfBlock(seed: number, block: number, seeds: readonly Uint8Array[]): RawTally {
  const tally = emptyRawTally();
  const spoiler = new Spoiler(new Rng(mixSeed(seed, block)), seeds);
  for (let i = 0; i < ELF_BLOCK; i++) runCase(spoiler.next(), tally);
  tally.rssMib = Math.round(process.memoryUsage.rss() / 2 ** 20);
  return tally;
}

function runCase(bytes: Uint8Array, tally: RawTally): void {
  tally.cases++;
  const before = rss();
  const start = performance.now();
  let answer: string;
  try {
    answer = use(bytes);
  } catch (error) {
    answer = "exception";
    const { key, ours } = crash(error as Error);
    fault(tally, key, bytes, ours);
  }
  tally.answers[answer] = (tally.answers[answer] ?? 0) + 1;
  let ms = performance.now() - start;
  // Other processes take their time: what looks slow is done again, counting this one's only.
  if (ms > SLOW / 4) ms = cpuMsOf(() => use(bytes));
  if (ms > tally.maxMs) tally.maxMs = ms;
  if (ms > SLOW) fault(tally, `slow: ${answer}`, bytes, `${ms} ms`);
  const grown = rss() - before;
  if (grown > LARGE) fault(tally, `large: ${answer}`, bytes, `${Math.round(grown / 2 ** 20)} MiB more`);
}

function fault(tally: RawTally, key: string, bytes: Uint8Array, stack: string): void {
  const known = tally.faults[key];
  if (known !== undefined) known.count++;
  else tally.faults[key] = { count: 1, example: Buffer.from(bytes).toString("base64"), stack };
}
