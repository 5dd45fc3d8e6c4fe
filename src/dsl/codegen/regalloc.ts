// SPDX-License-Identifier: MIT
import { BugError } from "../../util/errors.js";
import type { Block, Instruction, Reg, Routine, StackSlot } from "./ir.js";
import { defsOf, endUses, FIRST_VIRTUAL, renameEnd, renameRegs, usesOf } from "./ir.js";
import { liveAfterBlocks, walkBack } from "./liveness.js";

/*
 * Registers by graph colouring with coalescing of copies (Chaitin, Briggs, George). Call conventions
 * need nothing special: arguments are copied into R1–R5 by ordinary moves, a call writes R0–R5, and
 * whatever lives across it collides with those and ends up in R6–R9.
 */

/** Registers to give out, those that calls overwrite first. */
const COLOURS: readonly Reg[] = [1, 2, 3, 4, 5, 0, 6, 7, 8, 9];
const K = COLOURS.length;

const isMachine = (reg: Reg): boolean => reg < FIRST_VIRTUAL;

interface Move {
  readonly dst: Reg;
  readonly src: Reg;
  readonly weight: number;
}

/** Which registers must not share a machine register, and which would like to. */
class Interference {
  readonly #neighbours = new Map<Reg, Set<Reg>>();
  readonly #merged = new Map<Reg, Reg>();
  readonly #moves: Move[] = [];
  readonly costs = new Map<Reg, number>();

  constructor(routine: Routine) {
    const liveOut = liveAfterBlocks(routine);
    for (const block of routine.blocks) this.#addBlock(block, liveOut.get(block)!);
    this.#moves.sort((a, b) => b.weight - a.weight);
  }

