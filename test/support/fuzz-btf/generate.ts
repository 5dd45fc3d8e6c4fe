// SPDX-License-Identifier: MIT
import type { BtfKind } from "../../../src/btf/types.js";
import type { Rng } from "../fuzz/rng.js";
import { infoOf, type RawBtf, type RawType, StringPool } from "./raw-btf.js";

/*
 * Random BTFs of which most are sound: what refers to something refers to what may stand there, and members fit. Here
 * and there a generator lets a mistake through on purpose.
 */

interface Made {
  readonly kind: BtfKind;
  /** Bytes, -1 for what has no size. */
  readonly size: number;
  /** Of an int that is no bit-field, and what is no int at all. */
  readonly regular: boolean;
  /** Bits that a bit-field of this type may have at most: 0 for what is neither int nor enum. */
  readonly bits: number;
  /** A tag comes among its modifiers. */
  readonly tagged: boolean;
}

const NAMES = ["a", "b", "foo", "bar", "_x", ".y", "x.1", "t\u00e9", "\u00c0", "Z9"];
const BAD_NAMES = ["", "1a", "a b", "a-b", "\u00d7", "a\u00f7", "\u0080", "\n", "a\u007f", "%s"];
const LONG = [511, 512, 513, 1000, 1023, 1024, 1030];

/** Sizes of types that are special by their name. */
const SPECIAL: readonly (readonly [string, number])[] = [
  ["bpf_spin_lock", 4],
  ["bpf_res_spin_lock", 4],
  ["bpf_timer", 16],
  ["bpf_wq", 16],
  ["bpf_task_work", 8],
  ["bpf_list_head", 16],
  ["bpf_list_node", 24],
  ["bpf_rb_root", 16],
  ["bpf_rb_node", 32],
  ["bpf_refcount", 4],
];

const TAGS = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr", "user", "rcu", "arena", "contains:foo:n"];
const KERNEL_NAMES = ["task_struct", "cgroup", "sk_buff", "prog_test_ref_kfunc", "file"];

export class BtfGenerator {
  readonly rng: Rng;
  readonly strings = new StringPool();
  readonly types: RawType[] = [];
  private readonly made: Made[] = [{ kind: "void", size: -1, regular: true, bits: 0, tagged: false }];
  /** Whether generators let mistakes through. */
  private readonly sloppy: boolean;

  constructor(rng: Rng, sloppy: boolean) {
    this.rng = rng;
    this.sloppy = sloppy;
  }

  /** A mistake, now and then. */
  private slip(p: number): boolean {
    return this.sloppy && this.rng.chance(p);
  }

  get raw(): RawBtf {
    return { header: {}, padding: [], types: this.types, strings: this.strings };
  }

  /** Id of the next type. */
  get next(): number {
    return this.types.length + 1;
  }

  add(
    kind: BtfKind,
    size: number,
    type: Omit<RawType, "info">,
    vlen = 0,
    kflag = false,
    more: Partial<Made> = {},
  ): number {
    this.types.push({ name: type.name, info: infoOf(kind, vlen, kflag), word: type.word, rest: type.rest });
    const { regular = true, bits = 0, tagged = false } = more;
    this.made.push({ kind, size, regular, bits, tagged });
    return this.types.length;
  }

  name(): number {
    const { rng } = this;
    if (!this.slip(0.01)) return this.strings.add(rng.pick(NAMES) + (rng.chance(0.5) ? rng.below(100) : ""));
    if (rng.chance(0.5)) return this.strings.add(rng.pick(BAD_NAMES));
    return this.strings.add("n".repeat(rng.pick(LONG)));
  }

  maybeName(): number {
    return this.rng.chance(0.3) ? 0 : this.name();
  }

  /** An earlier type of which `fits` is true; 0 when none is found soon. */
  private find(fits: (made: Made) => boolean): number {
    const { rng, made } = this;
    for (let tries = 0; tries < 12; tries++) {
      const id = rng.below(made.length);
      if (fits(made[id]!)) return id;
    }
    return 0;
  }

