// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { isMayGotoInsn } from "../kinds/insn.js";
import { printVerifierState, verboseLinfo } from "../state/print.js";
import { allocStateForCopy, type VerifierState } from "../state/vstate.js";
import { markAllScalarsImprecise } from "../track/backtrack.js";
import { addExplored, exploredState, moveToFreeList, updatePeakStates } from "../track/explored.js";
import { pushJmpHistory } from "../track/history.js";
import { addSccBackedge, incompleteReadMarks, maybeEnterScc } from "../track/scc-visit.js";
import { maybeFreeVerifierState } from "./branches.js";
import { cleanLiveStates } from "./clean.js";
import { EXACT, iterActiveDepthsDiffer, NOT_EXACT, RANGE_WITHIN, statesEqual, statesMaybeLooping } from "./equal.js";
import { explainMiss } from "./explain.js";
import { propagatePrecision } from "./propagate.js";

/* At the places marked by check_cfg(): was this state, or one that covers it, seen before? */

const HISTORY_LIMIT = 40;

/* What comparing the current state with a saved one came to. */
const MISS = 0;
/** As MISS, and saving the current state is not worth it while the loop goes round. */
const MISS_IN_LOOP = 1;
const HIT = 2;
/** HIT with a state whose loop is still being explored. */
const HIT_IN_LOOP = 3;

const ignored = { value: false };

function reportInfiniteLoop(env: VerifierEnv, old: VerifierState, cur: VerifierState, insnIdx: number): number {
  verboseLinfo(env, insnIdx, "; ");
  verbose(env, `infinite loop detected at insn ${insnIdx}\n`);
  verbose(env, "cur state:");
  printVerifierState(env, cur, cur.curframe, true);
  verbose(env, "old state:");
  printVerifierState(env, old, cur.curframe, true);
  return -Errno.EINVAL;
}

/** Compares with a state from which paths are still being explored: the program loops. */
function compareWithAncestor(env: VerifierEnv, old: VerifierState, cur: VerifierState, insnIdx: number): number {
  const frame = old.cur();
  // Another entry into a callback that runs later is no loop.
  if (frame.inAsyncCallbackFn && frame.asyncEntryCnt !== cur.cur().asyncEntryCnt) return MISS_IN_LOOP;
  if (env.aux.isIterNext[insnIdx] !== 0) throw new Unsupported(insnIdx, "open-coded iterator");
  if (isMayGotoInsn(env.insns, insnIdx)) {
    if (old.mayGotoDepth !== cur.mayGotoDepth && statesEqual(env, old, cur, RANGE_WITHIN)) return HIT_IN_LOOP;
  }
  if (env.aux.callsCallback[insnIdx] !== 0) {
    return statesEqual(env, old, cur, RANGE_WITHIN) ? HIT : MISS_IN_LOOP;
  }
  if (
    statesMaybeLooping(old, cur) &&
    statesEqual(env, old, cur, EXACT) &&
    !iterActiveDepthsDiffer(old, cur) &&
    old.mayGotoDepth === cur.mayGotoDepth &&
    old.callbackUnrollDepth === cur.callbackUnrollDepth
  ) {
    return reportInfiniteLoop(env, old, cur, insnIdx);
  }
  return MISS_IN_LOOP;
}

/** The current state is covered by `old`: what is precise there is wanted on the way here. */
function takeHit(env: VerifierEnv, old: VerifierState, cur: VerifierState, insnIdx: number, loop: boolean): number {
  old.hitCnt++;
  if (env.tracer !== null) {
    env.tracer.hit(old, loop);
    env.tracer.propagate();
  }
  if (env.aux.jmpPoint[env.insnIdx] !== 0) pushJmpHistory(env, cur, 0, 0, 0);
  const err = propagatePrecision(env, old, cur, ignored);
  if (err !== 0) return err;
  if (loop) {
    const backedge = allocStateForCopy();
    backedge.copyFrom(cur);
    backedge.equalState = old;
    backedge.insnIdx = insnIdx;
    const added = addSccBackedge(env, old, backedge);
    if (added !== 0) return added;
  }
  return 1;
}

/** A state that was compared in vain too often goes. */
function countMiss(env: VerifierEnv, bucket: number, old: VerifierState, insnIdx: number, willAdd: boolean): void {
  if (willAdd) old.missCnt++;
  const n = env.aux.forceCheckpoint[insnIdx] !== 0 && old.branches > 0 ? 64 : 3;
  if (old.missCnt <= old.hitCnt * n + n) return;
  if (env.tracer !== null) env.tracer.evict(old);
  moveToFreeList(env, bucket, old);
  maybeFreeVerifierState(env, old);
}

function saveState(env: VerifierEnv, bucket: number, cur: VerifierState, insnIdx: number): void {
  env.totalStates++;
  env.exploredStatesSize++;
  updatePeakStates(env);
  env.prevJmpsProcessed = env.jmpsProcessed;
  env.prevInsnProcessed = env.insnProcessed;
  if (env.bpfCapable) markAllScalarsImprecise(cur);
  const saved = allocStateForCopy();
  saved.copyFrom(cur);
  saved.insnIdx = insnIdx;
  maybeEnterScc(env, saved);
  cur.parent = saved;
  cur.firstInsnIdx = insnIdx;
  cur.dfsDepth = saved.dfsDepth + 1;
  cur.histCnt = 0;
  addExplored(env, bucket, saved);
  if (env.tracer !== null) env.tracer.keep(saved);
}

/**
 * 1 when the current state need not be explored further, 0 when it must, or a negative errno. May
 * save the state for later comparisons. Mirrors is_state_visited().
 */
export function isStateVisited(env: VerifierEnv, insnIdx: number): number {
  const cur = env.cur();
  const force = env.testStateFreq || env.aux.forceCheckpoint[insnIdx] !== 0 || cur.histCnt > HISTORY_LIMIT;
  const jmps = env.jmpsProcessed - env.prevJmpsProcessed;
  const insns = env.insnProcessed - env.prevInsnProcessed;
  let add = force || (jmps >= 2 && insns >= 8);

  cleanLiveStates(env, insnIdx, cur);

  const bucket = exploredState(env, insnIdx);
  let count = 0;
  // What one saved state says stays when the next one is an ancestor that calls a callback: so it is in the kernel.
  let loop = false;
  let next: VerifierState | null;
  for (let old = env.exploredStates[bucket] ?? null; old !== null; old = next) {
    next = old.next;
    count++;
    if (old.insnIdx !== insnIdx) continue;
    let result: number;
    if (old.branches !== 0) result = compareWithAncestor(env, old, cur, insnIdx);
    else {
      // All of its paths were found safe.
      loop = incompleteReadMarks(env, old);
      result = statesEqual(env, old, cur, loop ? RANGE_WITHIN : NOT_EXACT) ? HIT : MISS;
    }
    if (result < 0) return result;
    if (result === HIT_IN_LOOP) loop = true;
    if (result === HIT || result === HIT_IN_LOOP) return takeHit(env, old, cur, insnIdx, loop);
    if (env.tracer !== null) env.tracer.miss(old, explainMiss(env, old, cur, insnIdx));
    if (result === MISS_IN_LOOP && !force && jmps < 20 && insns < 100) add = false;
    countMiss(env, bucket, old, insnIdx, add);
  }
  if (env.maxStatesPerInsn < count) env.maxStatesPerInsn = count;
  if (!env.bpfCapable && count > Limit.BPF_COMPLEXITY_LIMIT_STATES) return 0;
  if (add) saveState(env, bucket, cur, insnIdx);
  return 0;
}
