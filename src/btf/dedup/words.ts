// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { type BtfSections, HOST_LITTLE_ENDIAN, readSections, typeOffsets } from "../blob.js";
import { BTF_HEADER_SIZE, BTF_KIND, BTF_MAGIC, BTF_MAX_VLEN, BTF_VERSION } from "../format.js";
import { HEAD_WORDS, INFO, KIND_LAYOUTS, kindOf, NAME, SIZE_OR_TYPE, vlenOf } from "./layout.js";
import { StringPool } from "./string-pool.js";

/** The strings that a section of BTF names may stand for at most this many times its size, if they overlap. */
const STRING_BUDGET_FACTOR = 16;

/** What the ids and strings of a section to be added are counted from. */
interface Origin {
  /** First id and first string that are the section's own; smaller ones are the base's. */
  readonly firstId: number;
  readonly firstString: number;
  /** The strings are those of the pool, at the same offsets. */
  readonly verbatim?: boolean;
  readonly standIns?: ReadonlyMap<number, number> | undefined;
}

/** A larger array with the same beginning. */
function grown(array: Uint32Array, need: number): Uint32Array {
  const bigger = new Uint32Array(Math.max(need, array.length * 2));
  bigger.set(array);
  return bigger;
}

/**
 * BTF in its binary form, open for additions: all types in one array of 32-bit words, names interned. What
 * the linker and the deduplication work on, because BTF of many objects as objects of JavaScript would
 * cost more than all that is done with it.
 *
 * Over a base (split BTF) ids and strings continue those of the base, which stay as they are.
 */
export class BtfWords {
  /** Words of all types, void included. Taken anew after every addition. */
  words: Uint32Array;
  /** Where in {@link words} the type of each id begins; the entry behind the last is where the next would. */
  starts: Uint32Array;
  readonly strings: StringPool;
  /** First id and first string that are not the base's. */
  readonly firstId: number;
  readonly firstString: number;
  #count: number;

  constructor(base?: BtfWords, strings?: Uint8Array) {
    if (base === undefined) {
      this.words = new Uint32Array(4096);
      this.starts = new Uint32Array(1024);
      this.starts[1] = HEAD_WORDS;
      this.strings = new StringPool(strings);
      this.#count = 1;
      this.firstString = 0;
    } else {
      this.words = base.words.slice(0, base.starts[base.count]!);
      this.starts = base.starts.slice(0, base.count + 1);
      this.strings = new StringPool(base.strings.bytes);
      this.#count = base.count;
      this.firstString = this.strings.length;
    }
    this.firstId = this.#count;
  }

  /**
   * Reads a .BTF section of either byte order and keeps its string section as it is, so that split BTF can
   * stand upon it.
   * @throws InputError for anything malformed.
   */
  static read(bytes: Uint8Array): BtfWords {
    const sections = readSections(bytes);
    const result = new BtfWords(undefined, sections.strings);
    result.#append(sections, { firstId: 1, firstString: 0, verbatim: true });
    return result;
  }

  /** Number of ids, void and the base's included. */
  get count(): number {
    return this.#count;
  }

  /** Kind of a type (BTF_KIND_*). */
  kind(id: number): number {
    return kindOf(this.words[this.starts[id]! + INFO]!);
  }

  /** Name of a type. */
  name(id: number): string {
    return this.strings.text(this.words[this.starts[id]! + NAME]!);
  }

  /**
   * Adds all types of a .BTF section that stands by itself.
   * @param standIns types that are not wanted, by their ids in the section: what stands for each here, 0 for nothing.
   * They take ids all the same, but are left without names and references until {@link compact} removes them.
   * @returns id of the first one.
   * @throws InputError for anything malformed; what this holds is then unfit for use.
   */
  append(bytes: Uint8Array, standIns?: ReadonlyMap<number, number>): number {
    return this.#append(readSections(bytes), { firstId: 1, firstString: 0, standIns });
  }

  /** {@link append} for a section that was split from this one's base. */
  appendSplit(bytes: Uint8Array): number {
    return this.#append(readSections(bytes, { split: this.firstId > 1 }), this);
  }

