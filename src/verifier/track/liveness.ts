// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";
import { verbose } from "../env.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import { bpfFindContainingSubprog } from "../state/subprog.js";
import {
  FuncInstance,
  LIVE_BEFORE,
  LIVE_MAY_READ,
  LIVE_MUST_WRITE,
  LIVE_MUST_WRITE_ACC,
  LIVE_WORDS,
} from "../state/tables.js";
import type { VerifierState } from "../state/vstate.js";
import { bpfFmtStackMask } from "./bt.js";

/*
 * Which stack slots may still be read. While states are explored, each instruction collects the
 * slots it may read (a union) and the slots it always writes (an intersection), separately for every
 * chain of calls that leads to it; from time to time a data-flow pass spreads them backwards.
 */

const MAX_CALL_FRAMES = 8;

function sameCallsites(a: FuncInstance, callsites: readonly number[], curframe: number): boolean {
  if (a.curframe !== curframe) return false;
  for (let i = curframe; i >= 0; i--) if (a.callsites[i] !== callsites[i]) return false;
  return true;
}

/** Instances that earlier verifications used. */
const spareInstances: FuncInstance[] = [];
const chainCallsites: number[] = [];
const chainStarts: number[] = [];

function isAcyclic(env: VerifierEnv, start: number, cnt: number): boolean {
  if (env.sccCnt === 1) return true;
  for (let i = start; i < start + cnt; i++) if (env.aux.scc[i] !== 0) return false;
  return true;
}

function lookupByChain(
  env: VerifierEnv,
  callsites: readonly number[],
  spStarts: readonly number[],
  curframe: number,
): FuncInstance {
  const instances = env.liveness.instances;
  for (let i = 0; i < instances.length; i++) {
    if (sameCallsites(instances[i]!, callsites, curframe)) return instances[i]!;
  }
  const subprog = bpfFindContainingSubprog(env, spStarts[curframe]!);
  const insnCnt = env.subprogs[subprog + 1]!.start - env.subprogs[subprog]!.start;
  const instance = spareInstances.pop() ?? new FuncInstance();
  for (let i = 0; i <= curframe; i++) {
    instance.callsites[i] = callsites[i]!;
    instance.spStarts[i] = spStarts[i]!;
  }
  instance.curframe = curframe;
  instance.start = spStarts[curframe]!;
  instance.insnCnt = insnCnt;
  instance.updated = false;
  instance.mustWriteDropped = false;
  if (instance.mustWriteSet.length < insnCnt) instance.mustWriteSet = new Uint8Array(insnCnt);
  else instance.mustWriteSet.fill(0, 0, insnCnt);
  instance.acyclic = isAcyclic(env, env.subprogs[subprog]!.start, insnCnt);
  instances.push(instance);
  return instance;
}

/** The instance for frame `frameno` of a state. Mirrors lookup_instance(). */
function lookupInstance(env: VerifierEnv, st: VerifierState, frameno: number): FuncInstance {
  for (let i = 0; i <= frameno; i++) {
    chainStarts[i] = env.subprogs[st.frame[i]!.subprogno]!.start;
    chainCallsites[i] = i < frameno ? st.frame[i + 1]!.callsite : chainStarts[i]!;
  }
  return lookupByChain(env, chainCallsites, chainStarts, frameno);
}

/** Arrays of masks that earlier verifications used. */
const spareMasks: Int32Array[] = [];
const SPARE_LIMIT = 64;
/** Longer arrays are not kept. */
const MAX_KEPT_INSNS = 65536;

function takeMasks(words: number): Int32Array {
  const spare = spareMasks.pop();
  if (spare === undefined || spare.length < words) return new Int32Array(Math.max(words, 1024));
  return spare.fill(0, 0, words);
}

