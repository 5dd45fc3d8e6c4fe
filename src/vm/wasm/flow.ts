// SPDX-License-Identifier: MIT
import { CODE_WORDS, type Code, Op } from "../code.js";

/*
 * WebAssembly jumps only out of blocks and to the beginning of loops. Most functions can be cut that way as they stand:
 * each loop from its first block to the last that jumps back there. Where something jumps into the middle of one, the
 * function becomes one loop that goes to a block by its number.
 */

/** Why a program stays with the interpreter. */
export class Uncompilable extends Error {}

/** More blocks than that would nest too deep. */
const MAX_BLOCKS = 3000;

/** One function cut into blocks; `ends` and `starts` are slots. */
export interface Flow {
  /** First slot of each block, and the slot behind the last one. */
  readonly starts: readonly number[];
  readonly blockOf: ReadonlyMap<number, number>;
  /** Last block of the loop that begins at a block. */
  readonly loops: ReadonlyMap<number, number>;
  /** Blocks that something jumps to from above. */
  readonly targets: ReadonlySet<number>;
  /** Something jumps into the middle of a loop. */
  readonly irregular: boolean;
}

export function isConditional(operation: number): boolean {
  return (operation >= Op.JEQ64 && operation <= Op.JSLE32) || operation === Op.MAY_GOTO;
}

/** Whether nothing that follows an instruction belongs to its block. */
function endsBlock(operation: number): boolean {
  return (
    operation === Op.JA ||
    operation === Op.EXIT ||
    operation === Op.HELPER ||
    (operation >= Op.LD_ABS8 && operation <= Op.LD_IND32) ||
    isConditional(operation)
  );
}

/** Cuts the slots from `first` to below `end`. */
export function flowOf({ words }: Code, first: number, end: number): Flow {
  const leaders = new Set([first]);
  const jumps: [from: number, to: number][] = [];
  for (let slot = first; slot < end; slot++) {
    const operation = words[slot * CODE_WORDS]!;
    if (operation === Op.JA || isConditional(operation)) {
      const to = words[slot * CODE_WORDS + 3]!;
      if (to < first || to >= end) throw new Uncompilable("a jump leaves its function");
      leaders.add(to);
      jumps.push([slot, to]);
    }
    if (operation === Op.LD_IMM64) slot++;
    if (endsBlock(operation) && slot + 1 < end) leaders.add(slot + 1);
  }
  const starts = [...leaders].sort((a, b) => a - b);
  if (starts.length > MAX_BLOCKS) throw new Uncompilable("too many blocks");
  const blockOf = new Map(starts.map((slot, block) => [slot, block]));
  const edges = jumps.map(([from, to]): [number, number] => [blockAt(starts, from), blockOf.get(to)!]);
  const loops = loopsOf(edges);
  const targets = new Set(edges.filter(([from, to]) => to > from).map(([, to]) => to));
  const irregular = [...loops].some(([head, last]) =>
    edges.some(([from, to]) => from < head && to > head && to <= last),
  );
  return { starts: [...starts, end], blockOf, loops, targets, irregular };
}

/** The block that a slot lies in. */
function blockAt(starts: readonly number[], slot: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= slot) low = middle;
    else high = middle;
  }
  return low;
}

/** Loops by their first block; one that begins in another one ends in it too. */
function loopsOf(edges: readonly (readonly [number, number])[]): Map<number, number> {
  const loops = new Map<number, number>();
  for (const [from, to] of edges) if (to <= from) loops.set(to, Math.max(from, loops.get(to) ?? 0));
  for (let changed = true; changed; ) {
    changed = false;
    for (const [head, last] of loops) {
      for (const [inner, innerLast] of loops) {
        if (inner > head && inner <= last && innerLast > loops.get(head)!) {
          loops.set(head, innerLast);
          changed = true;
        }
      }
    }
  }
  return loops;
}
