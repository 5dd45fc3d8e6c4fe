// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";

/* Loops of the control flow, as its strongly connected components (Tarjan's algorithm, without recursion). */

const NOT_ON_STACK = 0x7fffffff;

let room = 0;
/** Open vertices, in the order in which they were met. */
let stack = new Int32Array(0);
/** Number under which a vertex was met, 0 for not yet. */
let pre = new Int32Array(0);
/** Smallest such number that can be reached. */
let low = new Int32Array(0);
let dfs = new Int32Array(0);
/** Every vertex behind those it reaches, as far as loops allow. */
let topo = new Int32Array(0);

function reset(len: number): void {
  if (room < len) {
    room = Math.max(len, room * 2);
    stack = new Int32Array(room);
    pre = new Int32Array(room);
    low = new Int32Array(room);
    dfs = new Int32Array(room);
    topo = new Int32Array(room);
  } else {
    pre.fill(0, 0, len);
  }
}

class Walk {
  private readonly env: VerifierEnv;
  private stackSize = 0;
  private nextPreorder = 1;
  private topoSize = 0;
  nextId = 1;

  constructor(env: VerifierEnv) {
    this.env = env;
  }

  /** Walks everything that can be reached from `root`. */
  run(root: number): void {
    let depth = 1;
    dfs[0] = root;
    this.stackSize = 0;
    while (depth > 0) {
      const w = dfs[depth - 1]!;
      if (pre[w] === 0) {
        pre[w] = this.nextPreorder;
        low[w] = this.nextPreorder;
        this.nextPreorder++;
        stack[this.stackSize++] = w;
      }
      const s = this.visitSuccessors(w);
      if (s >= 0) {
        dfs[depth++] = s;
        continue;
      }
      if (low[w]! >= pre[w]!) this.popComponent(w);
      depth--;
    }
  }

  /** A successor not met yet, or -1 when what they reach is known of all. */
  private visitSuccessors(w: number): number {
    const { succNext, succJump } = this.env;
    const next = succNext[w]!;
    if (next >= 0) {
      if (pre[next] === 0) return next;
      if (low[next]! < low[w]!) low[w] = low[next]!;
    }
    const jump = succJump[w]!;
    if (jump >= 0) {
      if (pre[jump] === 0) return jump;
      if (low[jump]! < low[w]!) low[w] = low[jump]!;
    }
    return -1;
  }

  /** Everything above `w` on the stack is one component with it: a loop, unless it is `w` alone without an edge to itself. */
  private popComponent(w: number): void {
    const { succNext, succJump, aux, insns } = this.env;
    const isLoop = stack[this.stackSize - 1] !== w || succNext[w] === w || succJump[w] === w;
    let t: number;
    do {
      t = stack[--this.stackSize]!;
      low[t] = NOT_ON_STACK;
      if (isLoop) aux.scc[t] = this.nextId;
      // Not the second slot of a 64-bit load: nothing goes there.
      if (insns.code[t] !== 0) topo[this.topoSize++] = t;
    } while (t !== w);
    if (isLoop) this.nextId++;
  }
}

/** Gives every instruction in a loop the loop's number. Mirrors compute_scc(). */
export function computeScc(env: VerifierEnv): number {
  reset(env.insns.len);
  const walk = new Walk(env);
  for (let i = 0; i < env.insns.len; i++) if (pre[i] === 0) walk.run(i);
  env.sccCnt = walk.nextId;
  env.insnTopo = topo;
  return 0;
}
