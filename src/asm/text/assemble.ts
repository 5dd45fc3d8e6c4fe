// SPDX-License-Identifier: MIT
import { dataSectionKind } from "../../kernel/sections.js";
import type { Insn } from "../insn.js";
import { type AsmOptions, defineConstant } from "./assemble-code.js";
import { DataBytes, type DataDirective } from "./data.js";
import { encodeAlone, type Meaning, shown } from "./encode.js";
import { type Constants, type Expr, ranged } from "./expr.js";
import { type FunctionText, writeFunction } from "./functions.js";
import { readMap } from "./map-text.js";
import { isInsn, type Reader, Source } from "./source.js";
import type { Directive, InsnStatement, Line } from "./syntax.js";
import { Kind, LineError, LineToken } from "./token.js";
import type { AsmBinding, AsmData, AsmDataRef, AsmExtern, AsmFunction, AsmMap, AsmUnit, AsmVariable } from "./unit.js";

/**
 * Assembles a whole text: programs and subprograms in sections, maps, global data, externs.
 *
 *     .license "GPL"
 *     .map counts array key=u32 value=u64 max_entries=1
 *     .section xdp
 *     count:
 *       r2 = r10
 *       r2 += -4
 *       *(u32 *)(r2 + 0) = 0
 *       r1 = counts ll
 *       call bpf_map_lookup_elem
 *       if r0 == 0 goto out
 *       lock *(u64 *)(r0 + 0) += 1
 *     out:
 *       r0 = 2
 *       exit
 *
 * A label begins a function when it is the first of its section, is declared (`.globl`, `.type NAME,@function`,
 * `.func`), or when something calls it or takes its address; then it is a subprogram and goes to `.text`.
 * @throws InputError with line, column and what was expected.
 */
export function assemble(text: string, options: AsmOptions = {}): AsmUnit {
  return new UnitText(new Source(text, options.file), options.longJumps ?? true).run();
}

/** Sections that compilers write for debuggers and linkers. */
const IGNORED = /^\.(?:debug|BTF|note|llvm|rel|comment|eh_frame|symtab|strtab)/;

/** What a section of text holds, in its order. */
export interface CodeItem {
  readonly line: number;
  readonly labels: readonly LineToken[];
  readonly statement: InsnStatement | undefined;
  /** The statement, encoded, when nothing of it was left open. */
  readonly insn: Insn | undefined;
}

interface CodeSection {
  readonly kind: "code";
  readonly name: string;
  readonly items: CodeItem[];
}

interface DataSection {
  readonly kind: "data";
  readonly name: string;
  readonly bytes: DataBytes;
}

type Section = CodeSection | DataSection | { readonly kind: "ignored"; readonly name: string };

type Symbol =
  | {
      readonly kind: "code";
      readonly section: CodeSection;
      readonly item: number;
      readonly token: LineToken;
      readonly line: number;
    }
  | { readonly kind: "data"; readonly section: DataSection; readonly offset: number }
  | { readonly kind: "map" }
  | { readonly kind: "extern"; readonly extern: AsmExtern };

type Binding = "global" | "weak" | "hidden" | "function";

class UnitText implements Reader {
  readonly #source: Source;
  readonly #longJumps: boolean;
  readonly #sections = new Map<string, Section>();
  readonly #symbols = new Map<string, Symbol>();
  readonly #bindings = new Map<string, Set<Binding>>();
  readonly #constants = new Map<string, bigint>();
  readonly #maps = new Map<string, { readonly map: AsmMap; readonly line: number }>();
  readonly #entries: { readonly map: LineToken; readonly at: Expr; readonly name: LineToken; readonly line: number }[] =
    [];
  /** Names that something calls or loads. */
  readonly #referred = new Set<string>();
  #section: Section | undefined;
  #license = "";
  #version = 0;

  constructor(source: Source, longJumps: boolean) {
    this.#source = source;
    this.#longJumps = longJumps;
  }

