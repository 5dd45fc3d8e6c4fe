// SPDX-License-Identifier: MIT
import { CoreReloKind } from "../kernel/uapi.js";
import { callHelper } from "./call.js";
import type { Code, Operand } from "./code.js";
import { Condition } from "./condition.js";
import { CODE, type CompileError, FIELD, isMemory, MEMORY, type Memory, type Scope } from "./internals.js";
import {
  isKernelRef,
  type KernelInt,
  type KernelPlace,
  type KernelRef,
  kernelPlace,
  objectAt,
} from "./kernel-places.js";
import {
  addressOf,
  bitFieldLoad,
  byteOffset,
  copyFrom,
  copyString,
  describePath,
  fieldRef,
  type KernelPath,
  pointee,
  rootPath,
  type Space,
} from "./kernel-read.js";
import type { BitsType, Enumerators, KernelEnum, KernelStruct, KernelTypedef } from "./kernel-types.js";
import { isTypeDecl, withoutTypedefs } from "./kernel-types.js";
import { type IntType, type PtrType, s64, type TypeDecl, u32, u64 } from "./types.js";
import { checkOwner, coerce, describeValue, type Int, type IntArg, isInt, Value } from "./values.js";

/*
 * What a program does with kernel types: reading objects, and the questions of CO-RE, which are answered when the object
 * meets a kernel. Each stands for one kind of relocation.
 */

/** What reading something gives: an integer, or the object behind a pointer. */
export type Read<R> = R extends KernelInt<infer N> ? Int<N> : R extends KernelRef<infer C> ? Pointee<C> : never;

type Pointee<C> = C extends KernelTypedef<infer T> ? Pointee<T> : C extends PtrType<infer T> ? KernelPlace<T> : never;

type Readable<R> = [Read<R>] extends [never]
  ? CompileError<"only integers and pointers are read as values: p.coreReadInto(to, …) copies structs and arrays">
  : R;

function pathOf(code: Code, what: unknown): KernelPath {
  if (!isKernelRef(what)) throw code.fail(`expected a part of a kernel object, got ${describeValue(what)}`);
  checkOwner(code, what);
  return what[FIELD];
}

function memberOf(code: Code, what: unknown): KernelPath {
  const path = pathOf(code, what);
  if (path.own) {
    throw code.fail(`${path.type.cName} lies here where the program says: only members of kernel types are looked for`);
  }
  if (path.steps.length > 0) return path;
  throw code.fail(`this is ${describePath(path)} itself, not a member of it: give object.member`);
}

/** A member that has a name: of elements of arrays only place and size can be asked. */
function namedMember(code: Code, what: unknown): KernelPath {
  const path = memberOf(code, what);
  if (typeof path.steps.at(-1) === "string") return path;
  throw code.fail(`this is an element of an array: its sign and its bits cannot be asked`);
}

function typeOf(code: Code, type: unknown): TypeDecl {
  if (isTypeDecl(type)) return type;
  throw code.fail(`expected a type, got ${describeValue(type)}`);
}

function isTrue(code: Code, operand: Operand): Condition {
  return new Condition(code.compare("jne", 64, operand, { value: 0n }));
}

/** Reading of kernel objects and CO-RE's questions, as methods of `p`. */
export abstract class KernelAccess implements Scope {
  abstract readonly [CODE]: Code;

  /* Objects. */

  /**
   * The object of a type at an address of the kernel, e.g. `p.kernelObject(Task, p.getCurrentTask())`. What is read of
   * it is read with bpf_probe_read_kernel(); what cannot be read is 0.
   * @param address a number, or what a pointer leads to: then the object is looked at as this type.
   */
  kernelObject<T extends TypeDecl>(type: T, address: IntArg | KernelRef): KernelPlace<T> {
    return this.#object(type, address, "kernel");
  }

  /** As {@link kernelObject}, in the memory of the running process: read with bpf_probe_read_user(). */
  userObject<T extends TypeDecl>(type: T, address: IntArg | KernelRef): KernelPlace<T> {
    return this.#object(type, address, "user");
  }

