// SPDX-License-Identifier: MIT
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { pinObject, RingBufferReader, testRun } from "../../src/syscall/index.js";
import { BugError } from "../../src/util/errors.js";
import { needsBpf, needsBpfAnd, openBpfFds } from "../support/live.js";
import { isDiscarded, loadRingWriter, RECORD_SIZES, RecordChecker } from "../support/ring-program.js";

const packet = new Uint8Array(64);
const NOT_DISCARDED = (count: number): number =>
  Array.from({ length: count }, (_, i) => i).filter((i) => !isDiscarded(i)).length;

/** Waits until a condition holds; gives up after a while. */
async function until(condition: () => boolean, milliseconds = 20_000): Promise<boolean> {
  const end = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() > end) return false;
    await sleep(2);
  }
  return true;
}

t.test("200,000 records across many wraps: none lost, none torn, in order", needsBpf(), (t) => {
  const size = 256 * 1024;
  const writer = loadRingWriter(size);
  const reader = new RingBufferReader(writer.ring);
  const checker = new RecordChecker();
  const runs = 234_000;
  let bytes = 0;
  for (let run = 0; run < runs; run += 500) {
    testRun(writer.program, { data: packet, repeat: 500 });
    reader.consume((view, offset, length) => {
      bytes += length;
      checker.check(view, offset, length);
    });
  }
  t.strictSame(checker.faults.slice(0, 3), []);
  t.strictSame(writer.counts(), { next: runs, lost: 0 });
  t.ok(checker.received > 200_000, `${checker.received} records`);
  t.equal(checker.received, NOT_DISCARDED(runs));
  t.equal(checker.missing, 0);
  t.equal(reader.delivered, checker.received);
  t.equal(reader.discarded, runs - checker.received);
  t.ok(bytes > 200 * size, "the ring was filled over and over");
  t.equal(reader.pending, 0);
  reader.close();
  writer.close();
  t.end();
});

t.test("another process writes while the event loop reads", needsBpfAnd("bpftool"), async (t) => {
  if (!readFileSync("/proc/mounts", "utf8").includes(" /sys/fs/bpf bpf ")) {
    t.pass("pinning", { skip: "skipped: no bpf file system" });
    return;
  }
  const size = 4 << 20;
  const writer = loadRingWriter(size);
  const reader = new RingBufferReader(writer.ring);
  const checker = new RecordChecker();
  const path = `/sys/fs/bpf/bpfsmith-ring-${process.pid}`;
  const dir = mkdtempSync(join(tmpdir(), "bpfsmith-ring-"));
  t.teardown(() => {
    rmSync(dir, { recursive: true });
    if (existsSync(path)) unlinkSync(path);
  });
  pinObject(writer.program, path);
  writeFileSync(join(dir, "packet"), packet);
  reader.start(checker.check);
  const runs = 100_000;
  const args = ["prog", "run", "pinned", path, "data_in", join(dir, "packet"), "repeat", String(runs)];
  const child = spawn("bpftool", args, { stdio: ["ignore", "ignore", "inherit"] });
  const status = await new Promise((resolve) => child.on("close", resolve));
  t.equal(status, 0);
  await until(() => reader.pending === 0);
  const counts = writer.counts();
  t.equal(counts.next, runs);
  t.strictSame(checker.faults.slice(0, 3), []);
  t.ok(checker.received > 1000, `${checker.received} received, ${counts.lost} without room`);
  // What the program saw fail is what is missing here, to the record: nothing else got lost.
  const tail = Array.from({ length: runs - checker.expected }, (_, i) => checker.expected + i);
  const missing = checker.missing + tail.filter((number) => !isDiscarded(number)).length;
  t.ok(missing <= counts.lost && checker.received + reader.discarded + counts.lost === runs, `${missing} missing`);
  reader.close();
  writer.close();
});