  private sized(): number {
    return this.find(({ size, kind }) => size >= 0 && kind !== "var" && kind !== "datasec") || 1;
  }

  /** Any id, now and then one that is still to come or never does. */
  private any(): number {
    const { rng } = this;
    if (this.slip(0.03)) return this.next + rng.below(6);
    return this.find(({ kind }) => kind !== "var" && kind !== "datasec" && kind !== "declTag");
  }

  int(): number {
    const { rng } = this;
    const bits = rng.pick([8, 16, 32, 64, 128, 32, 32, 1, 7, 33]);
    const size = this.slip(0.05) ? rng.below(20) : Math.ceil(bits / 8);
    const offset = this.slip(0.05) ? rng.below(12) : 0;
    const encoding = this.slip(0.03) ? rng.below(16) : rng.pick([0, 1, 2, 4]);
    const regular = offset === 0 && [8, 16, 32, 64, 128].includes(bits);
    const data = ((encoding << 24) | (offset << 16) | bits) >>> 0;
    return this.add("int", size, { name: this.maybeName(), word: size, rest: [data] }, 0, false, {
      regular,
      bits: regular ? Math.min(bits, 40) : 0,
    });
  }

  pointer(): number {
    const target = this.rng.chance(0.15) ? 0 : this.any();
    return this.add("ptr", 8, { name: 0, word: target, rest: [] });
  }

  modifier(): number {
    const { rng } = this;
    const target = rng.chance(0.9) ? this.sized() : this.any();
    const of = this.made[target] ?? this.made[0]!;
    const kinds = ["typeTag", "typedef", "volatile", "const", "restrict"] as const;
    const kind = of.tagged && !this.slip(0.3) ? "typeTag" : rng.pick(kinds);
    const name = kind === "typedef" ? this.name() : kind === "typeTag" ? this.strings.add(rng.pick(TAGS)) : 0;
    const { size, regular, bits } = of;
    const tagged = kind === "typeTag" || of.tagged;
    const kflag = kind === "typeTag" && rng.chance(0.3);
    return this.add(kind, size, { name, word: target, rest: [] }, 0, kflag, { regular, bits, tagged });
  }

  array(): number {
    const { rng } = this;
    const element =
      this.find(({ size, regular, kind }) => size >= 0 && regular && kind !== "var" && kind !== "datasec") || 1;
    const count = !this.slip(0.1) ? rng.below(9) : rng.pick([0, 1000, 0x1000_0000, 0xffff_ffff, 0x8000_0000]);
    const size = (this.made[element]!.size * count) % 2 ** 32;
    const index = this.slip(0.05) ? this.any() : 1;
    return this.add("array", size, { name: 0, word: 0, rest: [element, index, count] });
  }

  struct(): number {
    const { rng } = this;
    const union = rng.chance(0.2);
    const kflag = rng.chance(0.3);
    const rest: number[] = [];
    let bits = 0;
    let largest = 0;
    const count = rng.below(rng.chance(0.1) ? 20 : 6);
    for (let i = 0; i < count; i++) {
      const type = this.sized();
      const size = this.made[type]!.size * 8;
      const most = this.slip(0.1) ? 40 : this.made[type]!.bits;
      const field = kflag && most > 0 && rng.chance(0.4) ? 1 + rng.below(most) : 0;
      if (field === 0) bits = align(bits, Math.max(8, Math.min(64, size)));
      const offset = union ? 0 : bits;
      rest.push(this.maybeName(), type, (kflag ? (field << 24) | offset : offset) >>> 0);
      largest = Math.max(largest, offset + (field || size));
      bits += field || size;
    }
    let size = align(largest, 8) / 8;
    if (this.slip(0.06)) size += rng.below(9) - 4;
    if (!(size >= 0 && size < 2 ** 32)) size = 0xffff_ffff;
    const named = rng.chance(0.04) ? this.strings.add(rng.pick(SPECIAL)[0]) : this.maybeName();
    return this.add(union ? "union" : "struct", size, { name: named, word: size, rest }, count, kflag);
  }

