// SPDX-License-Identifier: MIT
import { readBtfExt } from "../../../src/btf/ext.js";
import { openBtf } from "../../../src/btf/lazy.js";
import { readBtfBlob } from "../../../src/btf/read.js";
import { alignOf, findMember, resolveType, sizeOf } from "../../../src/btf/size.js";
import type { Btf } from "../../../src/btf/types.js";
import { InputError } from "../../../src/util/errors.js";
import { validateBtf } from "../../../src/verifier/btf-load/validate.js";
import { mixSeed, Rng } from "../fuzz/rng.js";
import { btfCase } from "./cases.js";
import { largeBtf } from "./large.js";
import { pickUse } from "./uses.js";

/* Whatever the bytes, everything that reads BTF answers or throws InputError, and does so soon. No kernel is asked. */

/** Milliseconds of the CPU's time that one step with one BTF may take. */
const SLOW = 200;

/** Of this many cases one is large: up to a megabyte, or small and meant to take long. */
const LARGE_EVERY = 2000;

/** Types of one BTF that are asked about one by one. */
const ASKED = 5;

/** Things done with each BTF that is read. */
const USED = 1;

/** One thing that something went wrong with. */
export interface BtfFault {
  /** What tells faults apart. */
  readonly key: string;
  readonly detail: string;
}

/** The longest step so far, milliseconds. */
export interface Slowest {
  ms: number;
  what: string;
}

/** Runs `step`; what is thrown other than InputError, and what takes too long, is a fault. */
function guarded(what: string, faults: BtfFault[], slowest: Slowest, step: () => void): boolean {
  const start = performance.now();
  let fine = true;
  try {
    step();
  } catch (error) {
    fine = false;
    if (!(error instanceof InputError)) {
      const stack = stackOf(step);
      const place = stack.split("\n").find((line) => line.includes(" at ")) ?? "";
      faults.push({ key: `${what}: ${(error as Error).name} ${place.trim()}`, detail: stack });
    }
  }
  let ms = performance.now() - start;
  // Other processes take time as well: again, by the CPU's, of which collecting garbage takes some on all cores.
  for (let tries = 0; ms > SLOW && tries < 3; tries++) ms = Math.min(ms, cpuTime(step));
  if (ms > slowest.ms) {
    slowest.ms = ms;
    slowest.what = what;
  }
  if (ms > SLOW) faults.push({ key: `${what}: slow`, detail: `${Math.round(ms)} ms` });
  return fine;
}

/** What a step that throws says of where; looked for only then, for InputErrors are thrown by the million. */
function stackOf(step: () => void): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 20;
  try {
    step();
    return "does not throw again";
  } catch (error) {
    return (error as Error).stack ?? String(error);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function cpuTime(step: () => void): number {
  const start = process.cpuUsage();
  const from = performance.now();
  ask(step);
  const { user, system } = process.cpuUsage(start);
  return Math.min(performance.now() - from, (user + system) / 1000);
}

/** Asks about a type; that it has no size, say, is an answer. */
function ask(question: () => unknown): void {
  try {
    question();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
  }
}

function askAboutTypes(btf: Btf): void {
  const step = Math.max(1, Math.floor(btf.types.length / ASKED));
  for (let id = 0; id < btf.types.length; id += step) {
    ask(() => resolveType(btf, id));
    ask(() => sizeOf(btf, id));
    ask(() => alignOf(btf, id));
    ask(() => findMember(btf, id, "m0"));
  }
}

/** A .BTF.ext that may be sound, or its beginning. */
function extBytes(rng: Rng): Uint8Array {
  const words = rng.below(40);
  const bytes = new Uint8Array(words * 4 + rng.below(4));
  const view = new DataView(bytes.buffer);
  const header = [0x0001_eb9f, rng.pick([32, 24, 32, rng.below(100)]), 0, 4 * rng.below(words + 1)];
  for (let i = 0; i < words; i++) {
    const word = i < header.length && rng.chance(0.95) ? header[i]! : rng.chance(0.9) ? rng.below(40) : rng.u32();
    view.setUint32(i * 4, word, true);
  }
  return bytes;
}

/** One case; gives what went wrong. */
export function runRawCase(seed: number, number: number, slowest: Slowest): BtfFault[] {
  const rng = new Rng(mixSeed(seed, number, 1));
  const large = rng.below(LARGE_EVERY) === 0;
  const { bytes, logLevel } = large ? { bytes: largeBtf(rng), logLevel: 0 } : btfCase(seed, number);
  const faults: BtfFault[] = [];
  // A log may be a hundred times as long as its BTF, and takes its time by its length: large ones without.
  guarded("validateBtf", faults, slowest, () => {
    validateBtf(bytes, { logLevel });
  });
  const read = guarded("readBtf", faults, slowest, () => {
    readBtfBlob(bytes);
  });
  guarded("openBtf", faults, slowest, () => {
    const lazy = openBtf(bytes);
    ask(() => lazy.idsByName("obj0"));
    ask(() => lazy.types[1]);
  });
  if (!read) return faults;
  const blob = readBtfBlob(bytes);
  guarded("sizes", faults, slowest, () => askAboutTypes(blob.btf));
  for (let i = 0; i < USED; i++) {
    const [name, use] = pickUse(rng, large);
    const own = rng.u32();
    // What takes long is done twice, and must be the same.
    guarded(name, faults, slowest, () => use({ rng: new Rng(own), bytes, blob, large }));
  }
  guarded("readBtfExt", faults, slowest, () => {
    readBtfExt(extBytes(rng), blob);
  });
  return faults;
}
