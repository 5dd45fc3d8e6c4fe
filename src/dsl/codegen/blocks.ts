// SPDX-License-Identifier: MIT
import { invariant } from "../../util/errors.js";
import type { Block, Routine } from "./ir.js";
import { successors } from "./ir.js";

/** Where a jump to this block really leads: over blocks that only jump on. */
function destination(block: Block): Block {
  const seen = new Set<Block>();
  let at = block;
  while (at.body.length === 0 && at.end?.op === "goto" && !seen.has(at)) {
    seen.add(at);
    at = at.end.to;
  }
  return at;
}

/** Leads jumps straight to where they end up, and drops what cannot be reached. */
export function tidyBlocks(routine: Routine): void {
  for (const block of routine.blocks) {
    const { end } = block;
    if (end?.op === "goto") end.to = destination(end.to);
    if (end?.op === "mayGoto") {
      end.go = destination(end.go);
      end.out = destination(end.out);
    }
    if (end?.op === "branch") {
      end.yes = destination(end.yes);
      end.no = destination(end.no);
      if (end.yes === end.no) block.end = { op: "goto", to: end.yes, at: end.at };
    }
  }
  const reached = new Set<Block>();
  const waiting: Block[] = routine.blocks.slice(0, 1);
  for (let block = waiting.pop(); block !== undefined; block = waiting.pop()) {
    if (reached.has(block)) continue;
    reached.add(block);
    invariant(block.end !== null, `block ${block.id} of ${routine.name} has no end`);
    waiting.push(...successors(block));
  }
  routine.blocks = routine.blocks.filter((block) => reached.has(block));
}

/**
 * The order of blocks in memory: as written, but a block that is only ever jumped to from one place, by
 * an unconditional jump, follows that place.
 */
export function placeBlocks(routine: Routine): Block[] {
  const entries = new Map<Block, number>();
  for (const block of routine.blocks) {
    for (const next of successors(block)) entries.set(next, (entries.get(next) ?? 0) + 1);
  }
  const placed = new Set<Block>();
  const order: Block[] = [];
  const place = (block: Block): void => {
    for (let at: Block | undefined = block; at !== undefined && !placed.has(at); ) {
      placed.add(at);
      order.push(at);
      const next: Block | undefined = at.end?.op === "goto" ? at.end.to : undefined;
      at = next !== undefined && entries.get(next) === 1 ? next : undefined;
    }
  };
  for (const block of routine.blocks) place(block);
  return order;
}
