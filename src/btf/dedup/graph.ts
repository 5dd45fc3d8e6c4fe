// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { BTF_KIND } from "../format.js";
import type { StepLimit } from "../limits.js";
import { HEAD_WORDS, INFO, kindFlagOf, kindOf, NAME, SIZE_OR_TYPE } from "./layout.js";
import type { RepresentativeMap } from "./representatives.js";
import { compatibleEnums, isAggregate, sameHead, sameOutline, sameParamNames, sameWords } from "./shape.js";
import type { BtfWords } from "./words.js";

/** No partner yet. */
const NONE = -1;

/**
 * Finds out whether two structs (or unions) are the same by walking what they refer to side by side.
 *
 * Types of the known graph get partners in the new one as the walk meets them; a second partner is a
 * contradiction. That makes cycles harmless: a pair met again is taken for equal while the rest is looked at.
 * The partners of a successful walk say more than that the two structs are the same: all aggregates met
 * are, and a forward declaration met opposite a definition is that definition.
 */
export class GraphComparison {
  readonly #btf: BtfWords;
  readonly #map: RepresentativeMap;
  /** Partner in the new graph, by id in the known graph. */
  readonly #partner: Int32Array;
  /** Ids that have partners, in the order in which they were met. */
  #met: number[] = [];
  /** Pairs still to be compared: known, new, known, new ... */
  #todo: number[] = [];
  #completesBase = false;
  readonly #steps: StepLimit;

  /** @param steps counts pairs of types. */
  constructor(btf: BtfWords, map: RepresentativeMap, steps: StepLimit) {
    this.#btf = btf;
    this.#map = map;
    this.#partner = new Int32Array(btf.count).fill(NONE);
    this.#steps = steps;
  }

  /**
   * Whether `known`, which represents itself, and `added` are the same, and if so {@link RepresentativeMap} is
   * told what follows.
   *
   * When it would follow that a declaration of the base is completed by a type that is not the base's, then only
   * this is noted: the base is not changed, so the two are not the same.
   * @throws InputError for types where none may be, and when it takes too long.
   */
  merge(known: number, added: number): boolean {
    for (const id of this.#met) this.#partner[id] = NONE;
    this.#met.length = 0;
    this.#todo.length = 0;
    this.#completesBase = false;
    if (!this.#sameGraph(known, added)) return false;
    this.#note();
    return !this.#completesBase;
  }

  #sameGraph(known: number, added: number): boolean {
    const todo = this.#todo;
    todo.push(known, added);
    while (todo.length > 0) {
      const b = todo.pop()!;
      const a = todo.pop()!;
      this.#steps.step();
      if (!this.#samePair(a, b)) return false;
    }
    return true;
  }

  /** Compares a pair by itself and plans the comparison of what the two refer to. */
  #samePair(known: number, added: number): boolean {
    const map = this.#map;
    if (map.resolve(known) === map.resolve(added)) return true;
    const a = map.definition(known);
    const partner = this.#partner[a]!;
    if (partner !== NONE) return partner === added || this.#interchangeable(partner, added);
    this.#partner[a] = added;
    this.#met.push(a);

    const btf = this.#btf;
    const { words } = btf;
    const x = btf.starts[a]!;
    const y = btf.starts[added]!;
    const infoA = words[x + INFO]!;
    const infoB = words[y + INFO]!;
    const kind = kindOf(infoB);
    if (words[x + NAME] !== words[y + NAME]) return false;
    if (kind !== kindOf(infoA)) return this.#declares(a, infoA, infoB);
    const todo = this.#todo;
    switch (kind) {
      case BTF_KIND.int:
        return sameWords(btf, a, added);
      case BTF_KIND.enum:
      case BTF_KIND.enum64:
        return compatibleEnums(btf, a, added);
      case BTF_KIND.fwd:
      case BTF_KIND.float:
        return sameHead(btf, a, added);
      case BTF_KIND.ptr:
      case BTF_KIND.typedef:
      case BTF_KIND.volatile:
      case BTF_KIND.const:
      case BTF_KIND.restrict:
      case BTF_KIND.func:
      case BTF_KIND.typeTag:
        if (infoA !== infoB) return false;
        todo.push(words[x + SIZE_OR_TYPE]!, words[y + SIZE_OR_TYPE]!);
        return true;
      case BTF_KIND.array:
        if (!sameHead(btf, a, added) || words[x + HEAD_WORDS + 2] !== words[y + HEAD_WORDS + 2]) return false;
        todo.push(
          words[x + HEAD_WORDS]!,
          words[y + HEAD_WORDS]!,
          words[x + HEAD_WORDS + 1]!,
          words[y + HEAD_WORDS + 1]!,
        );
        return true;
      case BTF_KIND.struct:
      case BTF_KIND.union:
        if (!sameOutline(btf, a, added)) return false;
        this.#planParts(x, y, btf.starts[a + 1]! - x, 3);
        return true;
      case BTF_KIND.funcProto:
        if (!sameParamNames(btf, a, added)) return false;
        this.#planParts(x, y, btf.starts[a + 1]! - x, 2);
        todo.push(words[x + SIZE_OR_TYPE]!, words[y + SIZE_OR_TYPE]!);
        return true;
      default:
        throw new InputError(`BTF type id ${added} (kind ${kind}) is part of a struct, union or function`);
    }
  }

  /** Plans the comparison of members or parameters, the first of which are to come off the stack first. */
  #planParts(x: number, y: number, size: number, part: number): void {
    const { words } = this.#btf;
    for (let i = size - part + 1; i > HEAD_WORDS; i -= part) this.#todo.push(words[x + i]!, words[y + i]!);
  }

