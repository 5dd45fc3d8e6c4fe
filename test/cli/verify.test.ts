// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { runQuietly, whyNoTool } from "../support/tools.js";

const cli = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "bpfsmith-verify-"));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
const env = { ...process.env, XDG_CACHE_HOME: scratch, NO_COLOR: "1" };

function verify(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [cli, "verify", ...args], { cwd: scratch, env, encoding: "utf8" });
}

/** Two programs; what becomes of `guarded` depends on a constant that the loader may set. */
const SOURCE = `
#define SEC(name) __attribute__((section(name), used))
const volatile unsigned int limit = 4;
int numbers[8] = { 1 };
SEC("socket") int fine(void *ctx) { return 0; }
SEC("socket") int guarded(void *ctx) { unsigned int at = limit; return *(volatile int *)&numbers[at]; }
char _license[] SEC("license") = "GPL";
`;

t.test("verify an object of clang's", { skip: whyNoTool("clang-19") ?? false }, (t) => {
  writeFileSync(join(scratch, "two.c"), SOURCE);
  const flags = ["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-c"];
  runQuietly("clang-19", ...flags, join(scratch, "two.c"), "-o", join(scratch, "two.o"));

  const both = verify("two.o");
  t.equal(both.status, 0, both.stderr);
  t.match(both.stdout, /^fine: accepted \(.*\nguarded: accepted \(.*\n2 programs: 2 accepted\n$/);

  const outside = verify("two.o", "--set-global", "limit=8");
  t.equal(outside.status, 1, "a constant that leads outside");
  t.match(outside.stdout, /guarded: rejected: .*outside of the allowed memory range/);
  t.match(outside.stdout, /\n2 programs: 1 accepted, 1 rejected\n$/);
  t.equal(verify("two.o", "--set-global", "limit=8", "--prog", "fine").status, 0, "the other program alone");

  const annotated = verify("two.o", "--set-global", "limit=8", "--format", "github");
  t.match(
    annotated.stdout,
    /^::error file=two\.c,line=6,col=\d+,title=BPF program guarded%3A rejected::.*\(insn \d+\)$/m,
    "the line of the source",
  );
  const json = verify("two.o", "--json", "--prog", "guarded").stdout.trimEnd().split("\n");
  t.same(
    json.map((line) => JSON.parse(line).program),
    ["guarded"],
    "JSON has no summary",
  );

  for (const [args, message] of [
    [["--prog", "other"], /no program other; it has fine, guarded/],
    [["--set-global", "limit"], /expected NAME=VALUE/],
    [["--set-global", "bound=1"], /no global variable bound; the object has .*limit/],
  ] as const) {
    const { status, stderr } = verify("two.o", ...args);
    t.equal(status, 1, args.join(" "));
    t.match(stderr, message);
  }
  t.equal(verify("two.o", "--format", "xml").status, 2);
  t.equal(verify("two.o", "--format", "github", "--json").status, 2);
  t.end();
});
