// SPDX-License-Identifier: MIT
/*
 * Disassembles and assembles every program of a corpus:
 *
 *   npm run parity:asm -- DIR
 *
 * DIR/objects/*.o: each instruction's text must be llvm-objdump-19's (when it is installed), and the object's text in
 * each dialect must assemble to the same functions. DIR/records/*.jsonl (load records): the instructions that the
 * kernel got must assemble from their text in each dialect to the same instructions.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { llvmInsn } from "../src/asm/disasm-llvm.js";
import { decodeInsns, encodeInsns, type Insn } from "../src/asm/insn.js";
import { isLdImm64 } from "../src/asm/isa.js";
import { assemble } from "../src/asm/text/assemble.js";
import { assembleCode } from "../src/asm/text/assemble-code.js";
import { ASM_DIALECTS, type AsmDialect, codeLines } from "../src/asm/text/print.js";
import { SHF } from "../src/elf/format.js";
import { readElf } from "../src/elf/read-elf.js";
import { readObject } from "../src/elf/read-object.js";
import { objectText } from "../src/model/asm-text.js";
import { readRecord } from "../src/model/record.js";
import type { ObjectSpec } from "../src/model/spec.js";
import { InputError } from "../src/util/errors.js";

const counts = { objects: 0, functions: 0, programs: 0, texts: 0, instructions: 0, differences: 0 };

function differs(what: string): void {
  if (counts.differences++ < 50) console.log(what);
}

/** Texts by section and slot, as llvm-objdump prints them; its symbols behind distances are left out. */
function objdump(path: string): Map<string, Map<number, string>> {
  const args = ["-d", "--no-show-raw-insn", "--mcpu=v4", path];
  const run = spawnSync("llvm-objdump-19", args, { encoding: "utf8", maxBuffer: 1 << 28 });
  const sections = new Map<string, Map<number, string>>();
  let current = new Map<number, string>();
  for (const line of run.stdout.split("\n")) {
    const heading = /^Disassembly of section (.*):$/.exec(line)?.[1];
    if (heading !== undefined) {
      current = new Map();
      sections.set(heading, current);
    }
    const row = /^\s*(\d+):\s+(.*)$/.exec(line);
    if (row !== null) current.set(Number(row[1]), row[2]!.replace(/ <[^<>]*>$/, "").replaceAll("\t", " "));
  }
  return sections;
}

function compareWithObjdump(path: string, bytes: Uint8Array): void {
  const elf = readElf(bytes);
  const printed = objdump(path);
  for (const { name, flags, content } of elf.sections) {
    if ((Number(flags) & SHF.EXECINSTR) === 0 || content.length === 0) continue;
    const insns = decodeInsns(content, elf.littleEndian);
    for (let slot = 0; slot < insns.length; slot++) {
      const text = llvmInsn(insns[slot]!, insns[slot + 1]);
      const theirs = printed.get(name)?.get(slot);
      counts.texts++;
      if (text !== theirs) differs(`${path} ${name} ${slot}: "${text}", llvm-objdump: "${theirs}"`);
      if (isLdImm64(insns[slot]!)) slot++;
    }
  }
}

function compareObject(path: string, spec: ObjectSpec, dialect: AsmDialect): void {
  const unit = assemble(objectText(spec, dialect), { file: `${path} (${dialect})` });
  const functions = new Map(unit.functions.map((func) => [func.name, func]));
  for (const func of spec.functions) {
    const ours = functions.get(func.name);
    counts.functions++;
    const refs = (list: readonly object[]) => JSON.stringify(list);
    if (ours === undefined || !sameInsns(ours.insns, func.insns))
      differs(`${path} (${dialect}): function ${func.name} differs`);
    else if (
      refs(ours.refs.map(({ insn, value }) => ({ ...value, insn }))) !==
      refs(func.refs.map(({ insn, ...ref }) => ({ ...ref, insn })))
    ) {
      differs(`${path} (${dialect}): references of ${func.name} differ`);
    }
  }
}

function sameInsns(a: readonly Insn[], b: readonly Insn[]): boolean {
  return Buffer.compare(encodeInsns(a), encodeInsns(b)) === 0;
}

function compareCode(what: string, insns: readonly Insn[], dialect: AsmDialect): void {
  const text = codeLines(insns, dialect).join("\n");
  counts.programs++;
  counts.instructions += insns.length;
  if (!sameInsns(assembleCode(text, { file: `${what} (${dialect})` }), insns)) differs(`${what} (${dialect}): differs`);
}

function attempt(what: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    differs(`${what}: ${error.message}`);
  }
}

const dir = process.argv[2];
if (dir === undefined) {
  console.error("usage: npm run parity:asm -- DIR");
  process.exit(2);
}
const hasObjdump = spawnSync("llvm-objdump-19", ["--version"]).status === 0;
if (!hasObjdump) console.log("llvm-objdump-19 is not installed: texts are not compared with its");
const list = (folder: string, ending: string) =>
  existsSync(join(dir, folder))
    ? readdirSync(join(dir, folder))
        .filter((name) => name.endsWith(ending))
        .sort()
    : [];
for (const name of list("objects", ".o")) {
  const path = join(dir, "objects", name);
  const bytes = readFileSync(path);
  counts.objects++;
  let spec: ObjectSpec | undefined;
  try {
    spec = readObject(bytes, { name });
  } catch (error) {
    // What cannot be read is for others to judge.
    if (!(error instanceof InputError)) throw error;
  }
  if (hasObjdump) compareWithObjdump(path, bytes);
  for (const dialect of ASM_DIALECTS) if (spec !== undefined) attempt(path, () => compareObject(name, spec, dialect));
}
for (const name of list("records", ".jsonl")) {
  for (const line of readFileSync(join(dir, "records", name), "utf8").split("\n")) {
    if (line === "") continue;
    const { load } = readRecord(line);
    for (const dialect of ASM_DIALECTS) {
      attempt(`${name} ${load.name}`, () => compareCode(`${name} ${load.name}`, decodeInsns(load.insns), dialect));
    }
  }
}
console.log(
  `${counts.objects} objects: ${counts.texts} texts compared with llvm-objdump's, ${counts.functions} functions assembled again; ` +
    `${counts.programs} texts of loaded programs (${counts.instructions} instructions) assembled again; ${counts.differences} differences`,
);
process.exit(counts.differences === 0 ? 0 : 1);
