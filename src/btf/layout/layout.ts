// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { Measure } from "../dump/measure.js";
import { type BtfIndex, indexBtf } from "../lazy.js";
import { MAX_NESTING } from "../limits.js";
import type { Btf, BtfMember, BtfType } from "../types.js";

/** Bytes of a cache line of nearly every machine that runs BPF. */
export const CACHELINE_SIZE = 64;

/** Where a member of a struct or union lies, and what lies behind it. */
export interface MemberLayout {
  readonly name: string;
  /** Type id as BTF has it, with modifiers. */
  readonly type: number;
  /** Bytes from the start of the struct: for a bit field, of the integer that it is a part of. */
  readonly offset: number;
  /** Bytes; for a bit field, of the integer that it is a part of. */
  readonly size: number;
  /** Bits from `offset`; 0 for all but bit fields. */
  readonly bitOffset: number;
  /** Width of a bit field; 0 for all others. */
  readonly bitSize: number;
  /** Unused bytes between this member and the next one. */
  readonly hole: number;
  /** Unused bits between this bit field and the next member. */
  readonly bitHole: number;
  /** Alignment that the source must have asked for, in bytes; 0 when its place is natural. */
  readonly alignment: number;
}

/** How a struct or union lies in memory; sizes are bytes unless said otherwise. */
export interface StructLayout {
  readonly id: number;
  readonly kind: "struct" | "union";
  /** Empty when anonymous. */
  readonly name: string;
  readonly size: number;
  readonly members: readonly MemberLayout[];
  /** Unused bytes and bits before the first member. */
  readonly preHole: number;
  readonly preBitHole: number;
  /** Number and sum of the holes between members; the one before the first counts. */
  readonly holes: number;
  readonly sumHoles: number;
  readonly bitHoles: number;
  /** Bits. */
  readonly sumBitHoles: number;
  /** Sum of the sizes of the members that are no bit fields. */
  readonly sumMembers: number;
  /** Bits of bit fields. */
  readonly sumBits: number;
  /** Unused bytes at the end. */
  readonly padding: number;
  /** Unused bits behind a bit field at the end. */
  readonly bitPadding: number;
  /** Alignment that the source must have asked for; 0 when it is natural. */
  readonly alignment: number;
  readonly cachelines: number;
  /** Bytes in the last cache line; 0 when it is full. */
  readonly lastCacheline: number;
}

type Aggregate = Extract<BtfType, { kind: "struct" | "union" }>;

/** A member whose gap is not known yet. */
type Growing = { -readonly [K in keyof MemberLayout]: MemberLayout[K] };

/** The members of one struct, and where their bits begin and end. */
interface Places {
  readonly members: readonly Growing[];
  /** Bits from the start of the struct to the first and behind the last one of each. */
  readonly starts: Float64Array;
  readonly ends: Float64Array;
}

/**
 * Layouts of the structs of one BTF. BTF says where members lie; holes, alignments and packing are concluded from
 * that, as pahole does when it reads BTF.
 */
export class Layouts {
  readonly btf: BtfIndex;
  readonly #measure: Measure;
  readonly #known = new Map<number, StructLayout>();
  /** What types stand for, by id; 0 for those not asked for yet. */
  readonly #stripped: Uint32Array;
  /** Natural alignments of structs and unions; 0 while one is being looked for. */
  readonly #natural = new Map<number, number>();

  constructor(btf: Btf) {
    this.btf = indexBtf(btf);
    this.#measure = new Measure(this.btf);
    this.#stripped = new Uint32Array(this.btf.types.length);
  }

  /**
   * The layout of a struct or union.
   * @throws InputError when the type is neither, or is malformed.
   */
  of(id: number): StructLayout {
    let layout = this.#known.get(id);
    if (layout === undefined) {
      const type = this.btf.typeById(id);
      if (type.kind !== "struct" && type.kind !== "union") {
        throw new InputError(`BTF type id ${id} is no struct or union but ${type.kind}`);
      }
      layout = this.#layOut(id, type);
      this.#known.set(id, layout);
    }
    return layout;
  }

