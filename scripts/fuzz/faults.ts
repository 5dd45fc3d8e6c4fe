// SPDX-License-Identifier: MIT

/** One mistake planted in a copy of the mirror: `from` stands exactly once in the file. */
export interface Fault {
  readonly what: string;
  /** Below src/verifier/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Mistakes of the kinds that one makes when mirroring a verifier; the fuzzer finds each of them. */
export const FAULTS: readonly Fault[] = [
  {
    what: "tnum_and() forgets which bits of the second operand are unknown",
    file: "num/tnum.ts",
    from: "(av | mem[d + R_MASK_LO + i]!) & (bv | src[s + R_MASK_LO + i]!) & ~v",
    to: "(av | mem[d + R_MASK_LO + i]!) & bv & ~v",
  },
  {
    what: "tnum_sub() without the borrow into the upper half",
    file: "num/tnum.ts",
    from: "- src[s + R_VAL_HI]! - (avl >>> 0 < bvl >>> 0 ? 1 : 0)) | 0;",
    to: "- src[s + R_VAL_HI]!) | 0;",
  },
  {
    what: "the overflow of a sum's signed maximum goes unseen",
    file: "num/alu64.ts",
    from: "  over |= (aHi ^ smaxHi) & (bHi ^ smaxHi);\n",
    to: "",
  },
  {
    what: "`<` refines as `<=` does (64 bits, unsigned)",
    file: "num/refine.ts",
    from: "(isJmp32 ? lessU32 : lessU64)(m1, r1, m2, r2, opcode === BPF_JLT ? 1 : 0);",
    to: "(isJmp32 ? lessU32 : lessU64)(m1, r1, m2, r2, opcode === BPF_JLT && isJmp32 ? 1 : 0);",
  },
  {
    what: "a signed 32-bit comparison refines the upper bound only",
    file: "num/refine.ts",
    from: "if (m2[r2 + R_S32_MIN]! < min) m2[r2 + R_S32_MIN] = min;",
    to: "if (m2[r2 + R_S32_MIN]! < -1) m2[r2 + R_S32_MIN] = min;",
  },
  {
    what: "`!=` does not move an unsigned minimum",
    file: "num/refine.ts",
    from: "if (mem[o + R_UMIN_LO] === lo && mem[o + R_UMIN_LO + 1] === hi) bump(mem, o + R_UMIN_LO, 1);",
    to: "",
  },
  {
    what: "a jset of one bit that holds leaves the bit unknown",
    file: "num/refine.ts",
    from: "const single = hi === 0 ? (lo & (lo - 1)) === 0 : lo === 0 && (hi & (hi - 1)) === 0;",
    to: "const single = hi === 0 ? (lo & (lo - 1)) === 1 : lo === 0 && (hi & (hi - 1)) === 0;",
  },
  {
    what: "32-bit bounds learn from a 64-bit range although its ends differ in their upper halves",
    file: "num/sync.ts",
    from: "if (sminHi === smaxHi && sminLo >>> 0 <= smaxLo >>> 0) {",
    to: "if (sminLo >>> 0 <= smaxLo >>> 0) {",
  },
  {
    what: "the tnum does not inform the unsigned maximum",
    file: "num/sync.ts",
    from: "if (ult(tl, th, mem[o + R_UMAX_LO]!, mem[o + R_UMAX_HI]!)) {",
    to: "if (ult(tl, th, mem[o + R_UMIN_LO]!, mem[o + R_UMIN_HI]!)) {",
  },
  {
    what: "precision is not passed on to the source of an addition",
    file: "track/backtrack.ts",
    from: "if ((code & 0x08) === BPF_X && sreg !== R10) btSetReg(bt, sreg);",
    to: "if ((code & 0x08) === BPF_X && sreg !== R10 && op === BPF_MOV) btSetReg(bt, sreg);",
  },
  {
    what: "precision stops at a fill from the stack",
    file: "track/backtrack.ts",
    from: "    btSetFrameSlot(bt, insnStackAccessFrameno(flags), insnStackAccessSpi(flags));\n",
    to: "",
  },
  {
    what: "the comparison of two registers marks only one of them",
    file: "track/backtrack.ts",
    from: "if ((flags & INSN_F_SRC_REG_STACK) === 0) btSetReg(bt, sreg);",
    to: "",
  },
  {
    what: "a narrow store keeps no stored register live",
    file: "prep/live-regs.ts",
    from: "if (mode === BPF_MEM) return useDef(dst | src, 0);",
    to: "if (mode === BPF_MEM) return useDef((code & 0x18) === BPF_DW ? dst | src : dst, 0);",
  },
  {
    what: "pruning takes an unspilled slot for a spilled one",
    file: "search/equal.ts",
    from: "if (oldType !== curType) return false;",
    to: "",
  },
  {
    what: "pruning does not compare the ranges of pointers to map values",
    file: "search/equal.ts",
    from: "        rangeWithin(om, o, cm, c) &&\n        tnumIn(om, o, cm, c) &&\n",
    to: "",
  },
  {
    what: "`pkt >= end` gives one byte less",
    file: "insn/packet-range.ts",
    from: "const range = open ? off + 1 : off;",
    to: "const range = off;",
  },
  {
    what: "of a read-only map's content only the lower four bytes are read",
    file: "mem/map-value.ts",
    from: "else hi |= byte << ((i - 4) * 8);",
    to: "",
  },
  {
    what: "a narrow fill keeps the id of a wider spill",
    file: "mem/stack-read.ts",
    from: "  if (getRegWidth(mem, at) > size * 8) regs[d + R_ID] = 0;\n",
    to: "",
  },
  {
    what: "linked registers learn the value without the distance between them",
    file: "track/linked.ts",
    from: "markRegKnownRaw(delta, 0, diff | 0, diff < 0 ? -1 : 0);",
    to: "markRegKnownRaw(delta, 0, 0, 0);",
  },
  {
    what: "the access to a map value may reach one byte into a special field",
    file: "mem/map-value.ts",
    from: "if (from >= field.offset + field.size || field.offset >= to) continue;",
    to: "if (from >= field.offset + field.size || field.offset >= to - 1) continue;",
  },
];
