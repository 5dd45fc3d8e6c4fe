// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import t from "tap";
import { LLVM_UNKNOWN, llvmInsn } from "../../../src/asm/disasm-llvm.js";
import { encodeInsns, type Insn } from "../../../src/asm/insn.js";
import { INSN_FORMS, type InsnForm } from "../../../src/asm/isa.js";
import { assemble } from "../../../src/asm/text/assemble.js";
import { assembleCode } from "../../../src/asm/text/assemble-code.js";
import { ASM_DIALECTS, codeLines } from "../../../src/asm/text/print.js";
import { InputError } from "../../../src/util/errors.js";
import { randomFrom, randomLine } from "../../support/fuzz-asm.js";
import { llvmTexts } from "../llvm.js";
import { hexOf, probes, sampleOf } from "../probes.js";

const hasLlvm = spawnSync("llvm-mc-19", ["--version"]).status === 0;
/** LLVM 19 takes them for additions. */
const isNewer = ({ name }: InsnForm): boolean => /load_acq|store_rel/.test(name);
const bytes = (insns: readonly Insn[]): string => Buffer.from(encodeInsns(insns)).toString("hex");

t.test("every form, and every invalid slot, assembles from its text to the same bytes", (t) => {
  const all = [...INSN_FORMS.map(sampleOf), ...probes()];
  for (const dialect of ASM_DIALECTS) {
    const insns = all.flat();
    const lines = codeLines(insns, dialect);
    t.equal(bytes(assembleCode(lines.join("\n"))), bytes(insns), dialect);
    const valid = INSN_FORMS.map((form) => codeLines(sampleOf(form), dialect));
    t.same(
      valid.filter((texts) => texts.length > 1 || texts[0]!.startsWith(".insn")),
      [],
      `${dialect}: every form has a text`,
    );
  }
  t.end();
});

t.test("LLVM's dialect is what llvm-objdump prints", (t) => {
  const recorded = JSON.parse(
    readFileSync(new URL("../../fixtures/asm/llvm-19.json", import.meta.url), "utf8"),
  ) as Record<string, string>;
  const objdump = (text: string): string => text.replace(/\s*#.*$/, "");
  let compared = 0;
  for (const form of INSN_FORMS) {
    const sample = sampleOf(form);
    const text = recorded[hexOf(sample)];
    // llvm-mc prints immediates in decimal where llvm-objdump asks for hexadecimal; later forms it does not know.
    if (text === undefined || text === "" || isNewer(form)) continue;
    const decimal = llvmInsn(sample[0]!, sample[1]).replace(/0x[0-9a-f]+/g, (hex) => String(Number(hex)));
    t.equal(decimal.replace(/\s+/g, " "), objdump(text).replace(/\s+/g, " "), form.name);
    compared++;
  }
  t.ok(compared > 150, `${compared} forms`);
  t.end();
});

t.test("live: as LLVM prints it", { skip: !hasLlvm && "skipped: no llvm-mc-19" }, (t) => {
  const samples = INSN_FORMS.map(sampleOf).map((sample) =>
    sample.map((insn, i) => (i === 0 && insn.imm === 5 ? { ...insn, imm: -7 } : insn)),
  );
  const texts = llvmTexts(samples)!;
  samples.forEach((sample, i) => {
    const ours = llvmInsn(sample[0]!, sample[1]);
    if (texts[i] === "" || isNewer(INSN_FORMS[i]!) || ours === LLVM_UNKNOWN) return;
    t.equal(
      ours.replace(/0x[0-9a-f]+/g, (hex) => String(BigInt(hex))).replace(/\s+/g, " "),
      texts[i]!.replace(/\s+/g, " "),
      INSN_FORMS[i]!.name,
    );
  });
  t.end();
});

t.test("any slots at all come back from their text", (t) => {
  const slot = fc.record({
    opcode: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...INSN_FORMS.map(({ opcode }) => opcode))),
    dst: fc.integer({ min: 0, max: 15 }),
    src: fc.integer({ min: 0, max: 15 }),
    off: fc.oneof(fc.constant(0), fc.integer({ min: -0x8000, max: 0x7fff })),
    imm: fc.oneof(fc.constant(0), fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff })),
  });
  fc.assert(
    fc.property(fc.array(slot, { maxLength: 12 }), fc.constantFrom(...ASM_DIALECTS), (insns, dialect) => {
      t.equal(bytes(assembleCode(codeLines(insns, dialect).join("\n"))), bytes(insns), { diagnostic: false });
    }),
    { numRuns: 400 },
  );
  t.pass("compared");
  t.end();
});

t.test("any line is a program or an error with line and column", (t) => {
  const random = randomFrom(7);
  for (let i = 0; i < 5000; i++) {
    const line = randomLine(random);
    for (const run of [() => assembleCode(line), () => assemble(`main:\n${line}\nexit`)]) {
      try {
        run();
      } catch (error) {
        if (!(error instanceof InputError)) t.fail(`${JSON.stringify(line)}: ${error}`);
        else if (error.place.line === undefined || error.place.column === undefined)
          t.fail(`${line}: ${error.message}`);
      }
    }
  }
  t.pass("tried");
  t.end();
});
