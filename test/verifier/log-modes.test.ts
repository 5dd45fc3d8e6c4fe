// SPDX-License-Identifier: GPL-2.0-only
import t, { type Test } from "tap";
import { encodeInsns } from "../../src/asm/insn.js";
import { BtfBuilder } from "../../src/btf/builder.js";
import { Errno } from "../../src/kernel/errno.js";
import { LogLevel } from "../../src/kernel/uapi.js";
import { nrCpuIds } from "../../src/load/cpus.js";
import type { ProgramLoad } from "../../src/model/load.js";
import { decodeUtf8 } from "../../src/util/bytes.js";
import { InputError } from "../../src/util/errors.js";
import { type VerifyResult, verify } from "../../src/verifier/index.js";
import { programs } from "../fixtures/verifier/programs/index.js";
import * as k from "../fixtures/verifier/programs/kit.js";
import { type AddressPair, addressPairs, firstDifference, LogProber } from "../support/live-log.js";
import { needsMirroredKernel } from "../support/live-parity.js";
import { randomProgram } from "../support/random-program.js";

const { LEVEL1, LEVEL2, STATS, FIXED } = LogLevel;
const RANDOM = Number(process.env.BPFSMITH_RANDOM_COUNT ?? 25);
const FIRST = Number(process.env.BPFSMITH_RANDOM_SEED ?? 1);
const SIZES_EACH = 4;

