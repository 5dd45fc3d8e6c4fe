// SPDX-License-Identifier: MIT
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
import {
  BPF_ALU64,
  BPF_B,
  BPF_DW,
  BPF_EXIT,
  BPF_H,
  BPF_JMP,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_MEM,
  BPF_MOV,
  BPF_ST,
  BPF_STX,
  BPF_W,
} from "../../src/asm/opcode.js";
import { type CoreReloRecord, type CoreValue, coreTypes, coreValue, parseSpec } from "../../src/btf/core/index.js";
import { writeBtfExt } from "../../src/btf/ext.js";
import { StringTable } from "../../src/btf/strings.js";
import type { Btf, BtfMember, BtfType } from "../../src/btf/types.js";
import { writeBtf } from "../../src/btf/write.js";
import { SECTION, SHF, SHT, STB, STT } from "../../src/elf/format.js";
import { ElfWriter } from "../../src/elf/write-elf.js";
import { CoreReloKind } from "../../src/kernel/uapi.js";
import { encodeUtf8 } from "../../src/util/bytes.js";
import { InputError } from "../../src/util/errors.js";
import type { Rng } from "./fuzz/rng.js";

/*
 * Random types, the same types changed, and relocations between them: what CO-RE has to stand, within what
 * libbpf survives (it follows loops of typedefs for ever and divides by the size of a bit field's type).
 */

/** An object with relocations, and the BTF of another kernel. */
export interface CoreCase {
  readonly object: Uint8Array;
  readonly target: Uint8Array;
}

const FLAVOURS = ["", "", "", "", "___old", "___new", "____x"];
const MEMBERS = ["a", "b", "c", "d", "e", "f"];

function typeName(rng: Rng, kind: string): string {
  return `${kind}${rng.below(4)}${rng.pick(FLAVOURS)}`;
}

function randomInt(rng: Rng): BtfType {
  const size = rng.pick([1, 2, 4, 8, 8, 4, 16]);
  const name = rng.pick(["int", "unsigned int", "u8", "long", "unsigned long", "size_t"]);
  const bitOffset = rng.chance(0.02) ? 3 : 0;
  return { kind: "int", name, size, bits: size * 8, bitOffset, encoding: rng.pick(["none", "signed", "char", "bool"]) };
}

function randomEnum(rng: Rng): BtfType {
  const signed = rng.chance(0.5);
  const names = MEMBERS.slice(rng.below(3), 3 + rng.below(3)).map((name) => name.toUpperCase() + rng.pick(FLAVOURS));
  const name = rng.chance(0.15) ? "" : typeName(rng, "e");
  if (rng.chance(0.4)) {
    const wrap = (value: bigint) => (signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value));
    const values = names.map((n) => ({ name: n, value: wrap((BigInt(rng.u32()) << 32n) | BigInt(rng.below(4))) }));
    return { kind: "enum64", name, size: 8, signed, values };
  }
  const value = () => (rng.chance(0.5) ? rng.below(5) : signed ? rng.u32() | 0 : rng.u32());
  return {
    kind: "enum",
    name,
    size: rng.pick([4, 4, 4, 1]),
    signed,
    values: names.map((n) => ({ name: n, value: value() })),
  };
}

/** A type that refers to earlier ones only, but for what a pointer points at. */
function randomType(rng: Rng, types: readonly BtfType[]): BtfType {
  const earlier = () => rng.below(types.length);
  const sized = () => sizedType(rng, types);
  return rng.weighted<() => BtfType>([
    [2, () => randomInt(rng)],
    [2, () => randomEnum(rng)],
    [8, () => randomComposite(rng, types)],
    [3, () => ({ kind: "ptr", type: rng.below(types.length + 3) })],
    [3, () => ({ kind: "array", type: sized(), indexType: 1, nelems: rng.pick([0, 0, 1, 2, 3, 5, 70000]) })],
    [3, () => ({ kind: "typedef", name: typeName(rng, "t"), type: earlier() })],
    [1, () => ({ kind: rng.pick(["const", "volatile", "restrict"] as const), type: earlier() })],
    [1, () => ({ kind: "typeTag", name: "rcu", type: earlier() })],
    [1, () => ({ kind: "fwd", name: typeName(rng, "s"), isUnion: rng.chance(0.5) })],
    [1, () => ({ kind: "float", name: "double", size: 8 })],
    [1, () => randomProto(rng, types)],
  ])();
}

