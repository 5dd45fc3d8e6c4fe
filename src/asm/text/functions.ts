// SPDX-License-Identifier: MIT

import type { Insn } from "../insn.js";
import { Code, type Label } from "../labels.js";
import { checkGrowth } from "./assemble-code.js";
import { Encoder, type Meaning, type Names, shown } from "./encode.js";
import type { Constants } from "./expr.js";
import { LocalLabels } from "./local-labels.js";
import type { Source } from "./source.js";
import type { InsnStatement } from "./syntax.js";
import { Kind, LineError, type LineToken } from "./token.js";
import type { AsmBinding, AsmFunction, AsmRef } from "./unit.js";

/** One function of a text. */
export interface FunctionText extends AsmBinding {
  readonly name: string;
  readonly section: string;
  /** Its own name and the labels within. */
  readonly labels: string[];
  readonly items: FunctionItem[];
}

export interface FunctionItem {
  readonly line: number;
  readonly labels: readonly LineToken[];
  readonly statement: InsnStatement | undefined;
  readonly insn: Insn | undefined;
}

/** What a function knows of the text around it. */
export interface Surroundings {
  readonly constants: Constants;
  readonly longJumps: boolean;
  /** The function that a label stands in. */
  ownerOf(label: string): FunctionText | undefined;
  meaning(name: LineToken, offset: bigint): Meaning | undefined;
  known(): Iterable<string>;
}

/**
 * Encodes a function.
 * @throws InputError at the line that cannot be
 */
export function writeFunction(text: FunctionText, source: Source, around: Surroundings): AsmFunction {
  return new FunctionWriter(text, source, around).write();
}

class FunctionWriter implements Names {
  readonly constants: Constants;
  readonly #text: FunctionText;
  readonly #source: Source;
  readonly #around: Surroundings;
  readonly #code = new Code<AsmRef, number>();
  readonly #labels: ReadonlyMap<string, Label>;
  readonly #locals = new LocalLabels(this.#code);
  #line = 0;

  constructor(text: FunctionText, source: Source, around: Surroundings) {
    this.#text = text;
    this.#source = source;
    this.#around = around;
    this.constants = around.constants;
    this.#labels = new Map(text.labels.map((name) => [name, this.#code.newLabel(name)]));
  }

  write(): AsmFunction {
    const { name, section, linkage, weak, hidden, items } = this.#text;
    const encoder = new Encoder(this.#code, this);
    for (const { line, labels, statement, insn } of items) {
      this.#line = line;
      for (const label of labels) {
        const bound = label.kind === Kind.NUMBER ? this.#locals.define(label) : this.#labels.get(label.text);
        if (bound !== undefined) this.#code.bind(bound);
      }
      if (insn === undefined && statement === undefined) continue;
      this.#code.mark(line);
      if (insn !== undefined) encoder.emit(insn);
      else this.#source.at(line, () => encoder.write(statement!));
    }
    this.#checkLocals();
    const { insns, refs, marks } = this.#code.layout({ longJumps: this.#around.longJumps });
    checkGrowth(encoder, insns.length);
    if (insns.length === 0) {
      throw this.#source.error(items[0]?.line ?? 0, new LineError(`function "${name}" has no instructions`, 0));
    }
    const lines = marks.map(({ insn, value }) => {
      const text = this.#source.line(value);
      return { insn, value: { line: value + 1, column: text.search(/\S/) + 1, text } };
    });
    return { name, section, linkage, weak, hidden, insns, refs, lines };
  }

  #checkLocals(): void {
    const pending = this.#locals.pending();
    if (pending === undefined) return;
    const { token, line } = pending;
    throw this.#source.error(
      line,
      new LineError(`no label ${token.text.slice(0, -1)} follows in this function`, token.index),
    );
  }

  jumpLabel(name: LineToken): Label {
    if (name.kind === Kind.LOCAL) return this.#locals.use(name, this.#line);
    const label = this.#labels.get(name.text);
    if (label !== undefined) return label;
    const owner = this.#around.ownerOf(name.text);
    if (owner === undefined) throw new LineError(`no label is named ${shown(name)}`, name.index);
    throw new LineError(
      `${shown(name)} stands in function "${owner.name}": no jump leads out of a function`,
      name.index,
    );
  }

  meaning(name: LineToken, offset: bigint): Meaning | undefined {
    return this.#around.meaning(name, offset);
  }

  known(): Iterable<string> {
    return this.#around.known();
  }
}
