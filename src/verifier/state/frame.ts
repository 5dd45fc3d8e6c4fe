// SPDX-License-Identifier: GPL-2.0-only
import { BugError } from "../../util/errors.js";
import { MAX_BPF_REG, REG_WORDS } from "./reg.js";

const INITIAL_SLOTS = 4;

/** Arrays given back, by size class: room for 4, 8, 16, ... slots. */
const spareMems: Int32Array[][] = [];
const SPARE_LIMIT = 1024;

function sizeClass(slots: number): number {
  return slots <= INITIAL_SLOTS ? 0 : 30 - Math.clz32(slots - 1);
}

function memWords(size: number): number {
  return (MAX_BPF_REG + (INITIAL_SLOTS << size)) * REG_WORDS;
}

/** An array of a size class; its content is stale. */
function takeMem(size: number): Int32Array {
  return spareMems[size]?.pop() ?? new Int32Array(memWords(size));
}

function giveMem(mem: Int32Array): void {
  const size = sizeClass(mem.length / REG_WORDS - MAX_BPF_REG);
  while (spareMems.length <= size) spareMems.push([]);
  const spare = spareMems[size]!;
  if (spare.length < SPARE_LIMIT) spare.push(mem);
}

/** One call frame: registers, then stack slots, in one Int32Array. Mirrors struct bpf_func_state. */
export class FuncState {
  /**
   * Registers R0–R10, then the stack slots from fp-8 downwards; see reg.ts. Replaced when the stack grows. Its length is
   * that of the smallest size class with room for the slots, so that frames of equal stacks are copied as a whole.
   */
  mem = takeMem(0).fill(0);
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
    const used = (MAX_BPF_REG + (this.allocatedStack >> 3)) * REG_WORDS;
    const words = (MAX_BPF_REG + (size >> 3)) * REG_WORDS;
    if (words > this.mem.length) {
      const old = this.mem;
      this.mem = takeMem(sizeClass(size >> 3));
      this.mem.set(old);
      giveMem(old);
    }
    this.mem.fill(0, used, words);
    this.allocatedStack = size;
  }

  /** Becomes a copy of `src`. Mirrors copy_func_state(). */
  copyFrom(src: FuncState): void {
    if (this.mem.length !== src.mem.length) {
      giveMem(this.mem);
      this.mem = takeMem(sizeClass(src.allocatedStack >> 3));
    }
    this.mem.set(src.mem);
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
  if (frame.mem.length !== memWords(0)) {
    giveMem(frame.mem);
    frame.mem = takeMem(0);
  }
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
