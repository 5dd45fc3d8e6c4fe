// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";
import { insnJump, insnNext } from "../kinds/successors.js";
import { ScratchBytes, ScratchInts } from "./scratch.js";

const DISCOVERED = 1;
const EXPLORED = 2;

const state = new ScratchBytes();
const stack = new ScratchInts();
/* These three stay in use until the verification ends. */
const orders = new ScratchInts();
const nextOf = new ScratchInts();
const jumpOf = new ScratchInts();

/** The instructions of each function, successors first, one function after the other. Mirrors compute_postorder(). */
export function computePostorder(env: VerifierEnv): number {
  const { insns } = env;
  orders.reset(insns.len);
  nextOf.reset(insns.len);
  jumpOf.reset(insns.len);
  const order = orders.ints;
  const nexts = nextOf.ints;
  const jumps = jumpOf.ints;
  state.reset(insns.len);
  stack.reset(insns.len + 1);
  const seen = state.bytes;
  const todo = stack.ints;
  let cur = 0;
  for (let i = 0; i < env.subprogCnt; i++) {
    const subprog = env.subprogs[i]!;
    subprog.postorderStart = cur;
    todo[0] = subprog.start;
    let depth = 1;
    do {
      const top = todo[depth - 1]!;
      seen[top] = seen[top]! | DISCOVERED;
      if ((seen[top]! & EXPLORED) !== 0) {
        order[cur++] = top;
        depth--;
        continue;
      }
      const next = insnNext(insns, top);
      nexts[top] = next;
      if (next >= 0 && seen[next] === 0) {
        todo[depth++] = next;
        seen[next] = DISCOVERED;
      }
      const jump = insnJump(insns, top);
      jumps[top] = jump;
      if (jump >= 0 && seen[jump] === 0) {
        todo[depth++] = jump;
        seen[jump] = DISCOVERED;
      }
      seen[top] = seen[top]! | EXPLORED;
    } while (depth > 0);
  }
  env.subprogs[env.subprogCnt]!.postorderStart = cur;
  env.insnPostorder = order;
  env.succNext = nexts;
  env.succJump = jumps;
  return 0;
}
