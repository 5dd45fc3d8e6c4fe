// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { SECTION, SHN, STB, STT } from "../format.js";
import type { ElfSymbol } from "../read-elf.js";
import { EXTERN_SECTION, type GlobalType, type InputObject, type InputSection } from "./input.js";
import { checkMapsMatch, checkTypesMatch, type TypeAt } from "./match.js";
import type { OutputSection, OutputSymbol } from "./output.js";

/** A global or extern symbol: what all inputs mean by one name. */
export interface GlobalSymbol {
  readonly symbol: OutputSymbol;
  /** Where it lies, or would: `.kconfig`, `.ksyms`; null for an extern without a section. */
  section: OutputSection | null;
  isExtern: boolean;
  /** No strong one was met; never comes back. */
  isWeak: boolean;
  /** Its type in the input that says most of it. */
  type: TypeAt;
  /** Its BTF_KIND_VAR or BTF_KIND_FUNC in the output; 0 until the input's types are merged. */
  outputId: number;
  /** Whether the type is to be taken from the input that is being merged. */
  retype: boolean;
  /** Index of its variable in the section's; -1 for none. */
  variable: number;
}

/** Sections of which each object has the same, so that their symbols need no types to be matched by. */
const UNTYPED_SECTIONS: ReadonlySet<string> = new Set([SECTION.LICENSE, SECTION.VERSION]);

/** A function or variable that got its definition: what only the definition knows is to be told its type. */
export type OnResolved = (global: GlobalSymbol, input: InputObject, id: number) => void;

/** The symbols of the output. */
export class SymbolMerger {
  readonly symbols: OutputSymbol[] = [];
  readonly globals = new Map<string, GlobalSymbol>();
  readonly #onResolved: OnResolved;

  constructor(onResolved: OnResolved) {
    this.#onResolved = onResolved;
  }

  /**
   * Takes over the symbols of an input whose sections have their places.
   * @returns what each became; those of sections that are left out became nothing.
   * @throws InputError for what cannot be linked: two definitions, types that do not match.
   */
  merge(input: InputObject): Map<ElfSymbol, OutputSymbol> {
    const merged = new Map<ElfSymbol, OutputSymbol>();
    input.elf.symbols.forEach((symbol, index) => {
      if (index === 0) return;
      const output = this.#mergeSymbol(input, symbol);
      if (output !== null) merged.set(symbol, output);
    });
    return merged;
  }

  #mergeSymbol(input: InputObject, symbol: ElfSymbol): OutputSymbol | null {
    const isExtern = symbol.section === SHN.UNDEF;
    if (isExtern && input.types === null) throw new InputError(`extern ${symbol.name}: the object has no BTF`);
    let from: InputSection | null = null;
    // Special indices are no sections, unless the file has so many.
    if (!isExtern && symbol.section < SHN.LORESERVE) from = input.sections[symbol.section]!;
    if (from?.skipped) return null;
    if (symbol.type === STT.SECTION && from?.out != null) return this.#sectionSymbol(symbol, from.out);
    if (symbol.bind === STB.LOCAL) return this.#add(symbol, from);

    const type = input.globals.get(symbol.name);
    // Compilers describe the licence too; this library's writer does not.
    if (type === undefined && from !== null && UNTYPED_SECTIONS.has(from.name) && !this.globals.has(symbol.name)) {
      return this.#add(symbol, from);
    }
    if (input.types === null || type === undefined) {
      throw new InputError(`global ${symbol.name} has no type in the object's BTF`);
    }
    if (isExtern) from = externSection(input, type);
    const global = this.globals.get(symbol.name);
    if (global !== undefined) return this.#mergeGlobal(global, input, symbol, from, type);
    const output = this.#add(symbol, from);
    this.globals.set(symbol.name, {
      symbol: output,
      section: from?.out ?? null,
      isExtern,
      isWeak: symbol.bind === STB.WEAK,
      type: { btf: input.types, id: type.id },
      outputId: 0,
      retype: false,
      variable: -1,
    });
    return output;
  }

  #sectionSymbol(symbol: ElfSymbol, out: OutputSection): OutputSymbol {
    if (out.symbol === null) {
      const { name, size, bind, type, visibility } = symbol;
      out.symbol = { name, section: out, value: 0, size, bind, type, visibility };
      this.symbols.push(out.symbol);
    }
    return out.symbol;
  }

  #add(symbol: ElfSymbol, from: InputSection | null): OutputSymbol {
    const { name, size, bind, type, visibility } = symbol;
    const out = from?.out ?? null;
    // What only BTF calls a section has none in the file: the symbol stays undefined.
    const section = out === null ? symbol.section : from?.elf === null ? SHN.UNDEF : out;
    const output: OutputSymbol = {
      name,
      section,
      value: (from?.offset ?? 0) + symbol.value,
      size,
      bind,
      type,
      visibility,
    };
    this.symbols.push(output);
    return output;
  }

  /** Another symbol of a name that is known: libbpf's rules, linker_append_elf_sym(). */
  #mergeGlobal(
    global: GlobalSymbol,
    input: InputObject,
    symbol: ElfSymbol,
    from: InputSection | null,
    type: GlobalType,
  ): OutputSymbol {
    const { name } = symbol;
    const isExtern = symbol.section === SHN.UNDEF;
    const isWeak = symbol.bind === STB.WEAK;
    if (!isExtern && !global.isExtern && !global.isWeak && !isWeak) {
      throw new InputError(`global ${name} is defined by an object before, and neither definition is weak`);
    }
    const mine = { btf: input.types!, id: type.id };
    if (global.section?.name === SECTION.MAPS) checkMapsMatch(name, global.type, mine);
    else checkTypesMatch(name, global.type, mine);
    const output = global.symbol;
    // A strong one among them makes it strong, a hidden one hidden.
    if (!isWeak) {
      output.bind = STB.GLOBAL;
      global.isWeak = false;
    }
    output.visibility = Math.max(output.visibility, symbol.visibility);
    if (isExtern || (!global.isExtern && isWeak)) return output;
    output.type = symbol.type;
    output.section = from?.out ?? symbol.section;
    output.value = (from?.offset ?? 0) + symbol.value;
    output.size = symbol.size;
    global.section = from?.out ?? null;
    global.isExtern = false;
    global.retype = true;
    this.#onResolved(global, input, type.id);
    global.type = mine;
    return output;
  }
}

/** The section in which BTF has an extern; null for none. */
function externSection(input: InputObject, { section }: GlobalType): InputSection | null {
  if (section === undefined || section === EXTERN_SECTION) return null;
  return input.sections.find(({ name }) => name === section) ?? null;
}