  /**
   * What a type stands for: follows typedefs and modifiers.
   * @throws InputError for an endless chain.
   */
  strip(id: number): number {
    const known = this.#stripped[id];
    if (known !== undefined && known !== 0) return known;
    const stripped = this.#strip(id);
    this.#stripped[id] = stripped;
    return stripped;
  }

  #strip(id: number): number {
    let at = id;
    for (let depth = 0; depth < MAX_NESTING; depth++) {
      const type = this.btf.typeById(at);
      switch (type.kind) {
        case "typedef":
        case "const":
        case "volatile":
        case "restrict":
        case "typeTag":
          at = type.type;
          break;
        default:
          return at;
      }
    }
    throw new InputError(`BTF type id ${id}: chain longer than ${MAX_NESTING}`);
  }

  /** Size in bytes, 0 for what has none; an empty struct of one byte, as C++ has it, takes no room either. */
  sizeOf(id: number): number {
    const type = this.btf.typeById(this.strip(id));
    if (type.kind === "struct" && type.size === 1 && type.members.length === 0) return 0;
    return this.#measure.sizeOf(id) ?? 0;
  }

  /**
   * Alignment that a type without attributes has, 1 at least. Unlike a compiler's it does not know of packed
   * structs: whether one is packed is concluded from it.
   * @throws InputError for a type that contains itself, or nesting beyond reason.
   */
  naturalAlign(id: number, depth = 0): number {
    const stripped = this.strip(id);
    const type = this.btf.typeById(stripped);
    switch (type.kind) {
      case "ptr":
        return this.#measure.pointerSize;
      case "int":
        return Math.max(1, Math.floor(type.bits / 8));
      case "float":
      case "enum":
      case "enum64":
        return Math.max(1, type.size);
      case "array":
        return this.#naturalOf(stripped, [type.type], depth);
      case "struct":
      case "union":
        return this.#naturalOf(
          stripped,
          type.members.map((member) => member.type),
          depth,
        );
      default:
        return 1;
    }
  }

  /** The largest natural alignment of these types; they make up the type `id`. */
  #naturalOf(id: number, types: Iterable<number>, depth: number): number {
    const known = this.#natural.get(id);
    if (known === 0) throw new InputError(`BTF type id ${id} contains itself`);
    if (known !== undefined) return known;
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    this.#natural.set(id, 0);
    let most = 1;
    for (const type of types) most = Math.max(most, this.naturalAlign(type, depth + 1));
    this.#natural.set(id, most);
    return most;
  }

  #layOut(id: number, type: Aggregate): StructLayout {
    const count = type.members.length;
    const members = new Array<Growing>(count);
    const places: Places = { members, starts: new Float64Array(count), ends: new Float64Array(count) };
    let end = 0;
    for (let i = 0; i < count; i++) {
      const member = type.members[i]!;
      const place = this.#place(member, end);
      members[i] = place;
      places.starts[i] = member.bitOffset;
      places.ends[i] = member.bitOffset + (member.bitSize === 0 ? place.size * 8 : member.bitSize);
      // What takes no room says nothing about alignment.
      if (place.size !== 0) end = place.offset + place.size;
    }
    return {
      id,
      kind: type.kind,
      name: type.name,
      size: type.size,
      members,
      ...(type.kind === "struct" ? fillGaps(places, type.size) : NO_GAPS),
      ...sumsOf(members),
      alignment: forcedAlignment(type.size, this.naturalAlign(id), end),
      cachelines: Math.ceil(type.size / CACHELINE_SIZE),
      lastCacheline: type.size % CACHELINE_SIZE,
    };
  }

  #place(member: BtfMember, endBefore: number): Growing {
    const size = this.sizeOf(member.type);
    const kind = this.btf.kindById(this.strip(member.type));
    const isBitField = member.bitSize !== 0 && size !== 0 && (kind === "int" || kind === "enum" || kind === "enum64");
    // A bit field belongs to the integer of its type that begins at a multiple of its size.
    const offset = isBitField ? Math.floor(member.bitOffset / (size * 8)) * size : Math.floor(member.bitOffset / 8);
    return {
      name: member.name,
      type: member.type,
      offset,
      size,
      bitOffset: isBitField ? member.bitOffset - offset * 8 : 0,
      bitSize: member.bitSize,
      hole: 0,
      bitHole: 0,
      alignment: size === 0 ? 0 : forcedAlignment(offset, this.naturalAlign(member.type), endBefore),
    };
  }
}

