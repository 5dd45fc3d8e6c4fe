// SPDX-License-Identifier: MIT
import type { HelperName } from "../kernel/helpers/names.js";
import { CoreReloKind } from "../kernel/uapi.js";
import { callHelper } from "./call.js";
import type { Code, Mem, Operand } from "./code.js";
import type { CoreRef, Reg } from "./codegen/ir.js";
import { type BitsType, type KernelEnum, type Step, withoutTypedefs } from "./kernel-types.js";
import { type IntType, type PtrType, type TypeDecl, u32, u64 } from "./types.js";

/*
 * Reading of the kernel's memory, as the macros of bpf_core_read.h do it: each pointer on the way is read by a helper,
 * and within what it points to the compiler's offset is replaced by the kernel's.
 */

/** How memory is read: by probe_read_kernel(), by probe_read_user(), or directly, through a pointer that the verifier knows. */
export type Space = "kernel" | "user" | "direct";

/** The way to a part of a kernel object. */
export interface KernelPath<C = unknown> {
  /** Gives the address that the way begins at; where that has to be read first, it is read anew each time. */
  readonly base: () => Operand;
  /** What is at that address. */
  readonly root: TypeDecl;
  /** The way from there, passing no pointer, as far as CO-RE looks for it in the kernel. */
  readonly steps: readonly Step[];
  /** Bits from the base to there by the object's own types. */
  readonly bitOffset: number;
  /** Whether what follows lies as the program says, and nowhere else. */
  readonly own: boolean;
  /** Bytes from there that do. */
  readonly fixed: number;
  /** What is at the end. */
  readonly type: C & TypeDecl;
  readonly space: Space;
}

/** A relocation about a path's end. */
export function fieldRef(path: KernelPath, relo: number): CoreRef {
  return { relo, root: path.root, steps: path.steps };
}

/** The object at an address. */
export function rootPath<C extends TypeDecl>(type: C, base: () => Operand, space: Space): KernelPath<C> {
  const own = withoutTypedefs(type).kind !== "kernel";
  return { base, root: type, steps: [], bitOffset: 0, own, fixed: 0, type, space };
}

/**
 * The next part on the way. CO-RE looks for members of kernel types; a struct that the program itself lays out
 * (`struct()`), an array and a number lie everywhere as they do here.
 */
export function stepPath<C extends TypeDecl>(path: KernelPath, step: Step, type: C, bitOffset: number): KernelPath<C> {
  const own = path.own || withoutTypedefs(path.type).kind === "struct";
  if (own) return { ...path, type, own, fixed: path.fixed + bitOffset / 8 };
  return { ...path, type, steps: [...path.steps, step], bitOffset: path.bitOffset + bitOffset };
}

const bitsOf = ({ type }: KernelPath): BitsType | undefined => (type.kind === "bits" ? (type as BitsType) : undefined);

/** Byte offset of the load that holds a bit field, and its size: the smallest aligned one, as libbpf sees it. */
export function bitFieldLoad({ bitOffset }: KernelPath, { base, width }: BitsType): { offset: number; size: number } {
  for (let size = base.size; ; size *= 2) {
    const offset = Math.floor(bitOffset / 8 / size) * size;
    if (bitOffset + width <= (offset + size) * 8 || size >= 8) return { offset, size };
  }
}

/** Bytes from the base that CO-RE finds out. */
export function byteOffset(path: KernelPath): number {
  const bits = bitsOf(path);
  return bits === undefined ? path.bitOffset / 8 : bitFieldLoad(path, bits).offset;
}

/** Where the end of a way lies. */
export function placeAddress(code: Code, path: KernelPath): Operand {
  const base = path.base();
  const found = path.steps.length === 0 ? base : { reg: relocated(code, path, base) };
  return code.binary("add", 64, found, { value: BigInt(path.fixed) });
}

/** The address of what CO-RE looks for. */
function relocated(code: Code, path: KernelPath, base: Operand): Reg {
  const core = fieldRef(path, CoreReloKind.FIELD_BYTE_OFFSET);
  return code.coreAlu("add", code.toReg(base), BigInt(byteOffset(path)), core);
}

/** Where what is meant lies: a pointer stands for what it points to. */
export function addressOf(code: Code, path: KernelPath): Operand {
  return withoutTypedefs(path.type).kind === "ptr" ? readWord(code, path, u64) : placeAddress(code, path);
}

const READERS = {
  kernel: ["probe_read_kernel", "probe_read_kernel_str"],
  user: ["probe_read_user", "probe_read_user_str"],
  // Helpers take an address for a number.
  direct: ["probe_read_kernel", "probe_read_kernel_str"],
} as const satisfies Record<Space, readonly [HelperName, HelperName]>;

/** Copies memory of the kernel; gives the helper's result. What cannot be read becomes zero. */
export function copyFrom(code: Code, to: Mem, size: Operand, address: Operand, space: Space): Reg {
  return callHelper(code, READERS[space][0], [code.addressOf(to), code.toReg(size), code.toReg(address)]);
}

