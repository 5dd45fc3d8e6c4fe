// SPDX-License-Identifier: GPL-2.0-only
import { BugError } from "../../util/errors.js";
import { MAX_BPF_REG, REG_WORDS } from "./reg.js";

const INITIAL_SLOTS = 4;

/** One call frame: registers, then stack slots, in one Int32Array. Mirrors struct bpf_func_state. */
export class FuncState {
  /** Registers R0–R10, then the stack slots from fp-8 downwards; see reg.ts. Replaced when the stack grows. */
  mem = new Int32Array((MAX_BPF_REG + INITIAL_SLOTS) * REG_WORDS);
  callsite = 0;
  frameno = 0;
  subprogno = 0;
  asyncEntryCnt = 0;
  callbackRetMin = 0;
  callbackRetMax = 0;
  inCallbackFn = false;
  inAsyncCallbackFn = false;
  inExceptionCallbackFn = false;
  callbackDepth = 0;
  /** Bytes of stack that have state, a multiple of 8. */
  allocatedStack = 0;

  /** Makes room for `bytes` of stack; new slots are STACK_INVALID. Never shrinks. Mirrors grow_stack_state(). */
  growStack(bytes: number): void {
    const size = (bytes + 7) & ~7;
    if (size <= this.allocatedStack) return;
    const words = (MAX_BPF_REG + (size >> 3)) * REG_WORDS;
    if (words > this.mem.length) {
      const grown = new Int32Array(Math.max(words, this.mem.length * 2));
      grown.set(this.mem.subarray(0, (MAX_BPF_REG + (this.allocatedStack >> 3)) * REG_WORDS));
      this.mem = grown;
    } else {
      this.mem.fill(0, (MAX_BPF_REG + (this.allocatedStack >> 3)) * REG_WORDS, words);
    }
    this.allocatedStack = size;
  }

  /** Becomes a copy of `src`. Mirrors copy_func_state(). */
  copyFrom(src: FuncState): void {
    const words = (MAX_BPF_REG + (src.allocatedStack >> 3)) * REG_WORDS;
    const from = src.mem;
    if (words > this.mem.length) this.mem = new Int32Array(from.length);
    // To copy some words too many is faster than to make a view of the right ones.
    if (from.length <= this.mem.length && from.length <= words * 2) this.mem.set(from);
    else this.mem.set(from.subarray(0, words));
    this.callsite = src.callsite;
    this.frameno = src.frameno;
    this.subprogno = src.subprogno;
    this.asyncEntryCnt = src.asyncEntryCnt;
    this.callbackRetMin = src.callbackRetMin;
    this.callbackRetMax = src.callbackRetMax;
    this.inCallbackFn = src.inCallbackFn;
    this.inAsyncCallbackFn = src.inAsyncCallbackFn;
    this.inExceptionCallbackFn = src.inExceptionCallbackFn;
    this.callbackDepth = src.callbackDepth;
    this.allocatedStack = src.allocatedStack;
  }
}

const free: FuncState[] = [];

/** A frame with every register and field zeroed, from the pool. */
export function allocFrame(): FuncState {
  const frame = free.pop();
  if (frame === undefined) return new FuncState();
  frame.mem.fill(0, 0, MAX_BPF_REG * REG_WORDS);
  frame.callsite = 0;
  frame.frameno = 0;
  frame.subprogno = 0;
  frame.asyncEntryCnt = 0;
  frame.callbackRetMin = 0;
  frame.callbackRetMax = 0;
  frame.inCallbackFn = false;
  frame.inAsyncCallbackFn = false;
  frame.inExceptionCallbackFn = false;
  frame.callbackDepth = 0;
  frame.allocatedStack = 0;
  return frame;
}

/** A frame that is about to be overwritten by {@link FuncState.copyFrom}: its content is stale. */
export function allocFrameForCopy(): FuncState {
  return free.pop() ?? new FuncState();
}

const POOL_LIMIT = 4096;

/** Returns a frame to the pool; it must not be used afterwards. */
export function freeFrame(frame: FuncState): void {
  if (free.length < POOL_LIMIT) free.push(frame);
}

/** Checked access to a frame that must exist. */
export function mustFrame(frame: FuncState | null | undefined): FuncState {
  if (frame == null) throw new BugError("verifier: missing call frame");
  return frame;
}
