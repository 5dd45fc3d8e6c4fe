// SPDX-License-Identifier: MIT
import { isSignedInt, resolveType } from "../btf/size.js";
import type { Btf, BtfType } from "../btf/types.js";
import { ELF_LIMITS } from "../elf/limits.js";
import type { ExternSpec } from "../model/spec.js";
import { encodeUtf8 } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import type { KernelFeatures } from "./options.js";

/*
 * Externs of `.kconfig`: constants that the loader fills in from the kernel's configuration, in a read-only
 * map of their own (libbpf: bpf_object__resolve_externs()).
 */

/** How a value of the configuration is written into an extern's type. */
type ValueKind = "bool" | "tristate" | "int" | "char" | "string";

/** An extern's place in the map `.kconfig`. */
export interface KconfigPlace {
  readonly extern: ExternSpec;
  /** Bytes from the start of the map's value. */
  readonly offset: number;
}

/** enum libbpf_tristate. */
const TRISTATE = { n: 0, y: 1, m: 2 } as const;

/** Lays externs out one behind the other; they come in libbpf's order. @throws InputError when they are too large */
export function placeKconfig(externs: readonly ExternSpec[]): { places: KconfigPlace[]; size: number } {
  let size = 0;
  const places = externs.map((extern) => {
    const offset = Math.ceil(size / extern.align) * extern.align;
    size = offset + extern.size;
    if (size > ELF_LIMITS.dataSize) throw new InputError(`extern ${extern.name}: ${extern.size} bytes are too many`);
    return { extern, offset };
  });
  return { places, size };
}

/** What the values depend on. */
export interface KconfigSource {
  readonly btf: Btf;
  readonly kernVersion: number;
  readonly features: KernelFeatures;
  /** The configuration's text; null when there is none. */
  readonly config: () => string | null;
}

/**
 * The content of the map.
 * @throws InputError for a value that does not fit its extern, and for what no configuration can say.
 */
export function kconfigContent(places: readonly KconfigPlace[], size: number, source: KconfigSource): Uint8Array {
  const content = new Uint8Array(size);
  const values = new KconfigValues(content, source.btf);
  const wanted = new Map<string, KconfigPlace>();
  for (const place of places) {
    if (place.extern.name.startsWith("CONFIG_")) wanted.set(place.extern.name, place);
    else values.number(place, virtualValue(place.extern, source));
  }
  if (wanted.size === 0) return content;
  const config = source.config();
  if (config === null) throw new InputError("the object asks for the kernel's configuration, which is not at hand");
  for (const [name, value] of assignments(config)) {
    const place = wanted.get(name);
    if (place === undefined) continue;
    // The first assignment counts.
    wanted.delete(name);
    values.assign(place, value);
  }
  for (const { extern } of wanted.values()) {
    if (!extern.weak) throw new InputError(`extern ${extern.name} is not set in the kernel's configuration`);
  }
  return content;
}

/** The values that come from elsewhere than the configuration. */
function virtualValue(extern: ExternSpec, { kernVersion, features }: KconfigSource): bigint {
  switch (extern.name) {
    case "LINUX_KERNEL_VERSION":
      if (kernVersion === 0) throw new InputError(`extern ${extern.name}: the kernel's version is not known`);
      return BigInt(kernVersion);
    case "LINUX_HAS_BPF_COOKIE":
      return features.bpfCookie === false ? 0n : 1n;
    case "LINUX_HAS_SYSCALL_WRAPPER":
      return features.syscallWrapper === false ? 0n : 1n;
    default:
      if (extern.name.startsWith("LINUX_") && extern.weak) return 0n;
      throw new InputError(`extern ${extern.name} is no value that a loader knows`);
  }
}

function* assignments(config: string): Generator<[name: string, value: string]> {
  for (const line of config.split("\n")) {
    if (!line.startsWith("CONFIG_")) continue;
    const equals = line.indexOf("=");
    if (equals < 0 || equals === line.length - 1) {
      throw new InputError(`kernel configuration: no value in the line ${JSON.stringify(line)}`);
    }
    yield [line.slice(0, equals), line.slice(equals + 1)];
  }
}

class KconfigValues {
  readonly #content: Uint8Array;
  readonly #view: DataView;
  readonly #btf: Btf;

  constructor(content: Uint8Array, btf: Btf) {
    this.#content = content;
    this.#view = new DataView(content.buffer);
    this.#btf = btf;
  }

