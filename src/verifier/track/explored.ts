// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";
import type { VerifierState } from "../state/vstate.js";

/* The lists of states that were visited, newest first, by a hash of instruction and call site. */

/** Kept from one verification to the next: all null in between. */
const table: (VerifierState | null)[] = [];
const MAX_KEPT = 65536;

/** Lists that hold a state, or held one. */
const used: number[] = [];

/** Makes an empty list for every instruction. */
export function initExplored(env: VerifierEnv): void {
  const { len } = env.insns;
  if (len > MAX_KEPT) {
    env.exploredStates = new Array<VerifierState | null>(len).fill(null);
    return;
  }
  while (table.length < len) table.push(null);
  env.exploredStates = table;
}

/** Empties every list, handing its states to `free`. */
export function freeExplored(env: VerifierEnv, free: (head: VerifierState | null) => void): void {
  for (let bucket = used.pop(); bucket !== undefined; bucket = used.pop()) {
    free(env.exploredStates[bucket] ?? null);
    env.exploredStates[bucket] = null;
  }
}

/** The list for instruction `idx` in the current frame. Mirrors explored_state(). */
export function exploredState(env: VerifierEnv, idx: number): number {
  return ((idx ^ env.cur().cur().callsite) >>> 0) % (env.insns.len >>> 0);
}

/** Puts a state at the head of a list. */
export function addExplored(env: VerifierEnv, bucket: number, st: VerifierState): void {
  const head = env.exploredStates[bucket] ?? null;
  if (head === null) used.push(bucket);
  st.prev = null;
  st.next = head;
  if (head !== null) head.prev = st;
  env.exploredStates[bucket] = st;
}

/** Moves a state from its list to the list of those that are only kept because others point to them. */
export function moveToFreeList(env: VerifierEnv, bucket: number, st: VerifierState): void {
  unlink(st);
  if (env.exploredStates[bucket] === st) env.exploredStates[bucket] = st.next;
  st.inFreeList = true;
  st.prev = null;
  st.next = env.freeList;
  if (env.freeList !== null) env.freeList.prev = st;
  env.freeList = st;
  env.freeListSize++;
  env.exploredStatesSize--;
}

/** Takes a state off the free list. */
export function removeFromFreeList(env: VerifierEnv, st: VerifierState): void {
  unlink(st);
  if (env.freeList === st) env.freeList = st.next;
  env.freeListSize--;
}

function unlink(st: VerifierState): void {
  if (st.prev !== null) st.prev.next = st.next;
  if (st.next !== null) st.next.prev = st.prev;
}

/** Mirrors same_callsites(). */
export function sameCallsites(a: VerifierState, b: VerifierState): boolean {
  if (a.curframe !== b.curframe) return false;
  for (let fr = a.curframe; fr >= 0; fr--) if (a.frame[fr]!.callsite !== b.frame[fr]!.callsite) return false;
  return true;
}

/** The instruction at which a frame stands. Mirrors frame_insn_idx(). */
export function frameInsnIdx(st: VerifierState, frame: number): number {
  return frame === st.curframe ? st.insnIdx : st.frame[frame + 1]!.callsite;
}

/** Mirrors update_peak_states(). */
export function updatePeakStates(env: VerifierEnv): void {
  const cur = env.exploredStatesSize + env.freeListSize + env.numBackedges;
  if (cur > env.peakStates) env.peakStates = cur;
}
