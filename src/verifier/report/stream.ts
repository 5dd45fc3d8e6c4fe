// SPDX-License-Identifier: GPL-2.0-only
import { BPF_CALL, BPF_JCOND, BPF_JMP, BPF_JMP32, BPF_LD } from "../../asm/opcode.js";
import type { VerifierEnv } from "../env.js";
import type {
  Difference,
  EndEvent,
  PrecisionMark,
  PrecisionStep,
  PushReason,
  StateView,
  VerdictEvent,
  VerifierListener,
  Wanted,
} from "../events.js";
import { isMayGotoInsn, isSyncCallbackCallingInsn } from "../kinds/insn.js";
import { insnText } from "../state/print.js";
import { subprogName } from "../state/subprog.js";
import type { VerifierState } from "../state/vstate.js";
import type { Tracer } from "../tracer.js";
import { stateSnapshot } from "./snapshot.js";

/** Names of the registers of a mask. */
function regNames(mask: number): string[] {
  const names: string[] = [];
  for (let i = 0; i < 11; i++) if (((mask >>> i) & 1) !== 0) names.push(`r${i}`);
  return names;
}

/** Offsets from the frame pointer of the slots of a mask. */
function slotOffsets(lo: number, hi: number): number[] {
  const offsets: number[] = [];
  for (let i = 0; i < 64; i++) if ((((i < 32 ? lo : hi) >>> (i & 31)) & 1) !== 0) offsets.push(-(i + 1) * 8);
  return offsets;
}

/** A trace back that is under way. */
interface Trace {
  readonly origin: "use" | "hit";
  readonly wanted: readonly Wanted[];
  readonly chain: PrecisionStep[];
  readonly marked: { readonly saved: number; readonly marks: Wanted[] }[];
  gaveUp: boolean;
}

/** Makes events of what the rooms tell. */
export class EventStream implements Tracer {
  private readonly env: VerifierEnv;
  private readonly listener: VerifierListener;
  /** The path being walked. */
  private path = -1;
  private paths = 0;
  private kept = 0;
  /** Numbers of the paths that are put aside. */
  private readonly waiting = new Map<VerifierState, number>();
  /** Numbers of the states that are kept. */
  private readonly saved = new Map<VerifierState, number>();
  private endReason: EndEvent["reason"] = "exit";
  private origin: Trace["origin"] = "use";
  private trace: Trace | null = null;

  constructor(env: VerifierEnv, listener: VerifierListener) {
    this.env = env;
    this.listener = listener;
  }

  start(subprog: number): void {
    const { env } = this;
    this.path = this.paths++;
    this.listener({
      kind: "start",
      ...this.at(env.insnIdx),
      subprog,
      name: subprogName(env, subprog),
      state: this.view(env.cur()),
    });
  }

  enter(): void {
    const { env } = this;
    const insn = env.insnIdx;
    this.listener({
      kind: "enter",
      ...this.at(insn),
      prev: env.prevInsnIdx,
      text: () => insnText(env, insn),
      state: this.view(env.cur()),
    });
  }

  leave(insn: number): void {
    const { env } = this;
    this.listener({ kind: "leave", ...this.at(insn), next: env.insnIdx, state: this.view(env.cur()) });
  }

  push(st: VerifierState, to: number, speculative: boolean): void {
    const child = this.paths++;
    this.waiting.set(st, child);
    this.listener({ kind: "push", ...this.at(this.env.insnIdx), child, to, reason: this.pushReason(st, speculative) });
  }

  private pushReason(st: VerifierState, speculative: boolean): PushReason {
    const { insns, insnIdx } = this.env;
    if (speculative) return "speculation";
    const code = insns.code[insnIdx]!;
    const cls = code & 7;
    if (cls === BPF_LD) return "packet_load";
    if (cls !== BPF_JMP && cls !== BPF_JMP32) return "scalar_fork";
    if ((code & 0xf0) === BPF_CALL) {
      if (isSyncCallbackCallingInsn(insns, insnIdx)) return "callback";
      return st.parent === null ? "async_callback" : "tail_call";
    }
    return (code & 0xf0) === BPF_JCOND && isMayGotoInsn(insns, insnIdx) ? "may_goto" : "branch";
  }

  pop(st: VerifierState): void {
    const { env } = this;
    this.path = this.waiting.get(st) ?? -1;
    this.waiting.delete(st);
    this.listener({ kind: "pop", ...this.at(env.insnIdx), prev: env.prevInsnIdx, state: this.view(st) });
  }

