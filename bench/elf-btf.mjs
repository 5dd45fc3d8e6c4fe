// SPDX-License-Identifier: MIT
// Side by side with libbpf's C code in the same run: finding a type in the kernel's BTF, writing it as a C header;
// of a directory of objects: putting their types together without duplicates, linking pairs of them, opening and
// resolving all.
// Run after `npm run build`: node bench/elf-btf.mjs [DIRECTORY OF OBJECTS] [--runs N] [--libbpf DIR] [--bpftool FILE]
// libbpf is the static one in DIR or in $BPFSMITH_LIBBPF, with its headers, else the system's.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mergeBtf, openBtf } from "../dist/btf/index.js";
import { findSection, linkObjects } from "../dist/elf/index.js";
import { kernelBtfBytes } from "../dist/load/index.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "15" },
    /** Directory with bpf/ headers and libbpf.a; default: the system's library. */
    libbpf: { type: "string", default: process.env.BPFSMITH_LIBBPF },
    bpftool: { type: "string", default: "bpftool" },
    /** How this program runs itself for one measurement. */
    "find-first": { type: "string" },
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
  if (result.status === 0) {
    const version = execFileSync(program, ["version"], { encoding: "utf8" }).trim();
    console.log(`libbpf ${version}, ${values.libbpf === undefined ? "the system's" : `static, of ${values.libbpf}`}`);
    return program;
  }
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
    .map(([us, result]) => ({ ms: Number(us) / 1000, ok: result === "1", count: Number(result) }));
}

/** Finds a struct in BTF that `bytesOf` gets, and says how long that took. */
function findOne(bytesOf) {
  const start = performance.now();
  const btf = openBtf(bytesOf());
  const [id] = btf.idsByName("task_struct", "struct");
  if (btf.typeById(id).name !== "task_struct") throw new Error("task_struct not found");
  return performance.now() - start;
}

/** How the bytes come in: as the loader gets them (mapped where the kernel can), and as any file's. */
const WAYS = {
  mapped: kernelBtfBytes,
  read: () => readFileSync(VMLINUX),
};

/** In processes of their own, which start with nothing: no code compiled, no memory at hand. */
function findFirst(program) {
  const rounds = Math.max(5, runs);
  const theirs = [];
  const ours = { mapped: [], read: [] };
  const self = fileURLToPath(import.meta.url);
  for (let i = 0; i < rounds; i++) {
    theirs.push(theirTimes(program, "find", VMLINUX, "task_struct", "1")[0].ms);
    for (const way of Object.keys(WAYS)) {
      ours[way].push(Number(execFileSync(process.execPath, [self, "--find-first", way], { encoding: "utf8" })));
    }
  }
  for (const way of Object.keys(WAYS))
    row(`kernel BTF, ${way}: a process's first parse and find`, ours[way], theirs, "libbpf");
}

function find(program) {
  const theirs = [];
  const ours = { mapped: [], read: [] };
  for (let i = 0; i < 6; i++) {
    for (const [way, bytesOf] of Object.entries(WAYS)) {
      const times = Array.from({ length: runs }, () => findOne(bytesOf));
      // The first ones are compiled on the way.
      if (i > 0) ours[way].push(...times);
    }
    theirs.push(...theirTimes(program, "find", VMLINUX, "task_struct", String(runs)).map((time) => time.ms));
  }
  for (const way of Object.keys(WAYS)) row(`kernel BTF, ${way}: parse and find one`, ours[way], theirs, "libbpf");
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

/** The types of all objects in one, without duplicates. */
function dedup(program, files) {
  const sections = files.map((file) => findSection(readFileSync(file), ".BTF")).filter((bytes) => bytes !== undefined);
  const once = () => {
    const start = performance.now();
    const merged = mergeBtf(sections);
    return { ms: performance.now() - start, count: openBtf(merged).length - 1 };
  };
  const rounds = Math.max(5, runs);
  once();
  const ours = Array.from({ length: rounds }, once);
  const theirs = theirTimes(program, "dedup", String(rounds), ...files);
  row(`types of ${sections.length} objects merged and deduplicated`, times(ours), times(theirs), "libbpf");
  const [a, b] = [ours[0].count, theirs[0].count];
  console.log(`  types left: ${a}${a === b ? ", of libbpf the same" : `, of libbpf ${b}`}`);
}

/** Objects that are parts of one program: name1.bpf.o and name2.bpf.o. */
function link(program, files) {
  const pairs = files
    .filter((file) => /linked_[a-z]+1\.bpf\.o$/.test(file))
    .map((file) => [file, file.replace("1.bpf.o", "2.bpf.o")])
    .filter(([, second]) => files.includes(second));
  if (pairs.length === 0) return console.log("linking: skipped, no linked_*1.bpf.o in the directory");
  const output = join(scratch, "linked.o");
  const ours = [];
  const theirs = [];
  for (const pair of pairs) {
    for (let i = -5; i < runs; i++) {
      const start = performance.now();
      writeFileSync(output, linkObjects(pair.map((name) => ({ name, bytes: readFileSync(name) }))));
      if (i >= 0) ours.push(performance.now() - start);
    }
    theirs.push(...times(theirTimes(program, "link", String(runs), output, ...pair)));
  }
  row(`linking, ${pairs.length} pairs of objects`, ours, theirs, "libbpf");
}

const times = (results) => results.map((result) => result.ms);

async function objects(program, files) {
  const { readObject } = await import("../dist/elf/index.js");
  const { resolveObject } = await import("../dist/object/index.js");
  const { runningKernel } = await import("../dist/load/index.js");
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

const objectsIn = (directory) =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".o"))
    .map((name) => join(directory, name));

async function main() {
  const program = buildTheirs();
  if (!existsSync(VMLINUX)) console.log(`kernel BTF: skipped, no ${VMLINUX}`);
  else {
    if (program !== undefined) findFirst(program);
    if (program !== undefined) find(program);
    header();
  }
  if (positionals[0] === undefined) return console.log("objects: skipped, no directory given");
  const files = objectsIn(positionals[0]);
  if (files.length === 0) return console.log(`objects: skipped, none in ${positionals[0]}`);
  if (program === undefined) return;
  dedup(program, files);
  link(program, files);
  await objects(program, files);
}

if (values["find-first"] !== undefined) console.log(findOne(WAYS[values["find-first"]]));
else await main();
