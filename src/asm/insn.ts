// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/**
 * One 8-byte instruction slot (RFC 9669, section 3). A 64-bit immediate load takes two slots; its
 * second slot is an `Insn` of its own with opcode 0 and the upper half in `imm`, exactly as in
 * memory, so that an instruction's index is always its slot index.
 */
export interface Insn {
  /** Opcode byte, 0–255. */
  readonly opcode: number;
  /** Destination register, 0–15 (only 0–10 are valid). */
  readonly dst: number;
  /** Source register or pseudo kind, 0–15. */
  readonly src: number;
  /** Signed 16-bit offset. */
  readonly off: number;
  /** Signed 32-bit immediate. */
  readonly imm: number;
}

/** Size of one instruction slot in bytes. */
export const INSN_SIZE = 8;

/**
 * Encodes slots as they stand in memory. On a big-endian machine the halves of the byte of registers stand the
 * other way round too.
 */
export function encodeInsns(insns: readonly Insn[], littleEndian = true): Uint8Array {
  const bytes = new Uint8Array(insns.length * INSN_SIZE);
  const view = new DataView(bytes.buffer);
  insns.forEach((insn, i) => {
    const at = i * INSN_SIZE;
    bytes[at] = insn.opcode;
    bytes[at + 1] = littleEndian ? (insn.src << 4) | (insn.dst & 0xf) : (insn.dst << 4) | (insn.src & 0xf);
    view.setInt16(at + 2, insn.off, littleEndian);
    view.setInt32(at + 4, insn.imm, littleEndian);
  });
  return bytes;
}

/**
 * Decodes instruction slots.
 * @throws InputError when the length is not a multiple of 8.
 */
export function decodeInsns(bytes: Uint8Array, littleEndian = true): Insn[] {
  if (bytes.length % INSN_SIZE !== 0) {
    throw new InputError(`instruction bytes must be a multiple of ${INSN_SIZE}, got ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const insns: Insn[] = [];
  for (let at = 0; at < bytes.length; at += INSN_SIZE) {
    const regs = view.getUint8(at + 1);
    insns.push({
      opcode: view.getUint8(at),
      dst: littleEndian ? regs & 0xf : regs >> 4,
      src: littleEndian ? regs >> 4 : regs & 0xf,
      off: view.getInt16(at + 2, littleEndian),
      imm: view.getInt32(at + 4, littleEndian),
    });
  }
  return insns;
}
