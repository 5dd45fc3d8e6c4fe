// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import type { SccVisit } from "../state/tables.js";
import type { VerifierState } from "../state/vstate.js";
import { frameInsnIdx, updatePeakStates } from "./explored.js";

/*
 * Loops while they are explored. A state that was found equal to an earlier one of the same loop
 * keeps a backedge to it until every path out of the loop is known: only then is it known which
 * scalars of the earlier state have to be precise.
 */

/** Call sites of the chain computed last; the rest of the array is stale. */
const chain = new Int32Array(8);
let chainLength = 0;
let chainScc = 0;

/** The loop that a state stands in, by its outermost frame that is in one. Mirrors compute_scc_callchain(). */
function computeSccCallchain(env: VerifierEnv, st: VerifierState): boolean {
  chainLength = 0;
  for (let i = 0; i <= st.curframe; i++) {
    const insnIdx = frameInsnIdx(st, i);
    const scc = env.aux.scc[insnIdx]!;
    if (scc !== 0) {
      chainScc = scc;
      return true;
    }
    if (i < st.curframe) chain[chainLength++] = insnIdx;
  }
  return false;
}

/** The visit of the chain computed last. Mirrors scc_visit_lookup(). */
function lookup(env: VerifierEnv): SccVisit | null {
  const visits = env.sccInfo[chainScc];
  if (visits == null) return null;
  for (const visit of visits) {
    if (visit.callsites.length !== chainLength) continue;
    let same = true;
    for (let i = 0; i < chainLength; i++) if (visit.callsites[i] !== chain[i]) same = false;
    if (same) return visit;
  }
  return null;
}

function alloc(env: VerifierEnv): SccVisit {
  const visit: SccVisit = {
    callsites: Array.from(chain.subarray(0, chainLength)),
    scc: chainScc,
    entryState: null,
    backedges: [],
    numBackedges: 0,
  };
  const visits = env.sccInfo[chainScc];
  if (visits == null) env.sccInfo[chainScc] = [visit];
  else visits.push(visit);
  return visit;
}

function formatCallchain(): string {
  let text = "(";
  for (let i = 0; i < chainLength && chain[i] !== 0; i++) text += `${chain[i]},`;
  return `${text}${chainScc})`;
}

/** The visit of the loop in which a state stands, null when it stands in none or none was made. */
export function sccVisitOf(env: VerifierEnv, st: VerifierState): SccVisit | null {
  return computeSccCallchain(env, st) ? lookup(env) : null;
}

/** A state about to be saved may be the first of its loop. Mirrors maybe_enter_scc(). */
export function maybeEnterScc(env: VerifierEnv, st: VerifierState): void {
  if (!computeSccCallchain(env, st)) return;
  const visit = lookup(env) ?? alloc(env);
  if (visit.entryState !== null) return;
  visit.entryState = st;
  if ((env.log.level & BPF_LOG_LEVEL2) !== 0) verbose(env, `SCC enter ${formatCallchain()}\n`);
}

/** Ends the visit when every path from its first state is known; null when there is nothing to end. Mirrors maybe_exit_scc() up to the propagation. */
export function exitScc(env: VerifierEnv, st: VerifierState): SccVisit | number | null {
  if (!computeSccCallchain(env, st)) return null;
  const visit = lookup(env);
  if (visit === null) {
    if (st.speculative) return null;
    verbose(env, `verifier bug: scc exit: no visit info for call chain ${formatCallchain()}\n`);
    return -Errno.EFAULT;
  }
  if (visit.entryState !== st) return null;
  if ((env.log.level & BPF_LOG_LEVEL2) !== 0) verbose(env, `SCC exit ${formatCallchain()}\n`);
  visit.entryState = null;
  env.numBackedges -= visit.numBackedges;
  visit.numBackedges = 0;
  updatePeakStates(env);
  return visit;
}

/** `backedge` is equal to the saved state `st`. Mirrors add_scc_backedge(). */
export function addSccBackedge(env: VerifierEnv, st: VerifierState, backedge: VerifierState): number {
  if (!computeSccCallchain(env, st)) {
    verbose(env, `verifier bug: add backedge: no SCC in verification path, insn_idx ${st.insnIdx}\n`);
    return -Errno.EFAULT;
  }
  const visit = lookup(env);
  if (visit === null) {
    verbose(env, `verifier bug: add backedge: no visit info for call chain ${formatCallchain()}\n`);
    return -Errno.EFAULT;
  }
  if ((env.log.level & BPF_LOG_LEVEL2) !== 0) verbose(env, `SCC backedge ${formatCallchain()}\n`);
  visit.backedges.push(backedge);
  visit.numBackedges++;
  env.numBackedges++;
  updatePeakStates(env);
  return 0;
}

/** Whether paths through the state's loop are still to be explored. Mirrors incomplete_read_marks(). */
export function incompleteReadMarks(env: VerifierEnv, st: VerifierState): boolean {
  const visit = sccVisitOf(env, st);
  return visit !== null && visit.backedges.length !== 0;
}
