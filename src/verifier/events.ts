// SPDX-License-Identifier: GPL-2.0-only

/*
 * What verify() tells a listener while it walks a program; see docs/verifier-events.md. Everything here is plain data,
 * except for the views of states, which make plain data when asked.
 */

/** A register as the verifier knows it, with the names of struct bpf_reg_state. 64-bit numbers are decimal strings. */
export interface RegisterSnapshot {
  /** `scalar`, `fp`, `map_value_or_null`, ... as in the log; empty for a register that holds nothing yet. */
  readonly type: string;
  /** As the log prints it behind `R1=`. */
  readonly text: string;
  /** Of a scalar: its value decided something, so that states may only be equal if it is covered. */
  readonly precise: boolean;
  /** Fixed part of a pointer's offset; of a linked scalar its distance to the others. */
  readonly off: number;
  /** The bits that are known: `value` where `mask` is 0. Hexadecimal. */
  readonly var_off: { readonly value: string; readonly mask: string };
  readonly smin_value: string;
  readonly smax_value: string;
  readonly umin_value: string;
  readonly umax_value: string;
  readonly s32_min_value: number;
  readonly s32_max_value: number;
  readonly u32_min_value: number;
  readonly u32_max_value: number;
  /** What is the same thing has the same id; 0 for none. */
  readonly id: number;
  /** Id of the reference that the pointer belongs to; 0 for none. */
  readonly ref_obj_id: number;
  /** Of a pointer to the stack: the frame whose stack it is. */
  readonly frameno?: number;
  /** Of a packet pointer: bytes from it on that are known to be there. */
  readonly range?: number;
  /** Of a pointer to memory: how many bytes. */
  readonly mem_size?: number;
  /** Of a pointer to a map, its key or its value. */
  readonly map?: { readonly name: string; readonly key_size: number; readonly value_size: number };
}

/** Eight bytes of stack. */
export interface SlotSnapshot {
  /** Offset from the frame pointer: -8, -16, ... */
  readonly fp: number;
  /**
   * What each byte is, as in the log the one at the highest address first: `?` invalid, `r` spilled register, `m` misc,
   * `0` zero, `d` dynptr, `i` iterator, `f` irq flag.
   */
  readonly types: string;
  /** The register spilled there. */
  readonly spilled?: RegisterSnapshot;
}

/** One call frame. */
export interface FrameSnapshot {
  /** 0 is the function that was entered first. */
  readonly frameno: number;
  /** Number and name (empty without BTF) of its function. */
  readonly subprogno: number;
  readonly name: string;
  /** Instruction that called it; -1 in frame 0. */
  readonly callsite: number;
  /** The frame runs a callback, now or later. */
  readonly callback: "none" | "sync" | "async";
  /** R0–R10, without those that hold nothing. */
  readonly registers: Readonly<Record<string, RegisterSnapshot>>;
  /** Slots that hold something, from fp-8 downwards. */
  readonly stack: readonly SlotSnapshot[];
  /** The frame as the log prints it: ` R1=ctx() R10=fp0`. */
  readonly text: string;
}

/** A point of the exploration, as plain data that can be kept and written as JSON. */
export interface StateSnapshot {
  /** The frame being executed is the last. */
  readonly frames: readonly FrameSnapshot[];
  /** Ids of acquired references and locks. */
  readonly refs: readonly number[];
  readonly active_locks: number;
  readonly speculative: boolean;
}

/** A state that can be looked at while the event is being told, and not later: it changes with the walk. */
export interface StateView {
  snapshot(): StateSnapshot;
}

/** Registers and stack slots of one frame: `r3` and fp offsets. */
export interface Wanted {
  readonly frame: number;
  readonly regs: readonly string[];
  readonly slots: readonly number[];
}

interface At {
  /** Number of the path that is being walked, from 0; -1 before the walk. */
  readonly path: number;
  /** Instruction slot. */
  readonly insn: number;
  /** Call depth, from 0. */
  readonly frame: number;
  /** Bytes in the log so far: what is printed because of the event comes behind. */
  readonly logPos: number;
}

/** The walk of a function begins: of the main one, or of a global function on its own. The path has no parent. */
export interface StartEvent extends At {
  readonly kind: "start";
  readonly subprog: number;
  readonly name: string;
  readonly state: StateView;
}

/** An instruction is about to be checked, or the walk found to be known from here: one for each that is processed. */
export interface EnterEvent extends At {
  readonly kind: "enter";
  /** The one before on this path; -1 at its start. */
  readonly prev: number;
  /** The instruction as the kernel prints it. */
  text(): string;
  readonly state: StateView;
}

/** An instruction was checked and the path goes on. */
export interface LeaveEvent extends At {
  readonly kind: "leave";
  readonly next: number;
  readonly state: StateView;
}

/** What made a second path. */
export type PushReason =
  | "branch"
  | "may_goto"
  | "speculation"
  | "callback"
  | "async_callback"
  | "tail_call"
  | "packet_load"
  | "scalar_fork";

/** A copy of the state is put aside, to be walked later as path `child`. Its registers may still learn from the branch; see {@link PopEvent}. */
export interface PushEvent extends At {
  readonly kind: "push";
  readonly child: number;
  /** Where the child goes on. */
  readonly to: number;
  readonly reason: PushReason;
}

