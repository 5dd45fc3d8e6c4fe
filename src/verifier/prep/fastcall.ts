// SPDX-License-Identifier: GPL-2.0-only
import { BPF_CALL, BPF_DW, BPF_EXIT, BPF_JMP, BPF_JMP32, BPF_LDX, BPF_MEM, BPF_STX, R10 } from "../../asm/opcode.js";
import type { SubprogInfo, VerifierEnv } from "../env.js";
import { bpfJmpOffset, bpfPseudoCall, bpfPseudoFunc } from "../kinds/insn.js";
import { CALLER_SAVED_REGS } from "../state/mark.js";
import { getCallSummary } from "./call-summary.js";

/*
 * Calls that keep their caller's registers: the compiler saves them around the call at the lowest
 * offsets of the stack, so that older kernels accept the program too. Such stores and loads are
 * found here; how they bear on the depth of the stack is decided when the program was explored.
 */

const SPILL = BPF_STX | BPF_MEM | BPF_DW;
const FILL = BPF_LDX | BPF_MEM | BPF_DW;

/** Whether the slots at `before` and `after` save and restore one of the registers of the mask at `off`. */
function isSpillFillPair(env: VerifierEnv, before: number, after: number, off: number, regs: number): boolean {
  const { code, dst, src, off: offs } = env.insns;
  return (
    code[before] === SPILL &&
    code[after] === FILL &&
    dst[before] === R10 &&
    src[after] === R10 &&
    src[before] === dst[after] &&
    ((regs >> src[before]!) & 1) !== 0 &&
    offs[before] === off &&
    offs[after] === off
  );
}

/** Mirrors mark_fastcall_pattern_for_call(). */
function markFastcallPatternForCall(env: VerifierEnv, subprog: SubprogInfo, insnIdx: number, lowestOff: number): void {
  const { insns, aux } = env;
  const summary = getCallSummary(env, insnIdx);
  if (summary === null) return;
  const clobbered = ((2 << summary.numParams) - 1) & ~(summary.isVoid ? 1 : 0);
  let expected = ~clobbered & ((1 << CALLER_SAVED_REGS) - 1);
  let off = lowestOff;
  let i = 1;
  for (; i <= CALLER_SAVED_REGS; i++, off += 8) {
    const before = insnIdx - i;
    const after = insnIdx + i;
    if (before < 0 || after >= insns.len) break;
    if (jumpTargets !== null && (jumpTargets.has(before + 1) || jumpTargets.has(after))) break;
    if (!isSpillFillPair(env, before, after, off, expected)) break;
    expected &= ~(1 << insns.src[before]!);
    aux.fastcallPattern[before] = 1;
    aux.fastcallPattern[after] = 1;
  }
  if (i === 1) return;
  if (summary.fastcall) aux.fastcallSpillsNum[insnIdx] = i - 1;
  else subprog.keepFastcallStack = true;
  if (off < subprog.fastcallStackOff) subprog.fastcallStackOff = off;
}

/** Where jumps and calls lead, null where the kernel's release does not mind. */
let jumpTargets: ReadonlySet<number> | null = null;

function findJumpTargets({ insns }: VerifierEnv): ReadonlySet<number> {
  const targets = new Set<number>();
  for (let i = 0; i < insns.len; i++) {
    const code = insns.code[i]!;
    const cls = code & 7;
    if (bpfPseudoFunc(insns, i) || bpfPseudoCall(insns, i)) targets.add(i + insns.imm[i]! + 1);
    else if ((cls === BPF_JMP || cls === BPF_JMP32) && (code & 0xf0) !== BPF_CALL && (code & 0xf0) !== BPF_EXIT) {
      targets.add(i + bpfJmpOffset(insns, i) + 1);
    }
  }
  return targets;
}

/** Mirrors mark_fastcall_patterns(). */
export function markFastcallPatterns(env: VerifierEnv): number {
  const { insns } = env;
  jumpTargets = env.rules.fastcallStraightLine ? findJumpTargets(env) : null;
  for (let s = 0; s < env.subprogCnt; s++) {
    const subprog = env.subprogs[s]!;
    const end = env.subprogs[s + 1]!.start;
    let lowest = 0;
    for (let i = subprog.start; i < end; i++) {
      if (insns.code[i] === SPILL && insns.dst[i] === R10 && insns.off[i]! < lowest) lowest = insns.off[i]!;
    }
    if (lowest === 0) continue;
    for (let i = subprog.start; i < end; i++) {
      if (insns.code[i] === (BPF_JMP | BPF_CALL)) markFastcallPatternForCall(env, subprog, i, lowest);
    }
  }
  return 0;
}