  enumeration(): number {
    const { rng } = this;
    const wide = rng.chance(0.3);
    const size = this.slip(0.05) ? rng.below(17) : rng.pick([1, 2, 4, 8]);
    const count = rng.below(4);
    const rest = Array.from({ length: count }, () =>
      wide ? [this.name(), rng.u32(), rng.u32()] : [this.name(), rng.u32()],
    ).flat();
    const kind = wide ? "enum64" : "enum";
    const more = { bits: 32 };
    return this.add(kind, size, { name: this.maybeName(), word: size, rest }, count, rng.chance(0.5), more);
  }

  fwd(): number {
    return this.add("fwd", -1, { name: this.name(), word: 0, rest: [] }, 0, this.rng.chance(0.5));
  }

  float(): number {
    const size = this.slip(0.05) ? this.rng.below(20) : this.rng.pick([2, 4, 8, 12, 16]);
    return this.add("float", size, { name: this.maybeName(), word: size, rest: [] });
  }

  prototype(): number {
    const { rng } = this;
    const named = !this.slip(0.1);
    const count = rng.below(5);
    const rest = Array.from({ length: count }, () => [named ? this.name() : 0, this.sized()]).flat();
    if (count > 0 && rng.chance(0.1)) rest.splice(-2, 2, this.slip(0.1) ? this.name() : 0, 0);
    return this.add("funcProto", -1, { name: 0, word: rng.chance(0.3) ? 0 : this.sized(), rest }, count);
  }

  func(): number {
    const proto = this.find(({ kind }) => kind === "funcProto") || this.prototype();
    const linkage = this.rng.below(this.slip(0.05) ? 4 : 2);
    return this.add("func", -1, { name: this.name(), word: proto, rest: [] }, linkage);
  }

  variable(): number {
    const { rng } = this;
    const type = this.sized();
    const linkage = rng.below(this.slip(0.05) ? 4 : 2);
    return this.add("var", this.made[type]!.size, { name: this.name(), word: type, rest: [linkage] });
  }

  datasec(): number {
    const { rng } = this;
    const rest: number[] = [];
    let at = 0;
    const count = rng.below(4);
    for (let i = 0; i < count; i++) {
      const variable = this.find(({ kind, size }) => kind === "var" && size > 0) || this.variable();
      const { size } = this.made[variable]!;
      rest.push(variable, at, this.slip(0.05) ? rng.below(9) : size);
      at += size;
    }
    const size = this.slip(0.05) ? rng.below(20) : at + 1 + rng.below(3);
    const name = this.strings.add(rng.pick([".data", ".bss", ".rodata", "my sec\u00a0", "m{}%d"]));
    return this.add("datasec", size, { name, word: size >>> 0, rest }, count);
  }

  tag(): number {
    const { rng } = this;
    const target =
      this.find(({ kind }) => kind === "struct" || kind === "func" || kind === "var" || kind === "typedef") ||
      this.func();
    const { kind } = this.made[target]!;
    const { info, word } = this.types[target - 1]!;
    const parts = (kind === "func" ? this.types[word - 1]!.info : kind === "struct" ? info : 0) & 0xffff;
    const whole = this.slip(0.1) ? false : parts === 0 || rng.chance(0.5);
    const index = whole ? 0xffff_ffff : rng.below(parts + (this.slip(0.1) ? 1 : 0));
    const name = this.strings.add(rng.chance(0.05) ? "t".repeat(rng.pick(LONG)) : rng.pick(TAGS));
    return this.add("declTag", -1, { name, word: target, rest: [index] }, 0, rng.chance(0.1));
  }