/**
 * The alignment that explains why something begins at `offset` though what is before it ends at `end`: the power
 * of two above the gap, if the natural alignment does not explain it, or a cache line if that fits.
 */
function forcedAlignment(offset: number, natural: number, end: number): number {
  const gap = offset - end;
  if (gap <= 0 || offset % 2 !== 0) return 0;
  const alignment = 2 ** (32 - Math.clz32(gap));
  if (alignment <= natural || alignment === 1) return 0;
  return alignment < CACHELINE_SIZE && offset % CACHELINE_SIZE === 0 ? CACHELINE_SIZE : alignment;
}

/** Sums over the members. */
function sumsOf(members: readonly MemberLayout[]): Pick<StructLayout, "sumMembers" | "sumBits"> {
  let [sumMembers, sumBits] = [0, 0];
  for (const { bitSize, size } of members) {
    if (bitSize === 0) sumMembers += size;
    sumBits += bitSize;
  }
  return { sumMembers, sumBits };
}

type Gaps = { -readonly [K in keyof typeof NO_GAPS]: number };

const NO_GAPS = {
  preHole: 0,
  preBitHole: 0,
  holes: 0,
  sumHoles: 0,
  bitHoles: 0,
  sumBitHoles: 0,
  padding: 0,
  bitPadding: 0,
} satisfies Partial<StructLayout>;

/** Notes what is unused before the member `i`: behind the one before it, or in front of all. */
function noteGap(gaps: Gaps, members: readonly Growing[], i: number, hole: number, bitHole: number): void {
  if (hole !== 0) gaps.holes++;
  if (bitHole !== 0) gaps.bitHoles++;
  gaps.sumHoles += Math.max(0, hole);
  gaps.sumBitHoles += bitHole;
  const before = members[i - 1];
  if (before === undefined) {
    gaps.preHole = hole;
    gaps.preBitHole = bitHole;
  } else {
    before.hole = hole;
    before.bitHole = bitHole;
  }
}

/** Finds what is unused between the members, told apart by bytes and by bits of the integers of bit fields. */
function fillGaps({ members, starts, ends }: Places, size: number): Gaps {
  const gaps: Gaps = { ...NO_GAPS };
  /** Behind the last bit that is used or counted as a hole. */
  let seen = 0;
  let inBitField = false;
  /** The integers that hold the bit fields so far: where they end, and the width of the widest. */
  let unitEnd = size * 8;
  let unitBits = 0;
  for (let i = 0; i < members.length; i++) {
    const { bitSize, offset, size: bytes } = members[i]!;
    const [start, end] = [starts[i]!, ends[i]!];
    let hole = 0;
    let bitHole = 0;
    if (inBitField) {
      const to = Math.min(start, unitEnd);
      bitHole = to - seen;
      seen = to;
    }
    if (bitSize === 0) {
      hole = Math.floor(start / 8) - Math.floor(seen / 8);
      inBitField = false;
      unitBits = 0;
      unitEnd = end;
    } else {
      // Whole bytes before the integer that this one belongs to.
      if (seen < offset * 8 && offset * 8 <= start) {
        hole = offset - Math.floor(seen / 8);
        seen = offset * 8;
      }
      bitHole += start - seen;
      inBitField = true;
      if (end > unitEnd || bytes * 8 > unitBits) {
        unitBits = bytes * 8;
        unitEnd = offset * 8 + unitBits;
        if (end > unitEnd) unitEnd += unitBits;
      }
    }
    seen = end;
    noteGap(gaps, members, i, hole, bitHole);
  }
  if (inBitField) {
    const to = Math.min(size * 8, unitEnd);
    gaps.bitPadding = to - seen;
    seen = to;
  }
  gaps.padding = size - Math.floor(seen / 8);
  return gaps;
}
