// SPDX-License-Identifier: MIT
// Side by side with libbpf's C code in the same run: finding a type in the kernel's BTF, writing it as a C header,
// opening and resolving objects.
// Run after `npm run build`: node bench/elf-btf.mjs [DIRECTORY OF OBJECTS] [--runs N] [--libbpf DIR] [--bpftool FILE]
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openBtf } from "../dist/btf/index.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "15" },
    /** Directory with bpf/ headers and libbpf.a; default: the system's library. */
    libbpf: { type: "string" },
    bpftool: { type: "string", default: "bpftool" },
  },
});
const runs = Number(values.runs);
const root = fileURLToPath(new URL("..", import.meta.url));
const cli = join(root, "dist/cli/main.cjs");
const scratch = mkdtempSync(join(tmpdir(), "bpfsmith-bench-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const VMLINUX = "/sys/kernel/btf/vmlinux";
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const ms = (value) => `${value.toFixed(value < 10 ? 3 : 1)} ms`;
const has = (command) => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;

function row(what, ours, theirs, name) {
  const [a, b] = [median(ours), median(theirs)];
  console.log(`${what}: ${ms(a)} against ${ms(b)} (${name}); ratio ${(a / b).toFixed(2)}  [medians of ${ours.length}]`);
}

/** Compiles libbpf's side; gives undefined and says why where that cannot be. */
function buildTheirs() {
  if (!has("gcc")) return void console.log("libbpf: skipped, gcc is not installed");
  const program = join(scratch, "libbpf-btf");
  const source = join(root, "bench/libbpf-btf.c");
  const library = values.libbpf
    ? ["-I", values.libbpf, "-I", join(values.libbpf, "include"), join(values.libbpf, "libbpf.a")]
    : ["-lbpf"];
  const result = spawnSync("gcc", ["-O2", "-o", program, source, ...library, "-lelf", "-lz"], { encoding: "utf8" });
  if (result.status === 0) return program;
  return void console.log(`libbpf: skipped, cannot compile against it: ${result.stderr.split("\n")[0]}`);
}

/** The times that libbpf's side prints, in milliseconds, with what stands behind each. */
function theirTimes(program, ...args) {
  const text = execFileSync(program, args, {
    encoding: "utf8",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return text
    .trim()
    .split("\n")
    .map((line) => line.split(" "))
    .map(([us, ok]) => ({ ms: Number(us) / 1000, ok: ok === "1" }));
}

function find(program) {
  const once = () => {
    const start = performance.now();
    const btf = openBtf(readFileSync(VMLINUX));
    const [id] = btf.idsByName("task_struct", "struct");
    if (btf.typeById(id).name !== "task_struct") throw new Error("task_struct not found");
    return performance.now() - start;
  };
  const first = once();
  const ours = [];
  const theirs = [];
  const [theirFirst] = theirTimes(program, "find", VMLINUX, "task_struct", "1");
  console.log(`kernel BTF, parse and find one, the first time: ${ms(first)} against ${ms(theirFirst.ms)} (libbpf)`);
  for (let i = 0; i < 5; i++) {
    for (let j = 0; j < runs; j++) ours.push(once());
    theirs.push(...theirTimes(program, "find", VMLINUX, "task_struct", String(runs)).map((time) => time.ms));
  }
  row("kernel BTF, parse and find one", ours, theirs, "libbpf");
}

function header() {
  if (!has(values.bpftool)) return console.log("C header: skipped, bpftool is not installed");
  const out = openSync(join(scratch, "header.h"), "w");
  const timed = (command, args) => {
    const start = performance.now();
    const { status } = spawnSync(command, args, { stdio: ["ignore", out, "ignore"] });
    if (status !== 0) throw new Error(`${command} ${args.join(" ")}: exit code ${status}`);
    return performance.now() - start;
  };
  const ours = [];
  const theirs = [];
  const node = [];
  const measured = Math.max(3, runs);
  for (let i = -1; i < measured; i++) {
    const a = timed(process.execPath, [cli, "btf", "dump", "--format", "c"]);
    const b = timed(values.bpftool, ["btf", "dump", "file", VMLINUX, "format", "c"]);
    const c = timed(process.execPath, ["-e", "0"]);
    // The first round fills caches.
    if (i < 0) continue;
    ours.push(a);
    theirs.push(b);
    node.push(c);
  }
  row("C header of the kernel's types, a process each", ours, theirs, "bpftool");
  console.log(`  of ours, ${ms(median(node))} are what \`node -e 0\` takes`);
}

async function objects(program, directory) {
  const { readObject } = await import("../dist/elf/index.js");
  const { resolveObject } = await import("../dist/object/index.js");
  const { runningKernel } = await import("../dist/load/index.js");
  const files = readdirSync(directory)
    .filter((name) => name.endsWith(".o"))
    .map((name) => join(directory, name));
  if (files.length === 0) return console.log(`objects: skipped, none in ${directory}`);
  const options = { ...runningKernel(), keepGoing: true };
  const once = (file) => {
    const start = performance.now();
    let ok = true;
    try {
      resolveObject(readObject(readFileSync(file), { name: "bench" }), options);
    } catch {
      ok = false;
    }
    return { ms: performance.now() - start, ok };
  };
  for (const file of files) once(file);
  const ours = files.map(once);
  const theirs = theirTimes(program, "open", ...files);
  const both = files.map((_, i) => i).filter((i) => ours[i].ok && theirs[i].ok);
  const sum = (times) => both.reduce((total, i) => total + times[i].ms, 0);
  console.log(
    `opening and resolving ${both.length} of ${files.length} objects (those that both take): ${ms(sum(ours))} against ` +
      `${ms(sum(theirs))} (libbpf, gen_loader); ratio ${(sum(ours) / sum(theirs)).toFixed(2)}`,
  );
}

if (!existsSync(VMLINUX)) console.log(`kernel BTF: skipped, no ${VMLINUX}`);
const program = buildTheirs();
if (existsSync(VMLINUX)) {
  if (program !== undefined) find(program);
  header();
}
if (positionals[0] === undefined) console.log("objects: skipped, no directory given");
else if (program !== undefined) await objects(program, positionals[0]);
