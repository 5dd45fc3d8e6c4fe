// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierState } from "./vstate.js";

/*
 * Plain data that the environment holds for the tracking and searching rooms. It stands here so
 * that env.ts needs nothing of theirs.
 */

/** A state to be explored later. Mirrors struct bpf_verifier_stack_elem. */
export interface StackElem {
  readonly st: VerifierState;
  readonly insnIdx: number;
  readonly prevInsnIdx: number;
  /** Where the log is cut back to when the state is taken up. */
  readonly logPos: number;
}

/** Words per instruction of {@link FuncInstance.frames}: four slot masks, low half first. */
export const LIVE_WORDS = 8;
export const LIVE_MAY_READ = 0;
export const LIVE_MUST_WRITE = 2;
export const LIVE_MUST_WRITE_ACC = 4;
export const LIVE_BEFORE = 6;

/** Stack marks of one function reached by one chain of calls. Mirrors struct func_instance. */
export class FuncInstance {
  /** Call instructions leading here, then the function's first instruction. What lies behind `curframe` is stale. */
  readonly callsites: number[] = [];
  /** First instruction of the function of each frame. */
  readonly spStarts: number[] = [];
  /** Depth: index of the last of both arrays. */
  curframe = 0;
  /** First instruction of the function: the last of `spStarts`. */
  start = 0;
  /** Instructions of the function. */
  insnCnt = 0;
  updated = false;
  mustWriteDropped = false;
  /** By frame: LIVE_WORDS words per instruction of the function, null until a mark is made. */
  readonly frames: (Int32Array | null)[] = [null, null, null, null, null, null, null, null];
  /** By instruction of the function: whether its must-write mask was set once. */
  mustWriteSet = new Uint8Array(64);
  /** No instruction of the function stands in a loop. */
  acyclic = false;
}

const writeMasks = new Int32Array(16);

/** Mirrors struct bpf_liveness. */
export class Liveness {
  readonly instances: FuncInstance[] = [];
  curInstance: FuncInstance | null = null;
  /** Write marks of the current instruction: two words a frame. */
  readonly writeMasksAcc = writeMasks;
  writeInsnIdx = 0;
  /** The instances that live-slot queries look at, by frame. */
  readonly queryInstances: (FuncInstance | null)[] = [null, null, null, null, null, null, null, null];
  queryCurframe = 0;
  queryInsnIdx = 0;
}

/** One way into a strongly connected component of the control flow. Mirrors struct bpf_scc_visit. */
export interface SccVisit {
  /** Call sites, then the number of the component. */
  readonly callsites: readonly number[];
  readonly scc: number;
  entryState: VerifierState | null;
  /** Newest first. */
  backedges: VerifierState[];
  numBackedges: number;
}

/** Registers and slots whose precision is still to be traced back, by frame. Mirrors struct backtrack_state. */
export class BacktrackState {
  frame = 0;
  readonly regMasks = new Int32Array(8);
  readonly stackLo = new Int32Array(8);
  readonly stackHi = new Int32Array(8);

  /** Wants nothing. Mirrors bt_reset(). */
  reset(): void {
    this.frame = 0;
    this.regMasks.fill(0);
    this.stackLo.fill(0);
    this.stackHi.fill(0);
  }
}