  /** A type of any kind. */
  one(): number {
    return this.rng.weighted<() => number>([
      [10, () => this.int()],
      [14, () => this.pointer()],
      [16, () => this.modifier()],
      [8, () => this.array()],
      [18, () => this.struct()],
      [6, () => this.enumeration()],
      [3, () => this.fwd()],
      [3, () => this.float()],
      [8, () => this.prototype()],
      [6, () => this.func()],
      [5, () => this.variable()],
      [4, () => this.datasec()],
      [5, () => this.tag()],
      [1, () => this.chain()],
      [this.sloppy ? 1 : 0, () => this.loop()],
    ])();
  }

  /** Many modifiers or pointers or arrays in a row, said from the end or the beginning. */
  chain(): number {
    const { rng } = this;
    const length = rng.pick(this.sloppy ? [3, 15, 30, 31, 32, 33, 34, 70] : [2, 8, 20, 29]);
    const kinds = rng.pick([
      ["const", "volatile"],
      ["ptr"],
      ["array"],
      ["typeTag", "const"],
      ["const", "ptr"],
      ["struct"],
      ["struct", "array", "typedef"],
    ] as const);
    const forward = rng.chance(0.6);
    const first = this.next;
    const base = this.sized();
    for (let i = 0; i < length; i++) {
      const last = forward ? i === length - 1 : i === 0;
      const target = last ? base : forward ? first + i + 1 : first + i - 1;
      this.link(rng.pick(kinds), target);
    }
    return this.types.length;
  }

  private link(kind: "const" | "volatile" | "ptr" | "array" | "typeTag" | "struct" | "typedef", target: number): void {
    const size = 64;
    if (kind === "array") this.add("array", size, { name: 0, word: 0, rest: [target, 1, 1] });
    else if (kind === "struct") this.add("struct", 4096, { name: 0, word: 4096, rest: [0, target, 0] }, 1);
    else if (kind === "typeTag")
      this.add("typeTag", size, { name: this.strings.add("tag"), word: target, rest: [] }, 0, false, { tagged: true });
    else if (kind === "typedef") this.add("typedef", size, { name: this.name(), word: target, rest: [] });
    else this.add(kind, kind === "ptr" ? 8 : size, { name: 0, word: target, rest: [] });
  }

  /** Types that lead back to the first of them. */
  loop(): number {
    const { rng } = this;
    const first = this.next;
    const length = 1 + rng.below(5);
    for (let i = 0; i < length; i++) {
      const kind = rng.pick(["const", "ptr", "array", "typeTag", "struct", "typedef", "ptr"] as const);
      this.link(kind, i === length - 1 ? first : first + i + 1);
    }
    return this.types.length;
  }

  /** Structs with special fields, and tags that say what lists and trees contain. */
  objects(): void {
    const { rng } = this;
    const special = this.specialTypes();
    const pointers = this.ownedPointers();
    const count = 1 + rng.below(4);
    const first = this.next;
    for (let i = 0; i < count; i++) this.object(i, special, pointers);
    // What a list or tree holds, said after the structs, of which ids are known by now.
    for (let id = first; id < first + count; id++) this.contents(id, count, special);
  }

  private specialTypes(): number[] {
    const { rng } = this;
    return SPECIAL.map(([name, size]) => {
      const real = this.slip(0.02) ? rng.below(40) : size;
      const kind = this.slip(0.01) ? "union" : "struct";
      return this.add(kind, real, { name: this.strings.add(name), word: real, rest: [] });
    });
  }

