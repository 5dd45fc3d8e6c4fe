// SPDX-License-Identifier: MIT

import { ja, jmpImm, mov64Imm, rawInsn } from "../../src/asm/build.js";
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
import { LogLevel, ProgType } from "../../src/kernel/uapi.js";
import { VerifierRejection } from "../../src/syscall/errors.js";
import { loadProgram } from "../../src/syscall/program.js";
import type { Probe } from "./probes.js";

/** What a kernel says about one instruction. */
export interface Verdict {
  /** The text that its log shows for the instruction; null when it is refused before anything is shown. */
  readonly text: string | null;
  /** What it finds wrong with the instruction's encoding; null when nothing. */
  readonly complaint: string | null;
}

/** Why bpf(2) cannot be used here; undefined when it can. */
export function whyNoBpf(): string | undefined {
  try {
    loadLog([mov64Imm(0, 0), rawInsn(0x95)]);
    return undefined;
  } catch (error) {
    return `skipped: no bpf(2) (${(error as Error).message})`;
  }
}

/** The level-2 log of a load, accepted or not. */
export function loadLog(insns: readonly Insn[], fdArray: Int32Array | null = null): string {
  try {
    const request = { name: "probe", type: ProgType.SOCKET_FILTER, insns: encodeInsns(insns), license: "GPL", fdArray };
    const program = loadProgram(request, LogLevel.LEVEL2);
    program.fd.close();
    return program.log;
  } catch (error) {
    if (error instanceof VerifierRejection) return error.log;
    throw error;
  }
}

/** Complaints about an instruction's encoding, as opposed to what it does in its program. */
const ENCODING = [
  /unknown opcode .*/,
  /.* uses reserved fields/,
  /R\d+ is invalid/,
  /invalid shift .*/,
  /div by zero/,
  /invalid may_goto imm .*/,
  /invalid atomic operand size/,
  /BPF_ATOMIC uses invalid atomic opcode .*/,
  /addr_space_cast insn can only convert .*/,
  /invalid bpf_ld_imm64 insn/,
  /unrecognized bpf_ld_imm64 insn/,
];

/** Slots before and after the probe that jumps may lead to. */
const ROOM = 8;

/** Puts one instruction before the running kernel. */
export function judge(probe: Probe): Verdict {
  // R0 to R9 hold an unknown number, so that the verifier gets as far as it can with the probe. What
  // stands before it is a trap: entered last, or by a jump back, it ends the verification, so that
  // no probe makes a loop and no program is accepted. The jump before the probe keeps what follows
  // reachable when the probe is an exit or a goto.
  const numbers = [
    rawInsn(0x85, 0, 0, 0, 7),
    ...[6, 7, 8, 9].map((dst) => rawInsn(0xbf, dst, 0)),
    ...[1, 2, 3, 4, 5].map((dst) => rawInsn(0xbf, dst, 0)),
  ];
  const trap = Array.from({ length: ROOM }, () => rawInsn(0x7a, 0));
  const after = Array.from({ length: ROOM }, () => rawInsn(0xbf, 0, 0));
  const before = [...numbers, jmpImm("jeq", 0, 1, 1), ja(ROOM), ...trap, jmpImm("jeq", 0, 2, probe.length)];
  const log = loadLog([...before, ...probe, ...after, rawInsn(0xb7, 0), rawInsn(0x95)]);
  // Every instruction stands once in the list of live registers: `  12: 0.2....... (bf) r1 = r2`.
  const line = new RegExp(`^ *${before.length}: [0-9.]{10} (.*)$`, "m").exec(log);
  const complaint = ENCODING.map((pattern) => pattern.exec(log)?.[0]).find((found) => found !== undefined);
  return { text: line?.[1] ?? null, complaint: complaint ?? null };
}
