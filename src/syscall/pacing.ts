// SPDX-License-Identifier: MIT

/**
 * Accepted loads between two pauses. A kernel on which about a thousand freed programs wait on one
 * CPU while another load allocates JIT memory deadlocks for good, all processes included (Linux
 * 6.18); the pause lets the deferred frees run. Rejected loads free nothing there and don't count.
 */
export const LOADS_PER_PAUSE = 32;
/** Length of the pause in milliseconds. */
export const PAUSE_MS = 2;

let accepted = 0;
let word: Int32Array | undefined;

/**
 * Counts one accepted BPF_PROG_LOAD and sleeps after every {@link LOADS_PER_PAUSE}th. Whoever loads
 * programs, here or through another tool, calls this once for each.
 */
export function paceAcceptedLoad(): void {
  accepted++;
  if (accepted % LOADS_PER_PAUSE !== 0) return;
  word ??= new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(word, 0, 0, PAUSE_MS);
}

/** Programs that this thread brought into the kernel so far. */
export function acceptedLoads(): number {
  return accepted;
}
