// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { SHT } from "../format.js";
import type { ElfSection } from "../read-elf.js";
import type { SymbolDesc } from "../write-elf.js";

/** A symbol of the output, as far as the inputs so far have made it. */
export interface OutputSymbol {
  readonly name: string;
  /** The section that it lies in, or SHN_*. */
  section: OutputSection | number;
  value: number;
  size: number;
  bind: number;
  type: number;
  visibility: number;
}

/** A relocation of the output. */
interface OutputRelocation {
  readonly offset: number;
  readonly symbol: OutputSymbol;
  readonly type: number;
}

/** Parts of .BTF.ext in their order there. */
export type ExtPart = "funcInfo" | "lineInfo" | "coreRelos";

/** Most bytes of one section. */
const MAX_SIZE = 0xffffffff;

/** A section of the output: the inputs' sections of that name one after the other. */
export class OutputSection {
  readonly name: string;
  /** What the first input with content says of it; null while only BTF knows it. */
  elf: ElfSection | null = null;
  size = 0;
  align = 1;
  readonly relocations: OutputRelocation[] = [];
  /** Its STT_SECTION symbol, of which one is enough. */
  symbol: OutputSymbol | null = null;
  /** Whether any input has a BTF_KIND_DATASEC for it, and the variables: type, offset, size. */
  hasBtf = false;
  readonly vars: number[] = [];
  /** Records of .BTF.ext as 32-bit words. */
  readonly ext = new Map<ExtPart, number[]>();
  readonly #parts: { readonly offset: number; readonly content: Uint8Array }[] = [];
  readonly #additions: { readonly offset: number; readonly value: number }[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** @throws InputError when the section of another input cannot be one with this. */
  checkLike(section: ElfSection): void {
    if (this.elf === null) return;
    for (const [what, mine, its] of [
      ["type", this.elf.type, section.type],
      ["flags", this.elf.flags, section.flags],
      ["entry size", this.elf.entsize, section.entsize],
    ] as const) {
      if (mine === its) continue;
      throw new InputError(`${what} ${its} where the objects before have ${mine}`, { section: this.name });
    }
  }

  /** Appends a section of an input and gives its offset. */
  append(section: ElfSection): number {
    this.elf ??= section;
    this.align = Math.max(this.align, section.align);
    const offset = Math.ceil(this.size / this.align) * this.align;
    this.size = offset + section.size;
    if (this.size > MAX_SIZE) throw new InputError("the section grows beyond 4 GiB", { section: this.name });
    if (section.content.length > 0) this.#parts.push({ offset, content: section.content });
    return offset;
  }

  /** Whether all that it has is this content. */
  equals(content: Uint8Array): boolean {
    const part = this.#parts[0]?.content ?? new Uint8Array();
    return this.size === content.length && content.every((byte, i) => part[i] === byte);
  }

  /** Adds a number to the 32-bit word at an offset. */
  addTo(offset: number, value: number): void {
    if (value !== 0) this.#additions.push({ offset, value });
  }

  /** The content, or the size where there is none. */
  content(littleEndian: boolean): Uint8Array | number {
    if (this.elf?.type === SHT.NOBITS) return this.size;
    const bytes = new Uint8Array(this.size);
    for (const { offset, content } of this.#parts) bytes.set(content, offset);
    const view = new DataView(bytes.buffer);
    for (const { offset, value } of this.#additions) {
      view.setUint32(offset, view.getUint32(offset, littleEndian) + value, littleEndian);
    }
    return bytes;
  }
}

/** A symbol as the writer takes it. */
export function symbolDesc(symbol: OutputSymbol, indexOf: ReadonlyMap<OutputSection, number>): SymbolDesc {
  const { section } = symbol;
  return { ...symbol, section: typeof section === "number" ? section : (indexOf.get(section) ?? 0) };
}
