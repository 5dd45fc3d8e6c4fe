// SPDX-License-Identifier: MIT
import { MapType } from "../../kernel/uapi.js";
import { similarNote } from "../../util/similar.js";
import { type Constants, constant, type Expr, ranged } from "./expr.js";
import type { Directive, MapAttribute } from "./syntax.js";
import { LineError, LineToken } from "./token.js";
import { ASM_INT_TYPES, type AsmIntType, type AsmMap, type AsmType } from "./unit.js";

/* `.map NAME TYPE key=4 value=u64 max_entries=16` */

type MapDirective = Extract<Directive, { kind: "map" }>;

/** Types by the names that texts give them: those of the kernel in small letters. */
const TYPES: ReadonlyMap<string, number> = new Map(
  Object.entries(MapType).map(([name, type]) => [name.toLowerCase(), type]),
);

/** What a text calls a type of map; undefined for an unknown one. */
export function mapTypeWord(type: number): string | undefined {
  for (const [name, number] of TYPES) if (number === type) return name;
  return undefined;
}

const U32_MAX = 0xffff_ffff;
const ATTRIBUTES = ["key", "value", "max_entries", "flags", "extra", "numa_node", "inner", "pinned"] as const;
type Attribute = (typeof ATTRIBUTES)[number];

function isAttribute(name: string): name is Attribute {
  return (ATTRIBUTES as readonly string[]).includes(name);
}

/** Reads a map's declaration; entries and binding come later. */
export function readMap({ name, type, attributes }: MapDirective, constants: Constants): AsmMap {
  const number = TYPES.get(type.text);
  if (number === undefined) {
    throw new LineError(
      `unknown type of map "${type.text}"${similarNote(type.text.slice(0, 40), TYPES.keys())}`,
      type.index,
    );
  }
  const given = new Map<Attribute, MapAttribute>();
  for (const attribute of attributes) {
    const { text, index } = attribute.name;
    if (!isAttribute(text)) throw new LineError(`expected one of ${ATTRIBUTES.join(", ")}, got "${text}"`, index);
    if (given.has(text)) throw new LineError(`${text} is given twice`, index);
    if ((text === "pinned") === (attribute.value !== undefined)) {
      throw new LineError(text === "pinned" ? "pinned takes no value" : `expected ${text}=VALUE`, index);
    }
    given.set(text, attribute);
  }
  const value = (what: Attribute): Expr | undefined => given.get(what)?.value;
  const count = (what: Attribute, most = U32_MAX): number => {
    const tree = value(what);
    return tree === undefined ? 0 : ranged(tree, constants, 0, most, what);
  };
  const extra = value("extra");
  const inner = value("inner");
  if (inner !== undefined && !(inner instanceof LineToken)) throw new LineError("expected a map's name", inner.index);
  return {
    name: name.text,
    type: number,
    key: typeOf(value("key"), constants),
    value: typeOf(value("value"), constants),
    maxEntries: count("max_entries"),
    flags: count("flags"),
    extra: extra === undefined ? 0n : BigInt.asUintN(64, constant(extra, constants)),
    numaNode: count("numa_node"),
    pinned: given.has("pinned"),
    inner: inner?.text,
    entries: [],
    weak: false,
    hidden: false,
  };
}

function typeOf(tree: Expr | undefined, constants: Constants): AsmType {
  if (tree === undefined) return 0;
  if (tree instanceof LineToken && (ASM_INT_TYPES as readonly string[]).includes(tree.text))
    return tree.text as AsmIntType;
  return ranged(tree, constants, 0, U32_MAX, "size");
}
