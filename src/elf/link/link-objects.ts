// SPDX-License-Identifier: MIT
import { BPF_CALL, BPF_JMP } from "../../asm/opcode.js";
import { InputError } from "../../util/errors.js";
import { SECTION, SHF, SHT, STT } from "../format.js";
import type { ElfRelocation, ElfSymbol } from "../read-elf.js";
import { ElfWriter } from "../write-elf.js";
import { mergeExt, planExt } from "./ext.js";
import { INSN_SIZE, type InputObject, type InputSection, type LinkInput, readInput } from "./input.js";
import { OutputSection, type OutputSymbol, symbolDesc } from "./output.js";
import { SymbolMerger } from "./symbols.js";
import { TypeMerger } from "./types.js";

export type { LinkInput } from "./input.js";

/** Byte of an instruction where its `imm` begins. */
const IMM_OFFSET = 4;

/**
 * Links BPF objects into one, as `bpftool gen object` does: sections of one name become one, symbols are resolved
 * (strong before weak, definitions for externs, by libbpf's rules of matching types and maps), BTF is merged and
 * deduplicated. What stays extern is left to the loader.
 * @throws InputError naming the object that does not fit to those before it, or is malformed.
 */
export function linkObjects(inputs: readonly LinkInput[]): Uint8Array {
  if (inputs.length === 0) throw new InputError("nothing to link");
  const linker = new Linker();
  for (const input of inputs) {
    try {
      linker.add(readInput(input));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(messageOf(error), { ...error.place, file: input.name }, { cause: error });
    }
  }
  return linker.finish();
}

/** An error's message without its place, which is put in front again. */
function messageOf(error: InputError): string {
  const { section } = error.place;
  const prefix = section === undefined ? "" : `section ${section}: `;
  return error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
}

class Linker {
  readonly #sections = new Map<string, OutputSection>();
  readonly #types = new TypeMerger();
  readonly #symbols = new SymbolMerger((global, input, id) => this.#types.complete(global, input, id));
  readonly #texts = new Map<string, number>();
  #littleEndian: boolean | undefined;

  add(input: InputObject): void {
    this.#littleEndian ??= input.elf.littleEndian;
    if (input.elf.littleEndian !== this.#littleEndian) {
      throw new InputError("the object's byte order is not that of the objects before");
    }
    for (const section of input.sections) this.#addSection(section);
    const merged = this.#symbols.merge(input);
    for (const [index, relocations] of input.elf.relocations) {
      for (const one of relocations) this.#addRelocation(input, input.sections[index]!, one, merged);
    }
    const ids = this.#types.merge(input, this.#symbols.globals);
    mergeExt(input, ids, this.#addText);
  }

  readonly #addText = (text: string): number => {
    let at = this.#texts.get(text);
    if (at === undefined) {
      at = this.#types.words.strings.addText(text);
      this.#texts.set(text, at);
    }
    return at;
  };

  #addSection(section: InputSection): void {
    const { name, elf, skipped } = section;
    if (skipped || (elf !== null && elf.type !== SHT.PROGBITS && elf.type !== SHT.NOBITS)) return;
    let out = this.#sections.get(name);
    if (out === undefined) {
      out = new OutputSection(name);
      this.#sections.set(name, out);
    } else if (elf !== null) {
      out.checkLike(elf);
      if (out.elf !== null && (name === SECTION.LICENSE || name === SECTION.VERSION)) {
        if (!out.equals(elf.content))
          throw new InputError("differs from that of the objects before", { section: name });
        section.skipped = true;
      }
    }
    section.out = out;
    if (elf !== null && !section.skipped) section.offset = out.append(elf);
  }

  #addRelocation(
    input: InputObject,
    target: InputSection,
    { offset, symbol, type }: ElfRelocation,
    merged: ReadonlyMap<ElfSymbol, OutputSymbol>,
  ): void {
    const { out, elf } = target;
    if (target.skipped || out === null || elf === null) return;
    const place = { section: target.name };
    const output = merged.get(symbol);
    if (output === undefined) {
      throw new InputError(`relocation at offset ${offset}: ${symbol.name} lies in a section that is left out`, place);
    }
    const at = target.offset + offset;
    out.relocations.push({ offset: at, symbol: output, type });
    if (symbol.type !== STT.SECTION) return;
    // Where in the section is said by the place itself, which has to follow the section.
    const shift = input.sections[symbol.section]?.offset ?? 0;
    if ((elf.flags & SHF.EXECINSTR) === 0) {
      throw new InputError(`relocation at offset ${offset}: data refers to a section, not to a symbol`, place);
    }
    const isCall = elf.content[offset] === (BPF_JMP | BPF_CALL);
    out.addTo(at + IMM_OFFSET, isCall ? shift / INSN_SIZE : shift);
  }

  finish(): Uint8Array {
    const littleEndian = this.#littleEndian ?? true;
    const writer = new ElfWriter(littleEndian);
    const sections = [...this.#sections.values()];
    const indexOf = new Map<OutputSection, number>();
    for (const section of sections) {
      const { name, elf, align } = section;
      if (elf === null) continue;
      const { type, flags, entsize } = elf;
      indexOf.set(
        section,
        writer.section({ name, type, flags, align, entsize, content: section.content(littleEndian) }),
      );
    }
    this.#writeTypes(writer, sections, littleEndian);
    const symbols = new Map(
      this.#symbols.symbols.map((symbol) => [symbol, writer.symbol(symbolDesc(symbol, indexOf))]),
    );
    for (const [section, index] of indexOf) {
      for (const { offset, symbol, type } of section.relocations) {
        writer.relocation(index, offset, symbols.get(symbol)!, type);
      }
    }
    return writer.finish();
  }

  #writeTypes(writer: ElfWriter, sections: readonly OutputSection[], littleEndian: boolean): void {
    const types = this.#types;
    if (types.isEmpty) return;
    types.addSections(sections);
    const writeExt = planExt(sections, this.#addText);
    const ids = types.finish();
    const section = (name: string, content: Uint8Array) =>
      writer.section({ name, type: SHT.PROGBITS, flags: 0, align: 8, content });
    section(SECTION.BTF, types.words.toBytes(littleEndian));
    if (writeExt !== undefined) section(SECTION.BTF_EXT, writeExt(ids, littleEndian));
  }
}
