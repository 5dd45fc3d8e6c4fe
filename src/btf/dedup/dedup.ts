// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { BTF_KIND } from "../format.js";
import { StepLimit } from "../limits.js";
import { CandidateTable } from "./candidates.js";
import { GraphComparison } from "./graph.js";
import { HEAD_WORDS, INFO, KIND_LAYOUTS, kindFlagOf, NAME, SIZE_OR_TYPE, vlenOf } from "./layout.js";
import { RepresentativeMap } from "./representatives.js";
import { compatibleEnums, hashType, isAggregate, isEnum, isEnumDeclaration, sameOutline, sameWords } from "./shape.js";
import type { BtfWords } from "./words.js";

/**
 * Leaves of every type one, in place, with libbpf's result (`btf__dedup`), down to the order of the types:
 * forward declarations become what they declare, where that is known and the only one. Variables and
 * sections stay as they are. What belongs to a base is not changed, but stands for what is the same.
 * @returns the new id of every old one.
 * @throws InputError when types refer to each other in a circle without a struct or union in it, when one
 * stands where it must not, and when malicious types would take forever.
 */
export function dedupTypes(btf: BtfWords): Int32Array {
  const dedup = new Deduplication(btf);
  dedup.enterBase();
  dedup.mergePlain();
  dedup.mergeAggregates();
  dedup.completeDeclarations();
  dedup.mergeReferences();
  return dedup.compact();
}

/** What it costs to compare two types by themselves, in steps of a walk through their graphs. */
const COMPARISON = 0.25;

/** Kinds that refer to nothing. */
function isPlain(kind: number): boolean {
  return kind === BTF_KIND.int || kind === BTF_KIND.float || kind === BTF_KIND.fwd || isEnum(kind);
}

class Deduplication {
  readonly #btf: BtfWords;
  readonly #table = new CandidateTable();
  readonly #map: RepresentativeMap;
  /** For reference types that wait for what they refer to: 1 and the number of the reference. */
  readonly #open: Uint32Array;
  /** Types that share a hash are compared one by one, and crafted ones all do. */
  readonly #steps: StepLimit;

  constructor(btf: BtfWords) {
    this.#btf = btf;
    this.#open = new Uint32Array(btf.count);
    this.#map = new RepresentativeMap(btf);
    this.#steps = new StepLimit(btf.count, "deduplicating types");
    this.#map.set(0, 0);
    for (let id = 1; id < btf.count; id++) {
      const kind = btf.kind(id);
      if (kind === BTF_KIND.var || kind === BTF_KIND.datasec) this.#map.set(id, id);
    }
  }

  /** The base's types stand for themselves and are candidates for the others. */
  enterBase(): void {
    const btf = this.#btf;
    for (let id = 1; id < btf.firstId; id++) {
      const kind = btf.kind(id);
      if (kind !== BTF_KIND.var && kind !== BTF_KIND.datasec) this.#keep(id, hashType(btf, id));
    }
  }

  /** First what refers to nothing. */
  mergePlain(): void {
    const btf = this.#btf;
    for (let id = btf.firstId; id < btf.count; id++) {
      const kind = btf.kind(id);
      if (isEnum(kind)) this.#mergeEnum(id);
      else if (isPlain(kind)) this.#mergeEqual(id);
    }
  }

