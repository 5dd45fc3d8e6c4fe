// SPDX-License-Identifier: MIT
import t from "tap";
import {
  type AnyMap,
  arrayMap,
  arrayOfMaps,
  be32,
  bloomFilter,
  bytes,
  cgroupArray,
  cpuMap,
  devMap,
  devMapHash,
  hashMap,
  hashOfMaps,
  lpmTrie,
  lruPercpuHashMap,
  object,
  type ProgramDecl,
  perfEventArray,
  program,
  queueMap,
  reuseportArray,
  sockHash,
  sockMap,
  stackMap,
  stackTraceMap,
  struct,
  tc,
  tracepoint,
  u32,
  u64,
  XdpAction,
  xdp,
  xskMap,
} from "../../src/dsl/index.js";
import { needsBpf } from "../support/live.js";
import { needsMirroredKernel } from "../support/live-parity.js";
import { load, runOn, sameAnswers } from "./run.js";

const eight = { maxEntries: 8 };
const Event = struct("event", { a: u64, b: u32 });

const routes = lpmTrie("routes", be32, u32, eight);
const recent = lruPercpuHashMap("recent", u32, u64, eight);
const jobs = queueMap("jobs", Event, eight);
const undo = stackMap("undo", u64, { maxEntries: 2 });
const seen = bloomFilter("seen", u32, { maxEntries: 100, hashes: 3 });
const events = perfEventArray("events", Event, { maxEntries: 2 });
const stacks = stackTraceMap("stacks", { maxEntries: 64, depth: 16 });
const groups = cgroupArray("groups", eight);
const ports = devMap("ports", eight);
const portsByNumber = devMapHash("ports_by_number", eight);
const cpus = cpuMap("cpus", eight);
const xsks = xskMap("xsks", eight);
const socks = sockMap("socks", eight);
const socksByKey = sockHash("socks_by_key", u64, eight);
const sharers = reuseportArray("sharers", eight);
const counters = hashMap("counters", u32, u64, eight);
const first = hashMap("first", u32, u64, eight);
const tables = arrayOfMaps("tables", counters, { maxEntries: 4, initial: { 1: first } });
const tablesByKey = hashOfMaps("tables_by_key", u64, arrayMap("like", u64, { maxEntries: 2 }), eight);

const one = <T extends ProgramDecl>(decl: T, maps: readonly AnyMap[] = []) =>
  object({ name: "kinds", license: "GPL", programs: [decl], maps });

const useRoutes = tc("use_routes", (p) => {
  const route = routes.lookup(p, { prefixlen: 32, data: 0x0a01_0203 }).orReturn(0);
  p.ifNotNull(
    recent.lookup(p, 1),
    (count) => count.set(count.add(1)),
    () => recent.update(p, 1, 1),
  );
  return route;
});

const useQueues = tc("use_queues", (p, ctx) => {
  jobs.push(p, { a: ctx.len, b: 2 });
  undo.push(p, 5, { overwrite: true });
  p.ifNotNull(undo.peek(p), (top) => void top.set(top.add(1)));
  seen.push(p, 42);
  const job = jobs.pop(p).orReturn(1);
  const both = seen.has(p, 42).and(seen.has(p, 43).not());
  return p.select(both, job.a.as(u32), 2).add(job.b);
});

const useTables = tc("use_tables", (p) => {
  p.ifNotNull(tables.lookup(p, 1), (table) => {
    p.ifNotNull(table.lookup(p, 7), (count) => count.atomicAdd(1));
    table.update(p, 8, 88);
    table.delete(p, 9);
  });
  p.ifNotNull(tablesByKey.lookup(p, 3), (table) => p.ifNotNull(table.lookup(p, 0), (count) => count.set(1)));
  return 0;
});

const useStacks = tracepoint("sched/sched_switch", "use_stacks", (p) => {
  events.output(p, { a: p.ktimeGetNs(), b: 1 });
  p.getStackid(stacks, 0);
  p.currentTaskUnderCgroup(groups, 0);
});

const redirect = xdp("redirect", (p, ctx) => {
  p.if(ctx.rx_queue_index.eq(0), () => p.return(ports.redirect(p, 1, XdpAction.PASS)));
  p.if(ctx.rx_queue_index.eq(1), () => p.return(portsByNumber.redirect(p, ctx.ingress_ifindex)));
  p.if(ctx.rx_queue_index.eq(2), () => p.return(cpus.redirect(p, 0)));
  return xsks.redirect(p, ctx.rx_queue_index, XdpAction.PASS);
});

const messages = program("sk_msg", "messages", (p, ctx) => {
  p.if(ctx.size.gt(100), () => p.return(p.msgRedirectMap(socks, 0, 0)));
  return p.msgRedirectHash(socksByKey, p.stack(u64, 5), 0);
});

const connections = program("sockops", "connections", (p) => {
  p.sockHashUpdate(socksByKey, p.stack(u64, 5), 0);
  p.sockMapUpdate(socks, p.stack(u32, 1), 0);
  return 1;
});

const choose = program("sk_reuseport", "choose", (p, ctx) => {
  p.skSelectReuseport(sharers, p.stack(u32, ctx.hash.and(7)), 0);
  return 1;
});