  /** Writes a value as the configuration's text has it. */
  assign(place: KconfigPlace, value: string): void {
    const first = value[0];
    if (first === "y" || first === "n" || first === "m") this.#tristate(place, first);
    else if (first === '"') this.#string(place, value);
    else {
      const { kind } = this.#kindOf(place);
      if (kind !== "int" && kind !== "char") wrong(place, value, "an integer");
      this.number(place, parseInteger(place, value));
    }
  }

  number(place: KconfigPlace, value: bigint): void {
    const { kind, signed } = this.#kindOf(place);
    if (kind !== "int" && kind !== "char" && kind !== "bool") wrong(place, String(value), "an integer or a bool");
    if (kind === "bool" && value > 1n) wrong(place, String(value), "not a bool");
    const { size } = place.extern;
    const bits = size * 8;
    const wrapped = signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
    if (size < 8 && BigInt.asUintN(64, wrapped) !== BigInt.asUintN(64, value)) {
      throw new InputError(`extern ${place.extern.name}: ${value} does not fit into ${size} bytes`);
    }
    for (let i = 0; i < size; i++) this.#content[place.offset + i] = Number((wrapped >> BigInt(8 * i)) & 0xffn);
  }

  #tristate(place: KconfigPlace, value: "y" | "n" | "m"): void {
    const { kind } = this.#kindOf(place);
    const { offset, extern } = place;
    if (kind === "bool") {
      if (value === "m") wrong(place, value, "a tristate or a character");
      this.#content[offset] = value === "y" ? 1 : 0;
    } else if (kind === "tristate") {
      this.#view.setUint32(offset, TRISTATE[value], true);
    } else if (kind === "char") {
      this.#content[offset] = value.charCodeAt(0);
    } else wrong({ offset, extern }, value, "a bool, a tristate or a character");
  }

  #string(place: KconfigPlace, value: string): void {
    const { kind } = this.#kindOf(place);
    if (kind !== "string") wrong(place, value, "a string");
    if (value.length < 2 || !value.endsWith('"')) wrong(place, value, "a string that ends");
    const bytes = encodeUtf8(value.slice(1, -1));
    // A longer one is cut, so that a NUL fits behind it.
    this.#content.set(bytes.subarray(0, place.extern.size - 1), place.offset);
  }

  #kindOf({ extern }: KconfigPlace): { kind: ValueKind; signed: boolean } {
    const variable = this.#btf.types[extern.btfId];
    const found = variable?.kind === "var" ? valueKind(this.#btf, variable.type) : undefined;
    if (found === undefined) throw new InputError(`extern ${extern.name}: its type can hold no value of the kernel's`);
    return found;
  }
}

/** @throws InputError always */
function wrong({ extern }: KconfigPlace, value: string, expected: string): never {
  throw new InputError(`extern ${extern.name}: the value ${value} is ${expected}, which its type does not hold`);
}

/** As strtoull() with base 0 reads it. */
function parseInteger({ extern }: KconfigPlace, text: string): bigint {
  const match = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(text);
  if (match === null) throw new InputError(`extern ${extern.name}: the value ${text} is no integer`);
  const digits = match[2]!;
  const octal = digits.length > 1 && /^0[0-7]/.test(digits);
  const value = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  if (value >= 1n << 64n) throw new InputError(`extern ${extern.name}: the value ${text} has more than 64 bits`);
  return BigInt.asUintN(64, match[1] === "-" ? -value : value);
}

/** What kind of value a type holds; undefined for types that hold none (libbpf: find_kcfg_type()). */
function valueKind(btf: Btf, id: number): { kind: ValueKind; signed: boolean } | undefined {
  const type: BtfType = resolveType(btf, id);
  switch (type.kind) {
    case "int":
      if (type.encoding === "bool") return type.size === 1 ? { kind: "bool", signed: false } : undefined;
      if (![1, 2, 4, 8].includes(type.size)) return undefined;
      return { kind: type.size === 1 ? "char" : "int", signed: isSignedInt(type) };
    case "enum":
    case "enum64":
      if (type.name !== "libbpf_tristate" || (type.kind === "enum" && type.size !== 4)) return undefined;
      return { kind: "tristate", signed: false };
    case "array": {
      if (type.nelems === 0 || valueKind(btf, type.type)?.kind !== "char") return undefined;
      return { kind: "string", signed: false };
    }
    default:
      return undefined;
  }
}

/** Whether an extern's type can hold a value of the configuration at all. */
export function isKconfigType(btf: Btf, id: number): boolean {
  return valueKind(btf, id) !== undefined;
}
