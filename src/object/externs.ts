// SPDX-License-Identifier: MIT
import { essentialName } from "../btf/core/source.js";
import type { Btf, BtfKind } from "../btf/types.js";
import { SECTION } from "../elf/format.js";
import type { ExternSpec, ObjectSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { type KconfigPlace, placeKconfig } from "./kconfig.js";
import { compareTypes, findOwnType } from "./kernel-types.js";
import type { ModuleTypes, ResolveOptions } from "./options.js";

/** What an instruction that refers to an extern gets. */
export type ExternValue =
  /** Bytes from the start of the value of map `.kconfig`. */
  | { readonly kind: "kconfig"; readonly offset: number }
  /** An address, 0 for a weak extern that the kernel does not have. */
  | { readonly kind: "address"; readonly address: bigint }
  /** A variable or function of the kernel (module null) or of a module, by its BTF id. */
  | { readonly kind: "type"; readonly id: number; readonly module: ModuleTypes | null }
  /** A weak function that the kernel does not have. */
  | { readonly kind: "missing" };

/** The externs of an object, resolved. */
export interface ResolvedExterns {
  readonly values: ReadonlyMap<string, ExternValue>;
  /** Places in libbpf's order, which calls of missing functions are marked with. */
  readonly indices: ReadonlyMap<string, number>;
  /** Modules whose functions are called, in the order of `fd_array`, which all programs share. */
  readonly calledModules: readonly ModuleTypes[];
  readonly kconfig: { readonly places: readonly KconfigPlace[]; readonly size: number };
}

/** libbpf's order: configuration first, by alignment and size; then by name (cmp_externs()). */
function compareExterns(a: ExternSpec, b: ExternSpec): number {
  if (a.section !== b.section) return a.section === SECTION.KCONFIG ? -1 : 1;
  if (a.section === SECTION.KCONFIG) {
    if (a.align !== b.align) return b.align - a.align;
    if (a.size !== b.size) return a.size - b.size;
  }
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/**
 * Finds what the externs of an object stand for.
 * @throws InputError for one that cannot be found, or is another thing there than the object says.
 */
export function resolveExterns(spec: ObjectSpec, options: ResolveOptions): ResolvedExterns {
  for (const extern of spec.externs) checkExtern(extern);
  const ordered = [...spec.externs].sort(compareExterns);
  const kconfig = placeKconfig(ordered.filter(({ section }) => section === SECTION.KCONFIG));
  const values = new Map<string, ExternValue>();
  for (const { extern, offset } of kconfig.places) values.set(extern.name, { kind: "kconfig", offset });
  const calledModules = new Set<ModuleTypes>();
  for (const extern of ordered) {
    if (extern.section !== SECTION.KSYMS) continue;
    const value = resolveSymbol(spec, extern, options);
    values.set(extern.name, value);
    const isCalled = spec.btf?.types[extern.btfId]?.kind === "func";
    if (isCalled && value.kind === "type" && value.module !== null) calledModules.add(value.module);
  }
  const indices = new Map(ordered.map(({ name }, i) => [name, i]));
  return { values, indices, calledModules: [...calledModules], kconfig };
}

function checkExtern(extern: ExternSpec): void {
  if (extern.section === "") {
    throw new InputError(`extern ${extern.name}: no other object defines it: link the objects first`);
  }
  if (extern.section === SECTION.KCONFIG && extern.kind === "func") {
    throw new InputError(`extern ${extern.name}: a function cannot be in section ${SECTION.KCONFIG}`);
  }
  if (extern.btfId === 0) throw new InputError(`extern ${extern.name} has no BTF`);
}

function resolveSymbol(spec: ObjectSpec, extern: ExternSpec, options: ResolveOptions): ExternValue {
  const btf = spec.btf!;
  const declared = btf.types[extern.btfId];
  if (declared?.kind === "func") return resolveFunction(btf, extern, declared.type, options);
  if (declared?.kind !== "var") throw new InputError(`extern ${extern.name}: BTF type id ${extern.btfId} is no extern`);
  const typeId = skipModifiers(btf, declared.type);
  return typeId === 0 ? resolveAddress(extern, options) : resolveVariable(btf, extern, typeId, options);
}

/** As resolveId() of btf/size, but for ids that may be void. */
function skipModifiers(btf: Btf, id: number): number {
  let at = id;
  for (let depth = 0; depth <= 32; depth++) {
    const type = btf.types[at];
    switch (type?.kind) {
      case "typedef":
      case "const":
      case "volatile":
      case "restrict":
      case "typeTag":
        at = type.type;
        break;
      default:
        return at;
    }
  }
  throw new InputError(`BTF type id ${id}: chain of modifiers is too long`);
}

/** A symbol whose type does not matter: its address, by the kernel's list of symbols. */
function resolveAddress(extern: ExternSpec, { kallsyms }: ResolveOptions): ExternValue {
  if (kallsyms === undefined) throw new InputError(`extern ${extern.name}: the kernel's symbols are not at hand`);
  const addresses = new Set(kallsyms(extern.name));
  if (addresses.size > 1) {
    throw new InputError(`extern ${extern.name}: the kernel has ${addresses.size} symbols of this name`);
  }
  const [address] = addresses;
  if (address === undefined && !extern.weak)
    throw new InputError(`extern ${extern.name}: the kernel has no such symbol`);
  return { kind: "address", address: address ?? 0n };
}

/** A type of the kernel or of the first module that has it. */
function findSymbol(
  extern: ExternSpec,
  kind: BtfKind,
  name: string,
  options: ResolveOptions,
): { id: number; btf: Btf; module: ModuleTypes | null } | undefined {
  const kernel = options.kernelTypes?.() ?? null;
  if (kernel === null) throw new InputError(`extern ${extern.name}: the kernel's types are not at hand`);
  const id = findOwnType(kernel, null, kind, name);
  if (id !== undefined) return { id, btf: kernel, module: null };
  for (const module of options.modules?.() ?? []) {
    const own = findOwnType(module.btf, kernel, kind, name);
    if (own !== undefined) return { id: own, btf: module.btf, module };
  }
  return undefined;
}

function resolveVariable(btf: Btf, extern: ExternSpec, typeId: number, options: ResolveOptions): ExternValue {
  const found = findSymbol(extern, "var", extern.name, options);
  if (found === undefined) {
    if (extern.weak) return { kind: "address", address: 0n };
    throw new InputError(`extern ${extern.name}: the kernel's types know no such variable`);
  }
  const theirs = found.btf.types[found.id];
  const theirType = theirs?.kind === "var" ? skipModifiers(found.btf, theirs.type) : 0;
  if (!compareTypes(btf, typeId, found.btf, theirType)) {
    throw new InputError(`extern ${extern.name}: the kernel's variable is of another type`);
  }
  return { kind: "type", id: found.id, module: found.module };
}

function resolveFunction(btf: Btf, extern: ExternSpec, protoId: number, options: ResolveOptions): ExternValue {
  const found = findSymbol(extern, "func", essentialName(extern.name), options);
  if (found === undefined) {
    if (extern.weak) return { kind: "missing" };
    throw new InputError(`extern ${extern.name}: neither the kernel nor its modules have such a function`);
  }
  const theirs = found.btf.types[found.id];
  const theirProto = theirs?.kind === "func" ? theirs.type : 0;
  if (!compareTypes(btf, protoId, found.btf, theirProto)) {
    if (extern.weak) return { kind: "missing" };
    throw new InputError(`extern ${extern.name}: the kernel's function takes or gives other types`);
  }
  return { kind: "type", id: found.id, module: found.module };
}
