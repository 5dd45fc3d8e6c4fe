// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import t from "tap";
import * as asm from "../../src/asm/index.js";
import { llvmTexts } from "./llvm.js";
import { hexOf, type Probe, probes, sampleOf } from "./probes.js";

t.test("every form is itself: unique, valid, found again", async (t) => {
  t.equal(asm.INSN_FORMS.length, 181);
  t.equal(new Set(asm.INSN_FORMS.map(({ name }) => name)).size, asm.INSN_FORMS.length);
  for (const form of asm.INSN_FORMS) {
    const [insn, next] = sampleOf(form);
    t.equal(asm.insnInfo(insn!, next)?.form.name, form.name);
    t.equal(asm.insnFault(insn!, next), undefined, form.name);
  }
});

/** LLVM 19 is older than these two and takes them for other operations. */
const isNewerThanLlvm = (insn: asm.Insn) => asm.isAtomic(insn) && (insn.imm === 0x100 || insn.imm === 0x110);

/** The kernel's text of an instruction in LLVM's manner of writing. */
function inLlvmStyle(insn: asm.Insn, next: asm.Insn | undefined): string {
  if (asm.isLdImm64(insn)) {
    return insn.src === 0
      ? `r${insn.dst} = ${BigInt.asIntN(64, asm.imm64Of(insn, next!))} ll`
      : `ld_pseudo r${insn.dst}, ${insn.src}, ${BigInt.asUintN(64, BigInt(insn.imm))}`;
  }
  if (asm.isCall(insn)) return `call ${insn.imm}`;
  return asm
    .disasmInsn(insn, next)
    .replace(/^\([0-9a-f]{2}\) /, "")
    .replace(/ 0x[0-9a-f]+ /, ` ${insn.imm} `)
    .replace(/\bpc([+-])/, "$1")
    .replace(/(\(r\d+) ([+-])(\d+)\)/, "$1 $2 $3)")
    .replace(/skb\[(r\d+) \+ -?\d+\]/, "skb[$1]")
    .replace(/atomic64_fetch/, "atomic_fetch")
    .replace(/atomic64_(cmpxchg|xchg)\(\(u64 \*\)\((.*?)\)/, "$1_64($2")
    .replace(/atomic_(cmpxchg|xchg)\(\(u32 \*\)\((.*?)\)/, "$132_32($2");
}

/** LLVM names registers of narrow memory accesses by their 32-bit name, the kernel never does. */
function sameRegisters(insn: asm.Insn, text: string): string {
  const isMemory = [asm.BPF_LDX, asm.BPF_STX].some((klass) => klass === asm.bpfClass(insn.opcode));
  return isMemory ? text.replace(/\bw(\d+)/g, "r$1") : text;
}

/** Compares our text in LLVM's style with LLVM's. */
function differences(samples: readonly Probe[], texts: readonly string[]): unknown[] {
  return samples.flatMap(([insn, next], i) => {
    const ours = inLlvmStyle(insn!, next);
    const theirs = sameRegisters(insn!, texts[i]!);
    return ours === theirs ? [] : [{ insn, ours, theirs }];
  });
}

t.test("LLVM reads the sample of every form as we do (recorded)", async (t) => {
  const golden = JSON.parse(readFileSync(new URL("../fixtures/asm/llvm-19.json", import.meta.url), "utf8")) as Record<
    string,
    string
  >;
  const samples = asm.INSN_FORMS.map(sampleOf).filter(([insn]) => !isNewerThanLlvm(insn!));
  t.equal(samples.length, 173);
  t.same(
    differences(
      samples,
      samples.map((sample) => golden[hexOf(sample)] ?? "not recorded"),
    ),
    [],
  );
});

const noLlvm = llvmTexts([]) === undefined ? "skipped: no llvm-mc-19" : false;

t.test("LLVM reads every valid probe as we do", { skip: noLlvm }, async (t) => {
  const samples = probes().filter(
    ([insn, next]) => asm.insnFault(insn!, next) === undefined && !isNewerThanLlvm(insn!),
  );
  t.ok(samples.length > 800, `${samples.length} instructions`);
  t.same(differences(samples, llvmTexts(samples)!), []);
});

const noClang = spawnSync("clang-19", ["--version"]).error ? "skipped: no clang-19" : false;
const noObjdump = spawnSync("llvm-objdump-19", ["--version"]).error ? "skipped: no llvm-objdump-19" : false;

t.test(
  "each -mcpu of clang emits just the forms that the table gives it",
  { skip: noClang || noObjdump },
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), "bpfsmith-"));
    t.teardown(() => rmSync(dir, { recursive: true }));
    const source = fileURLToPath(new URL("../fixtures/asm/cpu-levels.c", import.meta.url));
    const first = new Map<string, number>();
    for (const cpu of [1, 2, 3, 4]) {
      const object = join(dir, `v${cpu}.o`);
      const compiled = spawnSync("clang-19", [
        "-target",
        "bpf",
        `-mcpu=v${cpu}`,
        `-DCPU=${cpu}`,
        "-O2",
        "-c",
        source,
        "-o",
        object,
      ]);
      t.equal(compiled.status, 0, String(compiled.stderr));
      const listing = spawnSync("llvm-objdump-19", ["-d", "--mcpu=v4", object], { encoding: "utf8" }).stdout;
      for (const [, bytes] of listing.matchAll(/^ +\d+:\t((?:[0-9a-f]{2} )+[0-9a-f]{2})\t/gm)) {
        const [insn] = asm.decodeInsns(Buffer.from(bytes!.replaceAll(" ", ""), "hex").subarray(0, 8));
        const info = asm.insnInfo(insn!);
        t.same(info?.faults, [], `v${cpu}: ${bytes}`);
        if (info !== undefined && !first.has(info.form.name)) first.set(info.form.name, cpu);
      }
    }
    t.ok(first.size > 100, `${first.size} forms were emitted`);
    const wrong = asm.INSN_FORMS.filter(({ name, cpu }) => (first.get(name) ?? cpu) !== cpu);
    t.same(
      wrong.map(({ name, cpu }) => [name, cpu, first.get(name)]),
      [],
    );
  },
);

