// SPDX-License-Identifier: MIT
import { BugError, InputError } from "../util/errors.js";
import { ja, jaLong } from "./build.js";
import type { Insn } from "./insn.js";
import * as op from "./opcode.js";
import { JMP_OPS } from "./ops.js";

/*
 * Code before its jump offsets are known. A front end writes instructions, labels and branches to
 * labels into a `Code` in the order they shall stand, and `layout()` turns that into slots:
 *
 *   const code = new Code();
 *   const out = code.newLabel("out");
 *   code.emit(mov64Imm(R0, 0));
 *   code.branch(jmpImm("jeq", R1, 0, 0), out);    // its offset is filled in later
 *   code.ref(ldMapFd(R1, 0), { kind: "map", map: "events" });
 *   code.bind(out).emit(exit());
 *   const { insns, refs } = code.layout();
 *
 * Type parameters: `R` is what a reference holds (for an object's code: a `Ref` without `insn`),
 * `M` what a mark holds (for instance a source line).
 */

/** A place in code, known by identity; the name is for messages only. */
export class Label {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Something of the front end's that belongs to one slot. */
export interface At<T> {
  /** Slot index. */
  readonly insn: number;
  readonly value: T;
}

/** Code with every offset filled in. */
export interface Laid<R, M> {
  readonly insns: readonly Insn[];
  /** References in ascending order; `insn` is the first slot of the instruction that refers. */
  readonly refs: readonly At<R>[];
  /**
   * Marks in strictly ascending order: `insn` is the first slot after the mark. Of several marks
   * before the same slot the last one stays; a mark after the last instruction is dropped.
   */
  readonly marks: readonly At<M>[];
  /** The slot that each bound label stands before (the program's length for one at the end). */
  readonly labels: ReadonlyMap<Label, number>;
}

export interface LayoutOptions {
  /**
   * Whether `gotol` (cpu v4, Linux 6.6) may be used for what 16 bits cannot reach. Default true;
   * when false such a jump is an InputError.
   */
  readonly longJumps?: boolean;
}

type Item<R, M> =
  | { readonly kind: "insns"; readonly insns: readonly Insn[] }
  | { readonly kind: "label"; readonly label: Label }
  | { readonly kind: "branch"; readonly insns: readonly Insn[]; readonly to: Label; readonly reach: Reach }
  | { readonly kind: "ref"; readonly insns: readonly Insn[]; readonly value: R }
  | { readonly kind: "mark"; readonly value: M };

type BranchItem<R, M> = Extract<Item<R, M>, { kind: "branch" }>;

/** How a branch holds its distance. */
type Reach = "off16" | "imm32";

/** Collects code; see the head of this file. */
export class Code<R = never, M = never> {
  readonly #items: Item<R, M>[] = [];
  /** Instructions of the last item, where more can be added. */
  #open: Insn[] | undefined;

  #add(item: Item<R, M>): this {
    this.#open = undefined;
    this.#items.push(item);
    return this;
  }

  /** A fresh label, bound nowhere yet. */
  newLabel(name = "label"): Label {
    return new Label(name);
  }

