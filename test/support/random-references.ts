// SPDX-License-Identifier: MIT
import * as k from "../fixtures/verifier/programs/kit.js";
import { Rng } from "./fuzz/rng.js";

/*
 * Random programs that acquire, copy, spill, check, use, pass on and release references: records of a ring
 * buffer, dynptrs to such, sockets. Most are balanced on every path; a share of mistakes makes the rest.
 */

type Kind = "record" | "sock" | "skc" | "tcp" | "slice";

/** Something held; what was made from it is gone with it. */
interface Held {
  readonly kind: Kind;
  /** What must be released in the end, itself when nothing made it. */
  readonly root: Held | null;
  /** Known not to be NULL. */
  sure: boolean;
  /** Where it stands: registers, and stack slots as negative offsets. */
  readonly at: Set<number>;
}

interface Dynptr {
  readonly off: number;
}

const RING = 0;
const PROGS = 2;
/** Where a struct bpf_sock_tuple lies. */
const TUPLE = -16;
/** Slots for spills. */
const SLOTS = [-24, -32, -40, -48];
/** Slot that nothing stays in. */
const SCRATCH = -56;
const DYNPTRS = [-72, -88, -104];
const SAVED = [6, 7, 8];
const types = ["SCHED_CLS", "SCHED_CLS", "XDP", "TRACEPOINT"] as const;

class Generator extends Rng {
  private readonly risk: number;
  private readonly type: (typeof types)[number];
  private readonly items: k.Item[] = [];
  private readonly functions: (() => void)[] = [];
  private held: Held[] = [];
  private dynptrs: Dynptr[] = [];
  private labels = 0;

  constructor(seed: number) {
    super(Math.imul(seed, 7919));
    this.risk = [0.06, 0.02, 0.005, 0][seed % 4]!;
    this.type = this.pick(types);
  }

  private mistake(): boolean {
    return this.chance(this.risk);
  }

  private emit(...items: k.Item[]): void {
    this.items.push(...items);
  }

  private label(): string {
    return `l${this.labels++}`;
  }

  /** Nothing stands at `at` any more. */
  private forget(at: number): void {
    for (const held of this.held) held.at.delete(at);
  }

  /** R0–R5 are gone. */
  private called(): void {
    for (let r = 0; r <= 5; r++) this.forget(r);
  }

  /** Puts what stands in R0 somewhere it survives calls. */
  private keep(held: Held): void {
    if (this.chance(0.6)) {
      const reg = this.place(SAVED);
      this.emit(k.mov64Reg(reg, 0));
      this.forget(reg);
      held.at.add(reg);
    } else {
      const slot = this.place(SLOTS);
      this.emit(k.stx("dw", 10, 0, slot));
      this.forget(slot);
      held.at.add(slot);
    }
  }

  /** A place that takes nothing's last copy, unless by mistake. */
  private place(from: readonly number[]): number {
    const free = from.filter((at) => this.mistake() || !this.held.some((h) => h.at.has(at) && h.at.size === 1));
    if (free.length > 0) return this.pick(free);
    // No room: let something go.
    const at = this.pick(from);
    const victim = this.held.find((h) => h.at.has(at) && h.at.size === 1);
    if (victim !== undefined) {
      this.emit(k.stx("dw", 10, 0, SCRATCH));
      this.release(victim.root ?? victim);
      this.emit(k.ldx("dw", 0, 10, SCRATCH));
    }
    return at;
  }

  /** Brings a held pointer into a register. */
  private load(reg: number, held: Held): boolean {
    const at = [...held.at];
    if (at.length === 0) return false;
    const from = this.pick(at);
    this.emit(from < 0 ? k.ldx("dw", reg, 10, from) : k.mov64Reg(reg, from));
    this.forget(reg);
    if (reg > 5) held.at.add(reg);
    return true;
  }

  private some(...kinds: Kind[]): Held | undefined {
    const fit = this.held.filter((h) => h.at.size > 0 && (kinds.length === 0 || kinds.includes(h.kind)));
    return fit.length === 0 ? undefined : this.pick(fit);
  }

