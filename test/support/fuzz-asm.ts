// SPDX-License-Identifier: MIT

import { decodeInsns } from "../../src/asm/insn.js";
import { INSN_FORMS } from "../../src/asm/isa.js";
import { codeLines } from "../../src/asm/text/print.js";

/* Lines for the assembler: good ones, spoilt ones, and characters in any order. */

/** A source of random numbers: `random(n)` lies from 0 to n − 1. */
export type Random = (n: number) => number;

/** Numbers from a seed. */
export function randomFrom(seed: number): Random {
  let state = seed | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

const WORDS = (
  "r0 r1 r10 r11 w0 w9 %r3 fp if goto gotol may_goto call callx exit lock fetch add sub32 mov lddw ldxw stxdw jeq jsgt32 ja be16 " +
  "bswap64 xchg_64 cmpxchg32_32 atomic_fetch_add load_acquire store_release addr_space_cast map_fd map subprog kernel-function pc skb ll " +
  "u8 u32 u64 s16 bpf_map_lookup_elem unknown local helper runtime .section .map .equ .insn .byte .quad .asciz .data .text .globl .entry " +
  ".license .ksym .zero .align \"x\" 'a' label: 1: 1f 1b counts key=4 = == != s> s>>= += -= *= & | ^ ~ ( ) [ ] { } , : # ; // /* */ + - * / % < > " +
  "0 1 -1 0x 0xffffffff 0x8000000000000000 99999999999999999999 32768 0b101 0b2 1e9 ( (b7) (18) 12: \\ \t é \u0000"
).split(" ");

function goodLine(random: Random): string {
  const form = INSN_FORMS[random(INSN_FORMS.length)]!;
  const bytes = Uint8Array.from({ length: 16 }, () => random(256));
  bytes[0] = form.opcode;
  bytes[1] =
    (typeof form.src === "number" ? form.src : form.src === "zero" ? 0 : random(11)) * 16 +
    (form.dst === "zero" ? 0 : random(11));
  bytes.fill(0, 8, 12);
  const view = new DataView(bytes.buffer);
  if (typeof form.off === "number" || form.off === "zero") view.setInt16(2, form.off === "zero" ? 0 : form.off, true);
  if (typeof form.imm === "number" || form.imm === "zero") view.setInt32(4, form.imm === "zero" ? 0 : form.imm, true);
  const insns = decodeInsns(form.high === undefined ? bytes.subarray(0, 8) : bytes);
  return codeLines(insns, (["kernel", "llvm", "mnemonic"] as const)[random(3)]!)[0]!;
}

function spoil(line: string, random: Random): string {
  const at = random(line.length + 1);
  const word = WORDS[random(WORDS.length)]!;
  switch (random(5)) {
    case 0:
      return line.slice(0, at) + line.slice(at + 1 + random(3));
    case 1:
      return `${line.slice(0, at)}${word}${line.slice(at)}`;
    case 2:
      return `${line.slice(0, at)} ${word} ${line.slice(at + random(4))}`;
    case 3:
      return (
        line.slice(0, at) + String.fromCharCode(random(random(20) === 0 ? 65536 : 128)) + line.slice(at + random(2))
      );
    default:
      return line.slice(at) + line.slice(0, at);
  }
}

/** One line; it may hold line feeds. */
export function randomLine(random: Random): string {
  const kind = random(10);
  if (kind === 0)
    return Array.from({ length: random(12) }, () => WORDS[random(WORDS.length)]!).join(random(2) === 0 ? " " : "");
  if (kind === 1) return Array.from({ length: random(40) }, () => String.fromCharCode(random(128))).join("");
  if (kind === 2) return WORDS[random(WORDS.length)]!.repeat(1 + random(300));
  let line = goodLine(random);
  for (let n = random(4); n > 0; n--) line = spoil(line, random);
  return line;
}
