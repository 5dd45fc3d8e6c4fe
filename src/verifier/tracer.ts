// SPDX-License-Identifier: GPL-2.0-only
import type { Difference } from "./events.js";
import type { VerifierState } from "./state/vstate.js";

/** Whom the rooms tell what happens, when somebody listens; report/stream.ts makes events of it. */
export interface Tracer {
  /** The walk of a function begins with the current state. */
  start(subprog: number): void;
  /** The instruction at `env.insnIdx` was counted. */
  enter(): void;
  /** Instruction `insn` was checked; the path goes on. */
  leave(insn: number): void;
  /** `st` was put aside, to go on at `to`. */
  push(st: VerifierState, to: number, speculative: boolean): void;
  /** `st`, put aside before, is the current state now. */
  pop(st: VerifierState): void;
  /** The path ends at `insn`. */
  end(insn: number): void;
  /** The path ends, for speculation goes no further. */
  fence(): void;
  keep(saved: VerifierState): void;
  evict(saved: VerifierState): void;
  hit(saved: VerifierState, inLoop: boolean): void;
  miss(saved: VerifierState, difference: Difference): void;
  call(subprog: number, isGlobal: boolean): void;
  /** `st` walks the callback. */
  callback(subprog: number, st: VerifierState, isAsync: boolean): void;
  /** The current frame is about to go. */
  return(to: number, isCallback: boolean): void;
  /** What is precise in a state that was hit is about to be traced back. */
  propagate(): void;
  /** A trace back from `from` begins; `env.bt` says what is wanted. */
  traceBegin(from: VerifierState): void;
  /** It goes over instruction `insn`. */
  traceStep(insn: number): void;
  /** `env.bt` holds what was marked in frame `frame` of `saved`. */
  traceMark(saved: VerifierState, frame: number): void;
  traceGiveUp(): void;
  traceEnd(): void;
}
