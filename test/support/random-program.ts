// SPDX-License-Identifier: MIT
import { BtfBuilder } from "../../src/btf/builder.js";
import { writeBtf } from "../../src/btf/write.js";
import type { InfoRecords, MapLoad } from "../../src/model/load.js";
import * as k from "../fixtures/verifier/programs/kit.js";
import { Rng } from "./fuzz/rng.js";

/*
 * Random programs for comparing the mirror with the kernel: mostly sensible, so that paths get long,
 * with a share of mistakes. The same seed gives the same program.
 */

/** What a register holds, as far as the generator cares. */
type Kind = "scalar" | "fp" | "ctx" | "value" | "maybe" | "map" | "record" | "slice" | "dynptr" | "none";
type Size = "b" | "h" | "w" | "dw";

const sizes: readonly Size[] = ["b", "h", "w", "dw"];
const bytesOf: Readonly<Record<Size, number>> = { b: 1, h: 2, w: 4, dw: 8 };
const types = ["TRACEPOINT", "KPROBE", "XDP", "SOCKET_FILTER", "SCHED_CLS", "PERF_EVENT", "RAW_TRACEPOINT"] as const;
type Type = (typeof types)[number];

const INNER = 9;
const RINGBUF = 3;
const PERF = 4;
const RODATA = 7;
const USER_RINGBUF = 10;

function maps(): MapLoad[] {
  const rodata = new Uint8Array([1, 2, 3, 0x80, 5, 6, 7, 0]);
  return [
    k.map("ARRAY", 4, 16, 4),
    k.map("HASH", 8, 24, 16),
    k.map("PERCPU_ARRAY", 4, 8, 1),
    k.map("RINGBUF", 0, 0, 4096),
    k.map("PERF_EVENT_ARRAY", 4, 4, 2),
    k.map("QUEUE", 0, 8, 4),
    k.map("LRU_HASH", 4, 8, 4),
    k.map("ARRAY", 4, 8, 1, { flags: k.MapFlag.RDONLY_PROG, frozen: true, value: rodata }),
    k.map("ARRAY", 4, 32, 1, { flags: k.MapFlag.RDONLY_PROG }),
    k.map("ARRAY_OF_MAPS", 4, 4, 2, { inner: k.map("ARRAY", 4, 8, 2) }),
    k.map("USER_RINGBUF", 0, 0, 4096),
  ];
}

/** Context accesses that make sense for each type. */
const ctxReads: Readonly<Record<Type, readonly (readonly [Size, number])[]>> = {
  TRACEPOINT: [
    ["dw", 8],
    ["w", 16],
    ["b", 24],
    ["h", -8],
  ],
  KPROBE: [
    ["dw", 112],
    ["dw", 0],
    ["w", 96],
  ],
  XDP: [
    ["w", 12],
    ["w", 16],
    ["w", 20],
  ],
  SOCKET_FILTER: [
    ["w", 0],
    ["h", 16],
    ["w", 48],
    ["b", 52],
  ],
  SCHED_CLS: [
    ["w", 0],
    ["dw", 152],
    ["w", 48],
    ["b", 180],
  ],
  PERF_EVENT: [
    ["dw", 168],
    ["dw", 80],
    ["w", 168],
  ],
  RAW_TRACEPOINT: [
    ["dw", 0],
    ["dw", 88],
    ["w", 8],
  ],
};

class Generator extends Rng {
  private labels = 0;
  private inFunction = false;
  private readonly risk: number;
  private readonly type: Type;
  private readonly items: k.Item[] = [];
  private readonly maps = maps();
  private kinds: Kind[] = [];