/** Keeps the arrays for the next verification. Mirrors bpf_stack_liveness_free(). */
export function bpfStackLivenessFree(env: VerifierEnv): void {
  const { instances } = env.liveness;
  for (let instance = instances.pop(); instance !== undefined; instance = instances.pop()) {
    const kept = instance.insnCnt <= MAX_KEPT_INSNS;
    for (let frame = 0; frame <= instance.curframe; frame++) {
      const masks = instance.frames[frame]!;
      if (masks !== null && kept && spareMasks.length < SPARE_LIMIT) spareMasks.push(masks);
      instance.frames[frame] = null;
    }
    if (kept && spareInstances.length < SPARE_LIMIT) spareInstances.push(instance);
  }
}

function relativeIdx(instance: FuncInstance, insnIdx: number): number {
  return insnIdx - instance.start;
}

function allocFrameMasks(instance: FuncInstance, frame: number): Int32Array {
  let masks = instance.frames[frame];
  if (masks == null) {
    masks = takeMasks(instance.insnCnt * LIVE_WORDS);
    instance.frames[frame] = masks;
  }
  return masks;
}

/** Mirrors bpf_reset_live_stack_callchain(). */
export function bpfResetLiveStackCallchain(env: VerifierEnv): void {
  env.liveness.curInstance = null;
}

function ensureCurInstance(env: VerifierEnv): FuncInstance {
  const live = env.liveness;
  if (live.curInstance === null) live.curInstance = lookupInstance(env, env.cur(), env.cur().curframe);
  return live.curInstance;
}

function markStackRead(instance: FuncInstance, frame: number, insnIdx: number, lo: number, hi: number): void {
  const masks = allocFrameMasks(instance, frame);
  const at = relativeIdx(instance, insnIdx) * LIVE_WORDS;
  const oldLo = masks[at + LIVE_MAY_READ]!;
  const oldHi = masks[at + LIVE_MAY_READ + 1]!;
  const newLo = oldLo | lo;
  const newHi = oldHi | hi;
  if (newLo !== oldLo || newHi !== oldHi) {
    const unknown = (newLo & ~masks[at + LIVE_BEFORE]!) | (newHi & ~masks[at + LIVE_BEFORE + 1]!);
    if (unknown !== 0) instance.updated = true;
    masks[at + LIVE_MAY_READ] = newLo;
    masks[at + LIVE_MAY_READ + 1] = newHi;
  }
}

/** Instruction `insnIdx` may read slot `spi` of frame `frameno`. Mirrors bpf_mark_stack_read() for one slot. */
export function bpfMarkStackRead(env: VerifierEnv, frameno: number, insnIdx: number, spi: number): number {
  const lo = spi < 32 ? 1 << spi : 0;
  const hi = spi < 32 ? 0 : 1 << (spi - 32);
  markStackRead(ensureCurInstance(env), frameno, insnIdx, lo, hi);
  return 0;
}

/** The current instruction writes all of slot `spi` of frame `frameno`. Mirrors bpf_mark_stack_write() for one slot. */
export function bpfMarkStackWrite(env: VerifierEnv, frameno: number, spi: number): void {
  const at = frameno * 2 + (spi >> 5);
  env.liveness.writeMasksAcc[at] = env.liveness.writeMasksAcc[at]! | (1 << (spi & 31));
}

function resetStackWriteMarks(env: VerifierEnv, instance: FuncInstance, insnIdx: number): void {
  const live = env.liveness;
  live.writeInsnIdx = insnIdx;
  for (let i = 0; i <= instance.curframe; i++) {
    live.writeMasksAcc[2 * i] = 0;
    live.writeMasksAcc[2 * i + 1] = 0;
  }
}

/** Starts collecting the writes of an instruction. Mirrors bpf_reset_stack_write_marks(). */
export function bpfResetStackWriteMarks(env: VerifierEnv, insnIdx: number): number {
  resetStackWriteMarks(env, ensureCurInstance(env), insnIdx);
  return 0;
}

