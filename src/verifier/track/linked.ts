// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Limit } from "../../kernel/limits.js";
import type { VerifierEnv } from "../env.js";
import { isSpilledReg } from "../kinds/reg-type.js";
import { scalar32MinMaxAdd } from "../num/alu32.js";
import { scalarMinMaxAdd } from "../num/alu64.js";
import { markRegKnownRaw, zext32To64 } from "../num/bounds.js";
import { addUnwrapped } from "../num/older.js";
import { regBoundsSync } from "../num/sync.js";
import { tnumAdd, tnumIsConst } from "../num/tnum.js";
import {
  BPF_ADD_CONST,
  BPF_ADD_CONST32,
  copyReg,
  R_ID,
  R_OFF,
  R_SUBREG_DEF,
  R_TYPE,
  REG_WORDS,
  regAt,
  slotAt,
} from "../state/reg.js";
import type { VerifierState } from "../state/vstate.js";

/*
 * Scalars that hold the same value, or values a constant apart, have one id. What a comparison tells
 * of one of them is told of all.
 */

/** Scalars that one comparison can inform: LINKED_REGS_MAX. */
const LINKED_REGS_MAX = 6;

/**
 * Registers and slots with one id, packed as the jump history keeps them: in `lo` and `hi` together a
 * count of four bits, then ten bits an entry: frame (3), slot or register (6), is register (1).
 * Mirrors struct linked_regs and linked_regs_pack().
 */
export class LinkedRegs {
  cnt = 0;
  readonly entries = new Int32Array(LINKED_REGS_MAX);

  /** False when there is no room. */
  push(frameno: number, spiOrReg: number, isReg: boolean): boolean {
    if (this.cnt === LINKED_REGS_MAX) return false;
    this.entries[this.cnt++] = frameno | (spiOrReg << 3) | (isReg ? 1 << 9 : 0);
    return true;
  }

  lo(): number {
    let lo = this.cnt;
    for (let i = 0; i < this.cnt && i < 3; i++) lo |= this.entries[i]! << (4 + i * 10);
    return lo;
  }

  hi(): number {
    let hi = this.cnt > 2 ? this.entries[2]! >>> 8 : 0;
    for (let i = 3; i < this.cnt; i++) hi |= this.entries[i]! << (2 + (i - 3) * 10);
    return hi;
  }
}

/** The scalar has a value of its own from now on. Mirrors clear_scalar_id(). */
export function clearScalarId(mem: Int32Array, o: number): void {
  mem[o + R_ID] = 0;
  mem[o + R_OFF] = 0;
}

/** Gives the scalar at `o`, about to be copied, an id that the copy shares. Mirrors assign_scalar_id_before_mov(). */
export function assignScalarIdBeforeMov(env: VerifierEnv, mem: Int32Array, o: number): void {
  if (mem[o + R_TYPE] !== RegType.SCALAR_VALUE) return;
  // One delta is all that can be kept.
  if ((mem[o + R_ID]! & BPF_ADD_CONST) !== 0) clearScalarId(mem, o);
  if (mem[o + R_ID] === 0 && !tnumIsConst(mem, o)) mem[o + R_ID] = ++env.idGen;
}

function collect(
  set: LinkedRegs,
  mem: Int32Array,
  o: number,
  id: number,
  frameno: number,
  spiOrReg: number,
  isReg: boolean,
): void {
  if (mem[o + R_TYPE] !== RegType.SCALAR_VALUE || (mem[o + R_ID]! & ~BPF_ADD_CONST) !== id) return;
  if (!set.push(frameno, spiOrReg, isReg)) mem[o + R_ID] = 0;
}

/**
 * Adds the live registers and the spilled registers of the current state that share `id`; what finds
 * no room in `set` loses its id. Mirrors collect_linked_regs().
 */
export function collectLinkedRegs(env: VerifierEnv, vstate: VerifierState, id: number, set: LinkedRegs): void {
  const base = id & ~BPF_ADD_CONST;
  for (let f = vstate.curframe; f >= 0; f--) {
    const insn = f === vstate.curframe ? env.insnIdx : vstate.frame[f + 1]!.callsite;
    const live = env.rules.linkedLiveOnly ? env.aux.liveRegsBefore[insn]! : -1;
    const frame = vstate.frame[f]!;
    const mem = frame.mem;
    for (let r = 0; r < Limit.MAX_BPF_REG - 1; r++) {
      if ((live & (1 << r)) !== 0) collect(set, mem, regAt(r), base, f, r, true);
    }
    for (let spi = 0; spi < frame.allocatedStack >> 3; spi++) {
      const o = slotAt(spi);
      if (isSpilledReg(mem, o)) collect(set, mem, o, base, f, spi, false);
    }
  }
}

/** The constant between two linked scalars. */
const delta = new Int32Array(REG_WORDS);

/** The register at `o` becomes the known one plus what they are apart. */
function copyWithDelta(env: VerifierEnv, mem: Int32Array, o: number, known: Int32Array, k: number): void {
  const off = mem[o + R_OFF]!;
  const id = mem[o + R_ID]!;
  const diff = off - known[k + R_OFF]!;
  delta[R_TYPE] = RegType.SCALAR_VALUE;
  markRegKnownRaw(delta, 0, diff | 0, diff < 0 ? -1 : 0);
  copyReg(mem, o, known, k);
  mem[o + R_OFF] = off;
  mem[o + R_ID] = id;
  if (env.rules.wrappedRanges) {
    scalar32MinMaxAdd(mem, o, delta, 0);
    scalarMinMaxAdd(mem, o, delta, 0);
  } else {
    addUnwrapped(mem, o, delta, 0);
  }
  tnumAdd(mem, o, delta, 0);
  if (!env.rules.syncedDeltas) return;
  if (((id | known[k + R_ID]!) & BPF_ADD_CONST32) !== 0) zext32To64(mem, o);
  regBoundsSync(mem, o);
}

/**
 * Tells every scalar of `set` in `vstate` what is known of the one at (known, k), which is one of
 * them. Mirrors sync_linked_regs().
 */
export function syncLinkedRegs(
  env: VerifierEnv,
  vstate: VerifierState,
  known: Int32Array,
  k: number,
  set: LinkedRegs,
): void {
  for (let i = 0; i < set.cnt; i++) {
    const e = set.entries[i]!;
    const mem = vstate.frame[e & 7]!.mem;
    const at = (e >> 3) & 0x3f;
    const o = (e & (1 << 9)) !== 0 ? regAt(at) : slotAt(at);
    if (mem[o + R_TYPE] !== RegType.SCALAR_VALUE || (mem === known && o === k)) continue;
    const differ = mem[o + R_ID]! ^ known[k + R_ID]!;
    if ((differ & ~BPF_ADD_CONST) !== 0) continue;
    // A delta of 32-bit arithmetic and one of 64-bit arithmetic have nothing to say to each other.
    if ((differ & BPF_ADD_CONST) === BPF_ADD_CONST) continue;
    const subregDef = mem[o + R_SUBREG_DEF]!;
    const noDelta = ((mem[o + R_ID]! | known[k + R_ID]!) & BPF_ADD_CONST) === 0;
    if (noDelta || mem[o + R_OFF] === known[k + R_OFF]) copyReg(mem, o, known, k);
    else copyWithDelta(env, mem, o, known, k);
    mem[o + R_SUBREG_DEF] = subregDef;
  }
}
