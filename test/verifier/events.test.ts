// SPDX-License-Identifier: GPL-2.0-only
import t, { type Test } from "tap";
import type { ProgramLoad } from "../../src/model/load.js";
import {
  type MissEvent,
  type RegisterSnapshot,
  type StateSnapshot,
  type VerifierEvent,
  type VerifyResult,
  verify,
} from "../../src/verifier/index.js";
import { programs } from "../fixtures/verifier/programs/index.js";
import * as k from "../fixtures/verifier/programs/kit.js";
import { randomProgram } from "../support/random-program.js";

/*
 * The log is what the kernel's comparison vouches for, word by word. The events must tell the same story as the log and
 * the counters of the same run.
 */

const RANDOM = Number(process.env.BPFSMITH_RANDOM_COUNT ?? 120);

/** Longer stories take too long to be told for nothing new. */
const MOST_INSNS = 5000;

type Of<K extends VerifierEvent["kind"]> = Extract<VerifierEvent, { kind: K }>;

/** One run with everything that was told. */
class Story {
  readonly events: VerifierEvent[] = [];
  /** Snapshots of the states at enter and pop, by index of the event. */
  readonly states = new Map<number, StateSnapshot>();
  /** Text of the instructions entered. */
  readonly texts = new Map<number, string>();
  readonly misses: { event: MissEvent; state: StateSnapshot; saved: StateSnapshot }[] = [];
  readonly result: VerifyResult;

  constructor(load: ProgramLoad) {
    const events = (event: VerifierEvent): void => {
      const at = this.events.push(event) - 1;
      if (event.kind === "enter" || event.kind === "pop") this.states.set(at, event.state.snapshot());
      if (event.kind === "enter") this.texts.set(at, event.text());
      if (event.kind !== "miss") return;
      this.misses.push({ event, state: event.state.snapshot(), saved: event.savedState.snapshot() });
    };
    this.result = verify(load, { logLevel: 2, countVisits: true, events });
  }

  all<K extends VerifierEvent["kind"]>(kind: K): Of<K>[] {
    return this.events.filter((event): event is Of<K> => event.kind === kind);
  }

  /** Lines of the log that match. */
  lines(pattern: RegExp): RegExpMatchArray[] {
    return [...this.result.log.matchAll(pattern)];
  }
}

/** Says what is wrong with a story; nothing for a good one. */
type Check = (story: Story) => string | null | undefined;

function compare(what: string, found: unknown, wanted: unknown): string | null {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  return a === b ? null : `${what}: ${a}, wanted ${b}`;
}

const counters: Check = (story) => {
  const { stats, visits } = story.result;
  const entered = new Array<number>(visits!.length).fill(0);
  for (const { insn } of story.all("enter")) entered[insn]!++;
  return (
    compare("enter", story.all("enter").length, stats.insnsProcessed) ??
    compare("keep", story.all("keep").length, stats.totalStates) ??
    compare("visits", entered, [...visits!])
  );
};

const lines: Check = (story) => {
  const pruned = story.all("hit").length;
  const steps = story.lines(/^\d+: \([0-9a-f]{2}\) .*$/gm).map(([line]) => line);
  const precise = story.all("precise");
  const failed = story.result.verdict !== "accepted";
  const printed = story.events.flatMap((event, i) => {
    if (event.kind !== "enter") return [];
    for (let next = i + 1; next < story.events.length; next++) {
      const { kind } = story.events[next]!;
      if (kind === "hit") return [];
      if (kind === "leave" || kind === "end") break;
    }
    return [`${event.insn}: ${story.texts.get(i)}`];
  });
  const traced = (text: string): boolean => text.startsWith("mark_precise");
  const first = steps.filter((line) => !traced(line)).map((line) => line.replace(/ +;.*$/, ""));
  return (
    compare("safe", story.lines(/^(?:from \d+ to )?\d+(?: \(speculative execution\))?: safe$/gm).length, pruned) ??
    // What is found wrong before the instruction is printed ends the story.
    compare("steps", first, printed.slice(0, failed ? first.length : undefined)) ??
    (printed.length - first.length > 1 ? `${printed.length} steps, ${first.length} in the log` : null) ??
    compare(
      "trace",
      precise.flatMap(({ chain }) => chain).length,
      story.lines(/^mark_precise: .* before \d+: /gm).length,
    ) ??
    compare(
      "marks",
      precise.flatMap(({ marked }) => marked.flatMap(({ marks }) => marks)).length,
      story.lines(/^mark_precise: frame\d+: parent state /gm).length,
    ) ??
    compare("calls", story.all("call").filter((call) => !call.global).length, story.lines(/^callee:$/gm).length) ??
    compare("returns", story.all("return").length, story.lines(/^returning from callee:$/gm).length)
  );
};