function randomProto(rng: Rng, types: readonly BtfType[]): BtfType {
  const params = MEMBERS.slice(0, rng.below(4)).map((name) => ({ name, type: 1 + rng.below(types.length - 1) }));
  return { kind: "funcProto", returnType: rng.below(types.length), params };
}

const SIZED: ReadonlySet<string> = new Set(["int", "enum", "enum64", "struct", "union", "ptr", "array", "float"]);

function sizedType(rng: Rng, types: readonly BtfType[]): number {
  for (let tries = 0; tries < 20; tries++) {
    const id = rng.below(types.length);
    if (SIZED.has(types[id]!.kind) || rng.chance(0.05)) return id;
  }
  return 1;
}

function intType(rng: Rng, types: readonly BtfType[]): number {
  for (let tries = 0; tries < 20; tries++) {
    const id = rng.below(types.length);
    if (types[id]!.kind === "int" || types[id]!.kind === "enum") return id;
  }
  return 1;
}

function randomMembers(rng: Rng, types: readonly BtfType[], isUnion: boolean): BtfMember[] {
  let at = 0;
  const bitFields = rng.chance(0.4);
  return Array.from({ length: 1 + rng.below(5) }, (): BtfMember => {
    const type = bitFields ? intType(rng, types) : sizedType(rng, types);
    const resolved = types[type]!;
    const isInt = resolved.kind === "int" || resolved.kind === "enum";
    const bitSize = bitFields && isInt && rng.chance(0.7) ? 1 + rng.below(rng.pick([3, 20, 64])) : 0;
    if (bitSize === 0) at = Math.ceil(at / 8) * 8;
    const bitOffset = isUnion && rng.chance(0.9) ? 0 : at;
    at += bitSize === 0 ? rng.pick([1, 2, 4, 8, 8, 40]) * 8 : bitSize + (rng.chance(0.2) ? rng.below(40) : 0);
    const anonymous = resolved.kind === "struct" || resolved.kind === "union" ? 0.5 : 0.02;
    return { name: rng.chance(anonymous) ? "" : rng.pick(MEMBERS), type, bitOffset, bitSize };
  });
}

function randomComposite(rng: Rng, types: readonly BtfType[]): BtfType {
  const kind = rng.chance(0.75) ? "struct" : "union";
  const name = rng.chance(0.15) ? "" : typeName(rng, "s");
  const members = randomMembers(rng, types, kind === "union");
  return { kind, name, size: rng.pick([4, 8, 16, 24, 40, 100, 40000]), members };
}

/** The types of an object. */
export function randomTypes(rng: Rng): Btf {
  const types: BtfType[] = [{ kind: "void" }, randomInt(rng), randomInt(rng), randomEnum(rng)];
  const count = 6 + rng.below(20);
  while (types.length < count) types.push(randomType(rng, types));
  return { types: finished(types) };
}

/** Pointers lead to types that are there, bit fields have types with a size. */
function finished(types: readonly BtfType[]): BtfType[] {
  const sized = (id: number): boolean => {
    const type = types[id]!;
    if ("size" in type) return type.size > 0;
    const skipped =
      type.kind === "typedef" || type.kind === "const" || type.kind === "volatile" || type.kind === "restrict";
    return (skipped || type.kind === "typeTag") && sized(type.type);
  };
  return types.map((type) => {
    if (type.kind === "ptr") return { ...type, type: type.type % types.length };
    if (type.kind !== "struct" && type.kind !== "union") return type;
    return { ...type, members: type.members.map((m) => (sized(m.type) ? m : { ...m, bitSize: 0 })) };
  });
}

/** The type as another kernel might have it. */
function changed(rng: Rng, type: BtfType, before: readonly BtfType[]): BtfType {
  if ((type.kind === "struct" || type.kind === "union") && rng.chance(0.5)) return changedComposite(rng, type, before);
  if (rng.chance(0.12)) return randomType(rng, before);
  if (type.kind === "int" && rng.chance(0.3)) {
    const size = rng.pick([1, 2, 4, 8]);
    return { ...type, size, bits: size * 8, encoding: rng.pick(["none", "signed"]) };
  }
  if (type.kind === "array" && rng.chance(0.3)) return { ...type, nelems: rng.pick([0, 1, 4, 10]) };
  if ((type.kind === "typedef" || type.kind === "const") && rng.chance(0.1))
    return { ...type, type: rng.below(before.length) };
  if (type.kind === "enum" && rng.chance(0.3)) {
    return { ...type, values: type.values.slice(rng.below(2)).map((v) => ({ ...v, value: rng.below(100) })) };
  }
  return type;
}