function commitStackWriteMarks(env: VerifierEnv, instance: FuncInstance | null): void {
  if (instance === null) return;
  const live = env.liveness;
  const idx = relativeIdx(instance, live.writeInsnIdx);
  const wasSet = instance.mustWriteSet[idx] !== 0;
  for (let frame = 0; frame <= instance.curframe; frame++) {
    let lo = live.writeMasksAcc[2 * frame]!;
    let hi = live.writeMasksAcc[2 * frame + 1]!;
    if ((lo | hi) === 0 && !wasSet) continue;
    const existing = instance.frames[frame];
    // Nothing written now and no table yet: an intersection with nothing.
    if ((lo | hi) === 0 && existing == null) continue;
    const masks = allocFrameMasks(instance, frame);
    const at = idx * LIVE_WORDS + LIVE_MUST_WRITE;
    // The kernel keeps the previous mask in 32 bits: of slots from fp-264 on it knows nothing here.
    const old = masks[at]!;
    if (wasSet) {
      lo &= old;
      hi = 0;
    }
    if (old !== lo || hi !== 0) {
      masks[at] = lo;
      masks[at + 1] = hi;
      instance.updated = true;
    }
    if ((old & ~lo) !== 0) instance.mustWriteDropped = true;
  }
  instance.mustWriteSet[idx] = 1;
  live.writeInsnIdx = 0;
}

/** The instruction is done: what it wrote joins what it wrote before. Mirrors bpf_commit_stack_write_marks(). */
export function bpfCommitStackWriteMarks(env: VerifierEnv): number {
  commitStackWriteMarks(env, env.liveness.curInstance);
  return 0;
}

function fmtCallchain(instance: FuncInstance): string {
  return `(${instance.callsites.slice(0, instance.curframe + 1).join(",")})`;
}

function logMaskChange(
  env: VerifierEnv,
  instance: FuncInstance,
  what: string,
  frame: number,
  insnIdx: number,
  masks: Int32Array,
  at: number,
  lo: number,
  hi: number,
): void {
  const oldLo = masks[at]!;
  const oldHi = masks[at + 1]!;
  if (oldLo === lo && oldHi === hi) return;
  verbose(env, `${fmtCallchain(instance)} frame ${frame} insn ${insnIdx} `);
  const onesLo = lo & ~oldLo;
  const onesHi = hi & ~oldHi;
  if ((onesLo | onesHi) !== 0) verbose(env, `+${what} ${bpfFmtStackMask(onesLo, onesHi)} `);
  const zerosLo = oldLo & ~lo;
  const zerosHi = oldHi & ~hi;
  if ((zerosLo | zerosHi) !== 0) verbose(env, `-${what} ${bpfFmtStackMask(zerosLo, zerosHi)}`);
  verbose(env, "\n");
}

/** One instruction of the data-flow pass, logging what changes; whether anything did. Mirrors update_insn(). */
function updateInsnLogged(env: VerifierEnv, instance: FuncInstance, frame: number, insnIdx: number): boolean {
  const next = env.succNext[insnIdx]!;
  const jump = env.succJump[insnIdx]!;
  if (next < 0 && jump < 0) return false;
  const masks = instance.frames[frame]!;
  const { start } = instance;
  const at = (insnIdx - start) * LIVE_WORDS;
  let afterLo = 0;
  let afterHi = 0;
  let accLo = -1;
  let accHi = -1;
  for (let k = 0; k < 2; k++) {
    const succ = k === 0 ? next : jump;
    if (succ < 0) continue;
    const s = (succ - start) * LIVE_WORDS;
    afterLo |= masks[s + LIVE_BEFORE]!;
    afterHi |= masks[s + LIVE_BEFORE + 1]!;
    accLo &= masks[s + LIVE_MUST_WRITE_ACC]!;
    accHi &= masks[s + LIVE_MUST_WRITE_ACC + 1]!;
  }
  const writeLo = masks[at + LIVE_MUST_WRITE]!;
  const writeHi = masks[at + LIVE_MUST_WRITE + 1]!;
  const readLo = masks[at + LIVE_MAY_READ]!;
  const readHi = masks[at + LIVE_MAY_READ + 1]!;
  accLo |= writeLo;
  accHi |= writeHi;
  const beforeLo = (afterLo & ~writeLo) | readLo;
  const beforeHi = (afterHi & ~writeHi) | readHi;
  if ((readLo | readHi | writeLo | writeHi) !== 0 || insnIdx === start || env.aux.prunePoint[insnIdx] !== 0) {
    logMaskChange(env, instance, "live", frame, insnIdx, masks, at + LIVE_BEFORE, beforeLo, beforeHi);
    logMaskChange(env, instance, "written", frame, insnIdx, masks, at + LIVE_MUST_WRITE_ACC, accLo, accHi);
  }
  const changed =
    beforeLo !== masks[at + LIVE_BEFORE] ||
    beforeHi !== masks[at + LIVE_BEFORE + 1] ||
    accLo !== masks[at + LIVE_MUST_WRITE_ACC] ||
    accHi !== masks[at + LIVE_MUST_WRITE_ACC + 1];
  masks[at + LIVE_BEFORE] = beforeLo;
  masks[at + LIVE_BEFORE + 1] = beforeHi;
  masks[at + LIVE_MUST_WRITE_ACC] = accLo;
  masks[at + LIVE_MUST_WRITE_ACC + 1] = accHi;
  return changed;
}

