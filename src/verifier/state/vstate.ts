// SPDX-License-Identifier: GPL-2.0-only
import { allocFrameForCopy, type FuncState, freeFrame, mustFrame } from "./frame.js";

/** enum ref_state_type. */
export const REF_TYPE_PTR = 1 << 1;
export const REF_TYPE_IRQ = 1 << 2;
export const REF_TYPE_LOCK = 1 << 3;
export const REF_TYPE_RES_LOCK = 1 << 4;
export const REF_TYPE_RES_LOCK_IRQ = 1 << 5;
export const REF_TYPE_LOCK_MASK = REF_TYPE_LOCK | REF_TYPE_RES_LOCK | REF_TYPE_RES_LOCK_IRQ;

/** An acquired reference or lock; immutable, so that states may share it. Mirrors struct bpf_reference_state. */
export interface RefState {
  readonly type: number;
  readonly id: number;
  readonly insnIdx: number;
  /** What a lock stands on: identifies a map or a BTF object, 0 for pointer references. */
  readonly ptr: number;
  /** The callback's frame that acquired it, 0 when it was no callback: only where callbacks keep to their own. */
  readonly callbackRef: number;
}

/** Words per jump-history entry: idx, prev_idx, flags, linked_regs low, linked_regs high. */
export const HIST_WORDS = 5;

/** Call frames of one state at most. */
const MAX_FRAMES = 8;

/** A point of the exploration: every frame's registers and stack. Mirrors struct bpf_verifier_state. */
export class VerifierState {
  readonly frame: (FuncState | null)[] = new Array<FuncState | null>(MAX_FRAMES).fill(null);
  parent: VerifierState | null = null;
  refs: RefState[] = [];
  branches = 0;
  insnIdx = 0;
  curframe = 0;
  activeLocks = 0;
  activePreemptLocks = 0;
  activeIrqId = 0;
  activeLockId = 0;
  activeLockPtr = 0;
  activeRcuLock = 0;
  speculative = false;
  inSleepable = false;
  cleaned = false;
  firstInsnIdx = 0;
  lastInsnIdx = 0;
  equalState: VerifierState | null = null;
  /** Jump history, HIST_WORDS words an entry. */
  hist = new Int32Array(0);
  histCnt = 0;
  dfsDepth = 0;
  callbackUnrollDepth = 0;
  mayGotoDepth = 0;

  /* As a member of a list of visited states. Mirrors struct bpf_verifier_state_list. */
  next: VerifierState | null = null;
  prev: VerifierState | null = null;
  missCnt = 0;
  hitCnt = 0;
  inFreeList = false;
  /** Where a state compared with this one differed last, -1 for nowhere; see search/equal.ts. */
  differedAt = -1;

  /** The frame being executed. */
  cur(): FuncState {
    return mustFrame(this.frame[this.curframe]);
  }

  /** Becomes a deep copy of `src`, jump history included. Mirrors copy_verifier_state(). */
  copyFrom(src: VerifierState): void {
    for (let i = 0; i <= src.curframe; i++) {
      let dst = this.frame[i];
      if (dst == null) {
        dst = allocFrameForCopy();
        this.frame[i] = dst;
      }
      dst.copyFrom(mustFrame(src.frame[i]));
    }
    for (let i = src.curframe + 1; i <= this.curframe; i++) {
      const gone = this.frame[i];
      if (gone != null) freeFrame(gone);
      this.frame[i] = null;
    }
    this.copyScalarsFrom(src);
    const words = src.histCnt * HIST_WORDS;
    if (this.hist.length < words) this.hist = new Int32Array(src.hist.length);
    if (words > 32) this.hist.set(src.hist.subarray(0, words));
    else for (let i = 0; i < words; i++) this.hist[i] = src.hist[i]!;
    this.histCnt = src.histCnt;
  }

  private copyScalarsFrom(src: VerifierState): void {
    if (src.refs.length !== 0) this.refs = src.refs.slice();
    else if (this.refs.length !== 0) this.refs = [];
    this.parent = src.parent;
    this.branches = src.branches;
    this.insnIdx = src.insnIdx;
    this.curframe = src.curframe;
    this.activeLocks = src.activeLocks;
    this.activePreemptLocks = src.activePreemptLocks;
    this.activeIrqId = src.activeIrqId;
    this.activeLockId = src.activeLockId;
    this.activeLockPtr = src.activeLockPtr;
    this.activeRcuLock = src.activeRcuLock;
    this.speculative = src.speculative;
    this.inSleepable = src.inSleepable;
    this.cleaned = src.cleaned;
    this.firstInsnIdx = src.firstInsnIdx;
    this.lastInsnIdx = src.lastInsnIdx;
    this.equalState = src.equalState;
    this.dfsDepth = src.dfsDepth;
    this.callbackUnrollDepth = src.callbackUnrollDepth;
    this.mayGotoDepth = src.mayGotoDepth;
  }

  /** Gives the frames back to the pool. Mirrors free_verifier_state(). */
  release(): void {
    // A frame that was being set up when the program was rejected stands above the current one.
    for (let i = 0; i < MAX_FRAMES; i++) {
      const frame = this.frame[i];
      if (frame == null) continue;
      freeFrame(frame);
      this.frame[i] = null;
    }
    this.curframe = 0;
    this.histCnt = 0;
    if (this.refs.length !== 0) this.refs = [];
    this.parent = null;
    this.equalState = null;
  }
}

const free: VerifierState[] = [];
const POOL_LIMIT = 2048;

/** A state about to be overwritten by {@link VerifierState.copyFrom}: nothing of it may be read before. */
export function allocStateForCopy(): VerifierState {
  return free.pop() ?? new VerifierState();
}

/** A state without frames, every field at its first value. */
export function allocState(): VerifierState {
  const state = free.pop();
  if (state === undefined) return new VerifierState();
  state.copyFrom(blank);
  state.curframe = 0;
  return state;
}

/** Gives a state and its frames back to the pool; it must not be used afterwards. */
export function freeState(state: VerifierState): void {
  state.release();
  state.next = null;
  state.prev = null;
  state.missCnt = 0;
  state.hitCnt = 0;
  state.inFreeList = false;
  state.differedAt = -1;
  if (free.length < POOL_LIMIT) free.push(state);
}

/** Has no frames at all: curframe -1. */
const blank = new VerifierState();
blank.curframe = -1;
