// SPDX-License-Identifier: MIT
import { existsSync, readFileSync } from "node:fs";
import t from "tap";
import {
  array,
  arrayMap,
  be16,
  be32,
  bool,
  bytes,
  char,
  hashMap,
  type IntArg,
  kprobe,
  kretprobe,
  lruHashMap,
  object,
  type Program,
  type ProgramDecl,
  percpuArrayMap,
  percpuHashMap,
  rawTracepoint,
  ringbuf,
  s8,
  s32,
  s64,
  sized,
  socketFilter,
  struct,
  tracepoint,
  u8,
  u16,
  u32,
  u64,
  XdpAction,
  xdp,
} from "../../src/dsl/index.js";
import { type LoadedObject, possibleCpus } from "../../src/load/index.js";
import { testRun } from "../../src/syscall/program.js";
import { needsBpf } from "../support/live.js";
import { load, packet, runOn } from "./run.js";

/* What every part of the language does, seen by the kernel that runs it. */

function loadAll(...programs: readonly ProgramDecl[]): LoadedObject {
  return load(object({ name: "language", license: "GPL", programs }));
}

/** The result of a socket filter whose body this is. */
function resultOf(body: (p: Program<"socketFilter">) => IntArg): number {
  using loaded = loadAll(socketFilter("f", body));
  return runOn(loaded, "f");
}

t.test("programs of every kind are accepted", needsBpf(), (t) => {
  const where = struct("where", { text: array(char, 32), cpu: u32 });
  using loaded = loadAll(
    tracepoint("sched/sched_process_exec", "tp", (p, ctx) => {
      const buffer = p.buffer(where.fields.text);
      p.probeReadKernelStr(buffer, ctx.filename.address());
      p.printk("%s %d %d", buffer, ctx.filename.size(), ctx.pid);
    }),
    tracepoint("no/such_event", "own", { first: u32, second: u64 }, (p, ctx) => {
      p.printk("%u %llu", ctx.first, ctx.second);
    }),
    rawTracepoint("sched_switch", "raw", (p, ctx) => {
      const task = p.buffer(bytes(64));
      p.probeReadKernel(task, ctx.arg(1));
    }),
    kprobe("vfs_read", "entry", (p, ctx) =>
      p.printk("%llx %llx %llx %llx", ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.reg("ip")),
    ),
    kretprobe("vfs_read", "leave", (p, ctx) => p.printk("%lld", ctx.returnValue().as(s64))),
    socketFilter("filter", (p, ctx) => {
      const header = p.stack(bytes(14));
      p.skbLoadBytes(0, header);
      return ctx.len.sub(ctx.protocol.and(0).add(header.at(0)).add(ctx.ifindex));
    }),
    xdp("packet", (p, ctx) => {
      p.printk("%u %u", ctx.ingress_ifindex, ctx.rx_queue_index);
      return XdpAction.PASS;
    }),
  );
  t.equal(loaded.programs.size, 7);
  t.end();
});

t.test("results", needsBpf(), (t) => {
  t.equal(
    resultOf(() => 7),
    7,
  );
  t.equal(
    resultOf((p) => p.let(s32, -1)),
    0xffff_ffff,
  );
  t.equal(
    resultOf((p) => {
      p.if(p.ktimeGetNs().gt(0), () => p.return(5));
      return 6;
    }),
    5,
  );
  t.end();
});

t.test("loops", needsBpf(), (t) => {
  const summed = resultOf((p) => {
    const sum = p.let(u32, 0);
    p.for(10, (i) => p.for(i, (j) => sum.set(sum.add(j)), { max: 10 }));
    return sum;
  });
  t.equal(summed, 120);
  const left = resultOf((p) => {
    const seen = p.let(u32, 0);
    p.for(100, (i, loop) => {
      p.if(i.eq(50), () => loop.break());
      p.if(i.and(1), () => loop.continue());
      seen.set(seen.add(1));
    });
    return seen;
  });
  t.equal(left, 25);
  const capped = resultOf((p) => {
    const rounds = p.let(u32, 0);
    p.for(p.ktimeGetNs().or(1 << 20), () => rounds.set(rounds.add(1)), { max: 12 });
    return rounds;
  });
  t.ok(capped <= 12 && capped > 0, `${capped} rounds`);
  const unrolled = resultOf((p) => {
    const sum = p.let(u32, 0);
    for (let i = 1; i <= 4; i++) sum.set(sum.mul(10).add(i));
    return sum;
  });
  t.equal(unrolled, 1234);
  t.end();
});

