// SPDX-License-Identifier: MIT
import { ProgType } from "../../../src/kernel/uapi.js";
import type { InfoRecords, MapLoad, ProgramLoad } from "../../../src/model/load.js";
import { readRecord, writeRecord } from "../../../src/model/record.js";
import { InputError } from "../../../src/util/errors.js";
import { type Capabilities, verify } from "../../../src/verifier/index.js";
import { crash } from "./compare.js";
import { randomProgram } from "./generate.js";
import { mixSeed, Rng } from "./rng.js";
import { maps, types } from "./world.js";

/*
 * Whatever it is given, the mirror answers or throws InputError, and does so soon: any bytes as instructions, any
 * record with fields missing or absurd, any maps, types, func_info and line_info. No kernel is asked.
 */

/** Cases of a block. */
export const RAW_BLOCK = 5000;

/** Milliseconds of the CPU's time that a program of up to 4,096 instructions may take. */
const SLOW = 1000;

/** Instructions after which a verification is left: the kernel takes its time for such programs too. */
const BUDGET = 20_000;

export interface RawTally {
  cases: number;
  answers: Record<string, number>;
  /** Exceptions other than InputError, and what took too long, by what tells them apart, with an example. */
  faults: Record<string, { count: number; example: string; stack: string }>;
  /** The longest verification. */
  maxMs: number;
  /** Resident memory at the end of the block, in MiB. */
  rssMib: number;
}

export function emptyRawTally(): RawTally {
  return { cases: 0, answers: {}, faults: {}, maxMs: 0, rssMib: 0 };
}

export function addRawTally(to: RawTally, from: RawTally): void {
  to.cases += from.cases;
  to.maxMs = Math.max(to.maxMs, from.maxMs);
  to.rssMib = Math.max(to.rssMib, from.rssMib);
  for (const [answer, n] of Object.entries(from.answers)) to.answers[answer] = (to.answers[answer] ?? 0) + n;
  for (const [key, fault] of Object.entries(from.faults)) {
    const known = to.faults[key];
    if (known === undefined) to.faults[key] = { ...fault };
    else known.count += fault.count;
  }
}

const ALL_MAPS: readonly MapLoad[] = Object.values(maps);

/** Opcodes that exist. */
const OPCODES: readonly number[] = Array.from({ length: 256 }, (_, i) => i).filter((opcode) => {
  const klass = opcode & 7;
  if (klass === 4 || klass === 7) return opcode >> 4 <= 0xd;
  if (klass === 5 || klass === 6) return opcode >> 4 <= 0xe;
  return true;
});

const ABSURD: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  1e99,
  4294967295,
  2 ** 53,
  "",
  "x",
  "0x",
  "ff",
  "AAAA",
  "9f eb",
  "\ud800",
  [],
  [null],
  [[]],
  [[0, -1]],
  {},
  { map: 0 },
  { map: -5 },
  { btf: "AAAA" },
];

class RawCases {
  private readonly rng: Rng;
  private readonly pool: ProgramLoad[];

  constructor(seed: number) {
    this.rng = new Rng(seed);
    this.pool = Array.from({ length: 24 }, (_, i) => randomProgram(mixSeed(seed, i)));
  }

  /** A case: a load, or the text of a record. */
  next(): ProgramLoad | string {
    const { rng } = this;
    return rng.weighted<() => ProgramLoad | string>([
      [40, () => this.load(this.noise())],
      [42, () => this.load(this.plausible())],
      [6, () => this.scratched()],
      [5, () => this.absurdTypes()],
      [4, () => this.absurdMaps()],
      [3, () => this.absurdRecord()],
    ])();
  }

  private length(): number {
    const { rng } = this;
    if (rng.chance(0.002)) return rng.below(4096) + 1;
    return 1 + rng.below(rng.chance(0.1) ? 100 : 12);
  }

  private noise(): Uint8Array {
    const bytes = new Uint8Array(this.length() * 8);
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.rng.u32() & 0xff;
    return bytes;
  }