  #object<T extends TypeDecl>(type: T, address: IntArg | KernelRef, space: Space): KernelPlace<T> {
    const code = this[CODE];
    code.mark();
    // A number of the kernel's is an address, not the place of one.
    const isNumber = isInt(address) || !isKernelRef(address);
    const at = isNumber ? coerce(code, address as IntArg, u64) : addressOf(code, pathOf(code, address));
    return objectAt(code, typeOf(code, type) as T, at, space);
  }

  /** A type's members without an object, for questions about them only, e.g. `p.fieldExists(p.membersOf(Task).state)`. */
  membersOf<T extends TypeDecl>(type: T): KernelPlace<T> {
    const code = this[CODE];
    code.mark();
    const none = (): never => {
      throw code.fail("this is a member of no object: only questions like fieldExists() can be asked of it");
    };
    const root = typeOf(code, type) as T;
    return kernelPlace(code, rootPath(root, none, "kernel"));
  }

  /**
   * The running task, as one of `type` (a `task_struct`), which the verifier knows: its members are read by
   * ordinary loads, as are those of tasks that it points to.
   */
  currentTask<T extends KernelStruct>(type: T): KernelPlace<T> {
    const code = this[CODE];
    code.mark();
    const reg = callHelper(code, "get_current_task_btf", [], "currentTask");
    return objectAt(code, typeOf(code, type) as T, { reg }, "direct");
  }

  /* Reading. */

  /** Reads once: an integer's value, or a pointer, so that what it leads to need not be looked for again. */
  coreRead<R extends KernelRef>(field: R & Readable<R>): Read<R> {
    return this.#read(field) as Read<R>;
  }

  #read(field: KernelRef): unknown {
    const code = this[CODE];
    code.mark();
    const path = pathOf(code, field);
    if (isInt(field)) return (field as KernelInt).get();
    if (withoutTypedefs(path.type).kind !== "ptr") {
      throw code.fail(`${describePath(path)} is ${path.type.cName}, no integer or pointer: coreReadInto() copies it`);
    }
    const target = pointee(code, path as KernelPath<PtrType>);
    if (target === undefined)
      throw code.fail(`${describePath(path)} points to nobody knows what: take addressOf() of it`);
    const at = target.base();
    return kernelPlace(code, { ...target, base: () => at } as KernelPath<TypeDecl>);
  }

  /**
   * Copies a part of a kernel object, as many bytes as the destination has. Gives 0, or a negative errno; then the
   * destination is all zeros.
   * @throws InputError when the destination is larger than what is copied.
   */
  coreReadInto(to: Memory, field: KernelRef): Int<"s64"> {
    const code = this[CODE];
    code.mark();
    const path = pathOf(code, field);
    const { mem, size } = this.#destination(to);
    const known = (withoutTypedefs(path.type).kind === "ptr" ? pointee(code, path as KernelPath<PtrType>) : path)?.type;
    if (known !== undefined && known.size < size && known.kind !== "kernel") {
      throw code.fail(`${known.cName} has ${known.size} bytes, but ${size} are to be filled`);
    }
    const result = copyFrom(code, mem, { value: BigInt(size) }, addressOf(code, path), path.space);
    return new Value(code, s64, { reg: result });
  }

  /**
   * Copies a string: the one in an array, or the one that a pointer leads to. Gives its length with the NUL, or a negative
   * errno. What does not fit is cut off.
   */
  coreReadStr(to: Memory, field: KernelRef): Int<"s64"> {
    const code = this[CODE];
    code.mark();
    const path = pathOf(code, field);
    const { mem, size } = this.#destination(to);
    const result = copyString(code, mem, { value: BigInt(size) }, addressOf(code, path), path.space);
    return new Value(code, s64, { reg: result });
  }

  #destination(to: Memory): Memory[typeof MEMORY] {
    const code = this[CODE];
    if (!isMemory(to)) throw code.fail(`expected memory to copy into, got ${describeValue(to)}`);
    checkOwner(code, to);
    code.checkWritable(to[MEMORY].mem);
    return to[MEMORY];
  }

  /** The address of an object or of a part of one; of a pointer the one that it holds. */
  addressOf(field: KernelRef): Int<"u64"> {
    const code = this[CODE];
    code.mark();
    return new Value(code, u64, addressOf(code, pathOf(code, field)));
  }

  /* Questions about members. */

  #ask(relo: number, path: KernelPath, value: number): Operand {
    return { reg: this[CODE].core(fieldRef(path, relo), BigInt(value)) };
  }

  /** Whether the kernel's type has this member. */
  fieldExists(field: KernelRef): Condition {
    const code = this[CODE];
    code.mark();
    return isTrue(code, this.#ask(CoreReloKind.FIELD_EXISTS, memberOf(code, field), 1));
  }

  /** Bytes from the beginning of the object that the member is in; of a bit field, where the load begins that holds it. */
  fieldOffset(field: KernelRef): Int<"u32"> {
    const code = this[CODE];
    code.mark();
    const path = memberOf(code, field);
    return new Value(code, u32, this.#ask(CoreReloKind.FIELD_BYTE_OFFSET, path, byteOffset(path)));
  }

  /** Bytes that the member has; of a bit field, those of the load that holds it. */
  fieldSize(field: KernelRef): Int<"u32"> {
    const code = this[CODE];
    code.mark();
    const path = memberOf(code, field);
    const size = path.type.kind === "bits" ? bitFieldLoad(path, path.type as BitsType).size : path.type.size;
    return new Value(code, u32, this.#ask(CoreReloKind.FIELD_BYTE_SIZE, path, size));
  }

  /** Whether the member is a signed integer. */
  fieldSigned(field: KernelRef): Condition {
    const code = this[CODE];
    code.mark();
    const path = namedMember(code, field);
    return isTrue(code, this.#ask(CoreReloKind.FIELD_SIGNED, path, isSigned(path.type) ? 1 : 0));
  }

  /** How far a 64-bit word that holds the member's load is shifted left, so that nothing is above the member. */
  fieldLeftShift(field: KernelRef): Int<"u32"> {
    const code = this[CODE];
    code.mark();
    const path = namedMember(code, field);
    const { before, width } = bitsWithin(path);
    return new Value(code, u32, this.#ask(CoreReloKind.FIELD_LSHIFT_U64, path, 64 - before - width));
  }

  /** How far it is shifted right then, so that only the member is left. */
  fieldRightShift(field: KernelRef): Int<"u32"> {
    const code = this[CODE];
    code.mark();
    const path = namedMember(code, field);
    return new Value(code, u32, this.#ask(CoreReloKind.FIELD_RSHIFT_U64, path, 64 - bitsWithin(path).width));
  }

  /* Questions about types. */

  #askType(relo: number, type: unknown, value: number, wide = false): Operand {
    const code = this[CODE];
    code.mark();
    return { reg: code.core({ relo, root: typeOf(code, type), steps: [] }, BigInt(value), wide) };
  }

  /** Whether the kernel has a type of this kind and name. */
  typeExists(type: TypeDecl): Condition {
    return isTrue(this[CODE], this.#askType(CoreReloKind.TYPE_EXISTS, type, 1));
  }

  /** Whether the kernel has a type of this kind and name with these members, of such types. */
  typeMatches(type: TypeDecl): Condition {
    return isTrue(this[CODE], this.#askType(CoreReloKind.TYPE_MATCHES, type, 1));
  }

  /** Bytes of the kernel's type; 0 when it has none. */
  typeSize(type: TypeDecl): Int<"u32"> {
    return new Value(this[CODE], u32, this.#askType(CoreReloKind.TYPE_SIZE, type, type.size));
  }

  /** Id of the type in the program's own BTF. */
  typeIdLocal(type: TypeDecl): Int<"u64"> {
    return new Value(this[CODE], u64, this.#askType(CoreReloKind.TYPE_ID_LOCAL, type, 0, true));
  }

  /** Id of the type in the kernel's BTF; 0 when it has none. */
  typeIdKernel(type: TypeDecl): Int<"u64"> {
    return new Value(this[CODE], u64, this.#askType(CoreReloKind.TYPE_ID_TARGET, type, 0, true));
  }

  /* Questions about enumerators. */

  /** Whether the kernel's enum has this enumerator. */
  enumeratorExists<V extends Enumerators>(type: KernelEnum<V>, name: keyof V & string): Condition {
    return isTrue(this[CODE], this.#askEnumerator(CoreReloKind.ENUMVAL_EXISTS, type, name, 1n, false));
  }

  /** What the enumerator is in the kernel. A program that gets to where there is none is refused. */
  enumeratorValue<V extends Enumerators>(type: KernelEnum<V>, name: keyof V & string): Int<"u64"> {
    const value = BigInt((type as KernelEnum).values?.[name] ?? 0);
    const relo = CoreReloKind.ENUMVAL_VALUE;
    return new Value(this[CODE], u64, this.#askEnumerator(relo, type, name, BigInt.asUintN(64, value), true));
  }

  #askEnumerator(relo: number, type: KernelEnum, name: string, value: bigint, wide: boolean): Operand {
    const code = this[CODE];
    code.mark();
    if (typeOf(code, type).kind !== "enum") throw code.fail(`expected an enum, got ${type.cName}`);
    if (!Object.hasOwn(type.values, name)) {
      throw code.fail(`${type.cName} is declared without ${name}: it has ${Object.keys(type.values).join(", ")}`);
    }
    return { reg: code.core({ relo, root: type, steps: [name] }, value, wide) };
  }
}

function isSigned(type: TypeDecl): boolean {
  const plain = withoutTypedefs(type);
  if (plain.kind === "bits") return (plain as BitsType).base.signed;
  return plain.kind === "int" || plain.kind === "enum" ? (plain as IntType | KernelEnum).signed : false;
}

/** Bits below a member in the load that holds it, and those that it has. */
function bitsWithin(path: KernelPath): { readonly before: number; readonly width: number } {
  if (path.type.kind !== "bits") return { before: 0, width: path.type.size * 8 };
  const bits = path.type as BitsType;
  return { before: path.bitOffset - bitFieldLoad(path, bits).offset * 8, width: bits.width };
}