t.test("values and variables", needsBpf(), (t) => {
  const kept = resultOf((p) => {
    const variable = p.let(u32, 1);
    const before = variable.get();
    const condition = variable.eq(1);
    variable.set(2);
    p.if(condition, () => variable.set(variable.mul(10)));
    return variable.add(before);
  });
  t.equal(kept, 21, "what was read stays what it was");
  const place = resultOf((p) => {
    const cell = p.stack(u64, 5);
    const before = cell.get();
    cell.set(cell.add(1));
    return before.mul(100).add(cell);
  });
  t.equal(place, 506, "a place is read when it is used");
  const chosen = resultOf((p) =>
    p.select(p.ktimeGetNs().eq(0), p.let(u32, 1), 2).add(p.select(true, p.let(u32, 10), 0)),
  );
  t.equal(chosen, 12);
  const flags = resultOf((p) => {
    const flag = p.stack(bool, true);
    flag.set(p.ktimeGetNs().eq(0));
    const other = p.stack(bool, false);
    other.set(p.ktimeGetNs());
    return flag.shl(1).or(other);
  });
  t.equal(flags, 1, "a bool is 0 or 1");
  const conditions = resultOf((p) => {
    const [yes, no] = [p.ktimeGetNs().ne(0), p.ktimeGetNs().eq(0)];
    const result = p.let(u32, 0);
    p.if(yes.and(no.not()), () => result.set(result.or(1)));
    p.if(no.or(yes), () => result.set(result.or(2)));
    p.if(yes.and(no).or(no.or(yes.not())), () => result.set(result.or(4)));
    p.if(p.ktimeGetNs(), () => result.set(result.or(8)));
    return result;
  });
  t.equal(conditions, 11);
  t.end();
});

t.test("logarithms", needsBpf(), (t) => {
  const input = arrayMap("input", u64, { maxEntries: 1 });
  using loaded = loadAll(socketFilter("f", (p) => p.log2(input.lookup(p, 0).orReturn())));
  const values = [0n, ...Array.from({ length: 64 }, (_, i) => 1n << BigInt(i))].flatMap((v) => [v, v + 1n, v - 1n]);
  for (const value of values.filter((v) => v >= 0n && v < 1n << 64n)) {
    loaded.map(input).set(0, value);
    const wanted = value === 0n ? 0 : value.toString(2).length - 1;
    if (runOn(loaded, "f") !== wanted) t.fail(`log2(${value})`);
  }
  t.pass(`${values.length} values`);
  // Its bounds are known: it may index an array of 64.
  const slots = arrayMap("slots", array(u64, 64), { maxEntries: 1 });
  using indexed = loadAll(
    socketFilter("f", (p) => {
      const all = slots.lookup(p, 0).orReturn();
      all.at(p.log2(p.ktimeGetNs())).atomicAdd(1);
      return 0;
    }),
  );
  runOn(indexed, "f");
  const counts = indexed.map(slots).get(0)!;
  t.equal(
    counts.reduce((a, b) => a + b),
    1n,
  );
  t.end();
});

const Mixed = struct("mixed", {
  a: u8,
  b: u32,
  c: u16,
  d: s64,
  text: array(char, 12),
  inner: struct("in", { x: u8, y: u64 }),
});

t.test("memory", needsBpf(), (t) => {
  const cells = arrayMap("cells", Mixed, { maxEntries: 4 });
  using loaded = loadAll(
    socketFilter("f", (p) => {
      const [first, second, third] = [0, 1, 2].map((i) => cells.lookup(p, i).orReturn(i + 1)) as never as [
        Cell,
        Cell,
        Cell,
      ];
      type Cell = ReturnType<ReturnType<typeof cells.lookup>["orReturn"]>;
      first.a.set(p.let(u32, 300));
      first.d.set(-5);
      first.text.set("hello");
      first.inner.y.set(2n ** 63n);
      const local = p.stack(Mixed, { b: 7, inner: { x: 1 }, text: "local" });
      p.assign(second, local);
      p.assign(third, { c: first.a, inner: second.inner });
      third.b.exchange(9);
      third.d.atomicAdd(-1);
      return third.b.fetchAdd(1);
    }),
  );
  const zeros = { a: 0, b: 0, c: 0, d: 0n, text: "", inner: { x: 0, y: 0n } };
  for (let i = 0; i < 3; i++) loaded.map(cells).set(i, { ...zeros, text: "left over" });
  t.equal(runOn(loaded, "f"), 9);
  t.same(loaded.map(cells).get(0), { ...zeros, a: 44, d: -5n, text: "hello", inner: { x: 0, y: 1n << 63n } });
  t.same(loaded.map(cells).get(1), { ...zeros, b: 7, text: "local", inner: { x: 1, y: 0n } });
  t.same(loaded.map(cells).get(2), { ...zeros, b: 10, c: 44, d: -1n, inner: { x: 1, y: 0n } });
  t.end();
});

