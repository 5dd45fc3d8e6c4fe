// SPDX-License-Identifier: MIT
import type { BtfBuilder } from "../btf/builder.js";
import { dataSpec, dataVariable } from "../model/make.js";
import type { DataSpec, DataVariable } from "../model/spec.js";
import type { InputError } from "../util/errors.js";
import type { DataSymbol } from "./codegen/ir.js";
import { AnyGlobal, type GlobalValue } from "./globals.js";
import { alignUp, array, type CType, char } from "./types.js";

const RODATA = ".rodata";

interface Placed {
  readonly name: string;
  readonly offset: number;
  readonly type: CType<unknown>;
  readonly linkage: "static" | "global";
}

/** One section of global data while programs are written: what they use gets its place in it. */
class Section {
  readonly name: string;
  readonly bytes: number[] = [];
  readonly variables: Placed[] = [];

  constructor(name: string) {
    this.name = name;
  }

  add(name: string, type: CType<unknown>, content: Uint8Array, linkage: "static" | "global"): number {
    // Places of eight bytes and more are copied by eight: a multiple of that is no loss.
    const offset = alignUp(this.bytes.length, type.size >= 8 && linkage === "global" ? 8 : type.align);
    while (this.bytes.length < offset) this.bytes.push(0);
    this.bytes.push(...content);
    this.variables.push({ name, offset, type, linkage });
    return offset;
  }

  spec(btf: BtfBuilder): DataSpec {
    const variables = this.variables.map(({ name, offset, type, linkage }): DataVariable => {
      const own = type.toBtf(btf);
      const typeId = this.name === RODATA ? btf.modifier("const", own) : own;
      return dataVariable({ name, offset, size: type.size, btfVarId: btf.var(name, typeId, linkage), linkage });
    });
    const infos = variables.map(({ btfVarId, offset, size }) => ({ type: btfVarId, offset, size }));
    const content = Uint8Array.from(this.bytes);
    const btfDatasecId = btf.datasec(this.name, content.length, infos);
    return dataSpec({ section: this.name, content, variables, btfDatasecId });
  }
}

/** Global data of an object: variables by declaration, constant strings each held once. */
export class GlobalData {
  readonly #sections = new Map<string, Section>();
  readonly #strings = new Map<string, number>();
  readonly #names = new Map<string, number>();
  readonly #globals = new Map<string, { readonly variable: AnyGlobal; readonly symbol: DataSymbol }>();
  readonly #values: readonly GlobalValue[];

  /** @param values what constants are in this build. */
  constructor(values: readonly GlobalValue[]) {
    this.#values = values;
  }

  #section(name: string): Section {
    let section = this.#sections.get(name);
    if (section === undefined) {
      section = new Section(name);
      this.#sections.set(name, section);
    }
    return section;
  }

  /** The place of a program's constant string. */
  string(program: string, text: string): DataSymbol {
    let offset = this.#strings.get(text);
    if (offset === undefined) {
      const content = new TextEncoder().encode(`${text}\0`);
      // As clang names the formats of bpf_printk().
      const count = this.#names.get(program) ?? 0;
      this.#names.set(program, count + 1);
      const name = `${program}.____fmt${count === 0 ? "" : `.${count}`}`;
      offset = this.#section(RODATA).add(name, array(char, content.length), content, "static");
      this.#strings.set(text, offset);
    }
    return { kind: "data", section: RODATA, offset };
  }

  /** The place of a variable. */
  variable(variable: unknown, fail: (message: string) => InputError): DataSymbol {
    if (!(variable instanceof AnyGlobal)) throw fail("this is no global variable");
    const { name, section, type } = variable;
    const known = this.#globals.get(name);
    if (known !== undefined && known.variable !== variable) throw fail(`two global variables are named ${name}`);
    if (known !== undefined) return known.symbol;
    const content = this.#values.findLast((value) => value.variable === variable)?.content ?? variable.content;
    const offset = this.#section(section).add(name, type, content, "global");
    const symbol: DataSymbol = { kind: "data", section, offset };
    this.#globals.set(name, { variable, symbol });
    return symbol;
  }

  spec(btf: BtfBuilder): DataSpec[] {
    return [...this.#sections.values()].map((section) => section.spec(btf));
  }
}
