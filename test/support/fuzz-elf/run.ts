// SPDX-License-Identifier: MIT
import { readObject } from "../../../src/elf/read-object.js";
import { writeObject } from "../../../src/elf/write-object.js";
import type { ObjectSpec } from "../../../src/model/spec.js";
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

const KCONFIG = 'CONFIG_HZ=250\nCONFIG_BPF=y\nCONFIG_DEFAULT_HOSTNAME="(none)"\n';

/** The most memory that this process ever had, in bytes. */
const rss = (): number => process.resourceUsage().maxRSS * 1024;

let highest = rss();

/** What is done with an object before it meets a verifier. Writing takes the longest and finds the least. */
function use(bytes: Uint8Array, number: number): string {
  let at = "read";
  try {
    const spec = readObject(bytes, { name: "fuzz" });
    if (number % 2 === 0) resolve(spec);
    at = "write";
    if (number % 4 === 1) writeObject(spec);
    return "taken";
  } catch (error) {
    if (error instanceof InputError) return `InputError (${at})`;
    throw error;
  }
}

/** The object's own types stand for the kernel's. */
function resolve(spec: ObjectSpec): void {
  const kernelTypes = () => spec.btf;
  try {
    resolveObject(spec, { kernelTypes, kconfig: () => KCONFIG, kallsyms: () => [1n], keepGoing: true });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
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
  for (let i = 0; i < ELF_BLOCK; i++) runCase(spoiler.next(), i, tally);
  tally.rssMib = Math.round(process.memoryUsage.rss() / 2 ** 20);
  return tally;
}

function runCase(bytes: Uint8Array, number: number, tally: RawTally): void {
  tally.cases++;
  const start = performance.now();
  let answer: string;
  try {
    answer = use(bytes, number);
  } catch (error) {
    answer = "exception";
    const { key, ours } = crash(error as Error);
    fault(tally, key, bytes, ours);
  }
  tally.answers[answer] = (tally.answers[answer] ?? 0) + 1;
  let ms = performance.now() - start;
  // Other processes take their time: what looks slow is done again, counting this one's only.
  if (ms > SLOW / 4) ms = cpuMsOf(() => use(bytes, number));
  if (ms > tally.maxMs) tally.maxMs = ms;
  if (ms > SLOW) fault(tally, `slow: ${answer}`, bytes, `${ms} ms`);
  // Memory that is touched takes its time too.
  if (ms < 5) return;
  const grown = rss() - highest;
  highest += Math.max(grown, 0);
  if (grown > LARGE) fault(tally, `large: ${answer}`, bytes, `${Math.round(grown / 2 ** 20)} MiB more`);
}

function fault(tally: RawTally, key: string, bytes: Uint8Array, stack: string): void {
  const known = tally.faults[key];
  if (known !== undefined) known.count++;
  else tally.faults[key] = { count: 1, example: Buffer.from(bytes).toString("base64"), stack };
}