const tree: Check = (story) => {
  const waiting: Of<"push">[] = [];
  const known = new Set<number>();
  let path = -1;
  let over = true;
  for (const event of story.events) {
    if (event.kind === "verdict") break;
    if (event.kind === "start") {
      if (!over || waiting.length > 0 || known.has(event.path)) return `path ${event.path} starts in between`;
      known.add(event.path);
      path = event.path;
      over = false;
    } else if (event.kind === "pop") {
      const push = waiting.pop();
      if (!over || push?.child !== event.path || push.to !== event.insn) return `path ${event.path} comes from nowhere`;
      path = event.path;
      over = false;
    } else if (over && event.kind !== "precise") return `${event.kind} after the end of path ${path}`;
    if (event.path !== path) return `${event.kind} of path ${event.path} on path ${path}`;
    if (event.kind === "end") over = true;
    if (event.kind !== "push") continue;
    if (known.has(event.child) || event.child <= event.path) return `path ${event.child} twice, or before its parent`;
    known.add(event.child);
    waiting.push(event);
  }
  if (story.result.verdict !== "accepted") return null;
  return compare("left over", waiting.length, 0) ?? compare("ends", story.all("end").length, known.size);
};

const order: Check = (story) => {
  const kept = new Set<number>();
  let next: { path: number; insn: number } | null = null;
  for (const [i, event] of story.events.entries()) {
    if (event.kind === "keep") {
      if (event.parent !== null && !kept.has(event.parent)) return `state ${event.saved} has an unknown parent`;
      kept.add(event.saved);
    }
    if ((event.kind === "hit" || event.kind === "miss" || event.kind === "evict") && !kept.has(event.saved)) {
      return `${event.kind} of unknown state ${event.saved}`;
    }
    if (event.kind === "precise") for (const { saved } of event.marked) if (!kept.has(saved)) return "mark in no state";
    if (event.kind === "leave") next = { path: event.path, insn: event.next };
    if (event.kind === "enter") {
      if (next !== null && (next.path !== event.path || next.insn !== event.insn))
        return `event ${i} comes from nowhere`;
      next = null;
      if (compare("frame", story.states.get(i)!.frames.length, event.frame + 1) !== null) return "frames do not match";
    }
    if (event.kind === "pop" || event.kind === "start") next = null;
    if (event.logPos > story.result.logTrueSize) return `event ${i} lies behind the log`;
  }
  const last = story.events.at(-1);
  const { verdict, errno } = story.result;
  return compare("verdict", last?.kind === "verdict" && [last.verdict, last.errno], [verdict, errno]);
};

/** A path that is taken up is printed in full, unless it is pruned at once. */
const printedStates: Check = (story) => {
  const printed = story.lines(/^from (\d+) to (\d+)(?: \(speculative execution\))?:( (?!safe$).*)?$/gm);
  const texts = new Set(printed.map(([, from, to, text]) => `${from} ${to}${(text ?? "").replaceAll("=P", "=")}`));
  for (let i = 0; i < story.events.length; i++) {
    const event = story.events[i]!;
    if (event.kind !== "pop") continue;
    const text = story.states.get(i)!.frames.at(-1)!.text.replaceAll("=P", "=");
    const end = story.events.slice(i).find(({ kind }) => kind === "leave" || kind === "hit" || kind === "end");
    if (end?.kind !== "leave") continue;
    if (!texts.has(`${event.prev} ${event.insn}${text}`)) return `no line for ${event.prev} to ${event.insn}:${text}`;
  }
  return null;
};

function registerOf({ frames }: StateSnapshot, { event }: Story["misses"][number]): RegisterSnapshot | undefined {
  const { frame, register, fp } = event.difference;
  const found = frames[frame!];
  return register !== undefined
    ? found?.registers[register.toUpperCase()]
    : found?.stack.find((slot) => slot.fp === fp)?.spilled;
}

const bounds = /^(?:[us]|[us]32_)(min|max)_value$/;

/** What is said to differ does. */
const differences: Check = (story) => {
  for (const miss of story.misses) {
    const { difference, unfinished } = miss.event;
    const { what, field, comparison } = difference;
    const where = `miss at ${miss.event.insn}, ${JSON.stringify(difference)}`;
    if (what === "nothing" && !unfinished) return where;
    if (what !== "register" && what !== "slot") continue;
    const saved = registerOf(miss.saved, miss);
    const current = registerOf(miss.state, miss);
    if (field === "slot_type" ? difference.saved === difference.current : field === undefined) return where;
    if (field === "slot_type" || saved === undefined) continue;
    if ((saved.type !== (current?.type ?? "")) !== (field === "type")) return where;
    const bound = bounds.exec(field!);
    if (bound !== null) {
      const [a, b] = [saved, current!].map((register) => BigInt(register[field as "umin_value"]));
      if (comparison === "exact" ? a === b : bound[1] === "min" ? b! >= a! : b! <= a!) return where;
    } else if (field === "off") {
      if (saved.off === current!.off) return where;
    } else if (field === "var_off" && comparison === "exact" && saved.text === current!.text) return where;
  }
  return null;
};

const checks: Readonly<Record<string, Check>> = { counters, lines, tree, order, printedStates, differences };

