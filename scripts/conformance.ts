// SPDX-License-Identifier: MIT
/*
 * The public suite of instruction tests, bpf_conformance, against our assembler and machine:
 *
 *   npm run conformance -- PATH
 *
 * PATH is a checkout of the suite, its directory of tests, or one of its files. Every program must assemble; where the
 * suite has the encoded words, they must be ours. Then it runs, interpreted and compiled, and must end with the suite's
 * R0, or with a fault where the suite has none.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { mov64Imm } from "../src/asm/build.js";
import { encodeInsns } from "../src/asm/insn.js";
import { assembleCode } from "../src/asm/text/assemble-code.js";
import { helperNames } from "../src/kernel/helpers/index.js";
import { ProgType } from "../src/kernel/uapi.js";
import { testRun, Vm, VmFault } from "../src/vm/index.js";
import { type ConformanceCase, conformanceCase } from "../test/support/conformance.js";
import { programLoad } from "../test/support/vm/program.js";

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
  const words = new BigUint64Array(code.buffer);
  const same = test.raw === undefined || (words.length === test.raw.length && test.raw.every((w, i) => w === words[i]));
  if (!same) return `assembled to ${[...words].map((word) => `0x${word.toString(16)}`).join(" ")}`;
  return run(test, code, "interpreter") ?? run(test, code, "wasm");
}

/** What is wrong with a run, undefined for nothing. */
function run(test: ConformanceCase, code: Uint8Array, engine: "interpreter" | "wasm"): string | undefined {
  // The suite has the length of the memory in R2.
  const insns = new Uint8Array([...encodeInsns([mov64Imm(2, test.mem.length)]), ...code]);
  const load = { ...programLoad([], [], { progType: ProgType.SYSCALL }), insns };
  // The suite's helper 5 gives its argument back.
  const vm = new Vm(load, { engine, budget: 10_000_000, helpers: { [helperNames[5]]: (_machine, r1) => r1 } });
  let result: string;
  try {
    testRun(vm, { context: test.mem });
    result = `0x${vm.result.toString(16)}`;
  } catch (error) {
    if (!(error instanceof VmFault)) throw error;
    result = `a fault (${error.message})`;
  }
  if (vm.engine !== engine) return `the ${engine} does not run it`;
  const wanted = test.result === undefined ? "a fault" : `0x${test.result.toString(16)}`;
  return result.startsWith("a fault")
    ? test.result === undefined
      ? undefined
      : `${engine}: ${result}`
    : result === wanted
      ? undefined
      : `${engine}: R0 is ${result}, not ${wanted}`;
}

const path = process.argv[2];
if (path === undefined) {
  console.error("usage: npm run conformance -- PATH");
  process.exit(2);
}
/** Cases of what Linux does not have: calls through a register. */
const NOT_LINUX: ReadonlySet<string> = new Set(["callx.data"]);

let passed = 0;
const all = casesAt(path);
const files = all.filter((file) => !NOT_LINUX.has(basename(file)));
if (files.length < all.length) console.log(`left out, for Linux has no such instruction: ${[...NOT_LINUX].join(", ")}`);
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