  /** Then structs and unions, which only their graphs tell apart. */
  mergeAggregates(): void {
    const btf = this.#btf;
    const comparison = new GraphComparison(btf, this.#map, this.#steps);
    for (let id = btf.firstId; id < btf.count; id++) {
      if (isAggregate(btf.kind(id)) && !this.#map.isSettled(id)) this.#mergeAggregate(id, comparison);
    }
  }

  #mergeAggregate(id: number, comparison: GraphComparison): void {
    const table = this.#table;
    const hash = hashType(this.#btf, id);
    for (let entry = table.first(hash); entry >= 0; entry = table.next(entry)) {
      if (table.hash(entry) !== hash) continue;
      this.#steps.step(COMPARISON);
      const candidate = table.id(entry);
      if (!sameOutline(this.#btf, id, candidate) || !comparison.merge(candidate, id)) continue;
      this.#map.set(id, candidate);
      return;
    }
    this.#keep(id, hash);
  }

  /**
   * Forward declarations that met no definition in any comparison belong to the only struct or union of that
   * name, if it is of the declared kind.
   */
  completeDeclarations(): void {
    const btf = this.#btf;
    const map = this.#map;
    /** The only aggregate by name; 0 for several. */
    const byName = new Map<number, number>();
    for (let id = 1; id < btf.count; id++) {
      if (!isAggregate(btf.kind(id)) || !map.stays(id)) continue;
      const name = btf.words[btf.starts[id]! + NAME]!;
      byName.set(name, byName.has(name) ? 0 : id);
    }
    for (let id = btf.firstId; id < btf.count; id++) {
      if (btf.kind(id) !== BTF_KIND.fwd || !map.stays(id)) continue;
      const at = btf.starts[id]!;
      const definition = byName.get(btf.words[at + NAME]!) ?? 0;
      const declared = kindFlagOf(btf.words[at + INFO]!) ? BTF_KIND.union : BTF_KIND.struct;
      if (definition !== 0 && btf.kind(definition) === declared) map.set(id, definition);
    }
  }

  /** At last what refers to others, from the ends of the chains: equal when they refer to the same. */
  mergeReferences(): void {
    const btf = this.#btf;
    for (let id = btf.firstId; id < btf.count; id++) {
      if (!this.#map.isSettled(id)) this.#mergeReference(id);
    }
  }

  /** Merges a reference type after those that it refers to. Chains may be long, so they are kept on a stack of our own. */
  #mergeReference(start: number): void {
    const { words, starts } = this.#btf;
    const open = this.#open;
    const stack = [start];
    open[start] = 1;
    while (stack.length > 0) {
      const id = stack.at(-1)!;
      const at = this.#referenceAt(id, open[id]! - 1);
      if (at < 0) {
        this.#mergeEqual(id);
        open[id] = 0;
        stack.pop();
        continue;
      }
      const target = words[starts[id]! + at]!;
      if (this.#map.isSettled(target)) {
        words[starts[id]! + at] = this.#map.resolve(target);
        open[id]!++;
        continue;
      }
      if (open[target] !== 0) throw new InputError(`BTF type id ${target} refers to itself in a circle`);
      open[target] = 1;
      stack.push(target);
    }
  }

  /** Word of a type that holds its reference number `n`, or -1 behind the last one. */
  #referenceAt(id: number, n: number): number {
    const layout = KIND_LAYOUTS[this.#btf.kind(id)]!;
    const info = this.#btf.words[this.#btf.starts[id]! + INFO]!;
    const part = layout.headRef ? n - 1 : n;
    if (part < 0) return SIZE_OR_TYPE;
    const parts = layout.refs === "parts" ? vlenOf(info) : layout.refs;
    return part < parts ? HEAD_WORDS + layout.refAt + part * layout.stride : -1;
  }

  /** Lets an equal candidate stand for a type, or the type for itself. */
  #mergeEqual(id: number): void {
    const btf = this.#btf;
    const table = this.#table;
    const hash = hashType(btf, id);
    for (let entry = table.first(hash); entry >= 0; entry = table.next(entry)) {
      if (table.hash(entry) !== hash) continue;
      this.#steps.step(COMPARISON);
      if (sameWords(btf, id, table.id(entry))) {
        this.#map.set(id, table.id(entry));
        return;
      }
    }
    this.#keep(id, hash);
  }

  /** Enums: a declaration becomes a definition of its name, and a definition stands for declarations before it. */
  #mergeEnum(id: number): void {
    const btf = this.#btf;
    const table = this.#table;
    const hash = hashType(btf, id);
    for (let entry = table.first(hash); entry >= 0; entry = table.next(entry)) {
      if (table.hash(entry) !== hash) continue;
      this.#steps.step(COMPARISON);
      const candidate = table.id(entry);
      if (!compatibleEnums(btf, id, candidate)) continue;
      if (isEnumDeclaration(btf, id) || !isEnumDeclaration(btf, candidate)) {
        this.#map.set(id, candidate);
        return;
      }
      this.#map.set(candidate, id);
    }
    this.#keep(id, hash);
  }

  #keep(id: number, hash: number): void {
    this.#map.set(id, id);
    this.#table.add(hash, id);
  }

  /** Removes what is represented by another one and renumbers the references. */
  compact(): Int32Array {
    const btf = this.#btf;
    const map = this.#map;
    const places = btf.compact((id) => map.stays(id));
    const ids = places.map((_, id) => {
      const place = places[map.resolve(id)]!;
      if (place < 0) throw new InputError(`BTF type id ${id} has nothing that stands for it`);
      return place;
    });
    for (let id = btf.firstId; id < btf.count; id++) btf.mapRefs(id, (ref) => ids[ref]!);
    return ids;
  }
}