t.test("mirror and kernel accept programs that use every kind of map", needsMirroredKernel(), async (t) => {
  const all = [useRoutes, useQueues, useTables, useStacks, redirect, messages, connections, choose];
  for (const decl of all) await sameAnswers(t, one(decl), decl.name);
  t.end();
});

t.test("tries find the longest prefix", needsBpf(), (t) => {
  using loaded = load(one(useRoutes));
  const table = loaded.map(routes);
  table.set({ prefixlen: 8, data: 0x0a00_0000 }, 8);
  t.equal(runOn(loaded, "use_routes"), 8);
  table.set({ prefixlen: 24, data: 0x0a01_0200 }, 24);
  table.set({ prefixlen: 24, data: 0x0b01_0200 }, 99);
  t.equal(runOn(loaded, "use_routes"), 24);
  t.equal([...table.entries()].length, 3);
  const counts = loaded.perCpu(recent).get(1)!;
  t.equal(
    counts.reduce((a, b) => a + b, 0n),
    2n,
  );
  t.end();
});

t.test("queues, stacks and Bloom filters", needsBpf(), (t) => {
  using loaded = load(one(useQueues));
  t.equal(runOn(loaded, "use_queues", new Uint8Array(64)), 64 + 2);
  const queue = loaded.map(jobs);
  queue.set(undefined, { a: 1n, b: 1 });
  queue.set(undefined, { a: 2n, b: 2 });
  // Its own job comes last.
  t.equal(runOn(loaded, "use_queues", new Uint8Array(64)), 1 + 1);
  t.same(queue.take(undefined), { a: 2n, b: 2 });
  t.same(queue.take(undefined), { a: 64n, b: 2 });
  t.equal(queue.take(undefined), undefined);
  const stack = loaded.map(undo);
  stack.take(undefined);
  stack.set(undefined, 7n);
  t.equal(stack.take(undefined), 7n);
  t.end();
});

t.test("maps in maps", needsBpf(), (t) => {
  using loaded = load(one(useTables));
  const inner = loaded.map(first);
  inner.set(7, 1n);
  inner.set(9, 1n);
  runOn(loaded, "use_tables");
  t.same(
    new Map(inner.entries()),
    new Map([
      [7, 2n],
      [8, 88n],
    ]),
  );
  t.type(loaded.map(tables).get(1), "number");
  t.equal(loaded.map(tables).get(0), undefined);
  const names = one(useTables)
    .build()
    .maps.map(({ name }) => name);
  t.ok(names.indexOf("first") < names.indexOf("tables"), "libbpf makes maps in this order");
  // Another map like those in it can be put there by its descriptor.
  loaded.map(tables).set(1, loaded.mapEntry("first").fd.number);
  t.end();
});

t.test("stacks of system calls", needsBpf(), (t) => {
  const trace = program("raw_tracepoint/sys_enter", "trace", (p) => {
    p.if(p.getCurrentPidTgid().shr(32).eq(process.pid), () => void p.getStackid(stacks, 1 << 9));
  });
  using loaded = load(one(trace));
  using _ = loaded.attach("trace");
  process.cpuUsage();
  const traces = [...loaded.map(stacks).values()];
  t.ok(traces.length > 0);
  t.ok(traces.every((each) => each.length === 16 && each[0]! > 0xffff_8000_0000_0000n));
  t.end();
});

t.test("redirection goes where the map says", needsBpf(), (t) => {
  using loaded = load(one(redirect));
  t.equal(runOn(loaded, "redirect"), XdpAction.PASS, "to nobody");
  loaded.map(ports).set(1, { ifindex: 1, prog: 0 });
  t.equal(runOn(loaded, "redirect"), XdpAction.REDIRECT);
  t.equal(loaded.map(ports).get(1)!.ifindex, 1);
  t.end();
});

t.test("what cannot be", (t) => {
  const build = (decl: ProgramDecl) => one(decl).build();
  const zero = (_: unknown): number => 0;
  t.throws(() => lpmTrie("x", bytes(300), u32, eight), { message: /prefixes have at most 256 bytes, these have 300/ });
  t.throws(() => bloomFilter("x", u32, { maxEntries: 1, hashes: 16 }), { message: /1 to 15 hash functions, got 16/ });
  // @ts-expect-error only XDP programs redirect so
  t.throws(() => build(tc("x", (p) => ports.redirect(p, 1))), { message: /may not call redirectMap/ });
  // @ts-expect-error no records from programs that have no such helper
  t.throws(() => build(program("sk_reuseport", "x", (p) => events.output(p, { a: 1, b: 2 }))));
  // @ts-expect-error what was popped may be nothing
  t.throws(() => build(tc("x", (p) => jobs.pop(p).a)), { message: /may be null: check it with/ });
  // @ts-expect-error an inner map may be missing
  t.throws(() => build(tc("x", (p) => zero(tables.lookup(p, 1).lookup(p, 1)))), { message: /may be null/ });
  // @ts-expect-error a prefix is a length and data
  t.throws(() => build(tc("x", (p) => zero(routes.lookup(p, 5)))), {
    message: /expected members of struct routes_key/,
  });
  // @ts-expect-error the maps in it are all alike
  arrayOfMaps("x", counters, { maxEntries: 4, initial: { 0: undo } });
  // @ts-expect-error a queue has no keys
  t.equal(jobs.lookup, undefined);
  t.end();
});
