// SPDX-License-Identifier: MIT
// The machine's speed on a loop of arithmetic, memory and a branch, in turns with ubpf's interpreter. After `npm run build`:
//   node bench/vm.mjs [--ubpf CHECKOUT] [--runs N]
// Without a checkout of ubpf, or gcc, only ours is measured.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as asm from "../dist/asm/index.js";
import { ProgType } from "../dist/kernel/index.js";
import { prepareRun, Vm } from "../dist/vm/index.js";

const { values } = parseArgs({
  options: { ubpf: { type: "string" }, runs: { type: "string", default: "9" } },
});
const TURNS = 3_000_000;

/** A loop of ten instructions. */
const insns = asm.encodeInsns([
  asm.mov64Imm(0, 0),
  asm.mov64Imm(1, TURNS),
  asm.mov64Imm(2, 7),
  asm.alu64Reg("add", 0, 1),
  asm.alu64Imm("mul", 2, 3),
  asm.alu64Reg("xor", 0, 2),
  asm.alu64Imm("rsh", 2, 1),
  asm.stx("dw", 10, 0, -8),
  asm.ldx("w", 3, 10, -8),
  asm.alu32Reg("add", 2, 3),
  asm.jmpImm("jset", 2, 4, 0),
  asm.alu64Imm("sub", 1, 1),
  asm.jmpImm("jne", 1, 0, -10),
  asm.exit(),
]);
const load = {
  name: "loop",
  progType: ProgType.SYSCALL,
  expectedAttachType: 0,
  progFlags: 0,
  progIfindex: 0,
  kernVersion: 0,
  license: "GPL",
  attachBtfId: 0,
  insns,
  maps: [],
  badMapInsns: [],
  fdArray: null,
  btf: null,
  funcInfo: null,
  lineInfo: null,
};

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

function ours(engine) {
  const vm = new Vm(load, { engine });
  const { region } = prepareRun(vm, {});
  return {
    run: () => {
      const start = performance.now();
      vm.run(region);
      return (performance.now() - start) * 1e6;
    },
    vm,
  };
}

/** Compiles ubpf's interpreter with what runs a file in it; null without. */
function ubpf(directory) {
  if (values.ubpf === undefined || spawnSync("gcc", ["--version"]).status !== 0) return null;
  const sources = join(values.ubpf, "vm");
  writeFileSync(join(directory, "ubpf_config.h"), "");
  const files = readdirSync(sources).filter((name) => /^ubpf_.*\.c$/.test(name));
  const program = join(directory, "ubpf");
  const includes = [directory, sources, join(sources, "inc")].map((path) => `-I${path}`);
  const own = fileURLToPath(new URL("ubpf-loop.c", import.meta.url));
  execFileSync("gcc", [
    "-O2",
    "-w",
    "-o",
    program,
    own,
    ...files.map((name) => join(sources, name)),
    ...includes,
    "-lm",
  ]);
  const code = join(directory, "loop.bin");
  writeFileSync(code, insns);
  return () => {
    const [ns, result] = execFileSync(program, [code, "1"], { encoding: "utf8" }).trim().split(" ");
    return { ns: Number(ns), result };
  };
}

const directory = mkdtempSync(join(tmpdir(), "bpfsmith-bench-vm-"));
try {
  const theirs = ubpf(directory);
  const engines = { compiled: ours("wasm"), interpreted: ours("interpreter") };
  const times = { compiled: [], interpreted: [], ubpf: [] };
  for (let i = 0; i < Number(values.runs) + 2; i++) {
    for (const [name, { run }] of Object.entries(engines)) {
      const ns = run();
      if (i >= 2) times[name].push(ns);
    }
    const other = theirs?.();
    if (other === undefined) continue;
    const result = engines.compiled.vm.result.toString(16);
    if (other.result !== result) throw new Error(`ubpf says ${other.result}, we say ${result}`);
    if (i >= 2) times.ubpf.push(other.ns);
  }
  const executed = engines.compiled.vm.executed;
  const speed = (list) => (executed / median(list)) * 1000;
  console.log(
    `load ${loadavg()[0].toFixed(1)}, ${executed} instructions a run, medians of ${values.runs} runs in turns`,
  );
  for (const [name, list] of Object.entries(times)) {
    if (list.length === 0) continue;
    const ratio =
      times.ubpf.length === 0 ? "" : `, ${(speed(list) / speed(times.ubpf)).toFixed(2)} of ubpf's interpreter`;
    console.log(
      `${name.padEnd(12)} ${speed(list).toFixed(0).padStart(6)} million instructions/s${name === "ubpf" ? "" : ratio}`,
    );
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