  private acquire(): void {
    if (this.held.filter((h) => h.root === null).length >= 3) return;
    const kind: Kind = this.type !== "TRACEPOINT" && this.chance(0.6) ? this.pick(["sock", "skc"]) : "record";
    if (kind === "record") {
      this.emit(k.ldMapFd(1, RING), k.mov64Imm(2, this.pick([8, 16])), k.mov64Imm(3, 0), k.call("ringbuf_reserve"));
    } else {
      this.emit(k.mov64Reg(1, 9), k.lea(2, 10, TUPLE), k.mov64Imm(3, 12), k.mov64Imm(4, -1), k.mov64Imm(5, 0));
      this.emit(k.call(kind === "skc" ? "skc_lookup_tcp" : this.pick(["sk_lookup_tcp", "sk_lookup_udp"])));
    }
    this.called();
    this.take({ kind, root: null, sure: false, at: new Set() });
  }

  /** R0 holds something new, perhaps NULL. */
  private take(held: Held): void {
    if (this.chance(0.2)) {
      // Where it is NULL, all else is given back and the program ends.
      const go = this.label();
      this.emit(k.ifImm("jne", 0, 0, go));
      this.leave();
      this.emit(`${go}:`);
      held.sure = true;
    }
    this.keep(held);
    this.held.push(held);
  }

  /** Ends the program here, everything given back; the generator's state stays as it is. */
  private leave(): void {
    const { held, dynptrs } = this;
    const copies = new Map(held.map((h) => [h, { ...h, at: new Set(h.at) }]));
    this.held = held.map((h) => {
      const copy = copies.get(h)!;
      return h.root === null ? copy : Object.assign(copy, { root: copies.get(h.root) ?? h.root });
    });
    this.dynptrs = [...dynptrs];
    this.finish();
    this.held = held;
    this.dynptrs = dynptrs;
  }

  private finish(): void {
    while (this.dynptrs.length > 0) this.releaseDynptr();
    for (const held of [...this.held]) if (held.root === null) this.release(held);
    this.emit(k.ret());
  }

  private release(held: Held): void {
    if (this.mistake()) return;
    const none = held.sure ? null : this.label();
    if (!this.load(1, held)) return;
    if (none !== null && !this.mistake()) this.emit(k.ifImm("jeq", 1, 0, none));
    this.emit(...this.releaseCall(held.kind));
    this.called();
    if (none !== null) this.emit(`${none}:`);
    if (this.mistake()) return;
    this.held = this.held.filter((h) => h !== held && h.root !== held);
  }

  private releaseCall(kind: Kind): k.Item[] {
    if (kind !== "record" && kind !== "slice") return [k.call("sk_release")];
    return [k.mov64Imm(2, 0), k.call(this.pick(["ringbuf_submit", "ringbuf_discard"]))];
  }

  private readonly steps: readonly (() => void)[] = [
    () => this.acquire(),
    () => this.acquire(),
    () => this.makeDynptr(),
    () => this.cast(),
    () => this.copy(),
    () => this.copy(),
    () => this.check(),
    () => this.check(),
    () => this.use(),
    () => this.use(),
    () => {
      const held = this.some();
      if (held !== undefined) this.release(this.chance(0.9) ? (held.root ?? held) : held);
    },
    () => this.releaseDynptr(),
    () => this.branch(),
    () => this.branch(),
    () => {
      const on = this.label();
      this.emit(k.call("get_prandom_u32"), k.ifImm(this.pick(["jne", "jgt"]), 0, 5, on));
      this.called();
      this.leave();
      this.emit(`${on}:`);
    },
    () => this.passOn(),
    () => this.loop(),
    () => {
      if (!this.mistake()) return;
      this.emit(k.mov64Reg(1, 9), k.ldMapFd(2, PROGS), k.mov64Imm(3, 0), k.call("tail_call"));
      this.called();
    },
    () => {
      const [a, b] = [this.some(), this.some()];
      if (a === undefined || b === undefined || !this.load(1, a) || !this.load(2, b)) return;
      const on = this.label();
      this.emit(k.ifReg(this.pick(["jeq", "jne"]), 1, 2, on), k.mov64Imm(3, 1), `${on}:`);
    },
    () => this.overwrite(),
  ];

  private step(): void {
    this.pick(this.steps)();
  }

