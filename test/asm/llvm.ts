// SPDX-License-Identifier: MIT
/*
 * LLVM's disassembler as a second opinion. Run as a program, writes its text for the sample of
 * every form to test/fixtures/asm/llvm-19.json:
 *
 *   node --import tsx test/asm/llvm.ts
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { encodeInsns } from "../../src/asm/insn.js";
import { INSN_FORMS } from "../../src/asm/isa.js";
import { hexOf, type Probe, sampleOf } from "./probes.js";

/** LLVM's text of each instruction; "" for one that it does not know. Undefined when it is not installed. */
export function llvmTexts(probes: readonly Probe[]): string[] | undefined {
  // A nop of known text after each instruction keeps the lines apart when LLVM skips unknown bytes.
  const mark = "0xb7,0x09,0x00,0x00,0x11,0x22,0x33,0x44";
  const input = probes.map(
    (probe) => `${[...encodeInsns(probe)].map((byte) => `0x${byte.toString(16)}`).join(",")}\n${mark}\n`,
  );
  const args = ["--disassemble", "-triple", "bpfel", "-mcpu=v4"];
  const run = spawnSync("llvm-mc-19", args, { input: input.join(""), encoding: "utf8", maxBuffer: 1 << 26 });
  if (run.error !== undefined) return undefined;
  const texts = run.stdout.replace(/^\s*\.text\n/, "").split(/^\tr9 = 1144201745\n/m);
  return texts.slice(0, probes.length).map((text) => text.trim().replace("\t", " "));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const samples = INSN_FORMS.map(sampleOf);
  const texts = llvmTexts(samples);
  if (texts === undefined) throw new Error("llvm-mc-19 is not installed");
  const rows = samples.map((sample, i) => `  ${JSON.stringify(hexOf(sample))}: ${JSON.stringify(texts[i])}`);
  const file = new URL("../fixtures/asm/llvm-19.json", import.meta.url);
  writeFileSync(file, `{\n${rows.join(",\n")}\n}\n`);
}