  run(): AsmUnit {
    this.#source.parse(this);
    const texts = [...this.#sections.values()].flatMap((section) =>
      section.kind === "code" ? this.#split(section) : [],
    );
    const owners = new Map(texts.flatMap((text) => text.labels.map((label) => [label, text] as const)));
    const constants: Constants = this.#constants;
    const functions = texts.map(
      (text): AsmFunction =>
        writeFunction(text, this.#source, {
          constants,
          longJumps: this.#longJumps,
          ownerOf: (label) => owners.get(label),
          meaning: (name, offset) => this.#meaning(name, offset),
          known: () => this.#symbols.keys(),
        }),
    );
    const data = [...this.#sections.values()].flatMap((section) =>
      section.kind === "data" ? this.#data(section) : [],
    );
    return {
      license: this.#license,
      version: this.#version,
      functions,
      maps: this.#finishMaps(),
      data,
      externs: [...this.#symbols.values()].flatMap((symbol) => (symbol.kind === "extern" ? [symbol.extern] : [])),
    };
  }

  /* Reading. */

  insn(insn: Insn, line: number): void {
    this.#code(0).items.push({ line, labels: [], statement: undefined, insn });
  }

  line({ labels, statement, index }: Line, line: number): void {
    if (labels.length > 0) this.#labels(labels, line);
    if (statement === undefined) return;
    if (!isInsn(statement)) {
      this.#directive(statement, line, index);
      return;
    }
    const code = this.#code(index);
    const insn = encodeAlone(statement, this.#constants);
    if (insn === undefined) this.#refer(statement);
    code.items.push({ line, labels: [], statement, insn });
  }

  #code(index: number): CodeSection {
    this.#section ??= this.#open(".text");
    if (this.#section.kind === "code") return this.#section;
    if (this.#section.kind === "ignored") return { kind: "code", name: "", items: [] };
    throw new LineError(`instructions cannot stand in ${this.#section.name}, which holds data`, index);
  }

  #open(name: string): Section {
    const known = this.#sections.get(name);
    if (known !== undefined) return known;
    const isData = dataSectionKind(name) !== undefined || name === "license" || name === "version";
    const section: Section = IGNORED.test(name)
      ? { kind: "ignored", name }
      : isData
        ? { kind: "data", name, bytes: new DataBytes() }
        : { kind: "code", name, items: [] };
    this.#sections.set(name, section);
    return section;
  }

  #labels(labels: readonly LineToken[], line: number): void {
    this.#section ??= this.#open(".text");
    const section = this.#section;
    if (section.kind === "ignored") return;
    for (const label of labels) {
      if (label.kind === Kind.NUMBER) continue;
      const symbol: Symbol =
        section.kind === "code"
          ? { kind: "code", section, item: section.items.length, token: label, line }
          : { kind: "data", section, offset: section.bytes.length };
      this.#declare(label, symbol);
      if (section.kind === "data") section.bytes.labels.push({ name: label, offset: section.bytes.length });
    }
    if (section.kind === "code") section.items.push({ line, labels, statement: undefined, insn: undefined });
  }

  #declare(name: LineToken, symbol: Symbol): void {
    if (this.#symbols.has(name.text)) throw new LineError(`${shown(name)} is declared twice`, name.index);
    this.#symbols.set(name.text, symbol);
  }

  #directive(directive: Directive, line: number, index: number): void {
    switch (directive.kind) {
      case "section":
        if (directive.name === ".maps" || directive.name === "maps") {
          throw new LineError("maps are declared with .map NAME TYPE key=… value=… max_entries=…", directive.index);
        }
        this.#section = this.#open(directive.name);
        return;
      case "binding":
        for (const { text } of directive.names) {
          const set = this.#bindings.get(text) ?? new Set();
          this.#bindings.set(text, set.add(directive.binding));
        }
        return;
      case "constant":
        defineConstant(this.#constants, directive);
        return;
      case "map":
        this.#declare(directive.name, { kind: "map" });
        this.#maps.set(directive.name.text, { map: readMap(directive, this.#constants), line });
        return;
      case "entry":
        this.#entries.push({ ...directive, line });
        return;
      case "extern":
        this.#extern(directive);
        return;
      case "license":
        this.#license = directive.text.text;
        return;
      case "version":
        this.#version = ranged(directive.value, this.#constants, 0, 0xffff_ffff, "version");
        return;
      case "nothing":
        return;
      default:
        this.#bytes(directive, line, index);
    }
  }