  #addBlock(block: Block, liveOut: Parameters<typeof walkBack>[1]): void {
    const weight = 10 ** block.depth;
    for (const reg of endUses(block.end)) this.#mention(reg, weight);
    walkBack(block, liveOut, (insn, _index, live) => {
      for (const reg of usesOf(insn)) this.#mention(reg, weight);
      const copied = insn.op === "mov" ? insn.src : -1;
      if (insn.op === "mov") this.#moves.push({ dst: insn.dst, src: insn.src, weight });
      for (const def of defsOf(insn)) {
        this.#mention(def, weight);
        live.forEach((other) => {
          if (other !== copied) this.#connect(def, other);
        });
      }
    });
  }

  #mention(reg: Reg, weight: number): void {
    if (isMachine(reg)) return;
    this.costs.set(reg, (this.costs.get(reg) ?? 0) + weight);
    if (!this.#neighbours.has(reg)) this.#neighbours.set(reg, new Set());
  }

  #connect(a: Reg, b: Reg): void {
    if (a === b || (isMachine(a) && isMachine(b))) return;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const set = this.#neighbours.get(from);
      if (set === undefined) this.#neighbours.set(from, new Set([to]));
      else set.add(to);
    }
  }

  /** The register that stands for this one since they were merged. */
  find(reg: Reg): Reg {
    let at = reg;
    for (let next = this.#merged.get(at); next !== undefined; next = this.#merged.get(at)) at = next;
    return at;
  }

  neighbours(reg: Reg): ReadonlySet<Reg> {
    return this.#neighbours.get(reg) ?? new Set();
  }

  /** Virtual registers that still stand for themselves. */
  nodes(): Reg[] {
    return [...this.#neighbours.keys()].filter((reg) => !isMachine(reg) && !this.#merged.has(reg));
  }

  /** Registers that copies would like to see in one place with this one. */
  partners(reg: Reg): Reg[] {
    const partners: Reg[] = [];
    for (const move of this.#moves) {
      const dst = this.find(move.dst);
      const src = this.find(move.src);
      if (dst === reg && src !== reg) partners.push(src);
      else if (src === reg && dst !== reg) partners.push(dst);
    }
    return partners;
  }

  /** Merges copies wherever that cannot make the graph harder to colour. */
  coalesce(shortLived: ReadonlySet<Reg>): void {
    for (let changed = true; changed; ) {
      changed = false;
      for (const move of this.#moves) {
        if (this.#tryMerge(this.find(move.dst), this.find(move.src), shortLived)) changed = true;
      }
    }
  }

  #tryMerge(a: Reg, b: Reg, shortLived: ReadonlySet<Reg>): boolean {
    if (a === b || (isMachine(a) && isMachine(b)) || this.neighbours(a).has(b)) return false;
    const [into, from] = isMachine(b) ? [b, a] : [a, b];
    // What was made to be short-lived must stay so.
    if (!isMachine(into) && (shortLived.has(into) || shortLived.has(from))) return false;
    if (!(isMachine(into) ? this.#georgeTest(into, from) : this.#briggsTest(into, from))) return false;
    for (const other of this.neighbours(from)) {
      this.#neighbours.get(other)?.delete(from);
      this.#connect(into, other);
    }
    this.#neighbours.delete(from);
    this.#merged.set(from, into);
    if (!isMachine(into)) this.costs.set(into, (this.costs.get(into) ?? 0) + (this.costs.get(from) ?? 0));
    return true;
  }

  /** Merging with a machine register is safe when it adds no neighbour that could be hard to colour. */
  #georgeTest(machine: Reg, from: Reg): boolean {
    for (const other of this.neighbours(from)) {
      if (isMachine(other) || this.neighbours(machine).has(other)) continue;
      if (this.neighbours(other).size >= K) return false;
    }
    return true;
  }

  /** Merging is safe when the result has fewer than K neighbours of K or more neighbours. */
  #briggsTest(a: Reg, b: Reg): boolean {
    let significant = 0;
    for (const other of new Set([...this.neighbours(a), ...this.neighbours(b)])) {
      if (isMachine(other) || this.neighbours(other).size >= K) significant++;
    }
    return significant < K;
  }
}

/** The order in which to choose: last removed from the graph is coloured first. */
function simplify(graph: Interference, unspillable: ReadonlySet<Reg>): Reg[] {
  const degree = new Map<Reg, number>();
  for (const reg of graph.nodes()) degree.set(reg, graph.neighbours(reg).size);
  const order: Reg[] = [];
  while (degree.size > 0) {
    const reg = pickEasy(degree) ?? pickCheapest(graph, degree, unspillable);
    degree.delete(reg);
    order.push(reg);
    for (const other of graph.neighbours(reg)) {
      const left = degree.get(other);
      if (left !== undefined) degree.set(other, left - 1);
    }
  }
  return order;
}

function pickEasy(degree: ReadonlyMap<Reg, number>): Reg | undefined {
  for (const [reg, count] of degree) if (count < K) return reg;
  return undefined;
}

function pickCheapest(graph: Interference, degree: ReadonlyMap<Reg, number>, unspillable: ReadonlySet<Reg>): Reg {
  let best: Reg | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const [reg, count] of degree) {
    const cost = unspillable.has(reg) ? Number.MAX_VALUE : (graph.costs.get(reg) ?? 0) / count;
    if (cost < bestCost) {
      best = reg;
      bestCost = cost;
    }
  }
  if (best === undefined) throw new BugError("no register left to pick");
  return best;
}

interface Colouring {
  readonly colours: ReadonlyMap<Reg, Reg>;
  readonly spilled: readonly Reg[];
}

function colour(graph: Interference, unspillable: ReadonlySet<Reg>): Colouring {
  const colours = new Map<Reg, Reg>();
  const spilled: Reg[] = [];
  const colourOf = (reg: Reg): Reg | undefined => (isMachine(reg) ? reg : colours.get(graph.find(reg)));
  for (const reg of simplify(graph, unspillable).reverse()) {
    const taken = new Set<Reg | undefined>();
    for (const other of graph.neighbours(reg)) taken.add(colourOf(other));
    const free = COLOURS.filter((candidate) => !taken.has(candidate));
    const wished = graph.partners(reg).map(colourOf);
    const chosen = wished.find((c) => c !== undefined && free.includes(c)) ?? free[0];
    if (chosen === undefined) spilled.push(reg);
    else colours.set(reg, chosen);
  }
  return { colours, spilled };
}