t.test("backpressure: what is refused stays, and the position is not advanced", needsBpf(), async (t) => {
  const size = 4096;
  const writer = loadRingWriter(size);
  const reader = new RingBufferReader(writer.ring);
  const run = (repeat: number) => testRun(writer.program, { data: packet, repeat });
  run(4);
  const full = reader.pending;
  t.equal(
    full,
    RECORD_SIZES.reduce((sum, length) => sum + 8 + length, 0),
  );
  t.equal(
    reader.consume(() => false),
    0,
  );
  t.equal(reader.pending, full, "nothing was taken");
  const seen: number[] = [];
  t.equal(
    reader.consume((_view, _offset, length) => seen.push(length) < 3 && undefined),
    2,
  );
  t.strictSame(seen, RECORD_SIZES.slice(0, 3));
  t.equal(reader.pending, 8 + 104 + 8 + 1000, "the third is still there");
  t.equal(
    reader.consume(() => {}, 1),
    1,
    "no more than asked for",
  );
  run(40);
  const { lost } = writer.counts();
  t.ok(lost > 0, "a full ring makes the program fail to reserve");
  reader.consume(() => {});
  run(4);
  t.equal(writer.counts().lost, lost, "room again");
  reader.consume(() => {});

  let open = false;
  let calls = 0;
  const lengths: number[] = [];
  reader.start((_view, _offset, length) => {
    calls++;
    if (!open) return false;
    lengths.push(length);
  });
  run(2);
  await until(() => calls > 0);
  await sleep(30);
  t.equal(calls, 1, "a receiver that refused is left alone");
  run(2);
  await sleep(30);
  t.equal(calls, 1, "also when more comes in");
  open = true;
  reader.resume();
  t.ok(await until(() => lengths.length >= 3));
  t.equal(reader.pending, 0);
  run(1);
  t.ok(await until(() => reader.pending === 0), "delivery goes on after the pause");
  reader.close();
  writer.close();
});

t.test("exceptions of a receiver", needsBpf(), (t) => {
  const writer = loadRingWriter(4096);
  const reader = new RingBufferReader(writer.ring);
  testRun(writer.program, { data: packet, repeat: 3 });
  t.throws(
    () =>
      reader.consume(() => {
        throw new RangeError("mine");
      }),
    new RangeError("mine"),
  );
  const lengths: number[] = [];
  reader.consume((_view, _offset, length) => void lengths.push(length));
  t.strictSame(lengths, [24, 104], "the record that threw counts as read");
  testRun(writer.program, { data: packet, repeat: 1 });
  t.throws(() => reader.consume(() => void reader.consume(() => {})), BugError);
  reader.close();
  writer.close();
  t.end();
});

t.test("closing: views that were kept read as zeroes, memory goes back, nothing leaks", needsBpf(), async (t) => {
  const before = openBpfFds().length;
  const mappings = () => readFileSync("/proc/self/maps", "utf8").match(/bpf-map|anon_inode:\[?bpf/g)?.length ?? 0;
  const mapped = mappings();
  const writer = loadRingWriter(4096);
  const reader = new RingBufferReader(writer.ring);
  t.equal(mappings(), mapped + 2, "two mappings");
  testRun(writer.program, { data: packet, repeat: 3 });
  let kept: DataView | undefined;
  reader.consume((view, offset, length) => {
    if (reader.delivered === 0) return;
    kept = new DataView(view.buffer, view.byteOffset + offset, length);
    t.equal(kept.getBigUint64(0, true), 1n, "the second record, in the ring itself");
    reader.close();
  });
  t.ok(reader.closed, "closed from within the receiver");
  t.equal(kept!.getBigUint64(0, true), 0n);
  t.equal(
    reader.consume(() => t.fail("closed")),
    0,
  );
  t.equal(reader.pending, 0);
  reader.close();
  t.equal(mappings(), mapped);
  t.throws(() => reader.start(() => {}), BugError);
  const waiting = new RingBufferReader(writer.ring);
  waiting.consume(() => {});
  const readable = waiting.readable();
  waiting.close();
  await readable;
  writer.close();
  t.equal(openBpfFds().length, before);
});

t.test("a second reader goes on where the first one stopped", needsBpf(), (t) => {
  const writer = loadRingWriter(4096);
  testRun(writer.program, { data: packet, repeat: 3 });
  const first = new RingBufferReader(writer.ring);
  first.consume(() => {}, 1);
  first.close();
  const second = new RingBufferReader(writer.ring);
  const lengths: number[] = [];
  second.consume((_view, _offset, length) => void lengths.push(length));
  t.strictSame(lengths, [24, 104]);
  second.close();
  writer.close();
  t.end();
});