/** Any slot at all. */
const anySlot = fc.uint8Array({ minLength: 8, maxLength: 8 });

t.test("any bytes decode, encode back and disassemble", async (t) => {
  fc.assert(
    fc.property(fc.array(anySlot, { maxLength: 6 }), (slots) => {
      const bytes = Uint8Array.from(slots.flatMap((slot) => [...slot]));
      const insns = asm.decodeInsns(bytes);
      t.same(asm.encodeInsns(insns), bytes);
      for (const [i, insn] of insns.entries()) {
        for (const options of [{}, { allowPtrLeaks: false }, { imm: () => "imm", call: () => "callee" }]) {
          if (asm.disasmInsn(insn, insns[i + 1], options) === "") throw new Error("no text");
        }
        if ((asm.insnFault(insn) === undefined) !== (asm.insnInfo(insn)?.faults.length === 0)) throw new Error("fault");
      }
      asm.disasmProgram(insns, { opcodes: true });
    }),
    { numRuns: 2000 },
  );
  for (let opcode = 0; opcode < 256; opcode++) {
    const text = asm.disasmInsn({ opcode, dst: 15, src: 15, off: -1, imm: -1 });
    t.match(text, new RegExp(`^(\\(${opcode.toString(16).padStart(2, "0")}\\) |BUG_)`));
  }
});

t.test("bytes that are no slots are refused", async (t) => {
  t.throws(() => asm.decodeInsns(new Uint8Array(9)), /multiple of 8, got 9/);
});

t.test("faults are said in words", async (t) => {
  t.equal(asm.insnFault(asm.rawInsn(0xff)), "unknown opcode 0xff");
  t.equal(asm.insnFault(asm.rawInsn(0xb7, 1, 2)), "mov64_imm: field src must be 0, got 2");
  t.equal(asm.insnFault(asm.rawInsn(0x67, 1, 0, 0, 64)), "lsh64_imm: field imm is out of range, got 64");
  t.equal(asm.insnFault(asm.rawInsn(0xbf, 1, 12)), "mov64_reg: field src is out of range, got 12");
  t.match(asm.insnFault(asm.rawInsn(0xdb, 1, 2, 0, 3)), /opcode 0xdb has no form with .* immediate 3/);
  t.match(asm.insnFault(asm.rawInsn(0x18, 1, 0, 0, 1), asm.exit()), /malformed second slot/);
});

t.test("jumps tell where they lead", async (t) => {
  t.equal(asm.jumpTarget(asm.ja(-3), 10), 8);
  t.equal(asm.jumpTarget(asm.jaLong(70000), 10), 70011);
  t.equal(asm.jumpTarget(asm.mayGoto(4), 0), 5);
  t.equal(asm.jumpTarget(asm.jmp32Reg("jslt", 1, 2, 1), 0), 2);
  for (const insn of [asm.exit(), asm.callHelper(1), asm.callSubprog(1), asm.mov64Imm(0, 1)]) {
    t.equal(asm.jumpTarget(insn, 0), undefined);
  }
  t.equal(asm.subprogTarget(asm.callSubprog(-4), 9), 6);
  t.equal(asm.subprogTarget(asm.ldFunc(1, 4)[0], 9), 14);
  t.equal(asm.subprogTarget(asm.callHelper(1), 9), undefined);
});
