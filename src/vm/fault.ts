// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/**
 * Why a program was stopped: `access`: an address outside of every region, or across the end of one; `write`: read-only
 * memory; `instruction`: one that does not exist or must not stand there; `helper`: one that the machine does not have;
 * `argument`: what was given to a helper is not what it takes; `depth`: too many nested calls; `budget`: as many
 * instructions as were allowed; `unsupported`: something that needs a kernel.
 */
export type FaultKind = "access" | "write" | "instruction" | "helper" | "argument" | "depth" | "budget" | "unsupported";

/** What a fault is about, besides its instruction. */
export interface FaultDetails {
  /** Address of the access. */
  readonly address?: bigint;
  /** Bytes of the access. */
  readonly size?: number;
}

/** The running program did what it must not; the only error that running one can end with. */
export class VmFault extends InputError {
  override readonly name: string = "VmFault";
  readonly kind: FaultKind;
  /** Slot of the instruction in its program, -1 before the first one. */
  readonly insn: number;
  /** Address of the access, null when it was none. */
  readonly address: bigint | null;
  /** Bytes of the access, 0 when it was none. */
  readonly size: number;

  constructor(kind: FaultKind, insn: number, message: string, { address, size }: FaultDetails = {}) {
    super(message, insn < 0 ? {} : { insn });
    this.kind = kind;
    this.insn = insn;
    this.address = address ?? null;
    this.size = size ?? 0;
  }
}

/** An address as messages show it. */
export function formatAddress(address: bigint): string {
  return `0x${address.toString(16)}`;
}