  private ownedPointers(): number[] {
    const { rng } = this;
    return Array.from({ length: rng.below(4) }, () => {
      const name = rng.chance(0.25) ? rng.pick(KERNEL_NAMES) : `own${rng.below(5)}`;
      const target = !this.slip(0.1)
        ? this.add("struct", 8, { name: this.strings.add(name), word: 8, rest: [] })
        : this.sized();
      const tag = (text: string, of: number): number =>
        this.add("typeTag", 8, { name: this.strings.add(text), word: of, rest: [] }, 0, rng.chance(0.05), {
          tagged: true,
        });
      let tagged = tag(rng.pick(TAGS.slice(0, this.slip(0.1) ? TAGS.length : 4)), target);
      if (this.slip(0.05)) tagged = tag("kptr", tagged);
      const pointer = this.add("ptr", 8, { name: 0, word: tagged, rest: [] });
      if (rng.chance(0.85)) return pointer;
      return this.add("volatile", 8, { name: 0, word: pointer, rest: [] });
    });
  }

  private object(i: number, special: readonly number[], pointers: readonly number[]): void {
    const { rng } = this;
    const rest: number[] = [];
    let at = 0;
    const member = (type: number): void => {
      const size = this.made[type]!.size;
      if (rng.chance(0.98)) at = align(at, Math.max(1, Math.min(8, size)));
      rest.push(this.strings.add(rng.chance(0.97) ? `m${rest.length / 3}` : "m0"), type, at * 8);
      at += Math.max(0, size);
    };
    if (rng.chance(0.7)) member(special[0]!);
    const count = rng.below(6);
    for (let n = 0; n < count; n++) {
      if (pointers.length > 0 && rng.chance(0.3)) member(rng.pick(pointers));
      else if (rng.chance(0.75)) member(rng.pick(special));
      else if (rng.chance(0.3)) member(this.arrayOf(rng.pick([...special, ...pointers])));
      else member(this.sized());
    }
    const size = align(at, 8);
    const kflag = rng.chance(0.1);
    this.add("struct", size, { name: this.strings.add(`obj${i}`), word: size, rest }, rest.length / 3, kflag);
  }

  private arrayOf(element: number): number {
    const count = this.rng.pick([0, 1, 2, 3, 11, 12]);
    const size = this.made[element]!.size * count;
    return this.add("array", size, { name: 0, word: 0, rest: [element, 1, count] });
  }

  private contents(id: number, count: number, special: readonly number[]): void {
    const { rng } = this;
    const struct = this.types[id - 1]!;
    for (let i = 0; i * 3 < struct.rest.length; i++) {
      const type = struct.rest[i * 3 + 1]!;
      const root = type === special[5] || type === special[7];
      if (!root && rng.chance(0.97)) continue;
      if (rng.chance(0.02)) continue;
      const text = rng.chance(0.97) ? this.contained(rng.below(count), type === special[5], special) : "contains:x";
      const twice = rng.chance(0.02) ? 2 : 1;
      for (let n = 0; n < twice; n++) this.add("declTag", -1, { name: this.strings.add(text), word: id, rest: [i] });
    }
  }

  /** Mostly a member that is a node. */
  private contained(object: number, list: boolean, special: readonly number[]): string {
    const { rng, types } = this;
    const name = `obj${object}`;
    const offset = this.strings.add(name);
    const struct = types.find((type) => type.name === offset);
    const wanted = special[list ? 6 : 8];
    for (let i = 0; struct !== undefined && i * 3 < struct.rest.length; i++) {
      if (struct.rest[i * 3 + 1] === wanted && rng.chance(0.9)) return `contains:${name}:m${i}`;
    }
    return `contains:${rng.chance(0.9) ? name : "none"}:${rng.chance(0.9) ? `m${rng.below(4)}` : ""}`;
  }
}

function align(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}

/** A BTF of up to `most` types; most are sound. */
export function randomBtf(rng: Rng, most = 24): RawBtf {
  const make = new BtfGenerator(rng, rng.chance(0.35));
  make.add("int", 4, { name: make.strings.add("int"), word: 4, rest: [0x0100_0020] });
  if (rng.chance(0.35)) make.objects();
  const count = rng.below(most);
  for (let i = 0; i < count; i++) make.one();
  if (rng.chance(0.05)) make.objects();
  return make.raw;
}
