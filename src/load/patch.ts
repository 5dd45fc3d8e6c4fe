// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../asm/insn.js";
import { BPF_DW, BPF_IMM, BPF_LD, BPF_PSEUDO_BTF_ID, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../asm/opcode.js";
import type { FdArrayEntry, ProgramLoad } from "../model/load.js";
import type { Fd } from "../syscall/fd.js";
import type { ProgramRequest } from "../syscall/program.js";
import { InputError } from "../util/errors.js";

const LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

/**
 * A program's instructions with map indices replaced by file descriptors.
 * @param fds Descriptor of each of the program's maps, by index.
 * @param modules Gives the BTF of kernel modules.
 * @throws InputError when an instruction names a map that the program does not have.
 */
export function patchMapFds(load: ProgramLoad, fds: readonly number[], modules?: ModuleFds): Uint8Array {
  const insns = load.insns.slice();
  const view = new DataView(insns.buffer);
  const bad = new Set(load.badMapInsns);
  for (let slot = 0; slot * INSN_SIZE < insns.length; slot++) {
    const at = slot * INSN_SIZE;
    if (insns[at] !== LD_IMM64 || at + 2 * INSN_SIZE > insns.length) continue;
    const pseudo = insns[at + 1]! >> 4;
    if ((pseudo === BPF_PSEUDO_MAP_FD || pseudo === BPF_PSEUDO_MAP_VALUE) && !bad.has(slot)) {
      const index = view.getInt32(at + 4, true);
      const fd = fds[index];
      if (fd === undefined) throw new InputError(`program ${load.name} has no map ${index}`, { insn: slot });
      view.setInt32(at + 4, fd, true);
    } else if (pseudo === BPF_PSEUDO_BTF_ID && load.moduleBtfs !== undefined) {
      const index = view.getInt32(at + INSN_SIZE + 4, true);
      const btf = load.moduleBtfs[index - 1];
      if (index !== 0 && btf === undefined) {
        throw new InputError(`program ${load.name} has no module BTF ${index}`, { insn: slot });
      }
      view.setInt32(at + INSN_SIZE + 4, btf === undefined ? 0 : moduleFd(load, btf, modules), true);
    }
    // The second slot holds no opcode of its own.
    slot++;
  }
  return insns;
}

/** Descriptors of kernel modules' BTF. */
export interface ModuleFds {
  /** @throws InputError when no module of the running kernel has this BTF. */
  fd(btf: Uint8Array): number;
}

function moduleFd(load: ProgramLoad, btf: Uint8Array, modules: ModuleFds | undefined): number {
  if (modules === undefined) throw new InputError(`program ${load.name} refers to a kernel module`);
  return modules.fd(btf);
}

function fdArray(
  load: ProgramLoad,
  entries: readonly FdArrayEntry[],
  fds: readonly number[],
  modules: ModuleFds | undefined,
): Int32Array {
  return Int32Array.from(entries, (entry) => {
    if (entry.kind === "fd") return entry.fd;
    if (entry.kind === "btf") return moduleFd(load, entry.btf, modules);
    const fd = fds[entry.map];
    if (fd === undefined) throw new InputError(`program ${load.name} has no map ${entry.map}`);
    return fd;
  });
}

/**
 * A load with real descriptors, as BPF_PROG_LOAD takes it.
 * @param fds Descriptor of each of the program's maps, by index.
 * @param btf The program's BTF in the kernel.
 * @param modules Gives the BTF of kernel modules that the program refers to.
 * @throws InputError when the program names a map that it does not have, or a kernel module that is not loaded.
 */
export function programRequest(
  load: ProgramLoad,
  fds: readonly number[],
  btf: Fd | null,
  modules?: ModuleFds,
): ProgramRequest {
  return {
    name: load.name,
    type: load.progType,
    expectedAttachType: load.expectedAttachType,
    insns: patchMapFds(load, fds, modules),
    license: load.license,
    flags: load.progFlags,
    ifindex: load.progIfindex,
    kernVersion: load.kernVersion,
    btf,
    funcInfo: load.funcInfo,
    lineInfo: load.lineInfo,
    attachBtfId: load.attachBtfId,
    fdArray: load.fdArray === null ? null : fdArray(load, load.fdArray, fds, modules),
    ...(load.attachBtf && { attachBtfFd: moduleFd(load, load.attachBtf, modules) }),
  };
}
