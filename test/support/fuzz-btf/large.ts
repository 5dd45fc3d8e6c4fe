// SPDX-License-Identifier: MIT
import type { Rng } from "../fuzz/rng.js";
import { BtfGenerator, randomBtf } from "./generate.js";
import { mutated } from "./mutate.js";
import { encodeRaw } from "./raw-btf.js";

/* BTFs that are meant to take long: large ones, and such where a step leads to two. */

/** Structs, each with members of the struct before: what walks them naively takes steps beyond number. */
function doubling(make: BtfGenerator, rng: Rng): void {
  const { strings } = make;
  const lock = make.add("struct", 4, { name: strings.add("bpf_spin_lock"), word: 4, rest: [] });
  let inner = rng.chance(0.5) ? 1 : make.add("struct", 0, { name: strings.add("bottom"), word: 0, rest: [] });
  let size = inner === 1 ? 4 : 0;
  const depth = 20 + rng.below(11);
  const named = rng.chance(0.5);
  const union = rng.chance(0.2);
  for (let i = 0; i < depth; i++) {
    const wide = rng.chance(0.1) ? 3 : 2;
    const next = union ? size : size * wide;
    // What does not fit in 32 bits begins small again.
    if (next * 8 > 0xffff_ffff) break;
    const name = (n: number): number => (named ? strings.add(`m${n}`) : 0);
    const rest = Array.from({ length: wide }, (_, n) => [name(n), inner, union ? 0 : n * size * 8]).flat();
    inner = make.add(union ? "union" : "struct", next, { name: strings.add(`d${i}`), word: next, rest }, wide);
    size = next;
  }
  const rest = [strings.add("l"), lock, 0, strings.add("d"), inner, 64];
  make.add("struct", size + 8, { name: strings.add("top"), word: size + 8, rest }, 2);
}

/** Very many parts of one type. */
function wide(make: BtfGenerator, rng: Rng): void {
  const { strings } = make;
  const count = rng.pick([1000, 20_000, 65_535]);
  const type = rng.chance(0.5) ? 1 : make.pointer();
  const parts = Array.from({ length: count });
  const name = rng.chance(0.5) ? 0 : strings.add("n".repeat(rng.pick([1, 500])));
  switch (rng.below(4)) {
    case 0:
      make.add(
        "struct",
        count * 8,
        { name: 0, word: count * 8, rest: parts.flatMap((_, i) => [name, type, i * 64]) },
        count,
      );
      break;
    case 1:
      make.add("funcProto", -1, { name: 0, word: 0, rest: parts.flatMap(() => [name, type]) }, count);
      break;
    case 2:
      make.add("enum", 4, { name: 0, word: 4, rest: parts.flatMap((_, i) => [name, i]) }, count);
      break;
    default: {
      const variable = make.variable();
      const rest = parts.flatMap((_, i) => [variable, i * 8, 8]);
      make.add("datasec", count * 8, { name: strings.add(".data"), word: count * 8, rest }, count);
    }
  }
}

/** Very many types that all have the same long name, or tags with one. */
function repeated(make: BtfGenerator, rng: Rng): void {
  const { strings } = make;
  const count = rng.pick([1000, 10_000, 60_000]);
  const long = strings.add("t".repeat(rng.pick([1, 500, 20_000])));
  const struct = make.add("struct", 4, { name: strings.add("s"), word: 4, rest: [strings.add("a"), 1, 0] }, 1);
  const kind = rng.below(4);
  for (let i = 0; i < count; i++) {
    if (kind === 0) make.add("typeTag", 4, { name: long, word: 1, rest: [] });
    else if (kind === 1) make.add("declTag", -1, { name: long, word: struct, rest: [0] });
    else if (kind === 2) make.add("struct", 0, { name: rng.chance(0.5) ? long : strings.add("x"), word: 0, rest: [] });
    else make.add("const", 4, { name: 0, word: rng.chance(0.5) ? 1 : Math.max(1, make.next - 1), rest: [] });
  }
}

/** Very many owners of a list, each with its tag. */
function owners(make: BtfGenerator, rng: Rng): void {
  const { strings } = make;
  const named = (name: string, size: number, rest: number[]): number =>
    make.add("struct", size, { name: strings.add(name), word: size, rest }, rest.length / 3);
  const lock = named("bpf_spin_lock", 4, []);
  const head = named("bpf_list_head", 16, []);
  const node = named("bpf_list_node", 24, []);
  named("element", 24, [strings.add("n"), node, 0]);
  const count = rng.pick([10, 1000, 8000]);
  const tag = strings.add("contains:element:n");
  for (let i = 0; i < count; i++) {
    const owner = named(`o${i}`, 24, [strings.add("l"), lock, 0, strings.add("h"), head, 64]);
    make.add("declTag", -1, { name: tag, word: owner, rest: [1] });
  }
}

/** Strings that share their ends: many long names of few bytes. */
function overlapping(make: BtfGenerator, rng: Rng): void {
  const length = rng.pick([500, 5000, 100_000]);
  const from = make.strings.add("n".repeat(length));
  const count = rng.pick([100, 5000, 20_000]);
  for (let i = 0; i < count; i++) make.add("typeTag", 4, { name: from + (i % length), word: 1, rest: [] });
}

export function largeBtf(rng: Rng): Uint8Array {
  if (rng.chance(0.15)) {
    const raw = randomBtf(rng, 4000);
    return rng.chance(0.5) ? encodeRaw(raw) : mutated(rng, raw, 3);
  }
  const make = new BtfGenerator(rng, false);
  make.add("int", 4, { name: make.strings.add("int"), word: 4, rest: [0x0100_0020] });
  rng.pick([doubling, doubling, wide, repeated, owners, overlapping])(make, rng);
  return rng.chance(0.8) ? encodeRaw(make.raw) : mutated(rng, make.raw, 1);
}
