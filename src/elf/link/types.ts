// SPDX-License-Identifier: MIT
import { dedupTypes } from "../../btf/dedup/dedup.js";
import { HEAD_WORDS, INFO, SIZE_OR_TYPE } from "../../btf/dedup/layout.js";
import { BtfWords } from "../../btf/dedup/words.js";
import { BTF_KIND, BTF_LINKAGE } from "../../btf/format.js";
import { sizeOf } from "../../btf/size.js";
import { InputError } from "../../util/errors.js";
import type { InputObject } from "./input.js";
import type { OutputSection } from "./output.js";
import type { GlobalSymbol } from "./symbols.js";

/** What an id of an input's BTF became in the output's; 0 for what is left out. */
export type TypeIds = (id: number) => number;

/** The types of the output. */
export class TypeMerger {
  readonly words = new BtfWords();
  /** Ids that stand for nothing: sections, and globals that another input brought. */
  readonly #omitted = new Set<number>();

  /** Whether any input has BTF. */
  get isEmpty(): boolean {
    return this.words.count === 1;
  }

  /** Tells the type of an extern what only the definition knows: that it is one, and its parameters' names. */
  complete(global: GlobalSymbol, input: InputObject, id: number): void {
    const { words, starts, strings } = this.words;
    const at = starts[global.outputId]!;
    const type = input.types!.typeById(id);
    if (type.kind === "var") words[at + HEAD_WORDS] = BTF_LINKAGE.global;
    if (type.kind !== "func") return;
    words[at + INFO] = ((BTF_KIND.func << 24) | BTF_LINKAGE.global) >>> 0;
    const proto = input.types!.typeById(type.type);
    const ours = words[at + SIZE_OR_TYPE]!;
    if (proto.kind !== "funcProto" || this.words.kind(ours) !== BTF_KIND.funcProto) return;
    proto.params.forEach((param, i) => {
      if (param.name !== "") words[starts[ours]! + HEAD_WORDS + 2 * i] = strings.addText(param.name);
    });
  }

  /**
   * Takes over the types of an input whose symbols are merged.
   * @throws InputError when types refer to what is left out, and for globals that are not where they were.
   */
  merge(input: InputObject, globals: ReadonlyMap<string, GlobalSymbol>): TypeIds {
    const { types, btf } = input;
    if (types === null || btf === null) return () => 0;
    const standIns = new Map<number, number>();
    const fresh: { global: GlobalSymbol; id: number }[] = [];
    const retyped: { global: GlobalSymbol; type: number }[] = [];
    for (let id = 1; id < types.length; id++) {
      const kind = types.kindById(id);
      if (kind === "datasec") standIns.set(id, 0);
      if (kind !== "var" && kind !== "func") continue;
      const type = types.typeById(id);
      if ((type.kind !== "var" && type.kind !== "func") || type.linkage === "static") continue;
      const global = globals.get(type.name);
      // Without a symbol it belongs to a section that is left out.
      if (global === undefined) standIns.set(id, 0);
      else if (global.outputId !== 0) {
        standIns.set(id, global.outputId);
        if (global.retype) retyped.push({ global, type: type.type });
        global.retype = false;
      } else fresh.push({ global, id });
    }
    // Two types of one global in one object: the first one stands for the others.
    const firstOf = new Map<GlobalSymbol, number>();
    const next = this.words.count;
    for (const { global, id } of fresh) {
      const first = firstOf.get(global);
      if (first === undefined) firstOf.set(global, id);
      else standIns.set(id, next + first - 1);
    }
    const first = this.words.append(btf, standIns);
    for (const id of standIns.keys()) this.#omitted.add(first + id - 1);
    const ids: TypeIds = (id) => (id === 0 ? 0 : (standIns.get(id) ?? first + id - 1));
    for (const [global, id] of firstOf) {
      global.outputId = ids(id);
      global.retype = false;
    }
    for (const { global, type } of retyped) {
      this.words.words[this.words.starts[global.outputId]! + SIZE_OR_TYPE] = ids(type);
    }
    this.#mergeSections(input, ids, globals);
    return ids;
  }

  /** Takes over what BTF says of sections. */
  #mergeSections(input: InputObject, ids: TypeIds, globals: ReadonlyMap<string, GlobalSymbol>): void {
    const types = input.types!;
    for (const section of input.sections) {
      const { out } = section;
      if (section.datasec === null || section.skipped || out === null) continue;
      out.hasBtf = true;
      for (const info of section.datasec) {
        const type = types.typeById(info.type);
        const named = type.kind === "var" || type.kind === "func" ? type : undefined;
        const global = named === undefined || named.linkage === "static" ? undefined : globals.get(named.name);
        if (global !== undefined && global.section !== out) {
          const where = global.section?.name ?? "no section";
          throw new InputError(`global ${named!.name} lies in ${where} elsewhere`, { section: out.name });
        }
        if (global !== undefined && global.variable >= 0) {
          const at = global.variable * 3;
          // The definition that won tells place and size. (bpftool leaves the place for the next time of linking.)
          if (global.type.btf === types && global.type.id === info.type)
            out.vars[at + 1] = section.offset + info.offset;
          out.vars[at + 2] = sizeOfGlobal(global);
          continue;
        }
        if (global !== undefined) global.variable = out.vars.length / 3;
        out.vars.push(ids(info.type), section.offset + info.offset, info.size);
      }
    }
  }

  /** Adds the sections, to be called once. */
  addSections(sections: Iterable<OutputSection>): void {
    for (const { name, size, hasBtf, vars } of sections) if (hasBtf) this.words.addDatasec(name, size, vars);
  }

  /** Removes what is left out or there twice, and gives the new id of each old one. */
  finish(): TypeIds {
    const kept = this.words.compact((id) => !this.#omitted.has(id));
    for (let id = 1; id < this.words.count; id++) this.words.mapRefs(id, (ref) => Math.max(0, kept[ref]!));
    const deduped = dedupTypes(this.words);
    return (id) => (kept[id]! < 0 ? 0 : deduped[kept[id]!]!);
  }
}

function sizeOfGlobal({ symbol, type: { btf, id } }: GlobalSymbol): number {
  const type = btf.types[id];
  if (type?.kind === "func") return 0;
  try {
    return sizeOf(btf, id);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`global ${symbol.name}: ${error.message}`);
  }
}