  /** Instructions that exist, on registers that exist. */
  private plausible(): Uint8Array {
    const { rng } = this;
    const n = this.length();
    const bytes = new Uint8Array(n * 8);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < n; i++) {
      const at = i * 8;
      const opcode = rng.pick(OPCODES);
      bytes[at] = opcode;
      bytes[at + 1] = rng.below(rng.chance(0.95) ? 11 : 16) | (rng.below(rng.chance(0.6) ? 2 : 11) << 4);
      const jump = (opcode & 7) === 5 || (opcode & 7) === 6;
      view.setInt16(at + 2, rng.chance(0.4) ? 0 : jump ? rng.below(n) - i : -8 * rng.below(12), true);
      view.setInt32(at + 4, rng.chance(0.7) ? rng.below(220) : rng.u32() | 0, true);
    }
    if (rng.chance(0.8)) bytes[(n - 1) * 8] = 0x95;
    return bytes;
  }

  private caps(): Capabilities {
    const bits = this.rng.chance(0.7) ? 7 : this.rng.below(8);
    return { bpf: (bits & 1) !== 0, perfmon: (bits & 2) !== 0, netAdmin: (bits & 4) !== 0 };
  }

  options(): { logLevel: number; caps: Capabilities; insnBudget: number } {
    return { logLevel: this.rng.pick([0, 0, 0, 1, 2, 4, 7]), caps: this.caps(), insnBudget: BUDGET };
  }

  private load(insns: Uint8Array): ProgramLoad {
    const { rng } = this;
    return {
      name: "raw",
      progType: rng.chance(0.9) ? 1 + rng.below(ProgType.NETFILTER) : rng.u32(),
      expectedAttachType: rng.chance(0.8) ? 0 : rng.below(70),
      progFlags: rng.chance(0.8) ? 0 : rng.below(512),
      progIfindex: 0,
      kernVersion: 0,
      license: rng.chance(0.9) ? "GPL" : "",
      attachBtfId: rng.chance(0.97) ? 0 : rng.u32(),
      insns,
      maps: Array.from({ length: rng.below(4) }, () => rng.pick(ALL_MAPS)),
      badMapInsns: rng.chance(0.97) ? [] : [rng.below(20)],
      fdArray: rng.chance(0.95)
        ? null
        : [
            { kind: "map", map: rng.below(3) },
            { kind: "fd", fd: 3 },
          ],
      btf: null,
      funcInfo: null,
      lineInfo: null,
    };
  }

  private flip(bytes: Uint8Array, most: number): Uint8Array {
    const out = bytes.slice();
    for (let n = 1 + this.rng.below(most); n > 0; n--) {
      const at = this.rng.below(out.length);
      out[at] = this.rng.chance(0.5) ? this.rng.u32() & 0xff : out[at]! ^ (1 << this.rng.below(8));
    }
    return out;
  }

  /** A sensible program with some bytes changed. */
  private scratched(): ProgramLoad {
    const load = this.rng.pick(this.pool);
    return { ...load, insns: this.flip(load.insns, 4) };
  }

  private info(slots: number): InfoRecords {
    const { rng } = this;
    const recSize = rng.pick([8, 16, 4, 12, 252, 0, 20]);
    const count = rng.below(6);
    const bytes = new Uint8Array(recSize * count);
    for (let i = 0; i + 4 <= bytes.length; i += 4)
      new DataView(bytes.buffer).setUint32(i, rng.chance(0.8) ? rng.below(slots + 2) : rng.u32(), true);
    return { bytes, recSize, count };
  }

  private absurdTypes(): ProgramLoad {
    const { rng } = this;
    const load = rng.pick(this.pool);
    const slots = load.insns.length / 8;
    const btf = rng.chance(0.7) ? this.flip(types.bytes, rng.chance(0.5) ? 1 : 12) : this.noise();
    const cut = rng.chance(0.1) ? btf.subarray(0, rng.below(btf.length)) : btf;
    return {
      ...load,
      btf: cut,
      funcInfo:
        load.funcInfo !== null && rng.chance(0.6)
          ? { ...load.funcInfo, bytes: this.flip(load.funcInfo.bytes, 2) }
          : this.info(slots),
      lineInfo: rng.chance(0.5) ? null : this.info(slots),
    };
  }

  private number(): number {
    const { rng } = this;
    return rng.pick([0, 1, 4, 8, 512, 0xffff_ffff, 0x7fff_ffff, rng.below(100), -1, rng.u32()]);
  }

  private absurdMap(depth: number): MapLoad {
    const { rng } = this;
    return {
      ...rng.pick(ALL_MAPS),
      ...(rng.chance(0.5) ? { type: rng.below(40) } : {}),
      ...(rng.chance(0.5) ? { keySize: this.number() } : {}),
      ...(rng.chance(0.5) ? { valueSize: this.number() } : {}),
      ...(rng.chance(0.3) ? { maxEntries: this.number() } : {}),
      ...(rng.chance(0.3) ? { flags: rng.below(1 << 14) } : {}),
      ...(rng.chance(0.3)
        ? { btf: this.flip(types.bytes, 3), btfValueTypeId: rng.below(120), btfKeyTypeId: this.number() }
        : {}),
      ...(rng.chance(0.2) ? { frozen: true, flags: 1 << 7, value: this.noise() } : {}),
      ...(depth > 0 && rng.chance(0.3) ? { inner: this.absurdMap(depth - 1) } : {}),
    };
  }

  private absurdMaps(): ProgramLoad {
    const load = this.rng.pick(this.pool);
    return {
      ...load,
      maps: load.maps.map((map) => (this.rng.chance(0.7) ? this.absurdMap(2) : map)).slice(0, this.rng.below(6)),
    };
  }

  /** A record's text with values replaced or taken away, or bytes of it. */
  private absurdRecord(): string {
    const { rng } = this;
    const text = writeRecord({ id: "raw", load: rng.pick(this.pool), kernel: null });
    if (rng.chance(0.1)) return text.slice(0, rng.below(text.length));
    const json = JSON.parse(text) as unknown;
    for (let n = 1 + rng.below(3); n > 0; n--) this.spoil(json);
    return JSON.stringify(json);
  }

  private spoil(json: unknown): void {
    const { rng } = this;
    let at = json as Record<string, unknown>;
    for (;;) {
      const keys = Object.keys(at);
      if (keys.length === 0) return;
      const key = rng.pick(keys);
      const value = at[key];
      if (typeof value === "object" && value !== null && rng.chance(0.7)) {
        at = value as Record<string, unknown>;
        continue;
      }
      if (rng.chance(0.25)) delete at[key];
      else at[key] = rng.chance(0.3) && typeof value === "number" ? this.number() : structuredClone(rng.pick(ABSURD));
      return;
    }
  }
}

