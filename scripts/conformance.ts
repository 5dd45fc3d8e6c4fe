// SPDX-License-Identifier: MIT
/*
 * The public suite of instruction tests, bpf_conformance, against our assembler:
 *
 *   npm run conformance -- PATH
 *
 * PATH is a checkout of the suite, its directory of tests, or one of its files. Every program must assemble; where the
 * suite has the encoded words, they must be ours.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { encodeInsns } from "../src/asm/insn.js";
import { assembleCode } from "../src/asm/text/assemble-code.js";
import { conformanceCase } from "../test/support/conformance.js";

/** Files of test cases at a path. */
function casesAt(path: string): string[] {
  if (statSync(path).isFile()) return [path];
  const names = readdirSync(path);
  if (names.includes("tests")) return casesAt(join(path, "tests"));
  return names.filter((name) => name.endsWith(".data")).map((name) => join(path, name));
}

/** What is wrong with a case, undefined for nothing. */
function judge(file: string): string | undefined {
  const test = conformanceCase(readFileSync(file, "utf8"));
  const code = encodeInsns(assembleCode(test.asm, { file: basename(file) }));
  if (test.raw === undefined) return undefined;
  const words = new BigUint64Array(code.buffer);
  const same = words.length === test.raw.length && test.raw.every((word, i) => word === words[i]);
  return same ? undefined : `assembled to ${[...words].map((word) => `0x${word.toString(16)}`).join(" ")}`;
}

const path = process.argv[2];
if (path === undefined) {
  console.error("usage: npm run conformance -- PATH");
  process.exit(2);
}
let passed = 0;
const files = casesAt(path);
for (const file of files) {
  let fault: string | undefined;
  try {
    fault = judge(file);
  } catch (error) {
    fault = (error as Error).message;
  }
  if (fault === undefined) passed++;
  else console.log(`${basename(file)}: ${fault}`);
}
console.log(`${passed} of ${files.length} cases pass`);
process.exit(passed === files.length && files.length > 0 ? 0 : 1);
