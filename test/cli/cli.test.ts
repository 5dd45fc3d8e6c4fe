// SPDX-License-Identifier: MIT
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { bpftool, needsBpf, needsBpfAnd } from "../support/live.js";
import { whyNoTool } from "../support/tools.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const cli = join(root, "dist/cli/main.cjs");
const example = (name: string): string => join(root, "examples", `${name}.ts`);

const scratch = mkdtempSync(join(tmpdir(), "bpfsmith-cli-"));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
// The cache of bundles is tested too: begin with none.
const env = { ...process.env, XDG_CACHE_HOME: join(scratch, "cache"), NO_COLOR: "1" };
mkdirSync(env.XDG_CACHE_HOME);

function bpfsmith(...args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [cli, ...args], { cwd: scratch, env, encoding: "utf8" });
}

function source(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

/** What a failure must look like: the exit code, one message, no stack of ours, nothing half-written. */
function failsWith(t: Test, result: SpawnSyncReturns<string>, code: number, message: RegExp): void {
  t.equal(result.status, code, `exit code of: ${result.stderr}`);
  t.match(result.stderr, message);
  t.notMatch(result.stderr, /\n\s+at .*\.c?js:\d+/, "no JavaScript stack");
  t.same(
    readdirSync(scratch).filter((name) => name.includes(".tmp")),
    [],
    "no temporary file is left",
  );
}

t.test("usage", (t) => {
  t.equal(bpfsmith("--help").status, 0);
  t.match(bpfsmith("--help").stdout, /build[\s\S]*verify[\s\S]*load[\s\S]*run[\s\S]*disasm/);
  t.match(bpfsmith("--version").stdout, /^\d+\.\d+\.\d+\n$/);
  for (const args of [
    ["frobnicate"],
    ["build"],
    ["verify"],
    ["run", "x.ts", "--duration", "soon"],
    ["verify", "--log", "16", "x"],
    ["verify", "--log-size", "100", "x"],
    ["verify", "--log", "2", "--log-size", "0", "x"],
  ]) {
    t.equal(bpfsmith(...args).status, 2, args.join(" "));
  }
  t.end();
});

t.test("build, verify, disasm", (t) => {
  const built = bpfsmith("build", example("execsnoop"), "-o", "e.o");
  t.equal(built.status, 0, built.stderr);
  const again = bpfsmith("build", example("execsnoop"), "-o", "e2.o");
  t.equal(again.status, 0, again.stderr);
  t.same(
    readFileSync(join(scratch, "e.o")),
    readFileSync(join(scratch, "e2.o")),
    "from the cache comes the same object",
  );

  const cut = bpfsmith("verify", "e.o", "--json", "--log", "9", "--log-size", "20");
  t.equal(cut.status, 1);
  t.match(JSON.parse(cut.stdout), {
    verdict: "rejected",
    errno: 28,
    log: /^processed /,
    log_true_size: Number,
  });
  const verified = bpfsmith("verify", "e.o", "--json", "--log", "2");
  t.equal(verified.status, 0, verified.stderr);
  const verdict = JSON.parse(verified.stdout);
  t.match(verdict, {
    program: "on_exec",
    section: "tracepoint/syscalls/sys_enter_execve",
    verdict: "accepted",
    errno: 0,
  });
  t.match(
    verdict.log,
    /; const event = events\.reserve\(p\)\.orReturn\(\); @ execsnoop\.ts:\d+\n/,
    "the log quotes TypeScript",
  );

  const listing = bpfsmith("disasm", "e.o");
  t.equal(listing.status, 0, listing.stderr);
  t.match(listing.stdout, /call bpf_ringbuf_reserve#131/);
  t.match(listing.stdout, /map\[events\]/);
  t.end();
});

t.test("colours on terminals only, each output for itself", { skip: whyNoTool("script") ?? false }, (t) => {
  const { NO_COLOR: _, ...colourful } = env;
  const inTerminal = (args: string): string => {
    const command = `${process.execPath} ${cli} verify ${example("hello")} ${args}`;
    return spawnSync("script", ["-qec", command, "/dev/null"], { cwd: scratch, env: colourful, encoding: "utf8" })
      .stdout;
  };
  t.match(inTerminal(""), "\x1b[32maccepted\x1b[39m");
  t.match(inTerminal("| cat"), ": accepted (", "of a terminal's standard output is none left");
  t.end();
});

t.test("programs that must be modules run too, as scripts or not", (t) => {
  const program = (head: string, value: string): string =>
    [
      'import { object, tracepoint } from "bpfsmith";',
      head,
      'const p = tracepoint("syscalls/sys_enter_execve", "on_exec", (p) => {',
      `  p.printk("%d\\n", ${value});`,
      "});",
      'export default object({ name: "x", license: "GPL", programs: [p] });',
    ].join("\n");
  mkdirSync(join(scratch, "node_modules/seven"), { recursive: true });
  writeFileSync(join(scratch, "node_modules/seven/package.json"), '{"name":"seven","type":"module","main":"index.js"}');
  writeFileSync(join(scratch, "node_modules/seven/index.js"), "export const seven = 7;");
  const cases = {
    script: program('import { hostname } from "os";', "hostname.length + 7"),
    await: program("const seven = await Promise.resolve(7);", "seven"),
    meta: program("const seven = import.meta.url.length;", "seven"),
    package: program('import { seven } from "seven";', "seven"),
  };
  for (const [name, text] of Object.entries(cases)) {
    const path = source(`${name}.ts`, text);
    for (const run of ["first", "cached"]) {
      const shown = bpfsmith("disasm", "--linum", path);
      t.equal(shown.status, 0, `${name}, ${run}: ${shown.stderr}`);
      t.match(shown.stdout, /p\.printk.*\.ts line_num:4/, `${name}, ${run}: the line of the .ts file`);
    }
  }
  t.end();
});

t.test("scripts may require what the package exports", (t) => {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: object };
  const exported = Object.keys(exports).filter((path) => path !== "./package.json");
  const app = readFileSync(join(root, "src/cli/app.ts"), "utf8");
  const given = [...app.matchAll(/\["bpfsmith(.*?)",/g)].map((match) => `.${match[1]}`);
  t.same(given.sort(), exported.sort());
  t.end();
});

t.test("bad input is one message and exit code 1", (t) => {
  const broken = source("broken.ts", 'import { object } from "bpfsmith";\nexport default object({ name: "x", lic');
  failsWith(t, bpfsmith("build", broken), 1, /broken\.ts:2:\d+/);
  failsWith(t, bpfsmith("build", "missing.ts"), 1, /missing\.ts: no such file/);
  failsWith(t, bpfsmith("verify", "missing.o"), 1, /missing\.o: no such file/);
  failsWith(t, bpfsmith("build", source("other.ts", "export default 5;")), 1, /default export/);
  failsWith(t, bpfsmith("verify", source("junk.o", "this is no ELF file")), 1, /junk\.o: .*ELF/i);
  failsWith(t, bpfsmith("verify", "."), 1, /directory/);
  failsWith(t, bpfsmith("build", example("hello"), "-o", "no/such/dir/x.o"), 1, /no such directory/);
  const throws = source("throws.ts", 'throw new Error("mine");');
  t.equal(bpfsmith("build", throws).status, 70, "what a user's program throws is no bad input");
  t.end();
});

t.test("a missing tracepoint", needsBpf(), (t) => {
  const file = source(
    "missing-tp.ts",
    'import { object, tracepoint } from "bpfsmith";\n' +
      'const prog = tracepoint("sched/sched_swtich" as "sched/sched_switch", "prog", () => 0);\n' +
      'export default object({ name: "bad", license: "GPL", programs: [prog] });\n',
  );
  failsWith(t, bpfsmith("run", file, "--duration", "0"), 1, /sched_swtich[\s\S]*sched_switch/);
  t.end();
});

t.test("a rejected program shows the log", (t) => {
  // Divides by the size of the context through a pointer: written by hand, since the DSL has no way to say it.
  const file = source(
    "rejected.ts",
    'import { object, rawTracepoint } from "bpfsmith";\n' +
      'const decl = object({ name: "r", license: "GPL", programs: [rawTracepoint("sys_enter", "prog", () => 0)] });\n' +
      "export default { build(options: never) {\n" +
      "  const spec = decl.build(options);\n" +
      "  const insns = [{ opcode: 0xbf, dst: 0, src: 6, off: 0, imm: 0 }, { opcode: 0x95, dst: 0, src: 0, off: 0, imm: 0 }];\n" +
      "  return { ...spec, functions: spec.functions.map((f) => ({ ...f, insns, lines: f.lines.slice(0, 1), refs: [] })) };\n" +
      "} };\n",
  );
  const run = bpfsmith("run", file, "--duration", "0");
  failsWith(t, run, 1, /R6 !read_ok/);
  t.notOk(existsSync(join(scratch, "rejected.o")), "no object is written for a rejected program");
  t.equal(bpfsmith("build", file, "-o", "rejected.o").status, 0);
  const verified = bpfsmith("verify", "rejected.o");
  t.equal(verified.status, 1);
  t.match(verified.stdout, /R6 !read_ok[\s\S]*processed 1 insns[\s\S]*rejected: R6 !read_ok \(EACCES/);
  t.end();
});

t.test("the kernel's rejection shows the kernel's log", needsBpf(), (t) => {
  const loaded = bpfsmith("load", "rejected.o");
  failsWith(t, loaded, 1, /R6 !read_ok/);
  t.end();
});

t.test("a full disk leaves nothing half-written", needsBpfAnd("unshare", "mount"), (t) => {
  const disk = join(scratch, "disk");
  mkdirSync(disk);
  const script =
    `mount -t tmpfs -o size=8k none ${disk} && printf old > ${disk}/x.o && head -c 8000 /dev/zero > ${disk}/fill; ` +
    `"$@"; code=$?; ls -A ${disk}; cat ${disk}/x.o; exit $code`;
  const args = [
    "-m",
    "sh",
    "-c",
    script,
    "sh",
    process.execPath,
    cli,
    "build",
    example("hello"),
    "-o",
    join(disk, "x.o"),
  ];
  const result = spawnSync("unshare", args, { cwd: scratch, env, encoding: "utf8" });
  t.equal(result.status, 1, result.stderr);
  t.match(result.stderr, /no space left on the device/);
  t.equal(result.stdout, "fill\nx.o\nold", "the old object stands, nothing else");
  t.end();
});

t.test("without rights everything but loading is done, and the exit code is 0", needsBpfAnd("setpriv"), (t) => {
  const args = [
    "--bounding-set=-all",
    "--inh-caps=-all",
    process.execPath,
    cli,
    "run",
    example("execsnoop"),
    "-o",
    "norights.o",
  ];
  const result = spawnSync("setpriv", args, { cwd: scratch, env, encoding: "utf8" });
  t.equal(result.status, 0, result.stderr);
  t.match(result.stderr, /on_exec: accepted/);
  t.match(result.stderr, /processed \d+ insns/, "with the log");
  t.match(result.stderr, /not loaded: .*As root/);
  t.ok(existsSync(join(scratch, "norights.o")));
  const load = spawnSync("setpriv", [...args.slice(0, 4), "load", "norights.o"], {
    cwd: scratch,
    env,
    encoding: "utf8",
  });
  t.equal(load.status, 3, `load without rights: ${load.stderr}`);
  t.end();
});

/** Starts `run` and resolves once it says that it is attached. */
function start(
  ...args: readonly string[]
): Promise<{ child: ReturnType<typeof spawn>; done: Promise<{ code: number | null; stdout: string }> }> {
  const child = spawn(process.execPath, [cli, "run", ...args], {
    cwd: scratch,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk) => {
    stdout += chunk;
  });
  const done = new Promise<{ code: number | null; stdout: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout }));
  });
  return new Promise((resolve, reject) => {
    child.stderr!.on("data", (chunk) => {
      stderr += chunk;
      if (/attached to/.test(stderr)) resolve({ child, done });
    });
    child.on("close", () => reject(new Error(stderr)));
  });
}