/** One pass over a frame's masks, without a word. Mirrors update_insn() for every instruction. */
function updateFrame(env: VerifierEnv, masks: Int32Array, start: number, poStart: number, poEnd: number): boolean {
  const { insnTopo, succNext, succJump } = env;
  let changed = false;
  for (let k = poStart; k < poEnd; k++) {
    const i = insnTopo[k]!;
    let next = succNext[i]!;
    let jump = succJump[i]!;
    if (next < 0) next = jump;
    if (jump < 0) jump = next;
    if (next < 0) continue;
    const at = (i - start) * LIVE_WORDS;
    const a = (next - start) * LIVE_WORDS;
    const b = (jump - start) * LIVE_WORDS;
    for (let half = 0; half < 2; half++) {
      const write = masks[at + LIVE_MUST_WRITE + half]!;
      const after = masks[a + LIVE_BEFORE + half]! | masks[b + LIVE_BEFORE + half]!;
      const before = (after & ~write) | masks[at + LIVE_MAY_READ + half]!;
      const acc = (masks[a + LIVE_MUST_WRITE_ACC + half]! & masks[b + LIVE_MUST_WRITE_ACC + half]!) | write;
      if (before !== masks[at + LIVE_BEFORE + half] || acc !== masks[at + LIVE_MUST_WRITE_ACC + half]) {
        masks[at + LIVE_BEFORE + half] = before;
        masks[at + LIVE_MUST_WRITE_ACC + half] = acc;
        changed = true;
      }
    }
  }
  return changed;
}

function updateFrameLogged(env: VerifierEnv, instance: FuncInstance, frame: number, from: number, to: number): boolean {
  let changed = false;
  for (let i = from; i < to; i++) {
    if (updateInsnLogged(env, instance, frame, env.insnPostorder[i]!)) changed = true;
  }
  return changed;
}

/** What the function's first instruction needs and writes in outer frames becomes the call's. Mirrors propagate_to_outer_instance(). */
function propagateToOuterInstance(env: VerifierEnv, instance: FuncInstance): void {
  const cur = instance.curframe;
  const callsites = instance.callsites.slice(0, cur);
  callsites[cur - 1] = instance.spStarts[cur - 1]!;
  const outer = lookupByChain(env, callsites, instance.spStarts, cur - 1);
  const callsite = instance.callsites[cur - 1]!;
  resetStackWriteMarks(env, outer, callsite);
  for (let frame = 0; frame < cur; frame++) {
    const masks = instance.frames[frame];
    if (masks == null) continue;
    const acc = env.liveness.writeMasksAcc;
    acc[2 * frame] = acc[2 * frame]! | masks[LIVE_MUST_WRITE_ACC]!;
    acc[2 * frame + 1] = acc[2 * frame + 1]! | masks[LIVE_MUST_WRITE_ACC + 1]!;
    markStackRead(outer, frame, callsite, masks[LIVE_BEFORE]!, masks[LIVE_BEFORE + 1]!);
  }
  commitStackWriteMarks(env, outer);
}

