// SPDX-License-Identifier: MIT
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import { loadSource } from "../../src/cli/source.js";
import type { ObjectDecl } from "../../src/dsl/object.js";
import {
  type LoadedObject,
  type LoadOptions,
  loadObject,
  type RunArgs,
  runSession,
  type Session,
} from "../../src/load/index.js";
import { runningKernel } from "../../src/load/kernel-facts.js";
import { resolveObject } from "../../src/object/resolve.js";
import { testRun } from "../../src/syscall/program.js";
import { needsBpf, needsBpfAnd } from "../support/live.js";
import { packet } from "./run.js";

/* That the examples run is tested with the command line; here it is whether they tell the truth. */

const root = fileURLToPath(new URL("../..", import.meta.url));

type Main = (session: Session, args: RunArgs) => Promise<void>;

interface Example {
  readonly object: LoadedObject;
  readonly main: Main;
}

async function open(name: string, options?: LoadOptions): Promise<Example> {
  const { exports, positions } = await loadSource(join(root, "examples", `${name}.ts`));
  const spec = (exports.default as ObjectDecl).build({ sources: positions });
  return { object: loadObject(resolveObject(spec, runningKernel()), options), main: exports.main as Main };
}

/** Attaches an example, lets something happen, and gives what it printed as JSON. */
async function observe<Row>(name: string, happening: () => void | Promise<void>): Promise<Row[]> {
  const { object, main } = await open(name);
  using _ = object;
  object.attachAll();
  const rows: Row[] = [];
  const ending = new AbortController();
  const print = (line: string): void => void rows.push(JSON.parse(line) as Row);
  const done = runSession(object, main, { args: { json: true, rest: [] }, print, signal: ending.signal });
  await happening();
  await sleep(20);
  ending.abort();
  await done;
  return rows;
}

/** Writes so many times so many bytes to nowhere. */
function write(times: number, size: number): void {
  const fd = openSync("/dev/null", "w");
  for (let i = 0; i < times; i++) writeSync(fd, new Uint8Array(size));
  closeSync(fd);
}

t.test("size-hist counts by powers of two", needsBpf(), async (t) => {
  type Row = { from: number; to: number; count: number };
  const rows = await observe<Row>("size-hist", () => {
    write(300, 1000);
    write(200, 1024);
  });
  const count = (from: number): number => rows.find((row) => row.from === from)?.count ?? 0;
  t.ok(count(512) >= 300, `${count(512)} writes of 512 to 1023 bytes`);
  t.ok(count(1024) >= 200, `${count(1024)} writes of 1024 to 2047 bytes`);
  t.ok(
    rows.every((row) => row.to === (row.from === 0 ? 1 : row.from * 2 - 1)),
    "slots are powers of two",
  );
});

t.test("count-by-pid comes to the same sums both ways", needsBpf(), async (t) => {
  type Row = { pid: number; shared: number; perCpu: number };
  const rows = await observe<Row>("count-by-pid", () => write(5000, 1));
  const own = rows.find((row) => row.pid === process.pid);
  t.ok(own !== undefined && own.shared >= 5000, `${own?.shared} system calls of this process`);
  t.ok(Math.abs(own!.shared - own!.perCpu) <= own!.shared / 100, `${own?.perCpu} by CPU`);
});

t.test("page-alloc knows how many pages an order has", needsBpf(), async (t) => {
  type Row = { order: number; allocations: number; pages: number };
  const rows = await observe<Row>("page-alloc", () => void execFileSync("true"));
  t.equal(rows.length, 11);
  t.ok(rows[0]!.allocations > 50, `${rows[0]!.allocations} single pages`);
  t.same(
    rows.filter((row) => row.pages !== row.allocations * 2 ** row.order),
    [],
  );
});

t.test("sched-switch finds the busy process", needsBpf(), async (t) => {
  type Row = { pid: number; comm: string; ms: number; switches: number };
  const rows = await observe<Row>("sched-switch", async () => {
    await sleep(10);
    for (const end = Date.now() + 150; Date.now() < end; );
    await sleep(10);
  });
  const own = rows.find((row) => row.pid === process.pid);
  // Other tests share the CPUs: some of the time is theirs.
  t.ok(own !== undefined && own.ms > 20 && own.ms < 1000, `${own?.ms} ms on a CPU`);
  t.ok(own!.switches > 0);
});

t.test("ppid knows a process' parents", needsBpf(), async (t) => {
  type Row = { pid: number; comm: string; ppid: number; parent: string; grandparent: number; seconds: number };
  let started = 0;
  const rows = await observe<Row>("ppid", () => {
    started = spawnSync("true").pid;
  });
  const own = rows.find((row) => row.pid === started);
  t.match(own, {
    comm: "true",
    ppid: process.pid,
    parent: readFileSync("/proc/self/comm", "utf8").trim(),
    grandparent: process.ppid,
  });
  t.ok(Math.abs((own?.seconds ?? 0) - process.uptime()) < 5, `running for ${own?.seconds} s`);
});

