// SPDX-License-Identifier: MIT
import type { Position } from "../position.js";
import type { Block, Instruction, Reg, Routine } from "./ir.js";
import { defsOf, endUses, FIRST_VIRTUAL, isPure, successors, usesOf } from "./ir.js";

/** A set of registers. */
export class RegSet {
  readonly #words: Uint32Array;

  constructor(size: number) {
    this.#words = new Uint32Array((size + 31) >>> 5);
  }

  has(reg: Reg): boolean {
    return (this.#words[reg >>> 5]! & (1 << (reg & 31))) !== 0;
  }

  add(reg: Reg): void {
    this.#words[reg >>> 5]! |= 1 << (reg & 31);
  }

  delete(reg: Reg): void {
    this.#words[reg >>> 5]! &= ~(1 << (reg & 31));
  }

  /** Adds all of another set; says whether that changed anything. */
  addAll(other: RegSet): boolean {
    let changed = 0;
    for (let i = 0; i < this.#words.length; i++) {
      const before = this.#words[i]!;
      const after = before | other.#words[i]!;
      this.#words[i] = after;
      changed |= before ^ after;
    }
    return changed !== 0;
  }

  forEach(visit: (reg: Reg) => void): void {
    for (let i = 0; i < this.#words.length; i++) {
      for (let word = this.#words[i]!; word !== 0; word &= word - 1) {
        visit((i << 5) + 31 - Math.clz32(word & -word));
      }
    }
  }

  copy(): RegSet {
    const set = new RegSet(this.#words.length << 5);
    set.#words.set(this.#words);
    return set;
  }
}

/** Steps over one instruction backwards: what it writes is not live before it, what it reads is. */
export function stepBack(live: RegSet, insn: Instruction): void {
  for (const reg of defsOf(insn)) live.delete(reg);
  for (const reg of usesOf(insn)) live.add(reg);
}

/** The registers live at the end of a block's body, before its end reads any. */
function liveBeforeEnd(block: Block, liveOut: RegSet): RegSet {
  const live = liveOut.copy();
  for (const reg of endUses(block.end)) live.add(reg);
  return live;
}

/** Visits a block's instructions from the last to the first with what is live after each. */
export function walkBack(
  block: Block,
  liveOut: RegSet,
  visit: (insn: Instruction, index: number, liveAfter: RegSet) => void,
): void {
  const live = liveBeforeEnd(block, liveOut);
  for (let i = block.body.length - 1; i >= 0; i--) {
    const insn = block.body[i]!;
    visit(insn, i, live);
    stepBack(live, insn);
  }
}

/** The registers live after each block, by the usual backward data flow. */
export function liveAfterBlocks(routine: Routine): ReadonlyMap<Block, RegSet> {
  const size = routine.nextReg;
  const liveIn = new Map<Block, RegSet>();
  const liveOut = new Map<Block, RegSet>();
  for (const block of routine.blocks) {
    liveIn.set(block, new RegSet(size));
    liveOut.set(block, new RegSet(size));
  }
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = routine.blocks.length - 1; i >= 0; i--) {
      const block = routine.blocks[i]!;
      const out = liveOut.get(block)!;
      for (const next of successors(block)) out.addAll(liveIn.get(next)!);
      const live = liveBeforeEnd(block, out);
      for (let k = block.body.length - 1; k >= 0; k--) stepBack(live, block.body[k]!);
      if (liveIn.get(block)!.addAll(live)) changed = true;
    }
  }
  return liveOut;
}

/** A place that can be reached without the value that it reads. */
export interface UndefinedRead {
  readonly reg: Reg;
  /** Where it is read. */
  readonly at: Position | null;
  /** Where it is computed, on another way. */
  readonly definedAt: Position | null;
}

function findUse(routine: Routine, reg: Reg): Position | null {
  for (const { body, end } of routine.blocks) {
    for (const insn of body) {
      if (usesOf(insn).includes(reg)) return insn.at;
      if (defsOf(insn).includes(reg)) break;
    }
    if (endUses(end).includes(reg) && !body.some((insn) => defsOf(insn).includes(reg))) return end?.at ?? null;
  }
  return null;
}

/** A virtual register that may be read before it is written; undefined when there is none. */
export function findUndefinedRead(routine: Routine): UndefinedRead | undefined {
  const [entry] = routine.blocks;
  if (entry === undefined) return undefined;
  const live = liveBeforeEnd(entry, liveAfterBlocks(routine).get(entry)!);
  for (let i = entry.body.length - 1; i >= 0; i--) stepBack(live, entry.body[i]!);
  let found: UndefinedRead | undefined;
  live.forEach((reg) => {
    if (reg < FIRST_VIRTUAL || found !== undefined) return;
    const definition = routine.blocks.flatMap((block) => block.body).find((insn) => defsOf(insn).includes(reg));
    found = { reg, at: findUse(routine, reg), definedAt: definition?.at ?? null };
  });
  return found;
}

/** Drops what nobody reads from one block; gives the registers that the dropped instructions read. */
function sweep(block: Block, liveOut: RegSet): Reg[] {
  const kept: Instruction[] = [];
  const unread: Reg[] = [];
  const live = liveBeforeEnd(block, liveOut);
  for (let i = block.body.length - 1; i >= 0; i--) {
    const insn = block.body[i]!;
    if (isPure(insn) && !defsOf(insn).some((reg) => live.has(reg))) {
      unread.push(...usesOf(insn));
      continue;
    }
    stepBack(live, insn);
    kept.push(insn);
  }
  if (kept.length !== block.body.length) block.body.splice(0, block.body.length, ...kept.reverse());
  return unread;
}

/** Drops instructions whose only effect is a value that nobody reads. */
export function dropDeadCode(routine: Routine): void {
  for (let again = true; again; ) {
    const liveOut = liveAfterBlocks(routine);
    const unread = routine.blocks.flatMap((block) => sweep(block, liveOut.get(block)!));
    // Within a block one sweep finds all; what another block computed may have become useless too.
    again = unread.some((reg) => routine.blocks.some((block) => liveOut.get(block)!.has(reg)));
  }
}
