// SPDX-License-Identifier: MIT
import { encodeUtf8 } from "../../util/bytes.js";
import { type Constants, constant, linear, NoConstant, ranged } from "./expr.js";
import type { Directive } from "./syntax.js";
import { LineError, type LineToken } from "./token.js";

/** Directives that put something into a data section. */
export type DataDirective = Extract<Directive, { kind: "values" | "text" | "space" | "align" }>;

/** An address that stands in data, not yet looked up. */
export interface DataFixup {
  readonly offset: number;
  readonly size: 4 | 8;
  readonly name: LineToken;
  readonly addend: bigint;
  readonly line: number;
}

/** Bytes of a section at most. */
const MAX_DATA = 1 << 26;

/** Collects the bytes of one data section. */
export class DataBytes {
  #bytes = new Uint8Array(64);
  #length = 0;
  readonly labels: { readonly name: LineToken; readonly offset: number }[] = [];
  readonly fixups: DataFixup[] = [];
  /** Bytes, a power of two. */
  align = 1;

  get length(): number {
    return this.#length;
  }

  content(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Makes room for so many zeros and gives their offset. */
  #grow(size: number, index: number): number {
    const at = this.#length;
    if (at + size > MAX_DATA) throw new LineError(`section of more than ${MAX_DATA} bytes`, index);
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }

  /** @throws LineError when a value does not fit */
  add(directive: DataDirective, constants: Constants, line: number, index: number): void {
    switch (directive.kind) {
      case "values":
        for (const value of directive.values) {
          const { symbol, value: number } = linear(value, constants);
          this.#value(directive.size, number, symbol, line, value.index);
        }
        return;
      case "text":
        for (const { text } of directive.texts) {
          const bytes = encodeUtf8(directive.zero ? `${text}\0` : text);
          const at = this.#grow(bytes.length, index);
          this.#bytes.set(bytes, at);
        }
        return;
      case "space": {
        const size = ranged(directive.size, constants, 0, MAX_DATA, "size");
        const fill = directive.fill === undefined ? 0 : ranged(directive.fill, constants, -128, 255, "fill");
        const at = this.#grow(size, index);
        this.#bytes.fill(fill, at, at + size);
        return;
      }
      case "align": {
        const value = constant(directive.to, constants);
        const to = directive.power ? 1n << (value >= 0n && value <= 12n ? value : 99n) : value;
        if (to < 1n || to > 4096n || (to & (to - 1n)) !== 0n) {
          throw new LineError("alignment must be a power of two up to 4096", directive.to.index);
        }
        this.align = Math.max(this.align, Number(to));
        this.#grow((Number(to) - (this.#length % Number(to))) % Number(to), index);
      }
    }
  }

  #value(size: number, value: bigint, name: LineToken | undefined, line: number, index: number): void {
    if (name !== undefined) {
      if (size !== 4 && size !== 8) throw new NoConstant(name);
      this.align = Math.max(this.align, size);
      const offset = this.#grow(size, index);
      this.fixups.push({ offset, size, name, addend: value, line });
      return;
    }
    const bits = size * 8;
    if (BigInt.asIntN(bits, value) !== value && BigInt.asUintN(bits, value) !== value) {
      throw new LineError(`value does not fit ${size} byte${size === 1 ? "" : "s"}: ${value}`, index);
    }
    this.align = Math.max(this.align, size);
    const at = this.#grow(size, index);
    for (let i = 0; i < size; i++) this.#bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
}