  private makeDynptr(): void {
    const off = DYNPTRS.find((at) => this.mistake() || !this.dynptrs.some((d) => d.off === at));
    if (off === undefined) return;
    this.emit(k.ldMapFd(1, RING), k.mov64Imm(2, 16), k.mov64Imm(3, 0), k.lea(4, 10, off));
    this.emit(k.call("ringbuf_reserve_dynptr"));
    this.called();
    this.dynptrs.push({ off });
  }

  private releaseDynptr(): void {
    const dynptr = this.dynptrs.pop();
    if (dynptr === undefined || this.mistake()) return;
    this.emit(k.lea(1, 10, dynptr.off), k.mov64Imm(2, 0), k.call("ringbuf_submit_dynptr"));
    this.called();
    // Slices say not of which dynptr they are: none is used again.
    for (const held of this.held) if (held.kind === "slice") held.at.clear();
  }

  private cast(): void {
    if (this.dynptrs.length > 0 && this.chance(0.5)) {
      this.emit(k.lea(1, 10, this.pick(this.dynptrs).off), k.mov64Imm(2, 0), k.mov64Imm(3, 8), k.call("dynptr_data"));
      this.called();
      this.slice();
      return;
    }
    const held = this.some("sock", "skc", "tcp");
    if (held === undefined || this.type !== "SCHED_CLS") return;
    this.checkNow(held);
    if (!this.load(1, held)) return;
    const helper = this.pick(["tcp_sock", "sk_fullsock", "get_listener_sock"] as const);
    this.emit(k.call(helper));
    this.called();
    const kind = helper === "tcp_sock" ? "tcp" : "sock";
    if (helper === "get_listener_sock") return;
    const made: Held = { kind, root: held.root ?? held, sure: false, at: new Set() };
    this.keep(made);
    this.held.push(made);
  }

  private slice(): void {
    const made: Held = {
      kind: "slice",
      root: { kind: "slice", root: null, sure: true, at: new Set() },
      sure: false,
      at: new Set(),
    };
    const reg = this.pick(SAVED.filter((r) => !this.held.some((h) => h.at.has(r) && h.at.size === 1)).concat(0));
    if (reg === 0) return;
    this.emit(k.mov64Reg(reg, 0));
    this.forget(reg);
    made.at.add(reg);
    this.held.push(made);
  }

  private copy(): void {
    const held = this.some();
    if (held === undefined) return;
    const from = this.pick([...held.at]);
    const reg = from < 0 ? 1 : from;
    if (from < 0) this.emit(k.ldx("dw", 1, 10, from));
    const to = this.place(this.chance(0.5) ? SAVED : SLOTS);
    if (held.at.size === 0) return;
    this.emit(to < 0 ? k.stx("dw", 10, reg, to) : k.mov64Reg(to, reg));
    this.forget(to);
    held.at.add(to);
  }

  /** Goes on only where the pointer is not NULL. */
  private checkNow(held: Held): void {
    if (held.sure || this.mistake()) return;
    if (!this.load(1, held)) return;
    const on = this.label();
    this.emit(k.ifImm("jne", 1, 0, on));
    const others = this.held;
    this.held = this.held.filter((h) => h !== held);
    this.leave();
    this.held = others;
    this.emit(`${on}:`);
    held.sure = true;
  }

  private check(): void {
    const held = this.some();
    if (held !== undefined) this.checkNow(held);
  }

  private use(): void {
    const held = this.some();
    if (held === undefined) return;
    this.checkNow(held);
    if (!this.load(1, held)) return;
    if (held.kind === "record" || held.kind === "slice") {
      this.emit(this.chance(0.5) ? k.stImm("dw", 1, this.mistake() ? 16 : 0, 1) : k.ldx("w", 2, 1, 4));
    } else {
      this.emit(k.ldx("w", 2, 1, this.pick(held.kind === "tcp" ? [0, 4] : [4, 24])));
    }
  }