t.test("execsnoop loses none of 1,000 execs", needsBpf(), async (t) => {
  const { child, done } = await start(example("execsnoop"), "--json");
  const marker = join(scratch, "marker");
  spawnSync("ln", ["-sf", "/bin/true", marker]);
  // Not spawnSync(): a reader that reads nothing meanwhile would stop the writer.
  const shell = spawn("sh", ["-c", `i=0; while [ $i -lt 1000 ]; do ${marker}; i=$((i+1)); done; exit 7`]);
  t.equal(await new Promise((resolve) => shell.on("close", resolve)), 7);
  child.kill("SIGINT");
  const { code, stdout } = await done;
  t.equal(code, 0);
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const ours = events.filter((event) => event.filename === marker);
  t.equal(ours.length, 1000);
  t.equal(new Set(ours.map((event) => event.pid)).size, 1000, "one for each process");
  t.match(ours[0], { time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, uid: process.getuid!(), comm: "sh" });
});

t.test("every example runs", needsBpf(), async (t) => {
  for (const name of readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"))) {
    const result = bpfsmith("run", join(root, "examples", name), "--duration", "0.3");
    t.equal(result.status, 0, `${name}: ${result.stderr}`);
    t.match(result.stderr, /: accepted \(/, name);
  }
});

t.test("load pins, and Ctrl-C leaves nothing behind", needsBpfAnd("bpftool"), async (t) => {
  const pins = `/sys/fs/bpf/bpfsmith-cli-${process.pid}`;
  t.teardown(() => rmSync(pins, { recursive: true, force: true }));
  const loaded = bpfsmith("load", "e.o", "--pin", pins, "--json");
  t.equal(loaded.status, 0, loaded.stderr);
  t.equal(JSON.parse(loaded.stdout).pinned, join(pins, "on_exec"));
  t.match(bpftool("prog", "show", "pinned", join(pins, "on_exec")), { type: "tracepoint", name: "on_exec" });
  t.equal(bpfsmith("load", "e.o", "--pin", pins).status, 1, "the second time the names are taken");
  t.match(bpftool("prog", "show", "pinned", join(pins, "on_exec")), { name: "on_exec" }, "the first pins stand");
  rmSync(pins, { recursive: true });

  const mine = (): unknown[] =>
    bpftool<{ name?: string; pids?: { pid: number }[] }[]>("prog", "list").filter(({ name }) => name === "on_exec");
  const before = mine().length;
  for (const delay of [0, 30, 60, 90, 120, 150, 200]) {
    const child = spawn(process.execPath, [cli, "run", example("execsnoop")], { cwd: scratch, env, stdio: "ignore" });
    await new Promise((resolve) => setTimeout(resolve, delay));
    child.kill("SIGINT");
    await new Promise((resolve) => child.on("close", resolve));
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(mine().length, before);
});

t.test("records go out and come back with the same verdict", needsBpf(), (t) => {
  const recorded = bpfsmith("load", "e.o", "--record", "e.jsonl");
  t.equal(recorded.status, 0, recorded.stderr);
  const verified = bpfsmith("verify", "--records", "e.jsonl", "--json", "--log", "2");
  t.equal(verified.status, 0, verified.stderr);
  const ours = JSON.parse(verified.stdout);
  const { kernel } = JSON.parse(readFileSync(join(scratch, "e.jsonl"), "utf8"));
  t.equal(ours.errno, kernel.errno);
  t.equal(ours.insns_processed, kernel.insns_processed);
  t.equal(ours.total_states, kernel.total_states);
  t.end();
});

t.test("records are answered line by line", (t) => {
  const recorded = readFileSync(join(root, "test/fixtures/verifier/recorded.jsonl"), "utf8").trimEnd().split("\n");
  const some = recorded.slice(0, 40);
  const records = some.map((line) => JSON.parse(line));
  const typed = { ...records[0], id: "attaches", attach_prog: { name: "p" } };
  const lines = [...some, "{", "", JSON.stringify({ ...records[1], insns: "zz" }), JSON.stringify(typed), some[0]!];
  const file = source("mixed.jsonl", lines.join("\n"));
  const { status, stdout } = bpfsmith("verify", "--records", file, "--json", "--log", "2");
  t.equal(status, 1);
  const answers = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  t.equal(answers.length, lines.length - 1, "one for each but the empty line");
  for (const [i, { id, kernel }] of records.entries()) {
    const { verdict, errno, insns_processed } = answers[i];
    t.equal(answers[i].id, id);
    if (verdict === "unsupported") continue;
    t.same([verdict, errno], [kernel.errno === 0 ? "accepted" : "rejected", kernel.errno], id);
    t.equal(insns_processed, kernel.insns_processed, id);
    t.equal(answers[i].log.split("\n").length, kernel.log.split("\n").length, id);
  }
  t.same(Object.keys(answers[0]), [
    ...["id", "verdict", "errno", "log", "insns_processed", "max_states_per_insn", "total_states", "peak_states"],
    ...["mark_read", "time_us", "log_true_size"],
  ]);
  const [broken, wrong, attaches, again] = answers.slice(some.length);
  t.match(broken, { id: null, line: 41, error: /no JSON/ });
  t.match(wrong, { id: records[1].id, line: 43, error: /hexadecimal/ });
  t.match(attaches, { id: "attaches", verdict: "unsupported", construct: { insn: 0, what: /another program/ } });
  t.equal(again.id, records[0].id, "what is malformed stops nothing");

  const lines2 = bpfsmith("verify", "--records", source("one.jsonl", some[0]!), "--json").stdout.trimEnd().split("\n");
  t.equal(JSON.parse(lines2[0]!).log, "", "no log unless asked for");
  failsWith(t, bpfsmith("verify", "--records", "missing.jsonl"), 1, /missing\.jsonl: no such file/);
  t.end();
});
