// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { disasmProgram } from "../../../src/asm/disasm-prog.js";
import { encodeInsns } from "../../../src/asm/insn.js";
import { assembleCode } from "../../../src/asm/text/assemble-code.js";
import { readElf } from "../../../src/elf/read-elf.js";
import { InputError } from "../../../src/util/errors.js";

const hasLlvm = spawnSync("llvm-mc-19", ["--version"]).status === 0;

/** One text of everything that LLVM's assembler knows too. */
const LLVM_TEXT = `
start:
  r1 = r2
  w1 = w2
  r1 = 5
  r1 = -0x5
  w1 = 0xffffffff
  r1 += 7
  r3 -= r4
  w3 *= w4
  r3 /= 3
  r3 |= 1
  r3 &= 0xff
  w3 <<= 31
  r3 >>= 63
  r3 s>>= r4
  r3 %= 3
  r3 ^= r3
  w1 s/= w2
  r1 s%= 7
  r1 = -r1
  w1 = -w1
  r1 = be16 r1
  r1 = le32 r1
  r1 = bswap64 r1
  r1 = (s8)r2
  w1 = (s16)w2
  r1 = (s32)r2
  w1 = *(u8 *)(r2 + 8)
  r1 = *(s32 *)(r2 - 8)
  r1 = *(u64 *)(r2 + 0x7fff)
  *(u16 *)(r2 + 8) = w3
  *(u64 *)(r10 - 8) = 5
  *(u32 *)(r2 + 8) = -5
  lock *(u64 *)(r1 + 0) += r2
  lock *(u32 *)(r1 + 0) &= w2
  r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)
  w2 = atomic_fetch_xor((u32 *)(r1 + 0), w2)
  r0 = cmpxchg_64(r1 + 8, r0, r2)
  w0 = cmpxchg32_32(r1 + 8, w0, w2)
  r2 = xchg_64(r1 + 8, r2)
  w2 = xchg32_32(r1 - 8, w2)
  r0 = *(u8 *)skb[4]
  r0 = *(u32 *)skb[r1]
  r1 = 0x123456789abcdef0 ll
  r1 = -1 ll
1:
  goto +3
  goto -3
  goto 1b
  goto 1f
  if r1 == 5 goto +2
  if r1 s> -5 goto start
  if w1 s<= 5 goto out
  if w1 & 5 goto 1f
  if r1 != r2 goto out   # a comment
  may_goto out           // another one
  call 5                 /* and one
  over two lines */
  call 6
1:
  callx r1
  r1 = addr_space_cast(r2, 0, 1)
  r1 = addr_space_cast(r2, 1, 0)
  gotol out
out:
  exit
`;