  /** Something on one path only; what is held afterwards is held on both. */
  private branch(): void {
    const over = this.label();
    this.emit(k.call("get_prandom_u32"), k.if32Imm(this.pick(["jeq", "jgt", "jset"]), 0, this.below(9), over));
    this.called();
    const before = this.held.map((h) => ({ h, at: new Set(h.at), sure: h.sure }));
    const roots = new Set(this.held.filter((h) => h.root === null));
    const dynptrs = [...this.dynptrs];
    for (let i = this.below(4); i > 0; i--) this.pick(this.steps.slice(0, 10))();
    while (this.dynptrs.length > dynptrs.length) this.releaseDynptr();
    for (const held of [...this.held]) if (held.root === null && !roots.has(held)) this.release(held);
    this.emit(`${over}:`);
    this.held = [];
    for (const { h, at, sure } of before) {
      const both = [...h.at].filter((a) => at.has(a));
      h.at.clear();
      for (const a of both) h.at.add(a);
      h.sure = sure;
      if (both.length > 0 || h.root === null) this.held.push(h);
    }
    this.called();
  }

  /** A function that is given a held pointer. */
  private passOn(): void {
    const held = this.some();
    if (held === undefined) return;
    this.checkNow(held);
    if (!this.load(1, held)) return;
    const name = `f${this.functions.length}`;
    const releases = this.chance(0.4) && held.root === null && held.kind !== "slice";
    this.emit(k.callTo(name));
    this.called();
    if (releases) this.held = this.held.filter((h) => h !== held && h.root !== held);
    const call = this.releaseCall(held.kind);
    const random = this.label();
    const twice = this.mistake();
    this.functions.push(() => {
      this.emit(`${name}:`, k.mov64Reg(6, 1));
      if (this.chance(0.4))
        this.emit(k.call("get_prandom_u32"), k.ifImm("jgt", 0, 7, random), k.stx("dw", 10, 6, -8), `${random}:`);
      else this.emit(k.ldx("w", 0, 6, 4));
      if (releases) this.emit(k.mov64Reg(1, 6), ...call);
      if (twice) this.emit(k.mov64Reg(1, 6), ...call);
      this.emit(k.ret());
    });
  }

  /** Acquires and releases in every turn. */
  private loop(): void {
    const again = this.label();
    const none = this.label();
    if (this.held.some((h) => h.at.has(8) && h.at.size === 1)) return;
    this.forget(8);
    this.emit(k.mov64Imm(8, 0), `${again}:`, k.ldMapFd(1, RING), k.mov64Imm(2, 8), k.mov64Imm(3, 0));
    this.emit(k.call("ringbuf_reserve"), k.ifImm("jeq", 0, 0, none));
    if (this.chance(0.4)) this.emit(k.stx("dw", 10, 0, SCRATCH), k.ldx("dw", 0, 10, SCRATCH));
    this.emit(k.mov64Reg(1, 0));
    if (!this.mistake()) this.emit(...this.releaseCall("record"));
    this.emit(`${none}:`, k.alu64Imm("add", 8, 1), k.ifImm("jlt", 8, this.pick([2, 4]), again));
    this.called();
  }

  private overwrite(): void {
    const at = this.pick([...SAVED, ...SLOTS]);
    if (!this.mistake() && this.held.some((h) => h.at.has(at) && h.at.size === 1)) return;
    this.emit(at < 0 ? k.stImm(this.pick(["dw", "w", "b"]), 10, at, this.pick([0, 1])) : k.mov64Imm(at, 1));
    this.forget(at);
  }

  make(name: string): k.FixtureProgram {
    this.emit(
      k.mov64Reg(9, 1),
      k.stImm("dw", 10, TUPLE, 0),
      k.stImm("dw", 10, TUPLE + 8, 0),
      k.stImm("dw", 10, SCRATCH, 0),
    );
    for (const at of SLOTS) if (this.chance(0.7)) this.emit(k.stImm("dw", 10, at, 0));
    for (const reg of SAVED) this.emit(k.mov64Imm(reg, 0));
    for (let i = 4 + this.below(16); i > 0; i--) this.step();
    this.finish();
    for (let i = 0; i < this.functions.length; i++) this.functions[i]!();
    const maps = [k.map("RINGBUF", 0, 0, 4096), k.map("ARRAY", 4, 16, 1), k.map("PROG_ARRAY", 4, 4, 2)];
    return k.good(name, this.type, { maps }, ...this.items);
  }
}

/** The program of a seed. Whether the kernel accepts it is for the kernel to say. */
export function randomReferences(seed: number): k.FixtureProgram {
  return new Generator(seed).make(`references/s${seed}`);
}
