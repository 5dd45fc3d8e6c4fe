// SPDX-License-Identifier: MIT
import { decodeInsns, INSN_SIZE } from "../../src/asm/insn.js";
import { type CoreFunction, CoreRelocator, type CoreReloResult, type CoreTarget } from "../../src/btf/core/index.js";
import { formatSpec } from "../../src/btf/core/spec.js";
import { readBtfExt } from "../../src/btf/ext.js";
import { readBtfBlob } from "../../src/btf/read.js";
import type { Btf } from "../../src/btf/types.js";
import { STT } from "../../src/elf/format.js";
import { readElf } from "../../src/elf/read-elf.js";
import { InputError } from "../../src/util/errors.js";

/** What is needed of an object to relocate it: read here without the object model, so that only CO-RE is tested. */
export interface CoreObject {
  readonly btf: Btf;
  /** In the order in which .BTF.ext has their relocations. */
  readonly functions: readonly (CoreFunction & {
    /** libbpf counts the relocations of a section, not of a function. */
    readonly firstIndex: number;
  })[];
}

/** The types of an ELF file or of a raw BTF file, as libbpf's btf__parse() takes both. */
export function readAnyBtf(bytes: Uint8Array): Btf {
  if (bytes[0] !== 0x7f) return readBtfBlob(bytes).btf;
  const section = readElf(bytes, () => false).sections.find(({ name }) => name === ".BTF");
  if (section === undefined) throw new Error("no .BTF section");
  return readBtfBlob(section.content).btf;
}

/** The functions of an object that have CO-RE relocations and are loaded without asking. */
export function readCoreObject(bytes: Uint8Array): CoreObject | null {
  const elf = readElf(bytes, () => false);
  const content = (name: string) => elf.sections.find((section) => section.name === name)?.content;
  const [btf, ext] = [content(".BTF"), content(".BTF.ext")];
  if (btf === undefined || ext === undefined) return null;
  const blob = readBtfBlob(btf);
  const functions: CoreObject["functions"][number][] = [];
  for (const { section, records } of readBtfExt(ext, blob).coreRelos) {
    const code = elf.sections.find(({ name }) => name === section);
    if (code === undefined || section.startsWith("?")) continue;
    const symbols = elf.symbols
      .filter((symbol) => symbol.section === code.index && symbol.type === STT.FUNC)
      .sort((a, b) => a.value - b.value);
    for (const { name, value, size } of symbols) {
      const inside = (off: number) => off >= value && off < value + size;
      const core = records
        .filter(({ insnOff }) => inside(insnOff))
        .map(({ insnOff, ...relo }) => ({ insn: (insnOff - value) / INSN_SIZE, ...relo }));
      const firstIndex = records.findIndex(({ insnOff }) => inside(insnOff));
      const insns = decodeInsns(code.content.subarray(value, value + size));
      if (core.length > 0) functions.push({ name, section, insns, core, firstIndex });
    }
  }
  return { btf: blob.btf, functions };
}

/** What became of an object's relocations, in the words of libbpf's debug output. */
export interface CoreLog {
  /** Lines without the program's name. */
  readonly lines: string[];
  /** Why the object is refused; null when it is not. */
  readonly error: string | null;
}

const INSN_CLASS = { imm: "ALU/ALU64) imm", off: "LDX/ST/STX) off", imm64: "LDIMM64) imm64" } as const;

/** libbpf holds a spec in words in 256 bytes. */
const words = (spec: Parameters<typeof formatSpec>[0]) => formatSpec(spec).slice(0, 255);

/** libbpf's lines about one relocation. */
export function reloLines(func: CoreFunction, index: number, result: CoreReloResult): string[] {
  const { relo, patch } = result;
  const lines = [words(result.local)];
  for (const [i, { matches, spec }] of result.candidates.entries()) {
    lines.push(`${matches ? "matching" : "non-matching"} candidate #${i} ${words(spec)}`);
  }
  if (result.chosen === null && coreNeedsTarget(result)) lines.push("no matching targets found");
  if (patch.kind === "poison") {
    if (patch.cause === "resized") {
      lines.push(
        `insn #${relo.insn} (LDX/ST/STX) accesses field incorrectly. Make sure you are accessing pointers, unsigned integers, or fields of matching type and size.`,
      );
    }
    const slots = func.insns[relo.insn]!.opcode === 0x18 ? 2 : 1;
    for (let i = 0; i < slots; i++) lines.push(`substituting insn #${relo.insn + i} w/ invalid insn`);
  } else {
    lines.push(`patched insn #${relo.insn} (${INSN_CLASS[patch.kind]} ${patch.before} -> ${patch.after}`);
    if (patch.size !== null) {
      lines.push(`patched insn #${relo.insn} (LDX/ST/STX) mem_sz ${patch.size.before} -> ${patch.size.after}`);
    }
  }
  return lines.map((line) => `prog '${func.name}': relo #${index}: ${line}`);
}

function coreNeedsTarget(result: CoreReloResult): boolean {
  return result.relo.kind !== 6;
}

/** Relocates an object against a target. */
export function coreLog(object: CoreObject, target: CoreTarget): CoreLog {
  const relocator = new CoreRelocator(object.btf, target);
  const lines: string[] = [];
  for (const func of object.functions) {
    for (const [i, relo] of func.core.entries()) {
      try {
        // One at a time, so that what comes before a refusal is seen.
        const { results } = relocator.relocate({ ...func, core: [relo] });
        lines.push(...reloLines(func, func.firstIndex + i, results[0]!));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return { lines, error: error.message };
      }
    }
  }
  return { lines, error: null };
}