t.test("arrays", needsBpf(), (t) => {
  const table = arrayMap("table", array(u16, 16), { maxEntries: 1 });
  using loaded = loadAll(
    socketFilter("f", (p) => {
      const values = table.lookup(p, 0).orReturn();
      p.for(16, (i) => values.at(i).set(i.mul(i)));
      values.at(3).set(99);
      const local = p.stack(array(u32, 4), [1, 2, 3, 4]);
      const sum = p.let(u32, 0);
      p.for(4, (i) => sum.set(sum.mul(10).add(local.at(i))));
      return sum.add(local.length * 10000);
    }),
  );
  t.equal(runOn(loaded, "f"), 41234);
  t.same(
    loaded.map(table).get(0),
    Array.from({ length: 16 }, (_, i) => (i === 3 ? 99 : i * i)),
  );
  t.end();
});

t.test("maps", needsBpf(), (t) => {
  const Key = struct("key", { small: u8, wide: u64 });
  const plain = hashMap("plain", Key, u64, { maxEntries: 16 });
  const recent = lruHashMap("recent", u32, s8, { maxEntries: 16 });
  const each = percpuHashMap("each", array(char, 8), u32, { maxEntries: 16 });
  const slots = percpuArrayMap("slots", u64, { maxEntries: 2 });
  using loaded = loadAll(
    socketFilter("f", (p) => {
      const key = { small: 1, wide: p.let(u64, 77) };
      const result = p.let(u32, 0);
      const note = (bit: number) => () => result.set(result.or(bit));
      p.if(plain.update(p, key, 5, "existing").lt(0), note(1));
      p.if(plain.update(p, key, 5, "new").eq(0), note(2));
      p.if(plain.update(p, key, 5, "new").lt(0), note(4));
      p.ifNotNull(plain.lookup(p, key), (value) => value.atomicAdd(1), note(1024));
      p.ifNotNull(plain.lookup(p, { small: 2 }), note(2048), note(8));
      p.if(plain.delete(p, { small: 9, wide: 9 }).lt(0), note(16));
      recent.update(p, 3, -3);
      recent.update(p, 4, -4);
      recent.delete(p, 4);
      each.update(p, "abc", p.getSmpProcessorId().add(1));
      const slot = slots.lookup(p, 1).orReturn(1);
      slot.set(slot.add(2));
      return result;
    }),
  );
  t.equal(runOn(loaded, "f"), 1 | 2 | 4 | 8 | 16);
  t.same([...loaded.map(plain).entries()], [[{ small: 1, wide: 77n }, 6n]]);
  t.same([...loaded.map(recent).entries()], [[3, -3]]);
  const values = loaded.perCpu(each).get("abc")!;
  t.equal(values.length, possibleCpus());
  t.same(
    values.filter((v) => v !== 0),
    [values.findIndex((v) => v !== 0) + 1],
    "only the CPU that ran",
  );
  t.equal(
    loaded
      .perCpu(slots)
      .get(1)!
      .reduce((a, b) => a + b),
    2n,
  );
  t.end();
});

t.test("ring buffers", needsBpf(), (t) => {
  const Event = struct("event", { n: u32, big: be32, text: array(char, 8) });
  const events = ringbuf("events", Event, { bytes: 4096 });
  const numbers = ringbuf("numbers", u64, { bytes: 4096 });
  using loaded = loadAll(
    socketFilter("f", (p) => {
      p.for(4, (i) => {
        const event = events.reserve(p).orReturn(1);
        p.assign(event, { n: i, big: i.add(0x01020304), text: "abc" });
        p.if(
          i.eq(2),
          () => event.discard(),
          () => event.submit(),
        );
      });
      numbers.output(p, p.getPrandomU32().and(0).add(42));
      const number = numbers.reserve(p).orReturn(2);
      number.set(43);
      number.submit("never");
      return 0;
    }),
  );
  const got: unknown[] = [];
  t.equal(runOn(loaded, "f"), 0);
  loaded.ring(events).consume((event) => void got.push(event));
  loaded.ring(numbers).consume((number) => void got.push(number));
  const event = (n: number) => ({ n, big: 0x01020304 + n, text: "abc" });
  t.same(got, [event(0), event(1), event(3), 42n, 43n]);
  t.end();
});

