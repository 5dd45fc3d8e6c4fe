// SPDX-License-Identifier: GPL-2.0-only
import { BPF_JGE, BPF_JGT, BPF_JLE, BPF_JLT } from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Limit } from "../../kernel/limits.js";
import { regIsInitPktPointer } from "../kinds/reg-type.js";
import { flipOpcode } from "../num/branch.js";
import { forEachRegInVstate } from "../state/each.js";
import { R_ID, R_OFF, R_TYPE, R_U0, R_UMAX_HI, R_UMAX_LO, regAt } from "../state/reg.js";
import type { VerifierState } from "../state/vstate.js";

/*
 * Comparing a packet pointer with the packet's end tells how many bytes behind the pointer are there.
 */

const { PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_PACKET_END } = RegType;

/** Range of a pointer that is at the packet's end or behind it. */
const AT_PKT_END = -1;
/** Range of a pointer that is behind the packet's end. */
const BEYOND_PKT_END = -2;

/**
 * The bytes from the pointers with the id of the one at (mem, o) up to it are in the packet; with
 * `open`, one byte more. Mirrors find_good_pkt_pointers().
 */
function findGoodPktPointers(vstate: VerifierState, mem: Int32Array, o: number, type: number, open: boolean): void {
  const off = mem[o + R_OFF]!;
  if (off < 0 || (off === 0 && open)) return;
  const umax = mem[o + R_UMAX_LO]! >>> 0;
  if (mem[o + R_UMAX_HI] !== 0 || umax + off > Limit.MAX_PACKET_OFF) return;
  const range = open ? off + 1 : off;
  const id = mem[o + R_ID]!;
  forEachRegInVstate(vstate, (m, r) => {
    if (m[r + R_TYPE] === type && m[r + R_ID] === id && m[r + R_U0]! < range) m[r + R_U0] = range;
  });
}

/** The pointer is at the packet's end or behind it; with `open`, behind it. Mirrors mark_pkt_end(). */
function markPktEnd(vstate: VerifierState, regno: number, open: boolean): void {
  const mem = vstate.cur().mem;
  const o = regAt(regno);
  if (mem[o + R_TYPE] === PTR_TO_PACKET) mem[o + R_U0] = open ? BEYOND_PKT_END : AT_PKT_END;
}

/** Whether (mem, a) is a pointer into what (mem, b) ends: packet and end, or metadata and packet. */
function isPktAndEnd(mem: Int32Array, a: number, b: number): boolean {
  const type = mem[a + R_TYPE]!;
  if (type === PTR_TO_PACKET) return mem[b + R_TYPE] === PTR_TO_PACKET_END;
  return type === PTR_TO_PACKET_META && regIsInitPktPointer(mem, b, PTR_TO_PACKET);
}

/**
 * Learns from "dst opcode src", a 64-bit comparison of registers that `jump` takes when it holds and
 * `fall` when it does not. False when it is no comparison of packet pointers. Mirrors try_match_pkt_pointers().
 */
export function tryMatchPktPointers(
  opcode: number,
  dst: number,
  src: number,
  fall: VerifierState,
  jump: VerifierState,
): boolean {
  const mem = fall.cur().mem;
  if (isPktAndEnd(mem, regAt(dst), regAt(src))) return learn(opcode, dst, fall, jump);
  if (isPktAndEnd(mem, regAt(src), regAt(dst))) return learn(flipOpcode(opcode), src, fall, jump);
  return false;
}

/** "pkt opcode end" holds in `jump` and does not in `fall`. */
function learn(opcode: number, pkt: number, fall: VerifierState, jump: VerifierState): boolean {
  if (opcode !== BPF_JGT && opcode !== BPF_JGE && opcode !== BPF_JLT && opcode !== BPF_JLE) return false;
  const within = opcode === BPF_JGT || opcode === BPF_JGE ? fall : jump;
  const beyond = within === fall ? jump : fall;
  // Of "pkt > end" the other side is "pkt <= end", of "pkt >= end" it is "pkt < end".
  const below = opcode === BPF_JGE || opcode === BPF_JLT;
  const mem = fall.cur().mem;
  findGoodPktPointers(within, mem, regAt(pkt), mem[regAt(pkt) + R_TYPE]!, below);
  markPktEnd(beyond, pkt, !below);
  return true;
}

/** Which way a comparison with the packet's end goes when it was made before: 1, 0, or -1. Mirrors is_pkt_ptr_branch_taken(). */
export function isPktPtrBranchTaken(m1: Int32Array, r1: number, m2: Int32Array, r2: number, opcode: number): number {
  const second = m2[r2 + R_TYPE] === PTR_TO_PACKET_END;
  if (!second && m1[r1 + R_TYPE] !== PTR_TO_PACKET_END) return -1;
  const range = second ? m1[r1 + R_U0]! : m2[r2 + R_U0]!;
  const op = second ? opcode : flipOpcode(opcode);
  if (range >= 0) return -1;
  if (op === BPF_JGT || op === BPF_JLE) {
    return range === BEYOND_PKT_END ? (op === BPF_JGT ? 1 : 0) : -1;
  }
  if (op === BPF_JGE || op === BPF_JLT) return op === BPF_JGE ? 1 : 0;
  return -1;
}