  #bytes(directive: DataDirective, line: number, index: number): void {
    const section = this.#section;
    if (section?.kind === "ignored") return;
    if (section?.kind === "data") {
      section.bytes.add(directive, this.#constants, line, index);
      return;
    }
    // Compilers align functions.
    if (directive.kind !== "align") {
      throw new LineError("data stands in .data, .rodata or .bss: expected a .section before it", index);
    }
  }

  #extern({ section, name, what }: Extract<Directive, { kind: "extern" }>): void {
    const words = what.map(({ text }) => text);
    const bad = what.find(({ text }) => text !== "func" && text !== "var" && text !== "weak");
    if (bad !== undefined) throw new LineError(`expected func, var or weak, got ${shown(bad)}`, bad.index);
    const kind = words.includes("func") || (section === "" && !words.includes("var")) ? "func" : "var";
    this.#declare(name, { kind: "extern", extern: { name: name.text, section, kind, weak: words.includes("weak") } });
  }

  /** Notes what an instruction calls or takes the address of. */
  #refer(statement: InsnStatement): void {
    if (statement.kind === "call") this.#referred.add(statement.callee.text);
    else if (statement.kind === "jump" && statement.src !== 0 && statement.target.kind === "label") {
      this.#referred.add(statement.target.name.text);
    } else if (statement.kind === "wide" && typeof statement.value !== "number") this.#referTo(statement.value);
    else if (statement.kind === "pseudo") this.#referTo(statement.low);
  }

  #referTo(tree: Expr): void {
    if (tree instanceof LineToken) this.#referred.add(tree.text);
    else if ("left" in tree) {
      this.#referTo(tree.left);
      this.#referTo(tree.right);
    } else this.#referTo(tree.of);
  }

  /* Functions. */

  /** Cuts a section into its functions. */
  #split(section: CodeSection): FunctionText[] {
    const { items } = section;
    const texts: FunctionText[] = [];
    let current: FunctionText | undefined;
    for (const item of items) {
      for (const label of item.labels) {
        const isFunction = label.kind !== Kind.NUMBER && (current === undefined || this.#isFunction(label.text));
        if (isFunction) {
          current = this.#functionText(label, section);
          texts.push(current);
        } else current?.labels.push(label.text);
      }
      if (current === undefined) {
        const place = new LineError("expected a label that names the function before its first instruction", 0);
        throw this.#source.error(item.line, place);
      }
      current.items.push(item);
    }
    return texts;
  }

  #isFunction(name: string): boolean {
    return this.#referred.has(name) || this.#bindings.has(name);
  }

  #functionText({ text: name }: LineToken, section: CodeSection): FunctionText {
    const isCalled = this.#referred.has(name);
    const binding = this.#bindingOf(name, false);
    const isLocal = binding.linkage === "static" && !binding.weak;
    // Programs are what the loader sees; what is called beside one is a subprogram.
    if (section.name === ".text" || (isCalled && isLocal))
      return { name, section: ".text", ...binding, labels: [name], items: [] };
    return { name, section: section.name, ...binding, linkage: "global", labels: [name], items: [] };
  }

  #bindingOf(name: string, global: boolean): AsmBinding {
    const set = this.#bindings.get(name);
    const isGlobal = global || set?.has("global") || set?.has("weak") || set?.has("hidden");
    return {
      linkage: isGlobal ? "global" : "static",
      weak: set?.has("weak") ?? false,
      hidden: set?.has("hidden") ?? false,
    };
  }

  /** What a name stands for beyond its function. */
  #meaning(name: LineToken, offset: bigint): Meaning | undefined {
    const symbol = this.#symbols.get(name.text);
    if (symbol === undefined) {
      const section = this.#sections.get(name.text);
      return section?.kind === "data"
        ? { kind: "data", section: section.name, offset: this.#offset(offset, name) }
        : undefined;
    }
    if (symbol.kind === "data") {
      const at = this.#offset(BigInt(symbol.offset) + offset, name);
      return { kind: "data", section: symbol.section.name, offset: at };
    }
    if (offset !== 0n) throw new LineError(`nothing can be added to the address of ${shown(name)}`, name.index);
    if (symbol.kind === "map") return { kind: "map", map: name.text };
    if (symbol.kind === "code") return { kind: "func", func: name.text };
    return { kind: "extern", extern: name.text };
  }

  #offset(offset: bigint, { index }: LineToken): number {
    if (BigInt.asIntN(32, offset) !== offset) throw new LineError(`offset does not fit 32 bits: ${offset}`, index);
    return Number(offset);
  }

  /* Data and maps. */

  #data({ name, bytes }: DataSection): AsmData[] {
    const content = bytes.content();
    if (name === "license") {
      this.#license ||= new TextDecoder().decode(content).replace(/\0.*$/s, "");
      return [];
    }
    if (name === "version") {
      if (content.length >= 4) this.#version ||= new DataView(content.buffer).getUint32(0, true);
      return [];
    }
    const variables = bytes.labels.map(({ name: label, offset }, i): AsmVariable => {
      const next = bytes.labels.slice(i + 1).find((other) => other.offset > offset);
      const size = (next?.offset ?? content.length) - offset;
      return { name: label.text, offset, size, ...this.#bindingOf(label.text, false) };
    });
    const refs = bytes.fixups.map(
      (fixup): AsmDataRef => this.#source.at(fixup.line, () => this.#dataRef(fixup.name, fixup)),
    );
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    for (const ref of refs) {
      // What is added to a section's address stands in its place, as in files.
      if (ref.kind === "data") view.setInt32(ref.offset, ref.target, true);
      if (ref.kind === "data" && ref.size === 8) view.setInt32(ref.offset + 4, ref.target < 0 ? -1 : 0, true);
    }
    return [{ section: name, content, align: Math.max(bytes.align, 1), variables, refs }];
  }

  #dataRef(
    name: LineToken,
    { offset, size, addend }: { readonly offset: number; readonly size: 4 | 8; readonly addend: bigint },
  ): AsmDataRef {
    const place = { offset, size };
    const meaning = this.#meaning(name, addend);
    switch (meaning?.kind) {
      case "data":
        return { ...place, kind: "data", section: meaning.section, target: meaning.offset };
      case "map":
        return { ...place, kind: "map", map: meaning.map };
      case "func":
        return { ...place, kind: "func", func: meaning.func };
      case "extern":
        return { ...place, kind: "extern", extern: meaning.extern };
      default:
        throw new LineError(`${shown(name)} is not declared`, name.index);
    }
  }

  #finishMaps(): AsmMap[] {
    const entries = new Map<string, { index: number; name: string; kind: "map" | "func" }[]>();
    for (const { map, at, name, line } of this.#entries) {
      this.#source.at(line, () => {
        if (!this.#maps.has(map.text)) throw new LineError(`no map is named ${shown(map)}`, map.index);
        const symbol = this.#symbols.get(name.text);
        if (symbol?.kind !== "map" && symbol?.kind !== "code") {
          throw new LineError(`${shown(name)} is no map and no program`, name.index);
        }
        const index = ranged(at, this.#constants, 0, 0xffff_ffff, "index");
        const list = entries.get(map.text) ?? [];
        if (list.some((entry) => entry.index === index)) throw new LineError(`entry ${index} is given twice`, at.index);
        entries.set(map.text, [...list, { index, name: name.text, kind: symbol.kind === "map" ? "map" : "func" }]);
      });
    }
    return [...this.#maps.values()].map(({ map, line }) => {
      if (map.inner !== undefined && !this.#maps.has(map.inner)) {
        throw this.#source.error(line, new LineError(`no map is named "${map.inner}"`, 0));
      }
      const { weak, hidden } = this.#bindingOf(map.name, true);
      return { ...map, weak, hidden, entries: (entries.get(map.name) ?? []).sort((a, b) => a.index - b.index) };
    });
  }
}