/** A path that was put aside is taken up, at `insn`; the newest first. */
export interface PopEvent extends At {
  readonly kind: "pop";
  readonly prev: number;
  readonly state: StateView;
}

/** The path ends: at an exit, since the rest is known, or since speculation cannot get further. */
export interface EndEvent extends At {
  readonly kind: "end";
  readonly reason: "exit" | "pruned" | "speculation";
}

/** The state is kept for later comparisons. */
export interface KeepEvent extends At {
  readonly kind: "keep";
  /** Number of the kept state, from 0. */
  readonly saved: number;
  /** The kept state before it on the same path; null for the first. */
  readonly parent: number | null;
  readonly state: StateView;
}

/** A kept state was compared in vain too often and will not be compared again. */
export interface EvictEvent extends At {
  readonly kind: "evict";
  readonly saved: number;
}

/** The state is covered by a kept one: what follows was found safe. */
export interface HitEvent extends At {
  readonly kind: "hit";
  readonly saved: number;
  /** The kept state stands in a loop that is still being walked: its precision comes later. */
  readonly inLoop: boolean;
  readonly state: StateView;
  readonly savedState: StateView;
}

/** How closely a state was compared: to the bit, within the ranges, or within those of precise scalars only. */
export type Comparison = "exact" | "range_within" | "not_exact";

/** Why a kept state does not cover the current one. */
export interface Difference {
  readonly comparison: Comparison;
  /**
   * What differs: a register or a stack slot, held references or locks, the chain of calls, whether one of them is
   * speculative or may sleep, how deep callbacks or may_goto are, or nothing (the kept state is still being walked, so
   * that being like it would be a loop).
   */
  readonly what: "register" | "slot" | "refs" | "calls" | "speculative" | "sleepable" | "depth" | "nothing";
  readonly frame?: number;
  /** `r3`. */
  readonly register?: string;
  /** Offset of the stack slot from the frame pointer. */
  readonly fp?: number;
  /** The member that differs: `type`, `umax_value`, `var_off`, `id`, `range`, ...; of slots also `slot_type`. */
  readonly field?: string;
  /** Both as the log prints them; of slots, what their bytes are. */
  readonly saved?: string;
  readonly current?: string;
}

/** A kept state of this instruction was compared and does not cover the current one. */
export interface MissEvent extends At {
  readonly kind: "miss";
  readonly saved: number;
  /** Paths from the kept state are still being walked: it is an ancestor, or stands on another branch of one. */
  readonly unfinished: boolean;
  readonly difference: Difference;
  readonly state: StateView;
  readonly savedState: StateView;
}

/** A static function is entered (`frame` is the caller's), or a global one stepped over. */
export interface CallEvent extends At {
  readonly kind: "call";
  readonly subprog: number;
  readonly name: string;
  /** Verified on its own, so that only its arguments matter here. */
  readonly global: boolean;
}

/** A helper is given a callback; the path that walks it is put aside in the push before. */
export interface CallbackEvent extends At {
  readonly kind: "callback";
  readonly subprog: number;
  readonly name: string;
  readonly child: number;
  /** It runs later, on a stack of its own. */
  readonly async: boolean;
}

/** A frame (`frame`) returns to its caller, or a callback to its helper. */
export interface ReturnEvent extends At {
  readonly kind: "return";
  readonly to: number;
  readonly callback: boolean;
  readonly state: StateView;
}

/** One step of the walk back. */
export interface PrecisionStep {
  /** What is wanted before this instruction was looked at, in its frame. */
  readonly insn: number;
  readonly frame: number;
  readonly regs: readonly string[];
  readonly slots: readonly number[];
}

/** What became precise in a kept state. */
export interface PrecisionMark {
  readonly saved: number;
  readonly marks: readonly Wanted[];
}

/** The verdict rests on a value: what it came from was traced back, and marked in kept states. */
export interface PreciseEvent extends At {
  readonly kind: "precise";
  /** An instruction used the value, or the path met a kept state in which it is precise. */
  readonly origin: "use" | "hit";
  /** What was wanted at `insn`. */
  readonly wanted: readonly Wanted[];
  /** Instructions that were walked over, backwards. */
  readonly chain: readonly PrecisionStep[];
  /** Newest state first. */
  readonly marked: readonly PrecisionMark[];
  /** The trace was lost, and all scalars of all states on the way became precise. */
  readonly gaveUp: boolean;
}

/** The last event. */
export interface VerdictEvent extends At {
  readonly kind: "verdict";
  readonly verdict: "accepted" | "rejected" | "unsupported";
  readonly errno: number;
  /** Last line of the log, where there is one. */
  readonly message: string;
}

export type VerifierEvent =
  | StartEvent
  | EnterEvent
  | LeaveEvent
  | PushEvent
  | PopEvent
  | EndEvent
  | KeepEvent
  | EvictEvent
  | HitEvent
  | MissEvent
  | CallEvent
  | CallbackEvent
  | ReturnEvent
  | PreciseEvent
  | VerdictEvent;

/** Hears everything, in order. It must not call verify(); what it throws comes out of verify(). */
export type VerifierListener = (event: VerifierEvent) => void;