t.test("readme counts opened files", needsBpf(), async (t) => {
  const lines: string[] = [];
  const { object, main } = await open("readme");
  using _ = object;
  object.attachAll();
  const ending = new AbortController();
  const done = runSession(object, main, {
    args: { json: false, rest: [] },
    print: (line) => void lines.push(line),
    signal: ending.signal,
  });
  for (let i = 0; i < 100; i++) closeSync(openSync("/dev/null", "r"));
  ending.abort();
  await done;
  const own = lines.find((line) => line.startsWith(`${process.pid} opened `));
  t.ok(Number(own?.split(" ")[2]) >= 100, `${own}`);
});

t.test("hello greets through the trace pipe", needsBpf(), async (t) => {
  const { object, main } = await open("hello");
  using _ = object;
  object.attachAll();
  const lines: string[] = [];
  const ending = new AbortController();
  const done = runSession(object, main, {
    args: { json: false, rest: [] },
    print: (line) => void lines.push(line),
    signal: ending.signal,
  });
  // Somebody else who reads the trace pipe may be faster: say hello again.
  const greets = (line: string): boolean => /hello from pid \d+/.test(line);
  for (let i = 0; i < 50 && !lines.some(greets); i++) {
    execFileSync("true");
    await sleep(20);
  }
  ending.abort();
  await done;
  t.ok(lines.some(greets), `${lines[0]}`);
});

const ICMP = 1;
const UDP = 17;
const XDP_DROP = 1;
const XDP_PASS = 2;

t.test("drop-icmp drops ICMP only", needsBpf(), async (t) => {
  const { object, main } = await open("drop-icmp");
  using _ = object;
  const { fd } = object.program("drop_icmp");
  const judge = (data: Uint8Array): number => testRun(fd, { data, dataOutSize: 256 }).retval;
  t.equal(judge(packet(ICMP)), XDP_DROP);
  t.equal(judge(packet(UDP)), XDP_PASS);
  t.equal(judge(packet(UDP, 30)), XDP_PASS, "a header that is cut off");
  const other = packet(ICMP);
  other[12] = 0x86;
  t.equal(judge(other), XDP_PASS, "another protocol than IPv4");
  const lines: string[] = [];
  const print = (line: string): void => void lines.push(line);
  await runSession(object, main, { args: { json: false, rest: [] }, print, signal: AbortSignal.abort() });
  t.same(lines, ["protocol 1: 1 packets dropped", "protocol 17: 1 packets passed"]);
});

/** Sends an ICMP echo request and says whether the answer came. */
const PING = `
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(0.5)
body = struct.pack("!BBHHH", 8, 0, 0xf7fd - 0x1234, 1, 0x1234 - 1)
total = sum(struct.unpack("!5H", struct.pack("!BBHHHH", 8, 0, 0, 1, 1, 7)))
total = (total & 0xffff) + (total >> 16)
s.sendto(struct.pack("!BBHHHH", 8, 0, ~total & 0xffff, 1, 1, 7), (sys.argv[1], 0))
try:
    s.recv(100)
    print("answered")
except TimeoutError:
    print("silence")
`;

t.test("drop-icmp keeps a ping from a virtual interface", needsBpfAnd("ip", "python3"), async (t) => {
  const name = `bs${process.pid}`;
  const ip = (...args: string[]): string =>
    execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  try {
    ip("netns", "add", name);
    ip("link", "add", `${name}a`, "type", "veth", "peer", "name", `${name}b`, "netns", name);
  } catch (error) {
    t.pass(`skipped: no virtual interfaces here: ${String(error).split("\n")[0]}`);
    return;
  }
  t.teardown(() => ip("netns", "del", name));
  ip("addr", "add", "198.18.77.1/30", "dev", `${name}a`);
  ip("link", "set", `${name}a`, "up");
  ip("-n", name, "addr", "add", "198.18.77.2/30", "dev", `${name}b`);
  ip("-n", name, "link", "set", `${name}b`, "up");
  const ping = (): string =>
    execFileSync("ip", ["netns", "exec", name, "python3", "-c", PING, "198.18.77.1"], { encoding: "utf8" }).trim();
  t.equal(ping(), "answered", "without the program");
  {
    const { object } = await open("drop-icmp");
    using _ = object;
    object.attachAll({ device: `${name}a` });
    t.equal(ping(), "silence", "with the program");
  }
  t.equal(ping(), "answered", "after the program");
});
