// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { Insn } from "../insn.js";
import { Code, type Label } from "../labels.js";
import * as op from "../opcode.js";
import { Encoder, encodeAlone, type Meaning, type Names, shown } from "./encode.js";
import { constant } from "./expr.js";
import { LocalLabels } from "./local-labels.js";
import { isInsn, type Reader, Source } from "./source.js";
import type { Directive, InsnStatement, Line } from "./syntax.js";
import { Kind, LineError, type LineToken } from "./token.js";
import type { AsmRef } from "./unit.js";

/** How a text is assembled. */
export interface AsmOptions {
  /** What errors call the text; a path. */
  readonly file?: string;
  /** Whether jumps that 16 bits cannot hold may become `gotol` (cpu v4, Linux 6.6). Default true. */
  readonly longJumps?: boolean;
}

type ConstantDirective = Extract<Directive, { kind: "constant" }>;
const EXIT = op.BPF_JMP | op.BPF_EXIT;

interface Item {
  readonly line: number;
  readonly labels: readonly LineToken[];
  readonly statement: InsnStatement | undefined;
}

/**
 * Assembles the instructions of one program, of either dialect: labels, constants and comments, but no sections,
 * maps or data. Calls of labels become calls of subprograms within the code.
 * @throws InputError with line, column and what was expected.
 */
export function assembleCode(text: string, options: AsmOptions = {}): Insn[] {
  return new FlatText(new Source(text, options.file), options.longJumps ?? true).run();
}

function isExitStatement(statement: InsnStatement): boolean {
  return statement.kind === "plain" && statement.opcode === EXIT;
}

/** @throws LineError when the constant has another value already */
export function defineConstant(constants: Map<string, bigint>, { name, value }: ConstantDirective): void {
  const number = constant(value, constants);
  const before = constants.get(name.text);
  if (before !== undefined && before !== number) throw new LineError(`${shown(name)} is ${before} already`, name.index);
  constants.set(name.text, number);
}

class FlatText implements Names, Reader {
  readonly constants = new Map<string, bigint>();
  readonly #source: Source;
  readonly #longJumps: boolean;
  /** Instructions that stand already, and what must wait for the end of the text. */
  readonly #items: (Item | Insn)[] = [];
  readonly #labels = new Map<string, Label>();
  readonly #code = new Code<AsmRef, number>();
  readonly #locals = new LocalLabels(this.#code);
  #line = 0;
  #exitUse: { readonly name: LineToken; readonly line: number } | undefined;

  constructor(source: Source, longJumps: boolean) {
    this.#source = source;
    this.#longJumps = longJumps;
  }

  run(): Insn[] {
    this.#source.parse(this);
    const encoder = new Encoder(this.#code, this);
    let exit: Label | undefined = this.#labels.has("exit") ? undefined : this.#code.newLabel("exit");
    if (exit !== undefined) this.#labels.set("exit", exit);
    for (const item of this.#items) {
      if ("opcode" in item) {
        // In ubpf's texts the first exit is a label of that name.
        if (exit !== undefined && item.opcode === EXIT) {
          this.#code.bind(exit);
          exit = undefined;
        }
        encoder.emit(item);
        continue;
      }
      const { line, labels, statement } = item;
      this.#line = line;
      for (const label of labels) this.#code.bind(this.#labelOf(label));
      if (statement === undefined) continue;
      if (exit !== undefined && isExitStatement(statement)) {
        this.#code.bind(exit);
        exit = undefined;
      }
      this.#source.at(line, () => encoder.write(statement));
    }
    if (exit !== undefined && this.#exitUse !== undefined) {
      const { name, line } = this.#exitUse;
      throw this.#source.error(line, new LineError('no label is named "exit"', name.index));
    }
    return this.#layout(encoder);
  }

  insn(insn: Insn): void {
    this.#items.push(insn);
  }

  line({ labels, statement, index }: Line, line: number): void {
    for (const label of labels) this.#declare(label);
    if (statement === undefined || isInsn(statement)) {
      const insn = statement === undefined || labels.length > 0 ? undefined : encodeAlone(statement, this.constants);
      if (insn !== undefined) this.#items.push(insn);
      else if (statement !== undefined || labels.length > 0) this.#items.push({ line, labels, statement });
      return;
    }
    if (labels.length > 0) this.#items.push({ line, labels, statement: undefined });
    if (statement.kind === "constant") defineConstant(this.constants, statement);
    else if (statement.kind !== "nothing") {
      throw new LineError("a program's code takes no directives but .equ", index);
    }
  }

  #layout(encoder: Encoder): Insn[] {
    const pending = this.#locals.pending();
    if (pending !== undefined) {
      const { token, line } = pending;
      throw this.#source.error(line, new LineError(`no label ${token.text.slice(0, -1)} follows`, token.index));
    }
    const { insns } = this.#code.layout({ longJumps: this.#longJumps });
    checkGrowth(encoder, insns.length);
    return insns as Insn[];
  }

  #declare(label: LineToken): void {
    if (label.kind === Kind.NUMBER) return;
    if (this.#labels.has(label.text)) throw new LineError(`label ${shown(label)} stands in two places`, label.index);
    this.#labels.set(label.text, this.#code.newLabel(label.text));
  }

  #labelOf(token: LineToken): Label {
    return token.kind === Kind.NUMBER ? this.#locals.define(token) : this.#labels.get(token.text)!;
  }

  jumpLabel(name: LineToken): Label {
    if (name.kind === Kind.LOCAL) return this.#locals.use(name, this.#line);
    const label = this.#labels.get(name.text);
    if (name.text === "exit") this.#exitUse ??= { name, line: this.#line };
    if (label === undefined) throw new LineError(`no label is named ${shown(name)}`, name.index);
    return label;
  }

  meaning(name: LineToken): Meaning | undefined {
    const label = this.#labels.get(name.text);
    return label === undefined ? undefined : { kind: "label", label };
  }

  known(): Iterable<string> {
    return this.#labels.keys();
  }
}

/** @throws InputError when jumps became longer although distances were counted by hand */
export function checkGrowth(encoder: Encoder, length: number): void {
  if (!encoder.hasDistances || encoder.slots === length) return;
  throw new InputError(
    "jumps to labels need gotol here, which moves what distances in numbers lead to: write labels in all jumps",
  );
}