  /** Appends instructions; pairs from `ldImm64()` and its kin are flattened. */
  emit(...insns: readonly (Insn | readonly Insn[])[]): this {
    if (this.#open === undefined) {
      this.#open = [];
      this.#items.push({ kind: "insns", insns: this.#open });
    }
    for (const one of insns) {
      if ("opcode" in one) this.#open.push(one);
      else push(this.#open, one);
    }
    return this;
  }

  /**
   * Says that the label stands here, before the next instruction.
   * @throws InputError at layout when a label is bound twice or is branched to but never bound.
   */
  bind(label: Label): this {
    return this.#add({ kind: "label", label });
  }

  /**
   * Appends an instruction that leads to a label; the distance it carries is overwritten. Takes a
   * conditional jump, `ja`, `jaLong`, `mayGoto`, `callSubprog` or the pair of `ldFunc`.
   *
   * What 16 bits cannot reach becomes: `goto` a `gotol`; a conditional jump its opposite over a
   * `gotol`; one without opposite (`jset`, `may_goto`) a jump to a `gotol` behind a `goto`.
   * @throws InputError for any other instruction.
   */
  branch(insn: Insn | readonly Insn[], to: Label): this {
    const insns: readonly Insn[] = "opcode" in insn ? [insn] : insn;
    return this.#add({ kind: "branch", insns, to, reach: reachOf(insns) });
  }

  /** Appends instructions whose first slot refers to something that is resolved later. */
  ref(insn: Insn | readonly Insn[], value: R): this {
    return this.#add({ kind: "ref", insns: "opcode" in insn ? [insn] : insn, value });
  }

  /** Ties what follows to something of the front end's, up to the next mark. */
  mark(value: M): this {
    return this.#add({ kind: "mark", value });
  }

  /** Appends everything that another piece of code holds. */
  append(other: Code<R, M>): this {
    // What is shared by two pieces must not grow.
    other.#open = undefined;
    for (const item of [...other.#items]) this.#add(item);
    return this;
  }

  /**
   * Places every item and fills in the distances.
   * @throws InputError for a label without a place or with two, and for a jump of more than 16 bits
   *   where long jumps are switched off.
   */
  layout(options: LayoutOptions = {}): Laid<R, M> {
    return new Layout(this.#items, options.longJumps ?? true).run();
  }
}

/** Where a branch holds its distance; throws InputError for what is no branch. */
function reachOf(insns: readonly Insn[]): Reach {
  const insn = insns[0];
  if (insn !== undefined && insns.length === (insn.opcode === op.BPF_LD_IMM64 ? 2 : 1)) {
    if (insn.opcode === op.BPF_LD_IMM64 && insn.src === op.BPF_PSEUDO_FUNC) return "imm32";
    if (insn.opcode === (op.BPF_JMP | op.BPF_CALL) && insn.src === op.BPF_PSEUDO_CALL) return "imm32";
    if (insn.opcode === (op.BPF_JMP32 | op.BPF_JA)) return "imm32";
    if (insn.opcode === (op.BPF_JMP | op.BPF_JA)) return "off16";
    if (insn.opcode === (op.BPF_JMP | op.BPF_JCOND)) return "off16";
    if (conditionOf(insn) !== undefined) return "off16";
  }
  throw new InputError("a branch takes one jump, subprogram call or function address");
}

/** The row of a conditional jump, undefined for anything else. */
function conditionOf(insn: Insn): (typeof JMP_OPS)[keyof typeof JMP_OPS] | undefined {
  const klass = op.bpfClass(insn.opcode);
  if (klass !== op.BPF_JMP && klass !== op.BPF_JMP32) return undefined;
  return CONDITIONS.get(op.bpfOp(insn.opcode));
}

/** Rows of the conditional jumps by their operation bits. */
const CONDITIONS: ReadonlyMap<number, (typeof JMP_OPS)[keyof typeof JMP_OPS]> = new Map(
  Object.values(JMP_OPS).map((row) => [row.op, row]),
);

/** The same jump under the opposite condition, undefined where none exists. */
function invert(insn: Insn): Insn | undefined {
  const inverse = conditionOf(insn)?.inverse;
  if (inverse === undefined || inverse === null) return undefined;
  return { ...insn, opcode: (insn.opcode & 0x0f) | JMP_OPS[inverse].op };
}

/** Slots that a branch takes once it needs more than 16 bits. */
function longSize(insn: Insn): number {
  if (insn.opcode === (op.BPF_JMP | op.BPF_JA)) return 1;
  return invert(insn) === undefined ? 3 : 2;
}

/** One run of laying out: sizes grow until every distance fits. */
class Layout<R, M> {
  readonly #items: readonly Item<R, M>[];
  readonly #longJumps: boolean;
  /** Items, by index, that need the long form. */
  readonly #long = new Set<number>();
  /** First slot of every item, and the total length at the end. */
  #starts: number[] = [];
  #labels = new Map<Label, number>();

  constructor(items: readonly Item<R, M>[], longJumps: boolean) {
    this.#items = items;
    this.#longJumps = longJumps;
  }

  run(): Laid<R, M> {
    // A branch that grew stays long, so this ends after at most one round per branch.
    do this.#place();
    while (this.#grow());
    return this.#write();
  }

  #size(index: number): number {
    const item = this.#items[index]!;
    switch (item.kind) {
      case "insns":
      case "ref":
        return item.insns.length;
      case "branch":
        return this.#long.has(index) ? longSize(item.insns[0]!) : item.insns.length;
      default:
        return 0;
    }
  }

  #place(): void {
    const labels = new Map<Label, number>();
    const starts: number[] = [];
    let slot = 0;
    this.#items.forEach((item, i) => {
      starts.push(slot);
      if (item.kind === "label") {
        if (labels.has(item.label)) throw new InputError(`label "${item.label.name}" stands in two places`);
        labels.set(item.label, slot);
      }
      slot += this.#size(i);
    });
    starts.push(slot);
    this.#starts = starts;
    this.#labels = labels;
  }

  #target(label: Label, from: number): number {
    const slot = this.#labels.get(label);
    if (slot === undefined) throw new InputError(`label "${label.name}" stands nowhere`, { insn: from });
    return slot;
  }

