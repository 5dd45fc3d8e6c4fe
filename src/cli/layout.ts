// SPDX-License-Identifier: MIT
import { Layouts, type StructLayout } from "../btf/layout/layout.js";
import { LayoutText } from "../btf/layout/text.js";
import { TypeNames } from "../btf/layout/type-name.js";
import type { LazyBtf } from "../btf/lazy.js";
import { TextLimit } from "../btf/limits.js";
import { VMLINUX_BTF } from "../load/vmlinux.js";
import { InputError } from "../util/errors.js";
import { openBtfFile, typesNamed } from "./btf-file.js";
import { ExitCode, printPieces } from "./output.js";

/** Options of `layout`. */
export interface LayoutOptions {
  /** File with the types. */
  readonly btf?: string;
  readonly base?: string;
  readonly sort?: "size" | "name" | "holes";
  /** Only structs that hold this one. */
  readonly contains?: string;
  readonly expand?: boolean;
  readonly json?: boolean;
}

/** A struct or union to show, with the typedef that names it when it has no name itself. */
interface Shown {
  readonly id: number;
  readonly name: string;
  readonly alias: string | undefined;
}

const KINDS = ["struct", "union", "typedef"] as const;

function isAggregate(btf: LazyBtf, id: number): boolean {
  const kind = btf.kindById(id);
  return kind === "struct" || kind === "union";
}

/** What the user named; a typedef stands for the struct behind it. */
function named(btf: LazyBtf, layouts: Layouts, text: string): Shown[] {
  const found = new Map<number, Shown>();
  for (const id of typesNamed(btf, text, KINDS)) {
    const target = layouts.strip(id);
    if (!isAggregate(btf, target) || found.has(target)) continue;
    const name = btf.nameById(target);
    found.set(target, {
      id: target,
      name: name || btf.nameById(id),
      alias: name === "" ? btf.nameById(id) : undefined,
    });
  }
  if (found.size === 0) throw new InputError(`${text} is no struct or union`);
  return [...found.values()];
}

/** The structs and unions with a name that pass, the first one of each name, as pahole shows them. */
function all(btf: LazyBtf, passes: (id: number) => boolean): Shown[] {
  const found = new Map<string, Shown>();
  for (let id = 1; id < btf.length; id++) {
    if (!isAggregate(btf, id)) continue;
    const name = btf.nameById(id);
    if (name !== "" && !found.has(name) && passes(id)) found.set(name, { id, name, alias: undefined });
  }
  return [...found.values()];
}

/** Whether a struct holds one of these: as a member, in an array, or in an anonymous struct or union of it. */
function holds(btf: LazyBtf, layouts: Layouts, id: number, wanted: ReadonlySet<number>, depth = 0): boolean {
  if (depth > 32) return false;
  return layouts.of(id).members.some((member) => {
    let type = layouts.strip(member.type);
    for (let i = 0; i < 32; i++) {
      const array = btf.typeById(type);
      if (array.kind !== "array") break;
      type = layouts.strip(array.type);
    }
    if (wanted.has(type)) return true;
    return isAggregate(btf, type) && btf.nameById(type) === "" && holds(btf, layouts, type, wanted, depth + 1);
  });
}

const byName = (a: Shown, b: Shown): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id);

function sorted(shown: Shown[], layouts: Layouts, sort: LayoutOptions["sort"]): Shown[] {
  if (sort === undefined) return shown;
  if (sort === "name") return shown.sort(byName);
  const key = ({ id }: Shown): number => layouts.of(id)[sort];
  return shown.sort((a, b) => key(b) - key(a) || byName(a, b));
}

/** A layout with the names of types in the place of their ids. */
function json(layout: StructLayout, name: string, types: TypeNames): string {
  const members = layout.members.map((member) => ({ ...member, type: types.of(member.type).trim() }));
  return `${JSON.stringify({ ...layout, name, members })}\n`;
}

function* output(btf: LazyBtf, names: readonly string[], options: LayoutOptions): Generator<string> {
  const layouts = new Layouts(btf);
  const { contains } = options;
  const wanted = contains === undefined ? undefined : new Set(named(btf, layouts, contains).map(({ id }) => id));
  const passes = (id: number): boolean => wanted === undefined || holds(btf, layouts, id, wanted);
  const found = names.flatMap((name) => named(btf, layouts, name)).filter(({ id }) => passes(id));
  const shown = sorted(names.length === 0 ? all(btf, passes) : found, layouts, options.sort);
  if (options.json) {
    const limit = new TextLimit(btf.byteLength, "the layout");
    const types = new TypeNames(btf, limit);
    for (const { id, name } of shown) {
      limit.begin(id);
      yield json(layouts.of(id), name, types);
    }
  } else if (names.length === 0 && (options.sort !== undefined || options.contains !== undefined)) {
    // Of many, one line each: name, size, holes.
    for (const { id, name } of shown) yield `${name}\t${layouts.of(id).size}\t${layouts.of(id).holes}\n`;
  } else {
    const text = new LayoutText(layouts, { expand: options.expand ?? false });
    for (const { id, alias } of shown) yield text.write(id, alias);
  }
}

/** `bpfsmith layout [NAME...]` */
export function layoutCommand(names: readonly string[], options: LayoutOptions): number {
  const btf = openBtfFile(options.btf ?? VMLINUX_BTF, options.base);
  printPieces(output(btf, names, options));
  return ExitCode.OK;
}
