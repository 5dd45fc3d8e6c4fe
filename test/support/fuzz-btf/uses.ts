// SPDX-License-Identifier: MIT
import {
  type Btf,
  type BtfBlob,
  dedupBtf,
  dedupSplitBtf,
  dumpC,
  dumpRaw,
  dumpTs,
  indexBtf,
  Layouts,
  LayoutText,
  type LazyBtf,
  mergeBtf,
  openBtf,
  readBtf,
  readSplitBtf,
  writeBtf,
  writeSplitBtf,
} from "../../../src/btf/index.js";
import { rules612, rules618 } from "../../../src/kernel/rules.js";
import { InputError } from "../../../src/util/errors.js";
import { btfParseFields } from "../../../src/verifier/prep/map-fields.js";
import type { Rng } from "../fuzz/rng.js";

/* What can be done with a BTF that was read: all of it ends soon, in an answer or an InputError. */

/** Characters of a dump that are mostly taken: limits let a small BTF make a hundred times as many. */
const TAKEN = 1 << 16;

/** Types of one BTF that are looked at one by one. */
const LOOKED_AT = 6;

export interface BtfUse {
  readonly rng: Rng;
  readonly bytes: Uint8Array;
  readonly blob: BtfBlob;
  /** Whether it is one of those that are meant to take long: not everything is done with all of them. */
  readonly large: boolean;
}

/** Takes a dump, in full now and then. */
function take({ rng, large }: BtfUse, pieces: Iterable<string>): void {
  const most = !large && rng.chance(0.1) ? Number.POSITIVE_INFINITY : TAKEN;
  let length = 0;
  for (const piece of pieces) {
    // Long texts are put together when a character of them is asked for.
    piece.charCodeAt(piece.length - 1);
    length += piece.length;
    if (length > most) return;
  }
}

const eitherWay = ({ rng, bytes, blob }: BtfUse): Btf => (rng.chance(0.5) ? blob.btf : openBtf(bytes));

/** Some ids, the last among them: in random BTFs those lead to the most. */
function someIds({ types }: Btf): number[] {
  const step = Math.max(1, Math.floor(types.length / LOOKED_AT));
  const ids: number[] = [];
  for (let id = types.length - 1; id >= 0; id -= step) ids.push(id);
  return ids;
}

const plain = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? `${part}n` : part));

function same(what: string, a: string, b: string): void {
  if (a !== b) throw new Error(`${what}: ${a.slice(0, 500)} is not ${b.slice(0, 500)}`);
}

function attempt<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

function layouts(use: BtfUse): void {
  const all = new Layouts(eitherWay(use));
  const text = new LayoutText(all, { expand: use.rng.chance(0.5) });
  for (const id of use.large ? [use.rng.below(all.btf.types.length)] : someIds(all.btf)) {
    const { kind } = all.btf.typeById(id);
    if (kind !== "struct" && kind !== "union") continue;
    attempt(() => all.of(id));
    attempt(() => take(use, [text.write(id)]));
  }
}

/** What is written is read as what it was; types that no BTF holds may be refused. */
function written({ blob: { btf } }: BtfUse): void {
  const bytes = attempt(() => writeBtf(btf));
  if (bytes !== undefined) same("written and read", plain(readBtf(bytes).types), plain(btf.types));
}

/** Types one by one are those of the whole, and are found by name. */
function lazily({ rng, bytes, blob: { btf }, large }: BtfUse): void {
  const lazy = openBtf(bytes);
  const all = indexBtf(btf);
  for (let i = 0; i < LOOKED_AT; i++) {
    const id = rng.below(btf.types.length);
    if (!large) same(`type ${id}`, plain(lazy.typeById(id)), plain(btf.types[id]));
    const name = all.nameById(id);
    same(`name ${id}`, lazy.nameById(id), name);
    // Bytes that are no UTF-8 cannot be asked for.
    if (name.includes("\ufffd")) continue;
    const kind = rng.chance(0.5) ? all.kindById(id) : undefined;
    same(`named ${name}`, lazy.idsByName(name, kind).join(), all.idsByName(name, kind).join());
  }
}

/** The BTF as one that continues itself, and its types written behind it. */
function split({ rng, bytes, blob }: BtfUse): void {
  const base: LazyBtf = openBtf(bytes);
  const lazy = attempt(() => openBtf(bytes, { base }));
  const whole = attempt(() => readSplitBtf(bytes, blob));
  if (lazy !== undefined && whole !== undefined) {
    const id = rng.below(lazy.length);
    same(`type ${id}`, plain(lazy.typeById(id)), plain(whole.btf.types[id]));
    const name = lazy.nameById(id);
    same(
      `named ${name}`,
      lazy.idsByName(name).join(),
      name.includes("\ufffd") ? lazy.idsByName(name).join() : indexBtf(whole.btf).idsByName(name).join(),
    );
  }
  attempt(() => dedupSplitBtf(bytes, bytes));
  const extended: Btf = { types: [...blob.btf.types, ...blob.btf.types.slice(1)] };
  const own = attempt(() => writeSplitBtf(extended, blob));
  if (own !== undefined) same("split", plain(readSplitBtf(own, blob).btf.types), plain(extended.types));
}

/** Twice the same is as once, unless it is refused. */
function merged({ rng, bytes, blob }: BtfUse): void {
  if (rng.chance(0.3)) attempt(() => dedupBtf(blob.btf));
  const once = attempt(() => mergeBtf([bytes]));
  const twice = attempt(() => mergeBtf([bytes, bytes]));
  if (once !== undefined && twice !== undefined) readBtf(twice);
}

function mapFields({ blob: { btf } }: BtfUse): void {
  for (const id of someIds(btf)) {
    const type = btf.types[id]!;
    const size = "size" in type ? type.size : 0;
    btfParseFields(btf, id, size, rules618);
    btfParseFields(btf, id, size, rules612);
  }
}

/** By name, each with how often it comes up, and whether large BTFs take part. */
const USES: readonly (readonly [weight: number, name: string, use: (use: BtfUse) => void, large: boolean])[] = [
  [4, "dumpC", (use) => take(use, dumpC(eitherWay(use), { sorted: use.rng.chance(0.5) })), true],
  [3, "dumpTs", (use) => take(use, dumpTs(eitherWay(use))), true],
  [2, "dumpRaw", (use) => take(use, dumpRaw(eitherWay(use))), true],
  [4, "layout", layouts, true],
  [3, "dedup", merged, true],
  [3, "split", split, false],
  [2, "lazy", lazily, true],
  [2, "write", written, false],
  [1, "map fields", mapFields, true],
];

/** One use at random: cheap ones would be lost among dear ones if all were made of each BTF. */
export function pickUse(rng: Rng, large: boolean): readonly [name: string, use: (use: BtfUse) => void] {
  const fits = USES.filter(([, , , takesLarge]) => !large || takesLarge);
  return rng.weighted(fits.map(([weight, name, use]) => [weight, [name, use] as const] as const));
}