function changedComposite(
  rng: Rng,
  type: Extract<BtfType, { kind: "struct" | "union" }>,
  before: readonly BtfType[],
): BtfType {
  let members = [...type.members];
  const shift = rng.pick([0, 8, 32, 64, 3]);
  if (rng.chance(0.5)) members = members.map((m) => ({ ...m, bitOffset: m.bitOffset + shift }));
  if (rng.chance(0.3)) members.splice(rng.below(members.length), 1);
  if (rng.chance(0.3)) members.reverse();
  if (rng.chance(0.3)) members.push(...randomMembers(rng, before, false));
  if (rng.chance(0.2)) members = members.map((m) => (m.bitSize === 0 ? m : { ...m, bitSize: 1 + rng.below(30) }));
  if (rng.chance(0.2)) members = members.map((m) => (m.bitSize === 0 ? { ...m, type: sizedType(rng, before) } : m));
  const kind = rng.chance(0.1) ? "union" : type.kind;
  const name = type.name === "" ? "" : type.name.replace(/___.*/, "") + rng.pick(FLAVOURS);
  return { kind, name, size: type.size + shift, members };
}

function refs(type: BtfType, map: (id: number) => number): BtfType {
  const to = (id: number) => (id === 0 ? 0 : map(id));
  switch (type.kind) {
    case "struct":
    case "union":
      return { ...type, members: type.members.map((m) => ({ ...m, type: to(m.type) })) };
    case "array":
      return { ...type, type: to(type.type), indexType: to(type.indexType) };
    case "funcProto":
      return { ...type, returnType: to(type.returnType), params: type.params.map((p) => ({ ...p, type: to(p.type) })) };
    default:
      return "type" in type ? { ...type, type: to(type.type) } : type;
  }
}

/** Another kernel's types: the same ones changed, some more than once. */
export function changedTypes(rng: Rng, btf: Btf): Btf {
  const extra = 1 + rng.below(3);
  const types: BtfType[] = [{ kind: "void" }];
  for (let i = 0; i < extra; i++) types.push(randomInt(rng));
  const ids = [0];
  for (const type of btf.types.slice(1)) {
    ids.push(types.length);
    // What comes later is out of reach but for pointers, which are put right below.
    const copy = changed(
      rng,
      refs(type, (id) => ids[id] ?? id),
      types,
    );
    types.push(copy);
    if (rng.chance(0.15)) types.push(changed(rng, copy, types));
  }
  return { types: finished(types) };
}

/** An access string that mostly leads somewhere. */
function randomAccess(rng: Rng, btf: Btf, typeId: number, kind: number): string {
  if (rng.chance(0.01)) return rng.pick(["", ":", "0:", "x", "0::1", "-1", "0 1", " 0", "+0", "00:01", "0:1:", "0:-0"]);
  const steps = [rng.chance(0.9) ? 0 : rng.below(4)];
  const isType = kind >= CoreReloKind.TYPE_ID_LOCAL && kind <= CoreReloKind.TYPE_SIZE;
  if (isType || kind === CoreReloKind.TYPE_MATCHES) return rng.chance(0.99) ? "0" : "0:0";
  let type = btf.types[typeId]!;
  if (kind === CoreReloKind.ENUMVAL_EXISTS || kind === CoreReloKind.ENUMVAL_VALUE) return `${rng.below(3)}`;
  for (let depth = 0; depth < 40; depth++) {
    if (type.kind === "struct" || type.kind === "union") {
      if (type.members.length === 0 || rng.chance(0.05)) break;
      const index = rng.below(type.members.length);
      steps.push(index);
      type = btf.types[type.members[index]!.type]!;
    } else if (type.kind === "array") {
      if (rng.chance(0.15)) break;
      steps.push(rng.below(Math.min(6, type.nelems + 1)));
      type = btf.types[type.type]!;
    } else if (
      type.kind === "typedef" ||
      type.kind === "const" ||
      type.kind === "volatile" ||
      type.kind === "restrict"
    ) {
      type = btf.types[type.type]!;
    } else if (type.kind === "typeTag") {
      type = btf.types[type.type]!;
    } else {
      break;
    }
  }
  if (rng.chance(0.02)) steps.push(rng.below(3));
  return steps.join(":");
}

const SIZES = [BPF_B, BPF_H, BPF_W, BPF_DW];

