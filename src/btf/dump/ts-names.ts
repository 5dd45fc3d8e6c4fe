// SPDX-License-Identifier: MIT
import type { BtfIndex } from "../lazy.js";
import type { BtfType } from "../types.js";

/** Names that TypeScript has for itself, and those of the module's own helpers. */
const RESERVED = new Set(
  `any as async await bigint boolean break case catch class const constructor continue debugger declare default delete
  do else enum export extends false finally for from function get if implements import in infer instanceof interface
  is keyof let module namespace never new null number object of package private protected public readonly require
  return set static string super switch symbol this throw true try type typeof undefined unique unknown var void
  while with yield CArray CBits CBool CEnum CFloat CInt CNet COpaque CPtr CTag Types`.split(/\s+/),
);

/** In the order in which they get a name that several want: tags before typedefs before forward declarations. */
const ORDER: { readonly [kind in BtfType["kind"]]?: number } = {
  struct: 0,
  union: 0,
  enum: 0,
  enum64: 0,
  int: 1,
  float: 1,
  typedef: 2,
  fwd: 3,
};

/**
 * A name in TypeScript for each type that has one in C, by id. Where several types have one name, the second gets
 * the suffix `___2`, as in C headers.
 * @param wanted only these types.
 */
export function nameTypes(btf: BtfIndex, wanted?: ReadonlySet<number>): Map<number, string> {
  const byOrder: number[][] = [[], [], [], []];
  for (let id = 1; id < btf.types.length; id++) {
    if (wanted !== undefined && !wanted.has(id)) continue;
    const order = ORDER[btf.kindById(id)];
    if (order !== undefined && btf.nameById(id) !== "") byOrder[order]!.push(id);
  }
  const counts = new Map<string, number>();
  const names = new Map<number, string>();
  const identifiers = new Map<string, string>();
  for (const id of byOrder.flat()) {
    const said = btf.nameById(id);
    const plain = identifiers.get(said) ?? identifier(said);
    identifiers.set(said, plain);
    const count = (counts.get(plain) ?? 0) + 1;
    counts.set(plain, count);
    names.set(id, count === 1 ? plain : `${plain}___${count}`);
  }
  return names;
}

/** The name as an identifier that may be declared: `unsigned int` becomes `unsigned_int`. */
function identifier(name: string): string {
  const text = name.replaceAll(/[^\w$]/g, "_");
  return RESERVED.has(text) || /^\d/.test(text) ? `${text}_` : text;
}
