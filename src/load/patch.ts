// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../asm/insn.js";
import { BPF_DW, BPF_IMM, BPF_LD, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../asm/opcode.js";
import type { ProgramLoad } from "../model/load.js";
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
