// SPDX-License-Identifier: MIT

import { jmpReg, mov64Imm, rawInsn } from "../../src/asm/build.js";
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
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

const SOCKET_FILTER = 1;

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
export function loadLog(insns: readonly Insn[]): string {
  try {
    const program = loadProgram({ name: "probe", type: SOCKET_FILTER, insns: encodeInsns(insns), license: "GPL" }, 2);
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
  /BPF_CALL uses reserved fields/,
  /invalid bpf_ld_imm64 insn/,
  /unrecognized bpf_ld_imm64 insn/,
];

/** Slots before and after the probe that jumps may lead to. */
const ROOM = 8;

/** Puts one instruction before the running kernel. */
export function judge(probe: Probe): Verdict {
  // R1 to R9 hold numbers, so that the verifier gets as far as it can with the probe. The jump keeps
  // what follows reachable when the probe is an exit or a goto, and is never decided beforehand:
  // it compares what nobody knows.
  const numbers = [
    rawInsn(0x85, 0, 0, 0, 7),
    ...[6, 7, 8, 9].map((dst) => rawInsn(0xbf, dst, 0)),
    ...[1, 2, 3, 4, 5].map((dst) => rawInsn(0xbf, dst, 0)),
  ];
  const room = Array.from({ length: ROOM }, () => rawInsn(0xbf, 0, 0));
  const at = numbers.length + ROOM + 1;
  const program = [
    ...numbers,
    ...room,
    jmpReg("jeq", 0, 6, probe.length),
    ...probe,
    ...room,
    rawInsn(0xb7, 0),
    rawInsn(0x95),
  ];
  const log = loadLog(program);
  // Every instruction stands once in the list of live registers: `  12: 0.2....... (bf) r1 = r2`.
  const line = new RegExp(`^ *${at}: [0-9.]{10} (.*)$`, "m").exec(log);
  const complaint = ENCODING.map((pattern) => pattern.exec(log)?.[0]).find((found) => found !== undefined);
  return { text: line?.[1] ?? null, complaint: complaint ?? null };
}