const Ethernet = struct("ethhdr", { dst: bytes(6), src: bytes(6), proto: be16 });
const Ports = struct("ports", { source: be16, dest: be16 });

t.test("packets", needsBpf(), (t) => {
  using loaded = loadAll(
    xdp("parse", (p, ctx) => {
      const eth = ctx.packet(Ethernet).orReturn(100);
      p.if(eth.proto.ne(0x0800), () => p.return(101));
      const ihl = ctx.packet(u8, Ethernet.size).orReturn(102).and(15).mul(4);
      const ports = ctx.packet(Ports, ihl.add(Ethernet.size)).orReturn(103);
      ports.dest.set(ports.source.add(1));
      eth.src.at(0).set(0xee);
      const tail = ctx.packet(u8, 200);
      const result = p.let(u32, 104);
      p.ifNotNull(tail, (byte) => result.set(byte));
      return result;
    }),
  );
  const { fd } = loaded.program("parse");
  const data = packet(17, 64);
  new DataView(data.buffer).setUint16(34, 4660);
  const after = testRun(fd, { data, dataOutSize: 256 });
  t.equal(after.retval, 104);
  t.equal(new DataView(after.data.buffer, after.data.byteOffset).getUint16(36), 4661);
  t.equal(after.data[6], 0xee);
  const long = packet(17, 256);
  long[200] = 77;
  t.equal(testRun(fd, { data: long, dataOutSize: 256 }).retval, 77);
  const options = packet(17, 64);
  options[14] = 0x4f;
  t.equal(testRun(fd, { data: options, dataOutSize: 256 }).retval, 103, "the ports would lie behind the end");
  t.equal(testRun(fd, { data: new Uint8Array(64), dataOutSize: 256 }).retval, 101);
  t.end();
});

t.test("helpers that take memory", needsBpf(), (t) => {
  using loaded = loadAll(
    socketFilter("f", (p, ctx) => {
      const buffer = p.stack(bytes(32));
      const wanted = p.let(u32, ctx.len).and(15);
      p.skbLoadBytes(0, sized(buffer, wanted.add(1)));
      const ok = p.skbLoadBytes(ctx.len, buffer);
      p.if(ok.ge(0), () => p.return(1000));
      return buffer.at(0).add(buffer.at(13)).add(buffer.at(16));
    }),
  );
  const data = new Uint8Array(78).fill(1);
  // 64 bytes behind the Ethernet header, of which 0 & 15 and one more are read.
  t.equal(runOn(loaded, "f", data), 0, "a failed load leaves zeros");
  t.end();
});

/** Where the kernel shows what was printed without taking it away from others. */
const TRACE = "/sys/kernel/tracing/trace";

t.test("printing", { skip: needsBpf().skip || (existsSync(TRACE) ? false : "skipped: no tracefs") }, (t) => {
  const marker = `dsl-${process.pid}`;
  using loaded = loadAll(
    socketFilter("f", (p) => {
      p.printk(`${marker} one`);
      p.printk(`${marker} %d%% of %s`, -5, p.stack(array(char, 8), "all"));
      p.printk(`${marker} %u %x %llx %d %lld`, p.let(u8, 255), 0xabc, 2n ** 63n, p.let(s8, -1), p.let(s32, -2));
      return 0;
    }),
  );
  const wanted = ["one", "-5% of all", "255 abc 8000000000000000 -1 -2"];
  // Somebody who reads the trace pipe takes lines away: look again.
  for (let attempt = 1; attempt <= 20; attempt++) {
    t.equal(runOn(loaded, "f"), 0);
    const lines = readFileSync(TRACE, "utf8").split("\n");
    const ours = lines.flatMap((line) => line.split(`${marker} `).slice(1));
    if (ours.length < wanted.length) continue;
    t.same(ours.slice(-wanted.length), wanted);
    t.end();
    return;
  }
  t.fail("the lines never showed");
  t.end();
});