/** Lets a register live on the stack: every instruction that names it gets a short-lived one of its own. */
class Spiller {
  readonly #slots = new Map<Reg, StackSlot>();
  readonly #routine: Routine;
  readonly #graph: Interference;
  readonly #unspillable: Set<Reg>;

  constructor(routine: Routine, graph: Interference, spilled: readonly Reg[], unspillable: Set<Reg>) {
    this.#routine = routine;
    this.#graph = graph;
    this.#unspillable = unspillable;
    for (const reg of spilled) {
      if (unspillable.has(reg)) throw new BugError("a register made for a spill cannot be spilled");
      this.#slots.set(reg, { size: 8, align: 8, what: "a value that found no register" });
    }
  }

  run(): void {
    for (const block of this.#routine.blocks) {
      const body: Instruction[] = [];
      for (const insn of block.body) this.#rewrite(insn, body);
      this.#rewriteEnd(block, body);
      block.body.splice(0, block.body.length, ...body);
    }
  }

  #slotOf(reg: Reg): StackSlot | undefined {
    return this.#slots.get(this.#graph.find(reg));
  }

  #temporary(): Reg {
    const reg = this.#routine.nextReg++;
    this.#unspillable.add(reg);
    return reg;
  }

  #rewrite(insn: Instruction, body: Instruction[]): void {
    const names = new Map<StackSlot, Reg>();
    const read = new Set<StackSlot>();
    const written = new Set<StackSlot>();
    for (const reg of usesOf(insn)) collect(this.#slotOf(reg), read);
    for (const reg of defsOf(insn)) collect(this.#slotOf(reg), written);
    for (const slot of new Set([...read, ...written])) names.set(slot, this.#temporary());
    const { at } = insn;
    for (const slot of read) body.push({ op: "load", bytes: 8, dst: names.get(slot)!, base: { slot }, offset: 0, at });
    renameRegs(insn, (reg) => {
      const slot = this.#slotOf(reg);
      return slot === undefined ? reg : names.get(slot)!;
    });
    body.push(insn);
    for (const slot of written) {
      body.push({ op: "store", bytes: 8, base: { slot }, offset: 0, src: { reg: names.get(slot)! }, at });
    }
  }

  #rewriteEnd(block: Block, body: Instruction[]): void {
    const { end } = block;
    const names = new Map<StackSlot, Reg>();
    for (const reg of endUses(end)) {
      const slot = this.#slotOf(reg);
      if (slot === undefined || names.has(slot)) continue;
      const dst = this.#temporary();
      names.set(slot, dst);
      body.push({ op: "load", bytes: 8, dst, base: { slot }, offset: 0, at: end?.at ?? null });
    }
    renameEnd(end, (reg) => {
      const slot = this.#slotOf(reg);
      return slot === undefined ? reg : names.get(slot)!;
    });
  }
}

function collect(slot: StackSlot | undefined, into: Set<StackSlot>): void {
  if (slot !== undefined) into.add(slot);
}

/** Replaces virtual registers by R0–R9, in place; what finds none lives in new stack slots. */
export function allocateRegisters(routine: Routine): void {
  const unspillable = new Set<Reg>();
  for (;;) {
    const graph = new Interference(routine);
    graph.coalesce(unspillable);
    const { colours, spilled } = colour(graph, unspillable);
    if (spilled.length > 0) {
      new Spiller(routine, graph, spilled, unspillable).run();
      continue;
    }
    const machineReg = (reg: Reg): Reg => {
      const root = graph.find(reg);
      const found = isMachine(root) ? root : colours.get(root);
      if (found === undefined) throw new BugError(`register ${reg} was not allocated`);
      return found;
    };
    for (const block of routine.blocks) {
      for (const insn of block.body) renameRegs(insn, machineReg);
      renameEnd(block.end, machineReg);
      const kept = block.body.filter((insn) => !(insn.op === "mov" && insn.dst === insn.src));
      block.body.splice(0, block.body.length, ...kept);
    }
    return;
  }
}