t.test("assembles what llvm-mc assembles to the same bytes", { skip: !hasLlvm && "skipped: no llvm-mc-19" }, (t) => {
  const dir = mkdtempSync(join(tmpdir(), "bpfsmith-asm-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, "x.s"), LLVM_TEXT);
  const args = ["-triple", "bpfel", "-mcpu=v4", "-filetype=obj", join(dir, "x.s"), "-o", join(dir, "x.o")];
  const run = spawnSync("llvm-mc-19", args, { encoding: "utf8" });
  t.equal(run.stderr, "");
  const elf = readElf(readFileSync(join(dir, "x.o")));
  const text = elf.sections.find(({ name }) => name === ".text")!;
  const code = assembleCode(LLVM_TEXT);
  t.equal(Buffer.from(encodeInsns(code)).toString("hex"), Buffer.from(text.content).toString("hex"));
  t.end();
});

t.test("errors name line, column and what was expected", (t) => {
  const cases: readonly [string, number, number, string][] = [
    ["r1 = r11", 1, 6, "no register is named r11"],
    ["exit\nr1 = w2", 2, 6, "w2 cannot stand with r1: expected r2"],
    ["r1 = *(u32 *)(r2 + 8", 1, 21, 'expected ")", got the end of the line'],
    ["\tldxw r1, [r2 8]", 1, 15, 'expected "+", "-" or "]", got "8"'],
    ["movv r1, 2", 1, 1, 'unknown instruction "movv" (similar: mov, mod, mov32)'],
    ["if r1 s= 5 goto x", 1, 7, 'expected "==", "!=", ">", ">=", "<", "<=", "&", "s>", "s>=", "s<", "s<=", got "s"'],
    ["r1 = 0x1g", 1, 6, '"0x1g" is no number: expected digits, 0x and hexadecimal digits, or 0b and bits'],
    ["goto foo", 1, 6, 'no label is named "foo"'],
    ["goto 1f\n1:\ngoto 1f", 3, 6, "no label 1 follows"],
    ["goto 1b", 1, 6, "no label 1 stands before"],
    ["a:\na: exit", 2, 1, 'label "a" stands in two places'],
    ["jne r0, 1, exit", 1, 12, 'no label is named "exit"'],
    [
      "call bpf_map_lookup_elm",
      1,
      6,
      'unknown function "bpf_map_lookup_elm" (similar: bpf_map_lookup_elem, bpf_map_pop_elem, bpf_map_peek_elem)',
    ],
    ["*(u64 *)(r1 + 40000) = r2", 1, 13, "offset must be from -32768 to 32767, got 40000"],
    ["mov r1, 4294967296", 1, 9, "immediate must be from -2147483648 to 2147483647, got 4294967296"],
    ["r1 = 1 / 0", 1, 10, "division by zero"],
    ["r1 = foo", 1, 6, '"foo" is no constant'],
    [".equ N, 5\n.equ N, 6", 2, 6, '"N" is 5 already'],
    ["(bf) r1 = 5", 1, 6, "this is opcode b7, but the line begins with (bf)"],
    ["exit /* no end", 1, 15, 'expected "*/": a comment is not closed'],
    ["r2 = -r1", 1, 7, "a register is negated in place: expected -r2"],
    ["lock add8 [r1], r2", 1, 6, 'expected an atomic operation (add, fetch add, xchg, cmpxchg, …), got "add8"'],
    [".section xdp", 1, 1, "a program's code takes no directives but .equ"],
    [`r1 = ${"(".repeat(200)}1`, 1, 106, "expression nested more than 100 deep"],
    ["\u0007", 1, 1, "unexpected character U+0007"],
  ];
  for (const [text, line, column, message] of cases) {
    try {
      assembleCode(text, { file: "x.asm" });
      t.fail(`${text} assembles`);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const [first, quoted, caret] = error.message.split("\n");
      t.equal(first, `x.asm:${line}:${column}: ${message}`);
      t.match({ line: error.place.line, column: error.place.column }, { line, column });
      t.equal(quoted?.trimEnd(), `    ${text.split("\n")[line - 1]!.replace("\u0007", " ")}`.trimEnd().slice(0, 124));
      t.equal(caret?.indexOf("^"), 3 + column);
    }
  }
  t.end();
});

t.test("both dialects say the same", (t) => {
  const pairs: readonly [string, string][] = [
    ["mov r1, r2", "r1 = r2"],
    ["mov32 %r1, -1", "w1 = -1"],
    ["add64 r1, 5", "r1 += 5"],
    ["smod32 r1, r2", "w1 s%= w2"],
    ["neg32 r1", "w1 = -w1"],
    ["swap16 r1", "r1 = bswap16 r1"],
    ["movsx832 r1, r2", "w1 = (s8)w2"],
    ["movsx3264 r1, r2", "r1 = (s32)r2"],
    ["lddw r1, 0x1122334455667788", "r1 = 0x1122334455667788 ll"],
    ["ldxsh r1, [r2-2]", "r1 = *(s16 *)(r2 - 2)"],
    ["stxdw [fp-8], r1", "*(u64 *)(r10 -8) = r1"],
    ["stw [r1], 7", "*(u32 *)(r1 + 0) = 7"],
    ["lock fetch add32 [r1+4], r2", "w2 = atomic_fetch_add((u32 *)(r1 + 4), w2)"],
    ["lock cmpxchg [r1], r2", "r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)"],
    ["lock load_acq r1, [r2+8]", "r1 = load_acquire((u64 *)(r2 + 8))"],
    ["lock store_rel8 [r1+8], r2", "store_release((u8 *)(r1 + 8), w2)"],
    ["ldabsw 12", "r0 = *(u32 *)skb[12]"],
    ["ldindb r3, 4", "r0 = *(u8 *)skb[r3 + 4]"],
    ["jsgt32 r1, -2, +1", "if w1 s> -2 goto pc+1"],
    ["ja32 +70000", "gotol +70000"],
    ["call local +2", "call pc+2"],
    ["call helper 5", "call bpf_ktime_get_ns"],
    ["call runtime 77", "call kernel-function#77"],
    ["call %r2", "callx r2"],
    ["lddw r1, map_fd[3]", "r1 = map[id:3]"],
    ["cast_user r1, r2", "r1 = addr_space_cast(r2, 1, 0)"],
    [".equ N, 1 << 4\nmov r1, N | 3", "N = 16\nr1 = 19"],
    ["mov r1, 'A'", "r1 = 65"],
  ];
  for (const [mnemonic, kernel] of pairs) {
    t.same(assembleCode(mnemonic), assembleCode(kernel), disasmProgram(assembleCode(kernel)).trim());
  }
  t.end();
});

t.test("what does not fit 16 bits goes on by gotol", (t) => {
  const nops = "r0 = r0\n".repeat(40000);
  const code = assembleCode(`goto out\nif r1 == 0 goto out\nif w1 & 1 goto out\n${nops}out: exit`);
  t.equal(
    disasmProgram(code.slice(0, 7)),
    [
      "   0: (06) gotol pc+40005",
      "   1: (55) if r1 != 0x0 goto pc+1",
      "   2: (06) gotol pc+40003",
      "   3: (46) if w1 & 0x1 goto pc+1",
      "   4: (05) goto pc+1",
      "   5: (06) gotol pc+40000",
      "   6: (bf) r0 = r0",
      "",
    ].join("\n"),
  );
  t.throws(() => assembleCode(`goto out\n${nops}out: exit`, { longJumps: false }), /more than 16 bits reach/);
  t.throws(() => assembleCode(`goto +1\ngoto out\nif r1 == 0 goto out\n${nops}out: exit`), /write labels in all jumps/);
  t.throws(() => assembleCode("goto +40000"), /distance must be from -32768 to 32767/);
  t.end();
});

t.test("lines whose shape is known say what the grammar says", (t) => {
  // The second line of each shape is filled in; a comment before it makes another shape of the same line.
  const lines = [
    "r1 = 5",
    "r1 = -7",
    "r3 = *(u64 *)(r10 - 8)",
    "*(u32 *)(r1 + 0x10) = -2",
    "if w1 s> -3 goto -2",
    "goto +1",
    "call 6",
    "r1 = 5 ll",
    "r1 = -5 ll",
    "ldxw r1, [r2+8]",
    "jeq r1, 3, +1",
    ".insn 0x95, 0, 0, 0, 0",
  ];
  for (const line of lines) {
    const other = line.replace(/\d+(?![a-z*])/g, (digits, at: number) =>
      /[a-z]/.test(line[at - 1] ?? "") ? digits : "4",
    );
    const filled = assembleCode(`${line}\n${other}\n${line}`);
    t.same(
      filled,
      [line, other, line].flatMap((one) => assembleCode(`/* */${one}`)),
      line,
    );
  }
  for (const text of [
    "r1 = 5\nr1 = 5000000000",
    "r1 = *(u64 *)(r2 + 8)\nr1 = *(u64 *)(r2 + 32768)",
    "goto +1\ngoto +99999",
  ]) {
    t.throws(() => assembleCode(text), /must be from/, "and what does not fit is refused");
  }
  t.end();
});