/** A generator of numbers below `n`; the same seed gives the same ones. */
function numbers(seed: number): (n: number) => number {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** Sizes of a buffer for a log of `whole` bytes: anything, with a liking for the edges. */
function pickSize(random: (n: number) => number, whole: number): number {
  switch (random(6)) {
    case 0:
      return 1 + random(8);
    case 1:
      return Math.max(1, whole - 2 + random(5));
    case 2:
      return whole + random(100);
    default:
      return 1 + random(whole);
  }
}

function ask(load: ProgramLoad, logLevel: number, logSize?: number): VerifyResult {
  return verify(load, { logLevel, nrCpuIds: nrCpuIds(), ...(logSize === undefined ? {} : { logSize }) });
}

/** Holds every log that is compared. */
const LARGE = 1 << 20;

/** How the buffers of kernel and mirror differ at a level and a size, null when they do not. */
function difference(
  prober: LogProber,
  load: ProgramLoad,
  level: number,
  size: number,
  pairs: readonly AddressPair[],
): string | null {
  const kernel = prober.probe(level, size);
  const ours = ask(load, level, size);
  const where = `level ${level}, ${size} bytes`;
  if (kernel.errno !== ours.errno) return `${where}: errno ${kernel.errno}, ours ${ours.errno}`;
  if (kernel.trueSize !== ours.logTrueSize) return `${where}: true size ${kernel.trueSize}, ours ${ours.logTrueSize}`;
  const at = firstDifference(kernel.bytes, ours.logBytes!, pairs);
  if (at < 0) return null;
  const show = (bytes: Uint8Array): string =>
    JSON.stringify(Buffer.from(bytes.subarray(Math.max(0, at - 20), at + 20)).toString("latin1"));
  return `${where}: byte ${at}: ${show(kernel.bytes)}, ours ${show(ours.logBytes!)}`;
}

/** The kernel has a later phase fail now and then, see random.test.ts. */
const KERNEL_BUG = /^verifier bug: No program to jit at insn/m;

function compareBuffers(t: Test, name: string, load: ProgramLoad, seed: number): void {
  const random = numbers(seed);
  using prober = new LogProber(load);
  const pairs = addressPairs(decodeUtf8(prober.probe(LEVEL2, LARGE).bytes), ask(load, LEVEL2).log);
  for (const level of [LEVEL1, LEVEL2, LEVEL1 | FIXED, LEVEL2 | FIXED, FIXED]) {
    const whole = prober.probe(level, LARGE);
    if (whole.errno === Errno.ENOSPC || KERNEL_BUG.test(decodeUtf8(whole.bytes))) continue;
    for (let i = 0; i < SIZES_EACH; i++) {
      const found = difference(prober, load, level, pickSize(random, whole.trueSize), pairs);
      if (found !== null) t.fail(`${name}: ${found}`);
    }
    const unbuffered = prober.probe(level, null);
    const ours = ask(load, level, 0);
    if (unbuffered.errno !== ours.errno || unbuffered.trueSize !== ours.logTrueSize) {
      t.fail(`${name}: level ${level} without a buffer: ${unbuffered.trueSize}, ours ${ours.logTrueSize}`);
    }
  }
}

t.test("fixtures: every byte of the buffer, at every size and in every mode", needsMirroredKernel(), (t) => {
  programs.forEach(({ name, load }, i) => {
    if (i % 11 === 0 && ask(load, 0).verdict !== "unsupported") compareBuffers(t, name, load, i);
  });
  t.end();
});

t.test("random programs: every byte of the buffer, at every size and in every mode", needsMirroredKernel(), (t) => {
  for (let seed = FIRST; seed < FIRST + RANDOM; seed++) {
    const { name, load } = randomProgram(seed);
    if (ask(load, 0).verdict !== "unsupported") compareBuffers(t, name, load, seed);
  }
  t.end();
});

const simple: ProgramLoad = programs.find(({ expect }) => expect === "accept")!.load;
const wrong: ProgramLoad = programs.find(({ expect }) => expect === "reject")!.load;

t.test("attributes of the log: which go together, at which errno", needsMirroredKernel(), (t) => {
  using prober = new LogProber(simple);
  const sizes = [0, 1, 100, 0x3fffffff, 0x40000000, 0xffffffff];
  for (const level of [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 0x80000000, 0xffffffff]) {
    for (const size of sizes) {
      for (const logBuf of [false, true]) {
        if (logBuf && size > 1 << 20 && size <= 0x3fffffff) continue;
        const kernel = prober.probeAttributes(level, logBuf, size);
        const ours = verify(simple, { logLevel: level, logSize: size, logBuf });
        const what = `level ${level}, size ${size}, ${logBuf ? "a" : "no"} buffer`;
        t.equal(ours.errno, kernel.errno, what);
        // With the statistics the log tells a time, in as many digits as it takes.
        if ((level & STATS) === 0) t.equal(ours.logTrueSize, kernel.trueSize, `true size at ${what}`);
      }
    }
  }
  t.end();
});

t.test("a log that does not fit fails right and wrong programs alike, and says the reason all the same", (t) => {
  for (const load of [simple, wrong]) {
    const whole = ask(load, LEVEL2);
    const exact = ask(load, LEVEL2, whole.logTrueSize);
    t.equal(exact.errno, whole.errno);
    t.equal(exact.log, whole.log);
    for (const mode of [0, FIXED]) {
      const cut = ask(load, LEVEL2 | mode, whole.logTrueSize - 1);
      t.equal(cut.verdict, "rejected");
      t.equal(cut.errno, Errno.ENOSPC);
      t.equal(cut.logTrueSize, whole.logTrueSize);
      t.equal(cut.lastMessage, whole.lastMessage);
      t.equal(cut.log, mode === FIXED ? whole.log.slice(0, -1) : whole.log.slice(1));
    }
  }
  t.end();
});

t.test("statistics are added at level 4", needsMirroredKernel(), (t) => {
  const masked = (log: string): string => log.replace(/verification time \d+ usec/, "verification time");
  for (const { name, load } of programs.filter((_, i) => i % 7 === 0)) {
    using prober = new LogProber(load);
    for (const level of [STATS, STATS | LEVEL1, STATS | LEVEL2, STATS | FIXED]) {
      const { bytes } = prober.probe(level, LARGE);
      // Where a log is cut depends on the digits of the time.
      if (bytes.indexOf(0) === LARGE - 1) continue;
      const kernel = decodeUtf8(bytes.subarray(0, bytes.indexOf(0)));
      const pairs = addressPairs(kernel, ask(load, level).log);
      const ours = pairs.reduce((log, [theirs, mine]) => log.replaceAll(mine, theirs), ask(load, level, LARGE).log);
      t.equal(masked(ours), masked(kernel), `${name} at level ${level}`);
    }
  }
  t.end();
});

t.test("messages end after 1,023 bytes: source lines may be longer", needsMirroredKernel(), (t) => {
  const types = new BtfBuilder();
  const int = types.int("int");
  const main = types.func("main", types.funcProto(int, []), "global");
  for (const text of [
    "x".repeat(1022),
    "x".repeat(1024),
    "y".repeat(5000),
    "é".repeat(511),
    "é".repeat(600),
    "→".repeat(400),
  ]) {
    const { load } = k.good(
      "log/long-line",
      "TRACEPOINT",
      { types, functions: [["", main]], lines: [["", 1, text]] },
      ...k.ret(),
    );
    using prober = new LogProber(load);
    const kernel = prober.probe(LEVEL2, LARGE);
    const ours = ask(load, LEVEL2, LARGE);
    t.equal(ours.logTrueSize, kernel.trueSize, `${text.length} characters`);
    t.equal(ours.log, decodeUtf8(kernel.bytes.subarray(0, kernel.bytes.indexOf(0))));
    t.equal(ask(load, LEVEL2).log, ours.log);
  }
  t.end();
});

t.test("a log in a buffer keeps few of its own copies", (t) => {
  const body = Array.from({ length: 30_000 }, () => k.mov64Imm(1, 7));
  const load: ProgramLoad = { ...simple, insns: encodeInsns([...body, ...k.ret()]) };
  const { errno, log, lastMessage, logTrueSize } = ask(load, LEVEL2, 4096);
  const whole = ask(load, LEVEL2);
  t.equal(errno, Errno.ENOSPC);
  t.equal(logTrueSize, whole.logTrueSize);
  t.equal(log, whole.log.slice(-4095));
  t.equal(lastMessage, whole.lastMessage);
  t.end();
});

t.test("attributes that are no 32-bit numbers are the caller's mistake", (t) => {
  for (const options of [
    { logLevel: -1 },
    { logLevel: 1.5 },
    { logLevel: 2 ** 32 },
    { logLevel: 1, logSize: Number.NaN },
  ]) {
    t.throws(() => verify(simple, options), InputError);
  }
  t.end();
});