  fence(): void {
    this.endReason = "speculation";
  }

  end(insn: number): void {
    const reason = this.endReason;
    this.endReason = "exit";
    this.listener({ kind: "end", ...this.at(insn), reason });
  }

  keep(saved: VerifierState): void {
    const { parent } = saved;
    const number = this.kept++;
    this.saved.set(saved, number);
    this.listener({
      kind: "keep",
      ...this.at(this.env.insnIdx),
      saved: number,
      parent: parent === null ? null : this.numberOf(parent),
      state: this.view(saved),
    });
  }

  evict(saved: VerifierState): void {
    this.listener({ kind: "evict", ...this.at(this.env.insnIdx), saved: this.numberOf(saved) });
  }

  hit(saved: VerifierState, inLoop: boolean): void {
    const { env } = this;
    this.endReason = "pruned";
    this.listener({
      kind: "hit",
      ...this.at(env.insnIdx),
      saved: this.numberOf(saved),
      inLoop,
      state: this.view(env.cur()),
      savedState: this.view(saved),
    });
  }

  miss(saved: VerifierState, difference: Difference): void {
    const { env } = this;
    this.listener({
      kind: "miss",
      ...this.at(env.insnIdx),
      saved: this.numberOf(saved),
      unfinished: saved.branches !== 0,
      difference,
      state: this.view(env.cur()),
      savedState: this.view(saved),
    });
  }

  call(subprog: number, isGlobal: boolean): void {
    const state = this.env.cur();
    this.listener({
      kind: "call",
      ...this.at(state.insnIdx),
      frame: state.curframe - (isGlobal ? 0 : 1),
      subprog,
      name: subprogName(this.env, subprog),
      global: isGlobal,
    });
  }

  callback(subprog: number, st: VerifierState, isAsync: boolean): void {
    const { env } = this;
    this.listener({
      kind: "callback",
      ...this.at(env.insnIdx),
      subprog,
      name: subprogName(env, subprog),
      child: this.waiting.get(st) ?? -1,
      async: isAsync,
    });
  }

  return(to: number, isCallback: boolean): void {
    const { env } = this;
    const state = this.view(env.cur());
    this.listener({ kind: "return", ...this.at(env.cur().insnIdx), to, callback: isCallback, state });
  }

  propagate(): void {
    this.origin = "hit";
  }

  traceBegin(from: VerifierState): void {
    const wanted: Wanted[] = [];
    for (let frame = 0; frame <= from.curframe; frame++) {
      const want = this.wantedIn(frame);
      if (want.regs.length + want.slots.length !== 0) wanted.push(want);
    }
    this.trace = { origin: this.origin, wanted, chain: [], marked: [], gaveUp: false };
    this.origin = "use";
  }

  traceStep(insn: number): void {
    this.trace?.chain.push({ insn, ...this.wantedIn(this.env.bt.frame) });
  }

  traceMark(saved: VerifierState, frame: number): void {
    if (this.trace === null) return;
    const { marked } = this.trace;
    const number = this.numberOf(saved);
    let mark = marked[marked.length - 1];
    if (mark?.saved !== number) {
      mark = { saved: number, marks: [] };
      marked.push(mark);
    }
    mark.marks.push(this.wantedIn(frame));
  }

  traceGiveUp(): void {
    if (this.trace !== null) this.trace.gaveUp = true;
  }

  traceEnd(): void {
    const { trace } = this;
    if (trace === null) return;
    this.trace = null;
    const marked: PrecisionMark[] = trace.marked;
    this.listener({ kind: "precise", ...this.at(this.env.insnIdx), ...trace, marked });
  }

  /** The last event. */
  verdict(verdict: VerdictEvent["verdict"], errno: number, message: string): void {
    this.listener({ kind: "verdict", ...this.at(this.env.insnIdx), verdict, errno, message });
  }

  private at(insn: number): { path: number; insn: number; frame: number; logPos: number } {
    const { env } = this;
    return { path: this.path, insn, frame: env.curState?.curframe ?? 0, logPos: env.log.endPos };
  }

  private numberOf(st: VerifierState): number {
    return this.saved.get(st) ?? -1;
  }

  private view(st: VerifierState): StateView {
    return { snapshot: () => stateSnapshot(this.env, st) };
  }

  private wantedIn(frame: number): Wanted {
    const { bt } = this.env;
    return { frame, regs: regNames(bt.regMasks[frame]!), slots: slotOffsets(bt.stackLo[frame]!, bt.stackHi[frame]!) };
  }
}