function resetMustWriteAcc(instance: FuncInstance): void {
  for (let frame = 0; frame <= instance.curframe; frame++) {
    const masks = instance.frames[frame];
    if (masks == null) continue;
    for (let i = 0; i < instance.insnCnt; i++) {
      masks[i * LIVE_WORDS + LIVE_MUST_WRITE_ACC] = 0;
      masks[i * LIVE_WORDS + LIVE_MUST_WRITE_ACC + 1] = 0;
    }
  }
}

/** Spreads the marks until nothing changes. Mirrors update_instance(). */
function updateInstance(env: VerifierEnv, instance: FuncInstance): void {
  if (instance.mustWriteDropped) resetMustWriteAcc(instance);
  const subprog = bpfFindContainingSubprog(env, instance.start);
  const poStart = env.subprogs[subprog]!.postorderStart;
  const poEnd = env.subprogs[subprog + 1]!.postorderStart;
  const logged = (env.log.level & BPF_LOG_LEVEL2) !== 0;
  const { start } = instance;
  let cnt = 0;
  let changed: boolean;
  do {
    cnt++;
    changed = false;
    for (let frame = 0; frame <= instance.curframe; frame++) {
      const masks = instance.frames[frame];
      if (masks == null) continue;
      const any = logged
        ? updateFrameLogged(env, instance, frame, poStart, poEnd)
        : updateFrame(env, masks, start, poStart, poEnd);
      if (any) changed = true;
    }
    // In topological order one pass is enough where nothing loops; the log counts the kernel's passes.
    if (!logged && instance.acyclic) break;
  } while (changed);
  if (logged) {
    verbose(env, `${fmtCallchain(instance)} live stack update done in ${cnt} iterations\n`);
  }
  if (instance.curframe > 0) propagateToOuterInstance(env, instance);
}

/** Brings every instance of the current state's call chain up to date. Mirrors bpf_update_live_stack(). */
export function bpfUpdateLiveStack(env: VerifierEnv): number {
  bpfResetLiveStackCallchain(env);
  const cur = env.cur();
  for (let frame = cur.curframe; frame >= 0; frame--) {
    const instance = lookupInstance(env, cur, frame);
    if (!instance.updated) continue;
    updateInstance(env, instance);
    instance.updated = false;
    instance.mustWriteDropped = false;
  }
  return 0;
}

/** Prepares {@link bpfStackSlotAlive} for a state. Mirrors bpf_live_stack_query_init(). */
export function bpfLiveStackQueryInit(env: VerifierEnv, st: VerifierState): number {
  const live = env.liveness;
  for (let i = 0; i < MAX_CALL_FRAMES; i++) live.queryInstances[i] = null;
  for (let frame = 0; frame <= st.curframe; frame++) live.queryInstances[frame] = lookupInstance(env, st, frame);
  live.queryCurframe = st.curframe;
  live.queryInsnIdx = st.insnIdx;
  return 0;
}

function isLiveBefore(instance: FuncInstance, insnIdx: number, frameno: number, spi: number): boolean {
  const masks = instance.frames[frameno];
  if (masks == null) return false;
  const word = masks[relativeIdx(instance, insnIdx) * LIVE_WORDS + LIVE_BEFORE + (spi >> 5)]!;
  return ((word >> (spi & 31)) & 1) !== 0;
}

/** Whether slot `spi` of frame `frameno` of the queried state may still be read. Mirrors bpf_stack_slot_alive(). */
export function bpfStackSlotAlive(env: VerifierEnv, frameno: number, spi: number): boolean {
  const live = env.liveness;
  const cur = live.queryInstances[live.queryCurframe]!;
  if (isLiveBefore(cur, live.queryInsnIdx, frameno, spi)) return true;
  for (let i = frameno; i < live.queryCurframe; i++) {
    const callsite = cur.callsites[i]!;
    // A callback may run again, so what lives before the call that runs it counts.
    const at = env.aux.callsCallback[callsite] !== 0 ? callsite : callsite + 1;
    if (isLiveBefore(live.queryInstances[i]!, at, frameno, spi)) return true;
  }
  return false;
}