function tellAll(t: Test, name: string, load: ProgramLoad): Story {
  const story = new Story(load);
  for (const [check, complain] of Object.entries(checks)) {
    const wrong = complain(story) ?? null;
    if (wrong !== null) t.fail(`${name}: ${check}: ${wrong.slice(0, 600)}`);
  }
  const silent = verify(load, { logLevel: 2 });
  if (silent.log !== story.result.log) t.fail(`${name}: listening changes the log`);
  return story;
}

t.test("fixtures: events, log and counters tell the same", (t) => {
  const seen = new Map<string, number>();
  for (const { name, load } of programs) {
    if (verify(load).stats.insnsProcessed > MOST_INSNS) continue;
    for (const { kind } of tellAll(t, name, load).events) seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  const kinds = ["start", "enter", "leave", "push", "pop", "end", "keep", "hit", "miss", "call", "callback", "return"];
  for (const kind of [...kinds, "precise", "verdict"]) t.ok((seen.get(kind) ?? 0) > 0, `${kind} was told`);
  t.end();
});

t.test("random programs: events, log and counters tell the same", (t) => {
  const what = new Set<string>();
  for (let seed = 1; seed <= RANDOM; seed++) {
    const { name, load } = randomProgram(seed);
    for (const { difference } of tellAll(t, name, load).all("miss"))
      what.add(`${difference.what} ${difference.field ?? ""}`);
  }
  t.ok(
    [...what].some((text) => text.startsWith("slot ")),
    "stack slots were compared",
  );
  t.end();
});

t.test("without capabilities speculation is walked, too", (t) => {
  const caps = { bpf: false, perfmon: false, netAdmin: false };
  const { load } = k.good(
    "events/speculation",
    "SOCKET_FILTER",
    {},
    k.mov64Imm(0, 1),
    k.ifImm("jeq", 0, 2, "never"),
    ...k.ret(),
    "never:",
    k.mov64Imm(0, 0),
    k.exit(),
  );
  const told: VerifierEvent[] = [];
  verify(load, { caps, events: (event) => told.push(event) });
  t.match(
    told.find(({ kind }) => kind === "push"),
    { reason: "speculation", to: 4, insn: 1 },
  );
  t.end();
});

t.test("a bounded loop: where it is kept, missed, why, and what is traced back", (t) => {
  const { load } = k.good(
    "events/loop",
    "TRACEPOINT",
    { progFlags: k.ProgFlag.TEST_STATE_FREQ },
    k.mov64Imm(1, 0),
    "again:",
    k.alu64Imm("add", 1, 1),
    k.ifImm("jlt", 1, 3, "again"),
    ...k.ret(),
  );
  const story = tellAll(t, "events/loop", load);
  const miss = story.all("miss").find(({ insn }) => insn === 1);
  t.match(miss?.difference, { what: "register", register: "r1", field: "umin_value", comparison: "exact" });
  t.equal(miss?.unfinished, true);
  const precise = story.all("precise")[0];
  t.match(precise, { insn: 2, origin: "use", wanted: [{ frame: 0, regs: ["r1"], slots: [] }], gaveUp: false });
  t.same(
    precise?.chain.map(({ insn }) => insn),
    [1, 0],
    "back over the addition to where the value comes from",
  );
  t.end();
});

t.test("snapshots are plain data with the kernel's names", (t) => {
  const { load } = k.good(
    "events/snapshot",
    "TRACEPOINT",
    { maps: [k.map("HASH", 4, 8, 4)] },
    ...k.lookup(0),
    k.ifImm("jeq", 0, 0, "out"),
    k.ldx("b", 6, 0, 0),
    k.stx("dw", k.R10, 6, -16),
    "out:",
    ...k.ret(),
  );
  let last: StateSnapshot | undefined;
  verify(load, {
    events: (event) => {
      if (event.kind === "leave" && event.insn === 8) last = event.state.snapshot();
    },
  });
  t.same(JSON.parse(JSON.stringify(last)), last);
  const frame = last!.frames[0]!;
  t.match(frame.registers.R0, { type: "map_value", off: 0, map: { name: "hash", key_size: 4, value_size: 8 } });
  t.match(frame.registers.R6, {
    type: "scalar",
    umin_value: "0",
    umax_value: "255",
    smin_value: "0",
    u32_max_value: 255,
    var_off: { value: "0x0", mask: "0xff" },
  });
  t.match(frame.registers.R10, { type: "fp", frameno: 0 });
  t.match(frame.stack, [
    { fp: -8, types: "0000????" },
    { fp: -16, types: "rrrrrrrr", spilled: { umax_value: "255" } },
  ]);
  t.end();
});

t.test("what a listener throws comes out, and leaves nothing behind", (t) => {
  const { load } = programs.find(({ expect }) => expect === "accept")!;
  const before = verify(load, { logLevel: 2 }).log;
  const events = (event: VerifierEvent): void => {
    if (event.kind === "leave") throw new RangeError("enough");
  };
  t.throws(() => verify(load, { events }), RangeError);
  t.equal(verify(load, { logLevel: 2 }).log, before);
  t.end();
});
