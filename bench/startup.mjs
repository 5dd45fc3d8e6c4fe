// SPDX-License-Identifier: MIT
// Side by side: attaching against bpftrace, building against clang, verifying against BPF_PROG_LOAD.
// Run as root after `npm run build`: node bench/startup.mjs [--runs N]
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadSource } from "../dist/cli/source.js";

const { values } = parseArgs({ options: { runs: { type: "string", default: "15" } } });
const runs = Number(values.runs);
const root = fileURLToPath(new URL("..", import.meta.url));
const cli = join(root, "dist/cli/main.cjs");
const example = join(root, "examples/execsnoop.ts");
const scratch = mkdtempSync(join(tmpdir(), "bpfsmith-bench-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** How long programs are verified before anything is measured. */
const WARM_UP_MS = 5000;

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const ms = (value) => `${value.toFixed(value < 10 ? 3 : 1)} ms`;
const has = (command) => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;

function row(what, ours, theirs, name) {
  const a = median(ours);
  const b = median(theirs);
  console.log(`${what}: ${ms(a)} against ${ms(b)} (${name}); ratio ${(a / b).toFixed(2)}  [medians of ${ours.length}]`);
}

/** Milliseconds from spawning a command until it prints a line that matches; the command is then ended. */
function untilLine(command, args, pattern) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: scratch });
    let text = "";
    let found;
    const onData = (chunk) => {
      text += chunk;
      if (found === undefined && pattern.test(text)) {
        found = performance.now() - start;
        child.kill("SIGINT");
      }
    };
    child.stdout.on("data", onData);
    child.stderr.on("data", onData);
    child.on("error", reject);
    child.on("exit", () => (found === undefined ? reject(new Error(`${command}: ${text}`)) : resolve(found)));
  });
}

async function attaching() {
  if (!has("bpftrace")) return console.log("attaching: skipped, bpftrace is not installed");
  const probe =
    'tracepoint:syscalls:sys_enter_execve { printf("%d %d %s %s\\n", pid, uid, comm, str(args->filename)); }';
  const script = `${probe} BEGIN { printf("attached\\n"); }`;
  const ours = [];
  const theirs = [];
  const bare = [];
  for (let i = 0; i < runs; i++) {
    ours.push(await untilLine(process.execPath, [cli, "run", example], /attached/));
    theirs.push(await untilLine("bpftrace", ["-e", script], /\nattached/));
    const start = performance.now();
    spawnSync(process.execPath, ["-e", "0"]);
    bare.push(performance.now() - start);
  }
  row("from exec until attached", ours, theirs, "bpftrace -e");
  console.log(
    `  of which ${ms(median(bare))} is \`node -e 0\`; without it the ratio is ${((median(ours) - median(bare)) / median(theirs)).toFixed(2)}`,
  );
}

async function building() {
  const compiler = ["clang-19", "clang"].find(has);
  if (compiler === undefined) return console.log("building: skipped, clang is not installed");
  const { writeObject } = await import("../dist/elf/index.js");
  const source = await loadSource(example);
  const build = () => writeObject(source.exports.default.build({ sources: source.positions }));
  const first = performance.now();
  build();
  const cold = performance.now() - first;
  const ours = [];
  const process_ = [];
  const theirs = [];
  const c = [join(root, "bench/execsnoop.bpf.c"), "-g", "-O2", "-target", "bpf", "-c", "-o", join(scratch, "c.o")];
  const triplet = execFileSync("uname", ["-m"], { encoding: "utf8" }).trim();
  for (let i = 0; i < runs; i++) {
    let start = performance.now();
    build();
    ours.push(performance.now() - start);
    start = performance.now();
    execFileSync(compiler, [...c, "-I", `/usr/include/${triplet}-linux-gnu`]);
    theirs.push(performance.now() - start);
    start = performance.now();
    execFileSync(process.execPath, [cli, "build", example, "-o", join(scratch, "ts.o")], { stdio: "ignore" });
    process_.push(performance.now() - start);
  }
  row("building execsnoop.o, in-process, warm", ours, theirs, `${compiler} -g -O2`);
  row("building execsnoop.o, in-process, first time", [cold], theirs, `${compiler} -g -O2`);
  row("building execsnoop.o, as a process (`bpfsmith build`)", process_, theirs, `${compiler} -g -O2`);
}

async function verifying() {
  const { bpfPermission } = await import("../dist/syscall/index.js");
  const permission = bpfPermission();
  if (!permission.permitted) return console.log(`verifying: skipped: no bpf(2): ${permission.reason}`);
  const { prepareLoad, runningKernel } = await import("../dist/load/index.js");
  const { resolveObject } = await import("../dist/object/index.js");
  const { verify } = await import("../dist/verifier/index.js");
  const programs = [];
  for (const name of readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"))) {
    const source = await loadSource(join(root, "examples", name));
    const resolved = resolveObject(source.exports.default.build({ sources: source.positions }), runningKernel());
    for (const { load } of resolved.programs) programs.push({ name, load });
  }
  // The engine compiles on the side: it is the time that counts, not the number of rounds.
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) {
    for (const { load } of programs) verify(load);
  }
  const ratios = [];
  for (const { name, load } of programs) {
    const ours = [];
    const theirs = [];
    const prepared = prepareLoad(load);
    for (let i = 0; i < 100; i++) {
      const start = performance.now();
      verify(load);
      ours.push(performance.now() - start);
      // Accepted loads are paced by loadProgram itself; the system call's time does not hold the pauses.
      const { fd, ms: elapsed } = prepared.load();
      fd.close();
      theirs.push(elapsed);
    }
    prepared.close();
    row(`verifying ${name} (${load.insns.length / 8} insns), in-process, warm`, ours, theirs, "BPF_PROG_LOAD");
    ratios.push(median(ours) / median(theirs));
  }
  console.log(`verifying: median ratio ${median(ratios).toFixed(2)}, worst ${Math.max(...ratios).toFixed(2)}`);
}

await attaching();
await building();
await verifying();
