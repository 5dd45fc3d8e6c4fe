// SPDX-License-Identifier: MIT
import { encodeInsns } from "../asm/insn.js";
import { BPF_ALU64, BPF_EXIT, BPF_JMP, BPF_K, BPF_MOV } from "../asm/opcode.js";
import { ProgType } from "../kernel/uapi.js";
import { SyscallError } from "./errors.js";
import { FfiUnavailableError } from "./ffi.js";
import { loadProgram } from "./program.js";

/** Whether BPF can be used by this process, and if not, why, in one line. */
export type BpfPermission = { readonly permitted: true } | { readonly permitted: false; readonly reason: string };

let known: BpfPermission | undefined;

/**
 * Whether this process may load tracing programs with bpf(2): tried once with a program of two
 * instructions, then remembered.
 */
export function bpfPermission(): BpfPermission {
  known ??= tryLoad();
  return known;
}

function tryLoad(): BpfPermission {
  const insns = encodeInsns([
    { opcode: BPF_ALU64 | BPF_MOV | BPF_K, dst: 0, src: 0, off: 0, imm: 0 },
    { opcode: BPF_JMP | BPF_EXIT, dst: 0, src: 0, off: 0, imm: 0 },
  ]);
  try {
    loadProgram({ name: "probe", type: ProgType.TRACEPOINT, insns, license: "GPL" }).fd.close();
    return { permitted: true };
  } catch (error) {
    if (error instanceof SyscallError) return { permitted: false, reason: error.explanation || error.message };
    if (error instanceof FfiUnavailableError) return { permitted: false, reason: error.message };
    throw error;
  }
}
