// SPDX-License-Identifier: MIT
// Assembling a large text, side by side with llvm-mc-19: both read the same 100,000 lines in turns. Ours is a call in
// this process, as in an editor or a test; LLVM's assembler is a process that writes an object. Run after `npm run build`:
//   node bench/asm.mjs [--lines N] [--runs N] [--json FILE]
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { assembleCode } from "../dist/asm/index.js";

const { values } = parseArgs({
  options: {
    lines: { type: "string", default: "100000" },
    runs: { type: "string", default: "9" },
    json: { type: "string" },
  },
});
const count = Number(values.lines);
const runs = Number(values.runs);

/** Instructions as compilers write them, in the dialect that both assemblers read; the same on every run. */
function programText() {
  let seed = 1;
  const random = (n) => {
    seed = (Math.imul(seed, 1103515245) + 12345) | 0;
    return (seed >>> 8) % n;
  };
  const width = () => ["u8", "u16", "u32", "u64"][random(4)];
  const kinds = [
    () => `  r${random(10)} = ${random(100000)}`,
    () => `  r${random(10)} += r${random(10)}`,
    () => `  r${random(10)} = r${random(10)}`,
    () => `  w${random(10)} <<= ${random(32)}`,
    () => `  r${random(10)} &= 0x${random(65536).toString(16)}`,
    () => `  r${random(10)} = *(${width()} *)(r10 - ${random(512)})`,
    () => `  *(${width()} *)(r${random(10)} + ${random(512)}) = r${random(10)}`,
    () => `  lock *(u64 *)(r${random(10)} + ${8 * random(64)}) += r${random(10)}`,
    () => `  call ${1 + random(200)}`,
    () => `  r${random(10)} = ${random(1 << 30)} ll`,
    () => `  r2 = be16 r2`,
    (i) => `  if r${random(10)} > ${random(1000)} goto L${Math.floor(i / 40)}`,
    (i) => `  if w${random(10)} s<= w${random(10)} goto L${Math.floor(i / 40)}`,
    (i) => `  goto L${Math.floor(i / 40)}`,
  ];
  const lines = [];
  for (let i = 0; i < count; i++)
    lines.push(i % 40 === 39 || i === count - 1 ? `L${Math.floor(i / 40)}:` : kinds[random(kinds.length)](i));
  return `${lines.join("\n")}\n`;
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const dir = mkdtempSync(join(tmpdir(), "bpfsmith-bench-"));
try {
  const text = programText();
  const file = join(dir, "x.s");
  writeFileSync(file, text);
  const ours = [];
  const theirs = [];
  const hasLlvm = spawnSync("llvm-mc-19", ["--version"]).status === 0;
  let slots = 0;
  for (let run = 0; run < runs + 3; run++) {
    let start = performance.now();
    slots = assembleCode(text).length;
    const own = performance.now() - start;
    start = performance.now();
    if (hasLlvm) {
      const args = ["-triple", "bpfel", "-mcpu=v4", "-filetype=obj", file, "-o", join(dir, "x.o")];
      const { status, stderr } = spawnSync("llvm-mc-19", args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`llvm-mc-19: ${stderr.slice(0, 500)}`);
    }
    const other = performance.now() - start;
    if (run === 0) console.log(`first call: ${own.toFixed(0)} ms`);
    // The first calls compile our code.
    if (run < 3) continue;
    ours.push(own);
    theirs.push(other);
  }
  const own = median(ours);
  const perSecond = Math.round((count / own) * 1000);
  console.log(`${count} lines, ${slots} slots, median of ${runs} runs, load ${loadavg()[0].toFixed(1)}`);
  console.log(`bpfsmith:   ${own.toFixed(0)} ms, ${perSecond} lines/s (best ${Math.min(...ours).toFixed(0)} ms)`);
  const result = { count, own, perSecond };
  if (hasLlvm) {
    const other = median(theirs);
    console.log(
      `llvm-mc-19: ${other.toFixed(0)} ms (best ${Math.min(...theirs).toFixed(0)} ms); ${(other / own).toFixed(1)} times as long`,
    );
    result.llvm = other;
  } else console.log("llvm-mc-19 is not installed");
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
} finally {
  rmSync(dir, { recursive: true });
}
