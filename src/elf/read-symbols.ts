// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../asm/insn.js";
import { InputError } from "../util/errors.js";
import { STB, STT } from "./format.js";
import { ELF_LIMITS } from "./limits.js";
import { lastOf, type ObjectSections } from "./object-file.js";
import type { ElfSection, ElfSymbol } from "./read-elf.js";

/** A function's symbol and the name that the function has in the specification. */
export interface PlacedSymbol {
  readonly name: string;
  readonly section: string;
  readonly symbol: ElfSymbol;
}

/** Functions whose code overlaps are copied; this many times a section's size is enough for any compiler's aliases. */
const OVERLAP_FACTOR = 4;

/** The functions of an object by their places. */
export class FunctionTable {
  readonly #bySection = new Map<number, PlacedSymbol[]>();
  readonly #names = new Set<string>();
  #insns = 0;

  /**
   * @throws InputError for a function that is not made of whole instructions or does not lie in its section, and for
   *   a program that is static, which no loader finds.
   */
  constructor(sections: ObjectSections, symbols: ReadonlyMap<number, readonly ElfSymbol[]>) {
    const sorted = sections.code.map((section) => ({
      section,
      functions: functionSymbols(section, symbols.get(section.index) ?? [], section === sections.text),
    }));
    const strong = sorted.flatMap(({ functions }) => functions).filter(({ bind }) => bind !== STB.LOCAL);
    for (const { name } of strong) this.#names.add(name);
    for (const { section, functions } of sorted) {
      this.#insns += functions.reduce((sum, { size }) => sum + size / INSN_SIZE, 0);
      if (this.#insns > ELF_LIMITS.insns) {
        throw new InputError(`more than ${ELF_LIMITS.insns} instructions`, { section: section.name });
      }
      const placed = functions.map((symbol) => ({
        name: symbol.bind === STB.LOCAL ? this.#uniqueName(symbol.name) : symbol.name,
        section: section.name,
        symbol,
      }));
      this.#bySection.set(section.index, placed);
    }
  }

  /** The functions of a section in the order of their places. */
  of(section: number): readonly PlacedSymbol[] {
    return this.#bySection.get(section) ?? [];
  }

  /** The function that a byte of a section lies in; the last one that begins there when several do. */
  containing(section: number, offset: number): PlacedSymbol | undefined {
    const found = lastOf(this.of(section), ({ symbol }) => symbol.value <= offset);
    return found !== undefined && offset < found.symbol.value + found.symbol.size ? found : undefined;
  }

  /** Name of the function that begins at a byte of a section. */
  startingAt(section: number, offset: number): string | undefined {
    const found = this.containing(section, offset);
    return found?.symbol.value === offset ? found.name : undefined;
  }

  /** Local functions of linked objects may share their names. */
  #uniqueName(name: string): string {
    let unique = name;
    for (let i = 1; this.#names.has(unique); i++) unique = `${name}.${i}`;
    this.#names.add(unique);
    return unique;
  }
}

function functionSymbols(section: ElfSection, symbols: readonly ElfSymbol[], isText: boolean): ElfSymbol[] {
  const functions = symbols.filter((symbol) => symbol.type === STT.FUNC);
  let total = 0;
  for (const { name, value, size, bind } of functions) {
    const fail = (what: string) => {
      throw new InputError(`function ${name} at offset ${value} ${what}`, { section: section.name });
    };
    if (value % INSN_SIZE !== 0 || size % INSN_SIZE !== 0) fail("is not made of whole instructions");
    if (size === 0) fail("has no instructions");
    if (value + size > section.size) fail("reaches beyond its section");
    if (!isText && bind === STB.LOCAL) fail("is static; programs must be global, subprograms stand in .text");
    total += size;
  }
  if (total > OVERLAP_FACTOR * section.size) {
    throw new InputError("functions overlap beyond reason", { section: section.name });
  }
  return functions.sort((a, b) => a.value - b.value);
}