/** Runs the first `count` cases of a block. The same seed and block give the same cases. */
export function runRawBlock(seed: number, block: number, count = RAW_BLOCK): RawTally {
  const tally = emptyRawTally();
  const cases = new RawCases(mixSeed(seed, block));
  for (let i = 0; i < count; i++) runCase(cases, tally);
  tally.rssMib = Math.round(process.memoryUsage.rss() / 2 ** 20);
  return tally;
}

function runCase(cases: RawCases, tally: RawTally): void {
  const input = cases.next();
  const options = cases.options();
  tally.cases++;
  const start = performance.now();
  let answer: string;
  try {
    const load = typeof input === "string" ? readRecord(input).load : input;
    answer = verify(load, options).verdict;
    let ms = performance.now() - start;
    // Other processes take their time: what looks slow is done again, counting this one's only.
    if (ms > SLOW / 10) ms = cpuMsOf(() => verify(load, options));
    if (ms > tally.maxMs) tally.maxMs = ms;
    if (ms > SLOW && load.insns.length <= 4096 * 8)
      fault(tally, `slow: program type ${load.progType}`, input, `${ms} ms`);
  } catch (error) {
    if (error instanceof InputError) answer = "InputError";
    else {
      answer = "exception";
      const { key, ours } = crash(error as Error);
      fault(tally, key, input, ours);
    }
  }
  tally.answers[answer] = (tally.answers[answer] ?? 0) + 1;
}

/** Milliseconds that this process has a CPU for. */
function cpuMsOf(work: () => unknown): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function fault(tally: RawTally, key: string, input: ProgramLoad | string, stack: string): void {
  const known = tally.faults[key];
  if (known !== undefined) known.count++;
  else tally.faults[key] = { count: 1, example: typeof input === "string" ? input : recordText(input), stack };
}

function recordText(load: ProgramLoad): string {
  try {
    return writeRecord({ id: "raw", load, kernel: null });
  } catch (error) {
    return `not to be written: ${(error as Error).message}`;
  }
}