  /** Distance as the hardware counts it: from the slot after the branch's first. */
  #distance(index: number, item: BranchItem<R, M>): number {
    const from = this.#starts[index]!;
    return this.#target(item.to, from) - from - 1;
  }

  /** Makes long what does not fit; says whether anything changed. */
  #grow(): boolean {
    let grown = false;
    this.#items.forEach((item, i) => {
      if (item.kind !== "branch" || item.reach !== "off16" || this.#long.has(i)) return;
      const distance = this.#distance(i, item);
      if (distance >= -0x8000 && distance <= 0x7fff) return;
      if (!this.#longJumps) {
        throw new InputError(
          `jump to label "${item.to.name}" spans ${distance} instructions: more than 16 bits reach (±32767), ` +
            "and long jumps (gotol, cpu v4) are switched off",
          { insn: this.#starts[i]! },
        );
      }
      this.#long.add(i);
      grown = true;
    });
    return grown;
  }

  #write(): Laid<R, M> {
    const insns: Insn[] = [];
    const refs: At<R>[] = [];
    const marks: At<M>[] = [];
    this.#items.forEach((item, i) => {
      switch (item.kind) {
        case "insns":
          push(insns, item.insns);
          break;
        case "ref":
          refs.push({ insn: insns.length, value: item.value });
          push(insns, item.insns);
          break;
        case "mark":
          if (marks.at(-1)?.insn === insns.length) marks.pop();
          marks.push({ insn: insns.length, value: item.value });
          break;
        case "branch":
          push(insns, this.#resolve(i, item));
          break;
      }
    });
    if (marks.at(-1)?.insn === insns.length) marks.pop();
    if (insns.length !== this.#starts.at(-1)) throw new BugError("layout wrote another length than it placed");
    return { insns, refs, marks, labels: this.#labels };
  }

  #resolve(index: number, item: BranchItem<R, M>): readonly Insn[] {
    const [insn, ...rest] = item.insns as [Insn, ...Insn[]];
    const distance = this.#distance(index, item);
    if (item.reach === "imm32") return [{ ...insn, imm: distance }, ...rest];
    if (!this.#long.has(index)) return [{ ...insn, off: distance }];
    if (insn.opcode === (op.BPF_JMP | op.BPF_JA)) return [jaLong(distance)];
    const inverse = invert(insn);
    if (inverse !== undefined) return [{ ...inverse, off: 1 }, jaLong(distance - 1)];
    return [{ ...insn, off: 1 }, ja(1), jaLong(distance - 2)];
  }
}

/** Appends without spreading: a program may be longer than an argument list. */
function push(into: Insn[], insns: readonly Insn[]): void {
  for (const insn of insns) into.push(insn);
}
