// SPDX-License-Identifier: MIT
import type { Btf, BtfMember, BtfType } from "../../src/btf/index.js";

/** A random number below `limit`. */
export type Random = (limit: number) => number;

/** A generator of random numbers that gives the same ones for the same seed. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

type Kind = BtfType["kind"];

/** Often what makes deduplication hard. */
const KINDS: readonly Kind[] = [
  ...(["int", "int", "ptr", "ptr", "ptr", "array", "struct", "struct", "struct", "struct", "union"] as const),
  ...(["enum", "enum", "enum", "enum64", "fwd", "fwd", "fwd", "typedef", "volatile", "const", "restrict"] as const),
  ...(["func", "funcProto", "var", "float", "declTag", "typeTag"] as const),
];

/** Kinds that a type may refer to before they are defined without making a circle of references alone. */
const FIRM: ReadonlySet<Kind> = new Set<Kind>(["int", "struct", "union", "enum", "enum64", "fwd", "float"]);
const NOT_IN_GRAPHS: ReadonlySet<Kind> = new Set<Kind>(["func", "var", "declTag"]);

/**
 * Types as compilers make them, small and with so few names that much of it is nearly the same: structs that
 * differ in what they refer to, forward declarations, declared enums.
 */
export function randomBtf(random: Random): Btf {
  const count = 3 + random(random(3) === 0 ? 60 : 12);
  const kinds: Kind[] = ["void", ...Array.from({ length: count }, () => KINDS[random(KINDS.length)]!), "funcProto"];
  return { types: kinds.map((kind, id) => randomType(kind, id, kinds, random)) };
}

function randomType(kind: Kind, id: number, kinds: readonly Kind[], random: Random): BtfType {
  const name = (["a", "b", "s", "t"] as const)[random(4)]!;
  const pick = (allowed: (at: number) => boolean): number => {
    const ids = kinds.flatMap((other, at) => (at > 0 && !NOT_IN_GRAPHS.has(other) && allowed(at) ? [at] : []));
    return ids[random(ids.length)] ?? 0;
  };
  const target = () => (random(8) === 0 ? 0 : pick((at) => at < id || FIRM.has(kinds[at]!)));
  const anything = () => pick(() => true);
  const linkage = (["static", "global", "extern"] as const)[random(3)]!;
  const values = <T>(make: (value: number) => T) =>
    Array.from({ length: random(3) }, (_, i) => ({ name: `e${i}`, value: make(random(2)) }));
  switch (kind) {
    case "void":
      return { kind };
    case "int":
      return { kind, name, size: 4, bits: 32, bitOffset: 0, encoding: random(2) === 0 ? "none" : "signed" };
    case "float":
      return { kind, name, size: 8 };
    case "ptr":
    case "volatile":
    case "const":
    case "restrict":
      return { kind, type: target() };
    case "typedef":
    case "typeTag":
      return { kind, name, type: target() };
    case "array":
      return { kind, type: target(), indexType: target(), nelems: random(2) };
    case "struct":
    case "union": {
      const member = (_: unknown, i: number): BtfMember => ({
        name: `m${i}`,
        type: anything(),
        bitOffset: random(6) === 0 ? 0 : i * 32,
        bitSize: 0,
      });
      const members = Array.from({ length: random(4) }, member);
      return { kind, name: random(5) === 0 ? "" : name, size: 8 * (1 + random(2)), members };
    }
    case "enum":
      return { kind, name, size: random(5) === 0 ? 8 : 4, signed: false, values: values(Number) };
    case "enum64":
      return { kind, name, size: 8, signed: false, values: values(BigInt) };
    case "fwd":
      return { kind, name, isUnion: random(2) === 0 };
    case "func":
      return { kind, name, type: kinds.lastIndexOf("funcProto"), linkage };
    case "funcProto": {
      const param = (_: unknown, i: number) => ({ name: random(2) === 0 ? "" : `p${i}`, type: target() });
      return { kind, returnType: target(), params: Array.from({ length: random(3) }, param) };
    }
    case "var":
      return { kind, name, type: target(), linkage };
    case "declTag":
      return { kind, name, type: anything(), componentIdx: random(3) - 1 };
    case "datasec":
      return { kind, name, size: 0, vars: [] };
  }
}