/** Copies a string of the kernel; gives the helper's result. */
export function copyString(code: Code, to: Mem, size: Operand, address: Operand, space: Space): Reg {
  return callHelper(code, READERS[space][1], [code.addressOf(to), code.toReg(size), code.toReg(address)]);
}

/** A word to read into. */
function withWord<T>(code: Code, use: (mem: Mem) => T): T {
  return code.withTemporary(8, 8, "a value read from the kernel", (slot) =>
    use({ base: { slot }, offset: 0, align: 8 }),
  );
}

/** Reads an integer or a pointer. */
function readWord(code: Code, path: KernelPath, kind: IntType): Operand {
  if (path.space === "direct") {
    const base = path.base();
    if (path.steps.length > 0 && path.fixed === 0) {
      const core = fieldRef(path, CoreReloKind.FIELD_BYTE_OFFSET);
      return code.load({ base: { reg: code.toReg(base) }, offset: byteOffset(path), align: 8, core }, kind);
    }
    const reg = path.steps.length === 0 ? code.toReg(base) : relocated(code, path, base);
    return code.load({ base: { reg }, offset: path.fixed, align: 8 }, kind);
  }
  const address = placeAddress(code, path);
  return withWord(code, (mem) => {
    copyFrom(code, mem, { value: BigInt(kind.size) }, address, path.space);
    return code.load(mem, kind);
  });
}

/**
 * Reads a bit field: the bytes around it, which are shifted until only the field is left. How many bytes, and how far,
 * the kernel's types say, as with BPF_CORE_READ_BITFIELD_PROBED().
 */
function readBits(code: Code, path: KernelPath, bits: BitsType): Operand {
  const about = (relo: number): CoreRef => fieldRef(path, relo);
  const { offset, size } = bitFieldLoad(path, bits);
  const left = 64 - (path.bitOffset - offset * 8) - bits.width;
  const address = placeAddress(code, path);
  const word = withWord(code, (mem) => {
    code.store(mem, u64, { value: 0n });
    const bytes = code.core(about(CoreReloKind.FIELD_BYTE_SIZE), BigInt(size));
    copyFrom(code, mem, { reg: bytes }, address, path.space);
    return code.toReg(code.load(mem, u64));
  });
  const shifted = code.coreAlu("lsh", word, BigInt(left), about(CoreReloKind.FIELD_LSHIFT_U64));
  const right = BigInt(64 - bits.width);
  const give = (op: "rsh" | "arsh") => () => {
    const value = code.coreAlu(op, shifted, right, about(CoreReloKind.FIELD_RSHIFT_U64));
    code.emit({ op: "mov", dst: result, src: value });
  };
  const result = code.newReg();
  const signed = code.core(about(CoreReloKind.FIELD_SIGNED), bits.base.signed ? 1n : 0n);
  code.ifElse(code.compare("jne", 64, { reg: signed }, { value: 0n }), give("arsh"), give("rsh"));
  return code.convert({ reg: result }, u64, bits.base);
}

/** The integer type that a value of a type is read as; undefined for what is none. */
export function wordOf(type: TypeDecl): IntType | undefined {
  const plain = withoutTypedefs(type);
  if (plain.kind === "int") return plain as IntType;
  if (plain.kind === "bits") return (plain as BitsType).base;
  if (plain.kind === "enum") return (plain as KernelEnum).size === 8 ? u64 : u32;
  return undefined;
}

/** Reads an integer. */
export function readInt(code: Code, path: KernelPath, type: IntType): Operand {
  const bits = bitsOf(path);
  return bits === undefined ? readWord(code, path, type) : readBits(code, path, bits);
}

/** What is behind a pointer; the pointer is read when that is. */
export function pointee(code: Code, path: KernelPath<PtrType>): KernelPath | undefined {
  const { target } = withoutTypedefs(path.type) as PtrType;
  if (target === null) return undefined;
  return rootPath(target, () => readWord(code, path, u64), path.space);
}

/** The way to an element that is known while the program runs only. */
export function elementAt(
  code: Code,
  array: () => Operand,
  element: TypeDecl,
  index: Operand,
  space: Space,
): KernelPath {
  const base = (): Operand => {
    const start = array();
    const core: CoreRef = { relo: CoreReloKind.TYPE_SIZE, root: element, steps: [] };
    // A struct of the kernel's has another size there; arrays of it do, too.
    const size: Operand =
      withoutTypedefs(element).kind === "kernel"
        ? { reg: code.core(core, BigInt(element.size)) }
        : { value: BigInt(element.size) };
    return code.binary("add", 64, start, code.binary("mul", 64, index, size));
  };
  // The verifier follows a pointer that it knows to fixed places only.
  return rootPath(element, base, space === "direct" ? "kernel" : space);
}

/** For messages: `struct task_struct, 0:3`. */
export function describePath({ root, steps }: KernelPath): string {
  return steps.length === 0 ? root.cName : `${steps.join(".")} of ${root.cName}`;
}
