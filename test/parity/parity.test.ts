// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import t from "tap";
import { readRecord } from "../../src/model/record.js";
import { KNOWN_FILE, KnownDifferences, readKnown } from "../support/known.js";
import { compareLogs, type DifferenceKind, lastMessage } from "../support/parity.js";
import { needsKernelTypes } from "../support/parity-scope.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const recorded = readFileSync(join(root, "test/fixtures/verifier/recorded.jsonl"), "utf8").trimEnd().split("\n");

const scratch = mkdtempSync(join(tmpdir(), "bpfsmith-parity-test-"));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));

interface Record {
  id: string;
  insns: string;
  prog_type: number;
  kernel: { errno: number; log: string; [key: string]: unknown };
  [key: string]: unknown;
}

const record = (id: string): Record => JSON.parse(recorded.find((line) => line.includes(`"id":"${id}"`))!);

function write(name: string, lines: readonly unknown[]): string {
  const path = join(scratch, name);
  writeFileSync(path, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  return path;
}

function parity(...args: readonly string[]): { status: number | null; report: Report; stderr: string } {
  const argv = ["--import", "tsx", join(root, "scripts/parity.ts"), "--json", "--cpus", "2", "--jobs", "2", ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { cwd: root, encoding: "utf8" });
  return { status, report: stdout === "" ? ({} as Report) : JSON.parse(stdout), stderr };
}

interface Report {
  readonly total: { readonly programs: number; readonly same: number; readonly kinds: object };
  readonly set_aside: object;
  readonly set_aside_answered: { readonly programs: number };
  readonly unjudged: object;
  readonly unexplained: readonly { readonly id: string; readonly kind: string }[];
  readonly known: readonly { readonly id: string }[];
  readonly gone: readonly { readonly id: string }[];
  readonly unreadable: readonly unknown[];
  readonly shares: readonly { readonly count: number; readonly reached: boolean }[];
}

t.test("logs are compared line by line", (t) => {
  t.equal(compareLogs("a\nb\n", "a\nb\n"), null);
  t.same(compareLogs("a\nb\n", "a\nc\n"), { line: 2, kernel: "b", ours: "c" });
  t.same(compareLogs("a\n", "a\nb\n"), { line: 2, kernel: "(end of the log)", ours: "b" });
  t.match(compareLogs("a\nb\n", "a\nb"), { line: 3 });
  t.match(compareLogs("", "\n"), { line: 1 });
  const address = (digits: string): string => `0: (18) r1 = 0xffff${digits}       ; R1=map_ptr()\n`;
  t.equal(compareLogs(address("888812345678"), address("000000001000")), null, "addresses differ from run to run");
  t.match(compareLogs("0: (18) r1 = 0x1\n", "0: (18) r1 = 0x2\n"), { line: 1 });

  const long = `${"a line that makes up a long log\n".repeat(9000)}${address("888812345678")}`;
  const tail = "b\n".repeat(50_000);
  t.equal(compareLogs(`${long}${tail}`, `${long.replace("8888", "1111")}${tail}`), null);
  t.match(compareLogs(`${long}${tail}`, `${long.replace("8888", "1111")}${tail}c\n`), { line: 59_002, ours: "c" });
  t.same(compareLogs(`${long}x\n${tail}`, `${long}y\n${tail}`), { line: 9002, kernel: "x", ours: "y" });

  const whole = `head\n${"x".repeat(100)}\ntail\n`;
  const cut = "head\nxx\n<<< 97 bytes left out >>>\nx\ntail\n";
  t.equal(compareLogs(cut, whole), null);
  t.match(compareLogs(cut, whole.replace("tail", "tall")), { line: -1 });
  t.match(compareLogs(cut, whole.replace("xx", "x")), { line: -1, kernel: "111 bytes in all" });
  t.end();
});

t.test("the last message stands before the statistics", (t) => {
  t.equal(lastMessage("0: exit\nR0 !read_ok\nprocessed 1 insns (limit 1000000) max_states\n"), "R0 !read_ok");
  t.equal(lastMessage("x\nverification time 3 usec\nstack depth 0\nprocessed 1 insns (\n"), "x");
  t.equal(lastMessage("processed 1 insns (limit\n"), "");
  t.equal(lastMessage(""), "");
  t.end();
});

t.test("what needs the kernel's types", (t) => {
  const plain = readRecord(JSON.stringify(record("cfg/pruning-joins-branches"))).load;
  t.equal(needsKernelTypes(plain), null);
  const withInsns = (hex: string): string | null =>
    needsKernelTypes({ ...plain, insns: Uint8Array.from(Buffer.from(hex, "hex")) });
  t.equal(withInsns("85200000010000009500000000000000"), "kfunc");
  t.equal(withInsns("85100000010000009500000000000000"), null, "a function of the program");
  t.equal(withInsns("18310000010000000000000000000000"), "kernel symbol");
  t.equal(withInsns("18010000000000008520000001000000"), null, "the second half of a wide immediate is no call");
  t.equal(withInsns("850000009e000000"), "helper bpf_get_current_task_btf");
  t.equal(withInsns("850000000e000000"), null, "bpf_get_current_pid_tgid");
  t.match(needsKernelTypes({ ...plain, progType: 26 }), /tracing/);
  t.match(needsKernelTypes({ ...plain, attachBtfId: 7 }), /BTF/);
  t.end();
});

t.test("differences of every kind are found, and only those", (t) => {
  const accepted = record("cfg/pruning-joins-branches");
  const rejected = record("alu/read-uninit-reg");
  const change = (base: Record, id: string, kernel: object, rest: object = {}): Record => ({
    ...base,
    ...rest,
    id: `x.bpf.o/${id}`,
    kernel: { ...base.kernel, ...kernel },
  });
  const { log } = accepted.kernel;
  const cut = {
    log_truncated: true,
    log: `${log.slice(0, 40)}\n<<< ${log.length - 240} bytes left out >>>\n${log.slice(-200)}`,
  };
  mkdirSync(join(scratch, "logs"));
  writeFileSync(join(scratch, "logs/whole.gz"), gzipSync(log));
  writeFileSync(join(scratch, "logs/other.gz"), gzipSync(log.replace("\n1: ", "\n1; ")));
  const kfunc = { insns: "85200000010000009500000000000000", insn_cnt: 2, map_relocs: [] };
  const file = write("differences.jsonl", [
    accepted,
    rejected,
    change(accepted, "verdict", { errno: 22 }),
    change(rejected, "errno", { errno: rejected.kernel.errno + 1 }),
    change(rejected, "message", { log: rejected.kernel.log.replace("read_ok", "read_well") }),
    change(accepted, "log", { log: log.replace("\n1: ", "\n1; ") }),
    change(accepted, "cut", cut),
    change(accepted, "whole", { ...cut, log_file: "whole.gz" }),
    change(accepted, "whole-other", { ...cut, log_file: "other.gz" }),
    change(accepted, "overflow", { ...cut, errno_by_level: { 0: 0, 2: 28 } }),
    change(accepted, "counters", { errno_by_level: { 0: 0, 2: 28 }, total_states: 77 }),
    change(accepted, "kfunc", {}, kfunc),
    change(accepted, "before", { stage: "before", errno: 1 }),
    change(accepted, "attaches", {}, { attach_prog: { name: "p" } }),
  ]);
  const { status, report } = parity(file);
  t.equal(status, 1);
  t.same(
    report.unexplained.map(({ id, kind }) => `${id} ${kind}`),
    ["verdict", "errno", "message", "log", "whole-other log", "counters"].map((what) =>
      what.includes(" ") ? `x.bpf.o/${what}` : `x.bpf.o/${what} ${what}`,
    ),
  );
  t.match(report.total, { programs: 11, same: 5, kinds: { crash: 0, unsupported: 0, log: 2 } });
  t.same(report.set_aside, { kfunc: 1, "program attached to another program": 1 });
  t.same(report.unjudged, { "refused before the verifier, errno 1": 1 });
  t.same(
    report.shares.map(({ count }) => count),
    [9, 8, 5],
  );
  t.ok(report.shares.every(({ reached }) => !reached));

  const entries = report.unexplained.map(({ id, kind }) => ({ release: "6.18", reason: "made up", id, kind }));
  const explained = parity(file, "--known", write("known.json", [{ known: entries }]));
  t.equal(explained.status, 0, "explained differences do not fail");
  t.equal(explained.report.known.length, entries.length);
  t.end();
});

t.test("known differences hold for one record, kind and release, and must not outlive themselves", (t) => {
  const entry = { id: "a", kind: "log", release: "6.18", reason: "made up" } as const;
  const outcome = (id: string, kind: DifferenceKind | null) => ({ id, kind, profile: "6.18" });
  const known = new KnownDifferences([entry, { ...entry, id: "b" }, { ...entry, id: "c" }]);
  t.equal(known.reasonOf(outcome("a", "log")), "made up");
  t.equal(known.reasonOf(outcome("b", "verdict")), null);
  t.same(known.gone(), [{ ...entry, id: "b" }], "the record of c was not compared");
  const other = new KnownDifferences([{ ...entry, release: "6.12" }]);
  t.equal(other.reasonOf(outcome("a", "log")), null);
  t.same(other.gone(), []);

  const file = (value: object): string => write("known.json", [{ known: [value] }]);
  t.same(readKnown(file(entry)), [entry]);
  t.throws(() => readKnown(file({ ...entry, reason: "" })), /reason/);
  t.throws(() => readKnown(file({ ...entry, kind: "mood" })), /no such kind/);
  t.ok(readKnown(KNOWN_FILE));
  t.end();
});

t.test("files are split fairly and nothing is lost", (t) => {
  const many: string[] = [];
  // More than one worker takes at once, with lines across every boundary.
  for (let i = 0; many.join("\n").length < 3_000_000 || i % recorded.length !== 0; i++) {
    const line = recorded[i % recorded.length]!;
    if (line.length < 20_000) many.push(line.replace('"id":"', `"id":"f${i}.bpf.o/`));
    if (many.length > 900) break;
  }
  const folder = join(scratch, "folder");
  mkdirSync(folder);
  write("folder/a.jsonl", many);
  write("folder/b.jsonl", [many[0]!, "no record"]);
  const { status, report } = parity(folder);
  t.equal(status, 1, "an unreadable record fails");
  t.equal(report.unreadable.length, 1);
  const aside = Object.values(report.set_aside).reduce((a, b) => a + b, 0);
  t.equal(report.total.programs + aside, many.length + 1);
  t.same(report.unexplained, []);
  t.equal(parity(join(scratch, "nowhere.jsonl")).status, 2);
  t.end();
});