  /** Whether two types of different kinds are a forward declaration and what it declares. */
  #declares(known: number, infoKnown: number, infoAdded: number): boolean {
    const declared = (info: number) => (kindFlagOf(info) ? BTF_KIND.union : BTF_KIND.struct);
    if (kindOf(infoAdded) === BTF_KIND.fwd) return declared(infoAdded) === kindOf(infoKnown);
    if (kindOf(infoKnown) !== BTF_KIND.fwd || declared(infoKnown) !== kindOf(infoAdded)) return false;
    if (known < this.#btf.firstId) this.#completesBase = true;
    return true;
  }

  /**
   * Compilers give one type several ids at times: whether a type that met two of them may go on as if it were
   * one. They must be pointers or arrays with the same words, or aggregates of such.
   */
  #interchangeable(a: number, b: number): boolean {
    const { words, starts } = this.#btf;
    const kind = this.#btf.kind(a);
    if (kind !== this.#btf.kind(b)) return false;
    if (kind === BTF_KIND.ptr) return words[starts[a]! + SIZE_OR_TYPE] === words[starts[b]! + SIZE_OR_TYPE];
    return this.#identical(a, b);
  }

  /** Whether two are the same array, or aggregates whose members are the same ids or likewise identical. */
  #identical(a: number, b: number): boolean {
    const { words, starts } = this.#btf;
    const seen = new Set<number>();
    const todo = [a, b];
    while (todo.length > 0) {
      const y = todo.pop()!;
      const x = todo.pop()!;
      const kind = this.#btf.kind(x);
      if (kind === BTF_KIND.array) {
        if (!sameWords(this.#btf, x, y)) return false;
        continue;
      }
      if (!isAggregate(kind) || !sameOutline(this.#btf, x, y)) return false;
      const end = starts[x + 1]! - starts[x]!;
      for (let i = HEAD_WORDS + 1; i < end; i += 3) {
        const memberX = words[starts[x]! + i]!;
        const memberY = words[starts[y]! + i]!;
        const pair = memberX * this.#btf.count + memberY;
        if (memberX === memberY || seen.has(pair)) continue;
        this.#steps.step();
        seen.add(pair);
        todo.push(memberX, memberY);
      }
    }
    return true;
  }

  /** Tells the map what follows from the walk. */
  #note(): void {
    const map = this.#map;
    for (const id of this.#met) {
      const known = map.resolve(id);
      const added = map.resolve(this.#partner[id]!);
      const kindKnown = this.#btf.kind(known);
      const kindAdded = this.#btf.kind(added);
      if (kindKnown === BTF_KIND.fwd) {
        if (kindAdded !== BTF_KIND.fwd) map.set(known, added);
        continue;
      }
      if (this.#completesBase) continue;
      if (kindAdded === BTF_KIND.fwd) map.set(added, known);
      // Only what represents itself for good may stand for others, so an aggregate that was not yet looked at waits.
      else if (isAggregate(kindAdded) && map.isSettled(known) && !map.isSettled(added)) map.set(added, known);
    }
  }
}
