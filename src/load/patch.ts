// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../asm/insn.js";
import { BPF_DW, BPF_IMM, BPF_LD, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../asm/opcode.js";
import type { FdArrayEntry, ProgramLoad } from "../model/load.js";
import type { Fd } from "../syscall/fd.js";
import type { ProgramRequest } from "../syscall/program.js";
import { InputError } from "../util/errors.js";

const LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

/**
 * A program's instructions with map indices replaced by file descriptors.
 * @param fds Descriptor of each of the program's maps, by index.
 * @throws InputError when an instruction names a map that the program does not have.
 */
export function patchMapFds(load: ProgramLoad, fds: readonly number[]): Uint8Array {
  const insns = load.insns.slice();
  const view = new DataView(insns.buffer);
  const bad = new Set(load.badMapInsns);
  for (let slot = 0; slot * INSN_SIZE < insns.length; slot++) {
    const at = slot * INSN_SIZE;
    if (insns[at] !== LD_IMM64) continue;
    const pseudo = insns[at + 1]! >> 4;
    if ((pseudo === BPF_PSEUDO_MAP_FD || pseudo === BPF_PSEUDO_MAP_VALUE) && !bad.has(slot)) {
      const index = view.getInt32(at + 4, true);
      const fd = fds[index];
      if (fd === undefined) throw new InputError(`program ${load.name} has no map ${index}`, { insn: slot });
      view.setInt32(at + 4, fd, true);
    }
    // The second slot holds no opcode of its own.
    slot++;
  }
  return insns;
}

function fdArray(load: ProgramLoad, entries: readonly FdArrayEntry[], fds: readonly number[]): Int32Array {
  return Int32Array.from(entries, (entry) => {
    if (entry.kind === "fd") return entry.fd;
    if (entry.kind === "map" && fds[entry.map] !== undefined) return fds[entry.map]!;
    throw new InputError(
      entry.kind === "map"
        ? `program ${load.name} has no map ${entry.map}`
        : `program ${load.name} calls functions of a kernel module, which cannot be loaded yet`,
    );
  });
}

/**
 * A load with real descriptors, as BPF_PROG_LOAD takes it.
 * @param fds Descriptor of each of the program's maps, by index.
 * @param btf The program's BTF in the kernel.
 * @throws InputError when the program names a map that it does not have, or a kernel module.
 */
export function programRequest(load: ProgramLoad, fds: readonly number[], btf: Fd | null): ProgramRequest {
  return {
    name: load.name,
    type: load.progType,
    expectedAttachType: load.expectedAttachType,
    insns: patchMapFds(load, fds),
    license: load.license,
    flags: load.progFlags,
    ifindex: load.progIfindex,
    kernVersion: load.kernVersion,
    btf,
    funcInfo: load.funcInfo,
    lineInfo: load.lineInfo,
    attachBtfId: load.attachBtfId,
    fdArray: load.fdArray === null ? null : fdArray(load, load.fdArray, fds),
  };
}
