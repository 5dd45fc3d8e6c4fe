// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";
import { freeState, type VerifierState } from "../state/vstate.js";
import { removeFromFreeList } from "../track/explored.js";
import { exitScc, incompleteReadMarks } from "../track/scc-visit.js";
import { propagateBackedges } from "./propagate.js";

/** Frees an evicted state that nobody needs any more. Mirrors maybe_free_verifier_state(). */
export function maybeFreeVerifierState(env: VerifierEnv, st: VerifierState): void {
  if (!st.inFreeList || st.branches !== 0 || incompleteReadMarks(env, st)) return;
  removeFromFreeList(env, st);
  freeState(st);
}

/** Mirrors maybe_exit_scc(). */
function maybeExitScc(env: VerifierEnv, st: VerifierState): number {
  const visit = exitScc(env, st);
  if (visit === null) return 0;
  return typeof visit === "number" ? visit : propagateBackedges(env, visit);
}

/** A path has ended: states of which it was the last are explored. Mirrors update_branch_counts(). */
export function updateBranchCounts(env: VerifierEnv, from: VerifierState): number {
  let st: VerifierState | null = from;
  // The current state is in no list; its ancestors all are.
  let listed = false;
  while (st !== null) {
    st.branches--;
    if (st.branches !== 0) break;
    const err = maybeExitScc(env, st);
    if (err !== 0) return err;
    const parent: VerifierState | null = st.parent;
    if (listed) maybeFreeVerifierState(env, st);
    st = parent;
    listed = true;
  }
  return 0;
}
