// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_IMM,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOV,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
} from "../../asm/opcode.js";
import { type VerifierEnv, verbose } from "../env.js";
import { bpfIsLdimm64 } from "../kinds/insn.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import { verboseInsn } from "../state/print.js";
import { getCallSummary } from "./call-summary.js";
import { ScratchInts } from "./scratch.js";

/* Which registers may still be read, by instruction: found once, before the program is explored. */

const ALL = 0xffff;
const CALLER_SAVED = 0x3f;

/** Registers that an instruction reads, and those it writes << 16. */
function useDef(use: number, def: number): number {
  return use | (def << 16);
}

function atomicUseDef(imm: number, dst: number, src: number): number {
  switch (imm) {
    case BPF_CMPXCHG:
      return useDef(1 | dst | src, 1);
    case BPF_LOAD_ACQ:
      return useDef(src, dst);
    case BPF_STORE_REL:
      return useDef(dst | src, 0);
    default:
      return useDef(dst | src, (imm & BPF_FETCH) !== 0 ? src : 0);
  }
}

function callUseDef(env: VerifierEnv, i: number): number {
  const summary = getCallSummary(env, i);
  // R1 up to the last parameter.
  const use = summary === null ? CALLER_SAVED & ~1 : (2 << summary.numParams) - 2;
  return useDef(use, CALLER_SAVED);
}

function jmpUseDef(env: VerifierEnv, i: number, code: number, dst: number, src: number): number {
  switch (code & 0xf0) {
    case BPF_JA:
    case BPF_JCOND:
      return useDef(0, 0);
    case BPF_EXIT:
      return useDef(1, 0);
    case BPF_CALL:
      return callUseDef(env, i);
    default:
      return useDef((code & 8) === BPF_K ? dst : dst | src, 0);
  }
}

function aluUseDef(code: number, dst: number, src: number): number {
  switch (code & 0xf0) {
    case BPF_END:
      return useDef(dst, dst);
    case BPF_MOV:
      return useDef((code & 8) === BPF_K ? 0 : src, dst);
    default:
      return useDef((code & 8) === BPF_K ? dst : dst | src, dst);
  }
}

/** Mirrors compute_insn_live_regs(). */
function computeInsnLiveRegs(env: VerifierEnv, i: number): number {
  const { insns } = env;
  const code = insns.code[i]!;
  const mode = code & 0xe0;
  const dst = 1 << insns.dst[i]!;
  const src = 1 << insns.src[i]!;
  switch (code & 7) {
    case BPF_LD:
      return mode === BPF_IMM && (code & 0x18) === BPF_DW ? useDef(0, dst) : useDef(ALL, 0);
    case BPF_LDX:
      return mode === BPF_MEM || mode === BPF_MEMSX ? useDef(src, dst) : useDef(ALL, 0);
    case BPF_ST:
      return mode === BPF_MEM ? useDef(dst, 0) : useDef(ALL, 0);
    case BPF_STX:
      if (mode === BPF_MEM) return useDef(dst | src, 0);
      return mode === BPF_ATOMIC ? atomicUseDef(insns.imm[i]!, dst, src) : useDef(ALL, 0);
    case BPF_ALU:
    case BPF_ALU64:
      return aluUseDef(code, dst, src);
    case BPF_JMP:
    case BPF_JMP32:
      return jmpUseDef(env, i, code, dst, src);
    default:
      return useDef(ALL, 0);
  }
}

const useDefs = new ScratchInts();

/** Mirrors compute_live_registers(). */
export function computeLiveRegisters(env: VerifierEnv): number {
  const { insns, succNext, succJump } = env;
  const live = env.aux.liveRegsBefore;
  const order = env.insnPostorder;
  const count = env.subprogs[env.subprogCnt]!.postorderStart;
  useDefs.reset(insns.len);
  const table = useDefs.ints;
  for (let i = 0; i < insns.len; i++) table[i] = computeInsnLiveRegs(env, i);
  let changed: boolean;
  do {
    changed = false;
    for (let k = 0; k < count; k++) {
      const i = order[k]!;
      const next = succNext[i]!;
      const jump = succJump[i]!;
      const out = (next >= 0 ? live[next]! : 0) | (jump >= 0 ? live[jump]! : 0);
      const info = table[i]!;
      const before = (out & ~(info >>> 16)) | (info & 0xffff);
      if (before !== live[i]) {
        live[i] = before;
        changed = true;
      }
    }
  } while (changed);
  if ((env.log.level & BPF_LOG_LEVEL2) !== 0) printLiveRegisters(env);
  return 0;
}

function printLiveRegisters(env: VerifierEnv): void {
  verbose(env, "Live regs before insn:\n");
  for (let i = 0; i < env.insns.len; i++) {
    const scc = env.aux.scc[i]!;
    const before = env.aux.liveRegsBefore[i]!;
    let regs = "";
    for (let r = 0; r < 10; r++) regs += ((before >> r) & 1) !== 0 ? String(r) : ".";
    verbose(env, `${scc !== 0 ? `${String(scc).padStart(3)} ` : "    "}${String(i).padStart(3)}: ${regs} `);
    verboseInsn(env, i);
    if (bpfIsLdimm64(env.insns, i)) i++;
  }
}
