// SPDX-License-Identifier: MIT
import { spawn, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { writeBtf } from "../../src/btf/index.js";
import { allKinds } from "../btf/all-kinds.js";
import { runQuietly, scratchDir, whyNoTool } from "../support/tools.js";

const cli = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const dir = scratchDir();
const env = { ...process.env, XDG_CACHE_HOME: join(dir, "cache"), NO_COLOR: "1" };
const bpfsmith = (...args: readonly string[]) =>
  spawnSync(process.execPath, [cli, ...args], { cwd: dir, env, encoding: "utf8", maxBuffer: 1 << 28 });

const VMLINUX = "/sys/kernel/btf/vmlinux";
const whyNoVmlinux = existsSync(VMLINUX) ? undefined : "skipped: no vmlinux BTF";
const kinds = join(dir, "kinds.btf");
writeFileSync(kinds, writeBtf(allKinds));
writeFileSync(join(dir, "text.btf"), "no BTF at all, though long enough for a header");

t.test("btf dump", (t) => {
  const raw = bpfsmith("btf", "dump", kinds);
  t.equal(raw.status, 0);
  t.match(raw.stdout, /^\[1\] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED\n\[2\] PTR/);
  t.equal(raw.stdout.endsWith("val=9223372036854775809ULL\n"), true);
  t.match(bpfsmith("btf", "dump", kinds, "--format", "c").stdout, /struct s \{\n\tint: 32;\n\tint a;\n\};/);
  t.match(bpfsmith("btf", "dump", kinds, "--format", "ts").stdout, /export interface s \{\n {2}readonly a: int;\n\}/);
  t.equal(bpfsmith("btf", "dump", kinds, "--root", "u").stdout.split("\n").length, 4);
  t.match(bpfsmith("btf", "dump", kinds, "--root", "4", "--root", "struct s").stdout, /^\[4\][^[]*\[4\][^[]*$/);
  t.end();
});

t.test("btf dump of an object", { skip: whyNoTool("clang-19", "bpftool") }, (t) => {
  const shapes = fileURLToPath(new URL("../fixtures/btf/shapes.c", import.meta.url));
  const object = join(dir, "shapes.o");
  for (const target of ["bpf", "bpfeb"]) {
    runQuietly("clang-19", "-target", target, "-g", "-O2", "-c", shapes, "-o", object);
    t.equal(bpfsmith("btf", "dump", object).stdout, runQuietly("bpftool", "btf", "dump", "file", object), target);
  }
  t.end();
});

t.test("layout", (t) => {
  const text = bpfsmith("layout", "--btf", kinds, "s");
  t.equal(text.status, 0);
  t.match(text.stdout, /^struct s \{\n\n\t\/\* XXX 4 bytes hole, try to pack \*\/\n\n\tint {24}a __attribute__/);
  t.match(JSON.parse(bpfsmith("layout", "--btf", kinds, "s", "--json").stdout), {
    name: "s",
    size: 8,
    preHole: 4,
    members: [{ name: "a", type: "int", offset: 4, size: 4 }],
  });
  t.equal(bpfsmith("layout", "--btf", kinds, "--sort", "size").stdout, "s\t8\t1\nu\t4\t0\n");
  t.equal(bpfsmith("layout", "--btf", kinds, "--contains", "s").stdout, "");
  t.end();
});

t.test("the running kernel's types", { skip: whyNoVmlinux ?? false }, (t) => {
  t.match(
    bpfsmith("layout", "task_struct").stdout,
    /^struct task_struct \{\n[\s\S]*\n\t\/\* size: \d+, cachelines: \d+/,
  );
  t.match(bpfsmith("layout", "--contains", "callback_head").stdout, /^task_struct\t\d+\t\d+$/m);
  t.match(bpfsmith("layout", "tsk_struct").stderr, /no type is named tsk_struct \(similar: .*task_struct/);
  t.match(bpfsmith("btf", "dump", "--format", "c", "--root", "pid_t").stdout, /typedef __kernel_pid_t pid_t;/);
  t.end();
});

t.test("bad input and wrong usage", (t) => {
  const failures: [readonly string[], number, RegExp][] = [
    [["btf", "dump", "nowhere.btf"], 1, /nowhere\.btf: no such file/],
    [["btf", "dump", dir], 1, /is a directory/],
    [["btf", "dump", join(dir, "text.btf")], 1, /text\.btf: BTF header: magic at offset 0/],
    [["btf", "dump", process.execPath], 1, /has no section \.BTF/],
    [["btf", "dump", kinds, "--root", "none"], 1, /no type is named none/],
    [["btf", "dump", kinds, "--root", "99"], 1, /type id 99 is out of range/],
    [["layout", "--btf", kinds, "e"], 1, /no type is named e/],
    [["layout", "--btf", kinds, "t"], 1, /t is no struct or union/],
    [["btf", "dump", "--format", "xml"], 2, /choose|choices/i],
    [["layout", "--sort", "taste"], 2, /choose|choices/i],
  ];
  for (const [args, status, message] of failures) {
    const result = bpfsmith(...args);
    t.equal(result.status, status, args.join(" "));
    t.match(result.stderr, message);
    t.notMatch(result.stderr, /\n\s+at .*\.c?js:\d+/, "no JavaScript stack");
  }
  t.end();
});

t.test("a reader that leaves ends it", { skip: whyNoVmlinux ?? false }, async (t) => {
  const child = spawn(process.execPath, [cli, "btf", "dump"], { cwd: dir, env, stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (data) => {
    complaint += data;
  });
  child.stdout.once("data", () => child.stdout.destroy());
  const status = await new Promise((resolve) => child.on("exit", resolve));
  t.equal(status, 0);
  t.equal(complaint, "");
});

t.test("btf check", (t) => {
  const right = bpfsmith("btf", "check", kinds, "--json");
  t.equal(right.status, 0, right.stderr);
  t.match(JSON.parse(right.stdout), { accepted: true, errno: 0, error: null, reason: "" });
  const looped = join(dir, "looped.btf");
  writeFileSync(looped, writeBtf({ types: [{ kind: "void" }, { kind: "const", type: 1 }] }));
  const wrong = bpfsmith("btf", "check", looped, "--log");
  t.equal(wrong.status, 1);
  t.match(wrong.stdout, /^magic: 0xeb9f\n/);
  t.match(wrong.stdout, /\[1\] CONST \(anon\) type_id=1 Loop detected\n.*looped\.btf: refused \(EEXIST\): \[1\] CONST/);
  t.match(
    bpfsmith("btf", "check", join(dir, "text.btf")).stdout,
    /text\.btf: refused \(EINVAL\): btf_header not found/,
  );
  const missing = bpfsmith("btf", "check", join(dir, "none"));
  t.equal(missing.status, 1);
  t.match(missing.stderr, /no such file/);
  t.end();
});

t.test("btf check of an object", { skip: whyNoTool("clang-19") }, (t) => {
  const source = join(dir, "globals.c");
  const object = join(dir, "globals.o");
  writeFileSync(source, 'int counter = 1; __attribute__((section("xdp"))) int f(void *x) { return counter; }\n');
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", source, "-o", object);
  const answer = bpfsmith("btf", "check", object);
  t.match(answer.stdout, /globals\.o: accepted/, "sections are completed as libbpf does");
  t.equal(answer.status, 0);
  t.end();
});
