// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { runQuietly, scratchDir, whyNoTool } from "../support/tools.js";

const cli = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const scratch = scratchDir();
const env = { ...process.env, XDG_CACHE_HOME: scratch, NO_COLOR: "1" };

const inspect = (...args: readonly string[]) =>
  spawnSync(process.execPath, [cli, "inspect", ...args], { cwd: scratch, env, encoding: "utf8" });

const PROGRAM = `
#define SEC(name) __attribute__((section(name)))
struct task { int gone, pid; } __attribute__((preserve_access_index));
extern int LINUX_KERNEL_VERSION SEC(".kconfig");
extern int CONFIG_HZ SEC(".kconfig") __attribute__((weak));
struct { int (*type)[1]; unsigned int *key; struct pair { int a, b; } *value; int (*max_entries)[7]; } table SEC(".maps");
static void *(*lookup)(void *, const void *) = (void *)1;
const volatile char label[16] = "x";
SEC("tp/sched/sched_switch") int on_switch(struct task *task) {
  unsigned int key = label[0] + CONFIG_HZ;
  lookup(&table, &key);
  return task->pid + task->gone + LINUX_KERNEL_VERSION;
}
char _license[] SEC("license") = "GPL";
`;
/** The kernel's types: the member stands elsewhere, the other one is gone. */
const KERNEL = "struct task { long state; int pid; } task;";

function compile(name: string, text: string): string {
  const [from, to] = [join(scratch, `${name}.c`), join(scratch, `${name}.o`)];
  writeFileSync(from, text);
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", from, "-o", to);
  return to;
}

t.test("inspect an object of clang's", { skip: whyNoTool("clang-19", "llvm-objcopy-19") ?? false }, (t) => {
  const object = compile("program", PROGRAM);
  const types = join(scratch, "kernel.btf");
  runQuietly(
    "llvm-objcopy-19",
    "-O",
    "binary",
    "--only-section=.BTF",
    "--set-section-flags=.BTF=alloc",
    compile("kernel", KERNEL),
    types,
  );

  const plain = inspect(object);
  t.equal(plain.status, 0, plain.stderr);
  t.match(plain.stdout, /^program: little-endian BPF object, licence GPL, \d+ types\n/);
  t.match(plain.stdout, /^ {2}on_switch +tp\/sched\/sched_switch +tracepoint +global +\d+ insns +uses .*table/m);
  t.match(plain.stdout, /^ {2}table +hash +unsigned int → struct pair, max_entries 7$/m);
  t.match(plain.stdout, /^ {2}\.rodata\+0 +label +const volatile char\[16\] +16 bytes$/m);
  t.match(plain.stdout, /^ {2}CONFIG_HZ +\.kconfig +int +weak$/m);
  t.match(plain.stdout, /<byte_off> \[\d+\] struct task\.pid \(0:1 @ offset 4\)$/m);

  const { functions } = JSON.parse(inspect(object, "--json", "--btf", types).stdout);
  const relocations: { local: string; target: string | null; value: string }[] = functions[0].core;
  const of = (member: string) => relocations.find(({ local }) => local.includes(`struct task.${member} `));
  t.match(of("pid"), { target: /struct task\.pid \(0:1 @ offset 8\)/, value: "8" }, "it stands elsewhere");
  t.equal(of("gone")?.target, null, "it is gone");

  const missing = inspect(object, "--btf", "nowhere");
  t.equal(missing.status, 1);
  t.match(missing.stderr, /nowhere: no such file/);
  t.end();
});

t.test("inspect tries relocations against the types of another object", async (t) => {
  const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/core/${name}`, import.meta.url));
  const { stdout, stderr } = inspect(fixture("fields.bpf.o"), "--btf", fixture("fields-missing.btf"));
  t.equal(stderr, "");
  t.match(
    stdout,
    /^ {2}loads +insn 0 .*struct thing\.a .*: an invalid call \(unknown#195896080\), for the field has another size$/m,
  );
  t.match(
    stdout,
    /^ {2}loads +insn 3 .*struct thing\.hidden .*, which the types do not have: an invalid call \(unknown#195896080\)$/m,
  );
  t.match(inspect(fixture("fields.bpf.o"), "--btf", fixture("enums.bpf.o")).stdout, /field_exists.*do not have: 0$/m);
  t.match(inspect(fixture("fields.bpf.o"), "--btf", fixture("core.h")).stderr, /core\.h: BTF header: magic/);
});