  constructor(seed: number) {
    super(Math.imul(seed, 7919));
    this.risk = [0.08, 0.02, 0.004][seed % 3]!;
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

  /** A register of one of these kinds, -1 when there is none; by mistake any. */
  private reg(...kinds: Kind[]): number {
    if (this.mistake()) return this.below(10);
    const fit = this.kinds.flatMap((kind, r) => (r < 10 && kinds.includes(kind) ? [r] : []));
    return fit.length === 0 ? -1 : this.pick(fit);
  }

  private anyReg(): number {
    return this.reg("scalar", "fp", "ctx", "value", "maybe", "map", "record", "slice");
  }

  private target(): number {
    return this.mistake() ? this.below(11) : this.pick([0, 1, 2, 3, 4, 5, 7, 8, 9]);
  }

  private imm(): number {
    return this.pick([0, 1, -1, 2, 4, 7, 8, 15, 16, 24, 31, 64, 100, 255, 512, -8, -16, 4095, 0x7fff_ffff]);
  }

  private stackOff(size: Size): number {
    const bytes = bytesOf[size];
    return this.mistake() ? -this.pick([1, 2, 3, 520, 0, -8, 12]) : -bytes * (1 + this.below(48 / bytes));
  }

  private called(result: Kind): void {
    for (let r = 1; r <= 5; r++) this.kinds[r] = "none";
    this.kinds[0] = result;
  }

  /** What is only sometimes executed leaves no register known that it changed. */
  private maybe(body: () => void): void {
    const before = [...this.kinds];
    body();
    this.kinds = this.kinds.map((kind, r) => (kind === before[r] ? kind : "none"));
  }

  private nullCheck(reg: number): void {
    const on = this.label();
    this.emit(k.ifImm("jne", reg, 0, on), k.mov64Imm(0, 0), k.exit(), `${on}:`);
  }

  private readonly steps: readonly ((depth: number) => void)[] = [
    () => {
      const dst = this.target();
      this.emit(k.mov64Imm(dst, this.imm()));
      this.kinds[dst] = "scalar";
    },
    () => {
      const src = this.chance(0.15) ? 10 : this.anyReg();
      if (src < 0) return;
      const dst = this.target();
      this.emit(k.mov64Reg(dst, src));
      this.kinds[dst] = src === 10 ? "fp" : this.kinds[src]!;
    },
    () => {
      const size = this.chance(0.6) ? "dw" : this.pick(sizes);
      const src = size === "dw" ? this.anyReg() : this.reg("scalar");
      if (src >= 0) this.emit(k.stx(size, 10, src, this.stackOff(size)));
    },
    () => {
      const size = this.pick(sizes);
      this.emit(k.stImm(size, 10, this.stackOff(size), this.pick([0, 0, 1, 7, -1])));
    },
    () => {
      const size = this.chance(0.5) ? "dw" : this.pick(sizes);
      const dst = this.target();
      this.emit(k.ldx(size, dst, 10, this.stackOff(size)));
      this.kinds[dst] = "scalar";
    },
    () => {
      const reg = this.reg("scalar");
      const op = this.pick(["add", "and", "sub", "or", "lsh", "rsh", "and"] as const);
      if (reg >= 0) this.emit(k.alu64Imm(op, reg, this.pick([0, 1, 3, 4, 7, 8, 15])));
    },
    () => {
      const dst = this.reg("scalar");
      const src = this.reg("scalar");
      const make = this.pick([k.alu64Reg, k.alu32Reg]);
      if (dst >= 0 && src >= 0) this.emit(make(this.pick(["add", "sub", "and", "or", "mul"] as const), dst, src));
    },
    () => {
      const ptr = this.reg("value", "record", "slice");
      if (ptr < 0) return;
      const size = this.pick(sizes);
      const dst = this.target();
      this.emit(k.ldx(size, dst, ptr, this.pick([0, 0, bytesOf[size], this.mistake() ? 100 : 0])));
      this.kinds[dst] = "scalar";
    },
    () => {
      const ptr = this.reg("value", "record", "slice");
      const src = this.reg("scalar");
      const size = this.pick(sizes);
      if (ptr >= 0 && src >= 0)
        this.emit(k.stx(size, ptr, src, this.pick([0, 0, bytesOf[size], this.mistake() ? 3 : 0])));
    },
    (depth) => this.branch(depth),
    (depth) => this.branch(depth),
    () => this.lookup(),
    () => this.lookup(),
    () => {
      this.emit(k.call(this.pick(["ktime_get_ns", "get_current_pid_tgid", "get_prandom_u32", "get_smp_processor_id"])));
      this.called("scalar");
    },
    () => this.fillMemory(),
    () => this.output(),
    (depth) => this.reserve(depth),
    () => this.packet(),
    () => this.variableStack(),
    () => this.atomic(),
    () => {
      if (this.inFunction) return;
      this.emit(k.callTo(this.pick(["sub1", "sub2"])));
      this.called("scalar");
    },
    () => {
      const dst = this.target();
      const [size, off] = this.pick(ctxReads[this.type]);
      this.emit(k.ldx(size, dst, 6, off));
      this.kinds[dst] = "scalar";
    },
    () => {
      const dst = this.pick([1, 2, 3, 7]);
      this.emit(k.ldMapValue(dst, RODATA, this.pick([0, 4])), k.ldx(this.pick(sizes), dst, dst, 0));
      this.kinds[dst] = "scalar";
    },
    () => this.callback(),
    (depth) => this.dynptr(depth),
  ];

  private step(depth: number): void {
    this.pick(this.steps)(depth);
  }

  private branch(depth: number): void {
    const reg = this.reg("scalar");
    if (reg < 0) return;
    const over = this.label();
    const op = this.pick(["jeq", "jne", "jgt", "jlt", "jsgt", "jsle", "jge", "jset"] as const);
    this.emit(this.pick([k.ifImm, k.if32Imm])(op, reg, this.imm(), over));
    const steps = depth < 3 ? 1 + this.below(3) : 0;
    this.maybe(() => {
      for (let i = 0; i < steps; i++) this.step(depth + 1);
    });
    this.emit(`${over}:`);
  }

  private lookup(): void {
    const map = this.mistake() ? this.below(this.maps.length) : this.pick([0, 1, 2, 6, 7, 8, INNER]);
    const key = this.pick([0, 1, 2, 5]);
    const long = this.maps[map]!.keySize === 8;
    this.emit(long ? k.stImm("dw", 10, -8, key) : k.stImm("w", 10, this.pick([-8, -4]), key));
    this.emit(k.lea(2, 10, long ? -8 : this.pick([-8, -4])), k.ldMapFd(1, map), k.call("map_lookup_elem"));
    this.called("maybe");
    if (!this.chance(0.8)) return;
    this.nullCheck(0);
    this.kinds[0] = map === INNER ? "map" : "value";
    if (map === INNER && this.chance(0.8)) {
      this.emit(k.stImm("w", 10, -8, key), k.lea(2, 10, -8), k.mov64Reg(1, 0), k.call("map_lookup_elem"));
      this.called("value");
      this.nullCheck(0);
    }
    if (!this.chance(0.6)) return;
    const dst = this.pick([7, 8, 9]);
    this.emit(k.mov64Reg(dst, 0));
    this.kinds[dst] = this.kinds[0]!;
  }

  private fillMemory(): void {
    const helper = this.pick([
      "get_current_comm",
      "probe_read_kernel",
      "probe_read_user_str",
      "probe_read_kernel_str",
    ] as const);
    const size = this.reg("scalar");
    this.emit(k.lea(1, 10, -8 * (1 + this.below(6))));
    if (this.chance(0.25) && size > 1) {
      this.emit(k.mov64Reg(2, size), k.alu64Imm("and", 2, this.pick([7, 15])));
      if (this.chance(0.5)) this.emit(k.alu64Imm("add", 2, 1));
    } else {
      this.emit(k.mov64Imm(2, this.pick([4, 8, 16, 24, 1, 7])));
    }
    this.emit(k.mov64Imm(3, 0), k.call(helper));
    this.called("scalar");
  }

  private output(): void {
    const data = -this.pick([8, 16]);
    if (this.chance(0.5)) {
      this.emit(k.mov64Reg(1, 6), k.ldMapFd(2, PERF), k.mov64Imm(3, 0), k.lea(4, 10, data));
      this.emit(k.mov64Imm(5, this.pick([8, 8, 4, 0])), k.call("perf_event_output"));
    } else {
      this.emit(k.ldMapFd(1, RINGBUF), k.lea(2, 10, data), k.mov64Imm(3, this.pick([8, 8, 0])), k.mov64Imm(4, 0));
      this.emit(k.call("ringbuf_output"));
    }
    this.called("scalar");
  }

  private reserve(depth: number): void {
    const keep = this.pick([7, 8, 9]);
    const none = this.label();
    this.emit(
      k.ldMapFd(1, RINGBUF),
      k.mov64Imm(2, this.pick([8, 16, 24])),
      k.mov64Imm(3, 0),
      k.call("ringbuf_reserve"),
    );
    this.emit(k.mov64Reg(keep, 0), k.ifImm("jeq", keep, 0, none));
    this.called("record");
    this.maybe(() => {
      this.kinds[keep] = "record";
      for (let i = this.below(3); i > 0; i--) this.step(depth + 2);
      this.emit(k.mov64Reg(1, keep), k.mov64Imm(2, 0));
      if (!this.mistake()) this.emit(k.call(this.pick(["ringbuf_submit", "ringbuf_discard"])));
      this.called("none");
      this.kinds[keep] = "none";
    });
    this.emit(`${none}:`);
  }

  /** Makes a dynptr, uses it, and gives it back when it must be. */
  private dynptr(depth: number): void {
    const at = -this.pick(this.chance(0.8) ? [64, 64, 80, 112] : [16, 24, 48, 72, 20]);
    const from = this.chance(0.4) ? this.reg("value") : -1;
    if (from < 0) this.emit(k.ldMapFd(1, RINGBUF), k.mov64Imm(2, this.pick([8, 16, 24])));
    else this.emit(k.mov64Reg(1, from), k.mov64Imm(2, this.pick([4, 8, 8])));
    this.emit(k.mov64Imm(3, 0), k.lea(4, 10, at));
    this.emit(k.call(from < 0 ? "ringbuf_reserve_dynptr" : "dynptr_from_mem"));
    this.called("scalar");
    this.maybe(() => {
      for (let i = this.below(4); i > 0; i--) this.useDynptr((reg) => k.lea(reg, 10, at), depth, from >= 0 ? at : 0);
      if (from < 0 ? !this.mistake() : this.mistake()) {
        this.emit(k.lea(1, 10, at), k.mov64Imm(2, 0));
        this.emit(k.call(this.pick(["ringbuf_submit_dynptr", "ringbuf_discard_dynptr"])));
        this.called("none");
      }
      this.kinds = this.kinds.map((kind) => (kind === "slice" ? "none" : kind));
    });
  }

  /** `load` brings the dynptr's address into a register; the one at fp + `plain` (0: none) may be overwritten. */
  private useDynptr(load: (reg: number) => k.Item, depth: number, plain = 0): void {
    const size = this.pick([0, 1, 4, 8, 8]);
    const scalar = this.reg("scalar");
    const offset = (reg: number) => (scalar > reg && this.chance(0.3) ? k.mov64Reg(reg, scalar) : k.mov64Imm(reg, 0));
    const which = this.below(6);
    if (which === 0) {
      this.emit(k.lea(1, 10, -8 * (1 + this.below(6))), k.mov64Imm(2, size), load(3), offset(4), k.mov64Imm(5, 0));
      this.emit(k.call("dynptr_read"));
      this.called("scalar");
    } else if (which === 1) {
      this.emit(load(1), offset(2), k.lea(3, 10, -8 * (1 + this.below(6))), k.mov64Imm(4, size), k.mov64Imm(5, 0));
      this.emit(k.call("dynptr_write"));
      this.called("scalar");
    } else if (which === 2 && (plain !== 0 || this.mistake())) {
      const width = this.pick(sizes);
      this.emit(k.stImm(width, 10, (plain || -64) + this.pick([0, 8]), this.pick([0, 3])));
    } else if (which === 3 && !this.inFunction) {
      this.emit(load(1), k.callTo("taker"));
      this.called("scalar");
    } else if (which === 4) {
      this.step(depth + 2);
    } else {
      this.slice(load, depth);
    }
  }

  private slice(load: (reg: number) => k.Item, depth: number): void {
    const keep = this.pick([7, 8, 9]);
    const none = this.label();
    this.emit(load(1), k.mov64Imm(2, 0), k.mov64Imm(3, this.pick([8, 8, 16, 0])), k.call("dynptr_data"));
    this.called("maybe");
    this.emit(k.mov64Reg(keep, 0));
    if (!this.mistake()) this.emit(k.ifImm("jeq", this.pick([0, keep]), 0, none));
    this.maybe(() => {
      this.kinds[keep] = "slice";
      for (let i = this.below(3); i > 0; i--) this.step(depth + 2);
      this.kinds[keep] = "none";
    });
    this.emit(`${none}:`);
  }

  private packet(): void {
    if (this.type === "XDP") this.emit(k.ldx("w", 2, 6, 0), k.ldx("w", 3, 6, 4));
    else if (this.type === "SCHED_CLS") this.emit(k.ldx("w", 2, 6, 76), k.ldx("w", 3, 6, 80));
    else return;
    if (this.chance(0.3)) {
      this.emit(
        k.ldx("w", 4, 6, this.type === "XDP" ? 16 : 0),
        k.alu64Imm("and", 4, this.pick([7, 255])),
        k.alu64Reg("add", 2, 4),
      );
    }
    const length = this.pick([4, 8, 14, 20]);
    const out = this.label();
    this.emit(k.lea(4, 2, length), k.ifReg(this.pick(["jgt", "jge", "jgt", "jlt"]), 4, 3, out));
    const size = this.pick(sizes);
    this.emit(k.ldx(size, 5, 2, this.pick([0, Math.max(0, length - bytesOf[size]), this.mistake() ? length : 0])));
    if (this.chance(0.5)) this.emit(k.stx(size, 2, 5, 0));
    this.emit(`${out}:`);
    for (const r of [2, 3, 4, 5]) this.kinds[r] = "none";
  }

  private variableStack(): void {
    const off = this.reg("scalar");
    if (off < 0) return;
    const ptr = this.pick([7, 8, 9].filter((r) => r !== off));
    const base = this.pick([16, 32, 48]);
    if (this.chance(0.7)) for (let at = 8; at <= base; at += 8) this.emit(k.stImm("dw", 10, -at, this.pick([0, 0, 3])));
    this.emit(k.alu64Imm("and", off, this.pick([7, 8, 15, 1])), k.lea(ptr, 10, -base), k.alu64Reg("add", ptr, off));
    this.kinds[ptr] = "none";
    const size = this.pick(["b", "b", "dw", "w"] as const);
    const src = this.reg("scalar");
    if (this.chance(0.3) && src >= 0) this.emit(k.stx(size, ptr, src, 0));
    else if (this.chance(0.3)) this.emit(k.stImm(size, ptr, 0, this.pick([0, 1])));
    else if (this.chance(0.5)) {
      this.emit(k.ldx(size, 3, ptr, 0));
      this.kinds[3] = "scalar";
    } else {
      this.emit(k.mov64Reg(1, ptr), k.mov64Imm(2, this.pick([1, 8])), k.mov64Imm(3, 0), k.call("probe_read_kernel"));
      this.called("scalar");
    }
  }

  private atomic(): void {
    const src = this.reg("scalar");
    const ptr = this.chance(0.6) ? 10 : this.reg("value");
    if (src < 0 || ptr < 0) return;
    const op = this.pick(["add", "and", "xchg", "fetch_add", "xor", "cmpxchg"] as const);
    if (op === "cmpxchg" && this.kinds[0] !== "scalar") {
      this.emit(k.mov64Imm(0, 1));
      this.kinds[0] = "scalar";
    }
    this.emit(k.atomic(op, this.pick(["w", "dw"]), ptr, src, ptr === 10 ? -8 : 0));
  }

  private callback(): void {
    if (this.inFunction) return;
    const ctx = this.pick([k.mov64Imm(3, 0), k.lea(3, 10, -8)]);
    if (this.chance(0.2)) {
      this.emit(k.ldMapFd(1, USER_RINGBUF), k.funcAddress(2, "drained"), ctx, k.mov64Imm(4, this.pick([0, 0, 1])));
      this.emit(k.call("user_ringbuf_drain"));
    } else if (this.chance(0.3)) {
      this.emit(k.ldMapFd(1, this.pick([0, 1, 2, 6])), k.funcAddress(2, "each"), ctx, k.mov64Imm(4, 0));
      this.emit(k.call("for_each_map_elem"));
    } else {
      const count = this.reg("scalar");
      this.emit(count >= 0 && this.chance(0.4) ? k.mov64Reg(1, count) : k.mov64Imm(1, this.pick([0, 1, 3, 10])));
      this.emit(k.funcAddress(2, "turn"), ctx, k.mov64Imm(4, this.pick([0, 0, 0, 1])), k.call("loop"));
    }
    this.called("scalar");
  }

  private main(): void {
    this.kinds = new Array<Kind>(11).fill("none");
    this.kinds[6] = "ctx";
    this.kinds[1] = "ctx";
    this.emit(k.mov64Reg(6, 1));
    for (const r of [7, 8, 9]) {
      this.emit(k.mov64Imm(r, this.pick([0, 1, 8, 64])));
      this.kinds[r] = "scalar";
    }
    for (let at = 8; at <= 48; at += 8) if (this.chance(0.7)) this.emit(k.stImm("dw", 10, -at, this.pick([0, 5])));
    if (this.chance(0.3)) this.emit(k.stx("dw", 10, 6, -32));
    for (let i = 3 + this.below(20); i > 0; i--) this.step(0);
    this.emit(k.ret(this.pick([0, 0, 1, 2])));
  }

  private function(name: string): void {
    this.kinds = new Array<Kind>(11).fill("none");
    this.emit(`${name}:`);
    if (name === "drained" || name === "taker") {
      this.emit(k.mov64Reg(9, 1));
      this.kinds[9] = "dynptr";
      for (let i = this.below(4); i > 0 && this.kinds[9] === "dynptr"; i--) {
        this.useDynptr((reg) => k.mov64Reg(reg, 9), 1);
      }
    } else if (name === "turn") this.kinds[1] = "scalar";
    else if (name === "each") this.kinds[3] = "value";
    else {
      this.emit(k.mov64Imm(7, 3), k.mov64Imm(6, 1));
      this.kinds[7] = "scalar";
    }
    if (this.chance(0.5)) this.emit(k.stImm("dw", 10, -8, 0), k.stImm("dw", 10, -16, 0));
    if (name === "turn" && this.chance(0.6)) {
      const none = this.label();
      this.emit(k.ifImm("jeq", 2, 0, none), k.ldx("dw", 4, 2, 0), k.alu64Imm("add", 4, this.pick([1, 0])));
      this.emit(k.stx("dw", 2, 4, 0), `${none}:`);
    }
    for (let i = this.below(6); i > 0; i--) this.step(1);
    this.emit(k.ret(this.pick([0, 0, 0, 1])));
  }

  /** BTF and func_info for the functions by the instruction that they begin at. */
  private describe(functions: ReadonlyMap<string, number>): { btf: Uint8Array; funcInfo: InfoRecords } {
    const btf = new BtfBuilder();
    const int = btf.int("int");
    const ctx = this.pick([btf.ptr(0), btf.ptr(int)]);
    const pair = btf.struct("pair", [
      { name: "a", type: btf.int("long") },
      { name: "b", type: btf.int("long") },
    ]);
    const dynptr = btf.ptr(btf.struct("bpf_dynptr", [{ name: "opaque", type: btf.array(btf.int("long"), 2) }]));
    const params = [int, btf.int("long"), btf.ptr(int), btf.ptr(pair), ctx];
    const bytes = new Uint8Array(functions.size * 8);
    const view = new DataView(bytes.buffer);
    let row = 0;
    for (const [name, at] of functions) {
      const free = name === "sub1" || name === "sub2";
      const count = free ? this.below(3) : 0;
      const args = Array.from({ length: count }, (_, i) => ({ name: `a${i}`, type: this.pick(params) }));
      if (name === "taker" && this.chance(0.9)) args.push({ name: "dynptr", type: dynptr });
      const proto = btf.funcProto(int, name === "main" ? [{ name: "ctx", type: ctx }] : args);
      const global = name === "main" || name === "taker" || free ? this.chance(0.5) : false;
      view.setUint32(row * 8, at, true);
      view.setUint32(row * 8 + 4, btf.func(name, proto, global ? "global" : "static"), true);
      row++;
    }
    return { btf: writeBtf(btf.build()), funcInfo: { bytes, recSize: 8, count: functions.size } };
  }

  make(name: string): k.FixtureProgram {
    this.main();
    const functions = new Map<string, number>([["main", 0]]);
    this.inFunction = true;
    for (const callee of ["sub1", "sub2", "turn", "each", "drained", "taker"]) {
      if (!this.items.some((item) => typeof item === "object" && "to" in item && item.to === callee)) continue;
      functions.set(callee, countSlots(this.items));
      this.function(callee);
    }
    const described = this.chance(0.93) ? this.describe(functions) : {};
    return k.good(name, this.type, { maps: this.maps, ...described }, ...this.items);
  }
}

function countSlots(items: readonly k.Item[]): number {
  let slots = 0;
  for (const item of items) {
    if (typeof item === "string") continue;
    if ("branch" in item) slots += "opcode" in item.branch ? 1 : item.branch.length;
    else slots += "opcode" in item ? 1 : item.length;
  }
  return slots;
}

/** The program of a seed. Whether the kernel accepts it is for the kernel to say. */
export function randomProgram(seed: number): k.FixtureProgram {
  return new Generator(seed).make(`random/s${seed}`);
}