  #append(sections: BtfSections, origin: Origin): number {
    const first = this.#count;
    this.#addWords(sections.words, typeOffsets(sections, origin.firstId));
    const { standIns } = origin;
    const shift = first - origin.firstId;
    const last = this.#count - shift;
    const rename = this.#renamer(sections.strings, origin);
    const renumber = (id: number): number => {
      if (id >= last) throw new InputError(`refers to type id ${id}, but the last one is ${last - 1}`);
      const standIn = standIns?.get(id);
      if (standIn === 0) throw new InputError(`refers to type id ${id}, which is left out`);
      return standIn ?? (id < origin.firstId ? id : id + shift);
    };
    for (let id = first; id < this.#count; id++) {
      try {
        if (standIns?.has(id - shift)) {
          this.mapNames(id, () => 0);
          this.mapRefs(id, () => 0);
          continue;
        }
        this.mapNames(id, rename);
        this.mapRefs(id, renumber);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        throw new InputError(`BTF type id ${id - shift}: ${error.message}`);
      }
    }
    return first;
  }

  /** Puts types behind the others. */
  #addWords(added: Uint32Array, offsets: Uint32Array): void {
    const at = this.starts[this.#count]!;
    const end = at + added.length;
    const count = this.#count + offsets.length;
    if (end > this.words.length) this.words = grown(this.words, end);
    if (count >= this.starts.length) this.starts = grown(this.starts, count + 1);
    this.words.set(added, at);
    for (let i = 0; i < offsets.length; i++) this.starts[this.#count + i] = at + offsets[i]!;
    this.starts[count] = end;
    this.#count = count;
  }

  /** What gives for the name offsets of a section to be added those in the pool. */
  #renamer(strings: Uint8Array, { firstString, verbatim }: Origin): (offset: number) => number {
    const own = new Int32Array(strings.length).fill(-1);
    const base = new Map<number, number>();
    let budget = (strings.length + firstString) * STRING_BUDGET_FACTOR;
    const spend = (bytes: Uint8Array, at: number): void => {
      budget -= bytes.indexOf(0, at) - at;
      if (budget < 0) throw new InputError("strings overlap beyond reason");
    };
    return (offset) => {
      if (offset < firstString) {
        let known = base.get(offset);
        if (known === undefined) {
          spend(this.strings.bytes, offset);
          known = this.strings.canonical(offset);
          base.set(offset, known);
        }
        return known;
      }
      const at = offset - firstString;
      if (at >= strings.length) throw new InputError(`string offset ${offset} is outside of the string section`);
      if (own[at]! < 0) {
        spend(strings, at);
        own[at] = verbatim ? this.strings.canonical(at) : this.strings.add(strings, at);
      }
      return own[at]!;
    };
  }

  /** Replaces every name (offset of a string) of a type. */
  mapNames(id: number, rename: (offset: number) => number): void {
    const { words } = this;
    const at = this.starts[id]!;
    words[at + NAME] = rename(words[at + NAME]!);
    const info = words[at + INFO]!;
    const { named, stride } = KIND_LAYOUTS[kindOf(info)]!;
    if (!named) return;
    const end = this.starts[id + 1]!;
    for (let i = at + HEAD_WORDS; i < end; i += stride) words[i] = rename(words[i]!);
  }

  /** Replaces every type id that a type refers to. */
  mapRefs(id: number, renumber: (id: number) => number): void {
    const { words } = this;
    const at = this.starts[id]!;
    const info = words[at + INFO]!;
    const layout = KIND_LAYOUTS[kindOf(info)]!;
    if (layout.headRef) words[at + SIZE_OR_TYPE] = renumber(words[at + SIZE_OR_TYPE]!);
    let i = at + HEAD_WORDS + layout.refAt;
    for (let left = layout.refs === "parts" ? vlenOf(info) : layout.refs; left > 0; left--, i += layout.stride) {
      words[i] = renumber(words[i]!);
    }
  }

  /**
   * Keeps of the own types only those for which `keep` gives true, in their order. References are left as they
   * are.
   * @returns for each id what it is now, or -1; the base's keep theirs.
   */
  compact(keep: (id: number) => boolean): Int32Array {
    const ids = new Int32Array(this.#count).fill(-1);
    const { words, starts } = this;
    let next = this.firstId;
    for (let id = 0; id < next; id++) ids[id] = id;
    let to = starts[next]!;
    for (let id = next; id < this.#count; id++) {
      if (!keep(id)) continue;
      const from = starts[id]!;
      const end = starts[id + 1]!;
      words.copyWithin(to, from, end);
      ids[id] = next;
      starts[next++] = to;
      to += end - from;
    }
    starts[next] = to;
    this.#count = next;
    return ids;
  }

  /**
   * Adds a BTF_KIND_DATASEC and gives its id.
   * @param vars type, offset and size of each variable, one after the other.
   */
  addDatasec(name: string, size: number, vars: readonly number[]): number {
    const vlen = vars.length / 3;
    if (vlen > BTF_MAX_VLEN) throw new InputError(`BTF: section ${name} has more than ${BTF_MAX_VLEN} variables`);
    const head = [this.strings.addText(name), ((BTF_KIND.datasec << 24) | vlen) >>> 0, size];
    this.#addWords(Uint32Array.from([...head, ...vars]), Uint32Array.of(0));
    return this.#count - 1;
  }

  /** The own types as a .BTF section. */
  toBytes(littleEndian = true): Uint8Array {
    const from = this.starts[this.firstId]!;
    const types = this.words.subarray(from, this.starts[this.#count]!);
    const strings = this.strings.bytes.subarray(this.firstString);
    const bytes = new Uint8Array(BTF_HEADER_SIZE + types.byteLength + strings.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, BTF_MAGIC, littleEndian);
    view.setUint8(2, BTF_VERSION);
    // hdr_len, type_off, type_len, str_off, str_len
    const header = [BTF_HEADER_SIZE, 0, types.byteLength, types.byteLength, strings.length];
    for (const [i, value] of header.entries()) view.setUint32(4 + i * 4, value, littleEndian);
    if (littleEndian === HOST_LITTLE_ENDIAN) new Uint32Array(bytes.buffer, BTF_HEADER_SIZE, types.length).set(types);
    else for (let i = 0; i < types.length; i++) view.setUint32(BTF_HEADER_SIZE + i * 4, types[i]!, littleEndian);
    bytes.set(strings, BTF_HEADER_SIZE + types.byteLength);
    return bytes;
  }
}