/** An instruction that holds the value; mostly of the form that the compiler has for the kind. */
function instruction(rng: Rng, kind: number, value: CoreValue | null): Insn[] {
  const before = rng.chance(0.98) && value !== null ? value.before : BigInt(rng.below(64));
  const low = Number(BigInt.asIntN(32, before));
  const alu = [{ opcode: BPF_ALU64 | BPF_MOV, dst: 1, src: 0, off: 0, imm: low }];
  const wide = [
    { opcode: BPF_LD_IMM64, dst: 1, src: rng.chance(0.01) ? 1 : 0, off: 0, imm: low },
    { opcode: 0, dst: 0, src: 0, off: 0, imm: Number(BigInt.asIntN(32, before >> 32n)) },
  ];
  if (kind === CoreReloKind.FIELD_BYTE_OFFSET && rng.chance(0.7)) {
    const right = [1, 2, 4, 8].indexOf(value?.sizeBefore ?? 0);
    const size = SIZES[right >= 0 && rng.chance(0.95) ? right : rng.below(4)]!;
    const opcode = rng.pick([BPF_LDX, BPF_ST, BPF_STX]) | BPF_MEM | size;
    return [{ opcode, dst: 1, src: 2, off: Number(BigInt.asIntN(16, before)), imm: 0 }];
  }
  if (rng.chance(0.02)) return [{ opcode: rng.pick([0xbf, 0x85, 0x05, 0x95]), dst: 1, src: 2, off: 0, imm: low }];
  return BigInt.asIntN(32, before) === BigInt.asIntN(64, before) && rng.chance(0.7) ? alu : wide;
}

function localValue(btf: Btf, relo: Omit<CoreReloRecord, "insn">): CoreValue | null {
  try {
    const spec = parseSpec(coreTypes(btf, { pointerSize: 8 }), relo);
    return coreValue(spec, spec, true);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return null;
  }
}

/** A few relocations, most of which make sense in the object's own types. */
export function randomRelos(rng: Rng, btf: Btf): { insns: Insn[]; relos: CoreReloRecord[] } {
  const insns: Insn[] = [];
  const relos: CoreReloRecord[] = [];
  const roots = btf.types.flatMap((type, id) =>
    "name" in type && type.name !== "" && type.kind !== "int" ? [id] : [],
  );
  const count = 1 + rng.below(5);
  for (let tries = 0; relos.length < count && tries < 40; tries++) {
    const typeId = rng.chance(0.95) && roots.length > 0 ? rng.pick(roots) : rng.below(btf.types.length);
    const kind = rng.chance(0.4) ? 0 : rng.chance(0.995) ? rng.below(13) : 13;
    const relo = { typeId, kind, access: randomAccess(rng, btf, typeId, kind) };
    const value = localValue(btf, relo);
    // What is wrong ends the object: let few be.
    if (value === null && rng.chance(0.95)) continue;
    relos.push({ insn: insns.length, ...relo });
    insns.push(...instruction(rng, kind, value));
  }
  insns.push({ opcode: BPF_JMP | BPF_EXIT, dst: 0, src: 0, off: 0, imm: 0 });
  return { insns, relos };
}

/** Puts an object together that has one program, its types and its relocations. */
export function coreObject(btf: Btf, insns: readonly Insn[], relos: readonly CoreReloRecord[]): Uint8Array {
  const elf = new ElfWriter();
  const section = "raw_tp";
  const strings = new StringTable();
  const coreRelos = [{ section, records: relos.map(({ insn, ...relo }) => ({ insnOff: insn * 8, ...relo })) }];
  const ext = writeBtfExt({ funcInfo: [], lineInfo: [], coreRelos }, strings);
  const code = encodeInsns(insns);
  const data = { type: SHT.PROGBITS, flags: 0, align: 8 };
  const index = elf.section({ ...data, name: section, flags: SHF.ALLOC | SHF.EXECINSTR, content: code });
  elf.section({ ...data, name: SECTION.LICENSE, flags: SHF.ALLOC | SHF.WRITE, content: encodeUtf8("GPL\0") });
  elf.section({ ...data, name: SECTION.BTF, content: writeBtf(btf, strings) });
  elf.section({ ...data, name: SECTION.BTF_EXT, content: ext });
  elf.symbol({ name: "prog", section: index, value: 0, size: code.length, bind: STB.GLOBAL, type: STT.FUNC });
  return elf.finish();
}

/** A whole case; the same generator state gives the same one. */
export function coreCase(rng: Rng): CoreCase {
  const btf = randomTypes(rng);
  const { insns, relos } = randomRelos(rng, btf);
  return { object: coreObject(btf, insns, relos), target: writeBtf(changedTypes(rng, btf)) };
}
