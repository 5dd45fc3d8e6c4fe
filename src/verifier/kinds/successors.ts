// SPDX-License-Identifier: GPL-2.0-only
import { BPF_CALL, BPF_DW, BPF_EXIT, BPF_IMM, BPF_JA, BPF_JMP, BPF_JMP32, BPF_LD } from "../../asm/opcode.js";
import type { Insns } from "../env.js";

/*
 * Where control goes after an instruction, within its function. Mirrors bpf_insn_successors(), in
 * two halves so that no array is needed: -1 stands for "nowhere".
 */

const FALLS = 1;
const JUMPS = 2;
const WIDE = 4;

/** By opcode: what of FALLS, JUMPS and WIDE applies. */
const flow = new Uint8Array(256).fill(FALLS);
for (const cls of [BPF_JMP, BPF_JMP32]) {
  for (let op = 0; op <= 0xe0; op += 0x10) {
    for (const src of [0, 8]) {
      if (op === BPF_CALL) continue;
      flow[cls | op | src] = op === BPF_EXIT ? 0 : op === BPF_JA ? JUMPS : FALLS | JUMPS;
    }
  }
}
flow[BPF_LD | BPF_IMM | BPF_DW] = FALLS | WIDE;

/** The instruction behind, over both slots of a 64-bit load. */
export function insnNext(insns: Insns, i: number): number {
  const f = flow[insns.code[i]!]!;
  if ((f & FALLS) === 0) return -1;
  return (f & WIDE) !== 0 ? i + 2 : i + 1;
}

/** The target of a jump. */
export function insnJump(insns: Insns, i: number): number {
  const code = insns.code[i]!;
  if ((flow[code]! & JUMPS) === 0) return -1;
  return i + 1 + (code === (BPF_JMP32 | BPF_JA) ? insns.imm[i]! : insns.off[i]!);
}
