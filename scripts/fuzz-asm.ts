// SPDX-License-Identifier: MIT
/*
 * Puts random lines before the assembler:
 *
 *   npm run fuzz:asm -- [--lines N] [--seed N]
 *
 * Every text must become a program or an InputError with line and column; no line may take more than 10 ms. A line that
 * takes longer is tried again, since a busy machine makes any line slow: its fastest of 5 counts.
 */
import { parseArgs } from "node:util";
import { assemble } from "../src/asm/text/assemble.js";
import { assembleCode } from "../src/asm/text/assemble-code.js";
import { InputError } from "../src/util/errors.js";
import { randomFrom, randomLine } from "../test/support/fuzz-asm.js";

const { values } = parseArgs({
  options: { lines: { type: "string", default: "1000000" }, seed: { type: "string", default: "1" } },
});
const count = Number(values.lines);
const random = randomFrom(Number(values.seed));
const SLOW_MS = 10;

let programs = 0;
let failures = 0;
let slowest = 0;

/** Assembles a text; what went wrong in a way it must not. */
function attempt(text: string, whole: boolean): string | undefined {
  try {
    if (whole) assemble(text);
    else assembleCode(text);
    programs++;
    return undefined;
  } catch (error) {
    if (!(error instanceof InputError)) return (error as Error).stack ?? String(error);
    const { line, column } = error.place;
    return line === undefined || column === undefined ? `no position: ${error.message}` : undefined;
  }
}

function fail(text: string, why: string): void {
  failures++;
  if (failures <= 20) console.log(`${JSON.stringify(text.slice(0, 300))}\n  ${why}`);
}

function time(text: string, whole: boolean): number {
  const start = performance.now();
  const why = attempt(text, whole);
  const took = performance.now() - start;
  if (why !== undefined) fail(text, why);
  return took;
}

for (let i = 0; i < count; i++) {
  const line = randomLine(random);
  const whole = random(3) === 0;
  const text = whole ? `main:\n${line}\nexit` : line;
  let took = time(text, whole);
  for (let again = 0; took > SLOW_MS && again < 5; again++) took = Math.min(took, time(text, whole));
  slowest = Math.max(slowest, took);
  if (took > SLOW_MS) fail(text, `took ${took.toFixed(1)} ms`);
}
console.log(`${count} lines, ${programs} programs, slowest line ${slowest.toFixed(1)} ms, ${failures} failures`);
process.exit(failures === 0 ? 0 : 1);
