// SPDX-License-Identifier: MIT

/**
 * How the verifier of a release judges, where releases differ: each rule names what it is since the release that its
 * comment gives (mainline; a stable kernel may have got it earlier). Rules that only move counters or words of the log
 * are left out.
 */
export interface VerifierRules {
  /* Ranges of scalars. */

  /** An addition or subtraction keeps the unsigned range when both its ends wrap, not only when none does (6.17). */
  readonly wrappedRanges: boolean;
  /** Multiplication has ranges for negative factors and for products of factors wider than half a word (6.14). */
  readonly signedProducts: boolean;
  /** The tnum of a product is the union over unknown bits, not the sum of their masks (6.18). */
  readonly tnumProductUnion: boolean;
  /** Negation has a range (6.17). */
  readonly negationRange: boolean;
  /** Byte swaps of a scalar have a tnum (a fix of 6.18's stable series). */
  readonly byteSwapBits: boolean;
  /** A range and a tnum with one value in common are that value (a fix of 6.18's stable series). */
  readonly singleCommonValue: boolean;

  /* Linked scalars: those that hold the same value or a constant apart. */

  /** The constant may be negative, come of a subtraction, or of 32-bit arithmetic (6.18's stable series); else it is a 64-bit addition's. */
  readonly signedDeltas: boolean;
  /** What a comparison tells of a scalar a constant apart is made known in all its domains (6.18's stable series). */
  readonly syncedDeltas: boolean;
  /** Dead registers take no part (6.16). */
  readonly linkedLiveOnly: boolean;

  /* Comparisons. */

  /** A pointer that is not NULL compared with 0 by a 32-bit jump is decided; 6.12's stable series knows that half an address may be 0. */
  readonly pointerHalfDecided: boolean;
  /**
   * Of two pointers compared for equality the one that may be NULL is not NULL because the other's type does not say
   * that it may be; 6.12's stable series wants the other to be known not to be.
   */
  readonly notNullByType: boolean;
  /** What is not NULL is told by its offset as well, and buffers and XDP sockets are not (6.12's stable series). */
  readonly boundedNotNull: boolean;
  /** may_goto to the next instruction is allowed (6.15). */
  readonly mayGotoNext: boolean;

  /* Memory and helpers. */

  /** Memory on the stack that a helper only reads keeps what is known of it (6.14). */
  readonly readsKeepStack: boolean;
  /** Looking up a constant key within an array's bounds does not yield NULL (6.14). */
  readonly arrayKeysInBounds: boolean;
  /** Map values have task work, user pointers and resilient spin locks (6.18, 6.13, 6.15). */
  readonly newMapFields: boolean;
  /** Of fields that a value may have one of, each struct inside may have one; 6.12's stable series counts all of them. */
  readonly fieldsCountedByStruct: boolean;
  /** A reference may be released in a callback though it was acquired outside, and be held when the callback returns (6.14). */
  readonly sharedReferences: boolean;
  /** What is still held at an exit is complained of in the same words wherever the program leaves (6.13). */
  readonly leaksNamed: boolean;
  /** A global function that may sleep must not be called where the program must not (6.15). */
  readonly sleepingGlobals: boolean;
  /** `__arg_untrusted` on arguments of global functions (6.17). */
  readonly untrustedArgs: boolean;
  /** A pointer read from a kernel struct that leads to no struct is memory to be read with care, not a number (6.17). */
  readonly untrustedMemory: boolean;

  /* Speculation. */

  /** An error on a speculative path puts a fence in front of the instruction instead of rejecting the program (6.16). */
  readonly speculationFences: boolean;

  /* Control flow. */

  /** A work list that overflows is E2BIG whoever filled it, not EFAULT or ENOMEM (6.12's stable series). */
  readonly overflowTooBig: boolean;
  /** Classic packet loads are refused in whatever a callback calls, too (6.12's stable series). */
  readonly classicLoadsOutsideCallbacks: boolean;
  /** The main function cannot be a callback (6.12's stable series). */
  readonly mainIsNoCallback: boolean;
  /** Spills around a call are no fastcall pattern when a jump leads between them (6.12's stable series). */
  readonly fastcallStraightLine: boolean;
  /** States of a loop are compared without their dead registers (6.16). */
  readonly loopsIgnoreDead: boolean;
}

/** What Linux 6.18 (6.18.44) does. */
export const rules618: VerifierRules = {
  wrappedRanges: true,
  signedProducts: true,
  tnumProductUnion: true,
  negationRange: true,
  byteSwapBits: true,
  singleCommonValue: true,
  signedDeltas: true,
  syncedDeltas: true,
  linkedLiveOnly: true,
  pointerHalfDecided: true,
  notNullByType: true,
  boundedNotNull: false,
  mayGotoNext: true,
  readsKeepStack: true,
  arrayKeysInBounds: true,
  newMapFields: true,
  fieldsCountedByStruct: true,
  sharedReferences: true,
  leaksNamed: true,
  sleepingGlobals: true,
  untrustedArgs: true,
  untrustedMemory: true,
  speculationFences: true,
  overflowTooBig: false,
  classicLoadsOutsideCallbacks: false,
  mainIsNoCallback: false,
  fastcallStraightLine: false,
  loopsIgnoreDead: true,
};

/** What Linux 6.12 (6.12.117) does. */
export const rules612: VerifierRules = {
  wrappedRanges: false,
  signedProducts: false,
  tnumProductUnion: false,
  negationRange: false,
  byteSwapBits: false,
  singleCommonValue: false,
  signedDeltas: false,
  syncedDeltas: false,
  linkedLiveOnly: false,
  pointerHalfDecided: false,
  notNullByType: false,
  boundedNotNull: true,
  mayGotoNext: false,
  readsKeepStack: false,
  arrayKeysInBounds: false,
  newMapFields: false,
  fieldsCountedByStruct: false,
  sharedReferences: false,
  leaksNamed: false,
  sleepingGlobals: false,
  untrustedArgs: false,
  untrustedMemory: false,
  speculationFences: false,
  overflowTooBig: true,
  classicLoadsOutsideCallbacks: true,
  mainIsNoCallback: true,
  fastcallStraightLine: true,
  loopsIgnoreDead: false,
};
