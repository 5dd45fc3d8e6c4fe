// SPDX-License-Identifier: MIT
import type { Insn } from "./insn.js";
import * as op from "./opcode.js";
import { ALU_OPS, ATOMIC_OPS, JMP_OPS, SIGNED_ALU_OPS, SIZES } from "./ops.js";

/*
 * The instruction table: every form that Linux 6.18 knows (RFC 9669 and the extensions). A form is
 * an opcode together with the fields that select among the meanings of that opcode, as `off` tells
 * `s/=` from `/=`. Everything that is a fact about a form, not about a program, is read from here.
 */

/** What kind of instruction a form is. */
export type InsnKind =
  | "alu"
  | "neg"
  | "end"
  | "movsx"
  | "addr_space_cast"
  | "ldx"
  | "ldxs"
  | "stx"
  | "st"
  | "atomic"
  | "ld_abs"
  | "ld_ind"
  | "ld_imm64"
  | "ja"
  | "jmp"
  | "may_goto"
  | "call"
  | "exit";

/** Use of the destination field; `zero` must be zero. */
export type DstUse = "zero" | "read" | "write" | "update";
/** Use of the source field; a number selects the form. */
export type SrcUse = "zero" | "read" | "write" | "update" | number;
/** Use of the offset: a byte offset, a distance in slots, an index into `fd_array`; a number selects the form. */
export type OffUse = "zero" | "bytes" | "slots" | "index" | number;
/**
 * Use of the immediate: an operand (`shift` below the width, `divisor` not zero), a distance in
 * slots, a helper's number, a BTF id, a file descriptor, an index into `fd_array`, or the low half
 * of a 64-bit number; a number selects the form.
 */
export type ImmUse = "zero" | "operand" | "shift" | "divisor" | "slots" | "helper" | "btf_id" | "fd" | "index" | number;
/** Use of the second slot's immediate: upper half, byte offset into a map value, BTF file descriptor. */
export type HighUse = "zero" | "operand" | "bytes" | "fd";

/** One row of the instruction table. */
export interface InsnForm {
  /** Unique, made of RFC 9669's names: operation, width in bits or size letter, source of the operand. */
  readonly name: string;
  /** How texts about RFC 9669 and ubpf call it; forms that their operands tell apart share one. */
  readonly mnemonic: string;
  readonly kind: InsnKind;
  readonly opcode: number;
  /** Lowest LLVM `-mcpu` that emits it; the kernel takes all of them. */
  readonly cpu: 1 | 2 | 3 | 4;
  /** Bits that are computed, compared or moved. */
  readonly width: 8 | 16 | 32 | 64;
  readonly dst: DstUse;
  readonly src: SrcUse;
  readonly off: OffUse;
  readonly imm: ImmUse;
  /** Only in forms of two slots. */
  readonly high?: HighUse;
}

type Fields = Pick<InsnForm, "dst" | "src" | "off" | "imm">;

/** Every form, in the order of classes in RFC 9669. */
export const INSN_FORMS: readonly InsnForm[] = [
  ...[32 as const, 64 as const].flatMap((width) => [
    ...aluForms(width),
    ...signedAluForms(width),
    ...unaryForms(width),
  ]),
  ...castForms(),
  ...loadStoreForms(),
  ...atomicForms(),
  ...immediateLoadForms(),
  ...jumpForms(),
];

/** Operations on the lower halves carry their width in the name. */
function suffix(width: number): string {
  return width === 64 ? "" : String(width);
}

function aluForms(width: 32 | 64): InsnForm[] {
  const klass = width === 64 ? op.BPF_ALU64 : op.BPF_ALU;
  const cpu = width === 64 ? 1 : 3;
  return Object.entries(ALU_OPS).flatMap(([name, { op: bits }]) => {
    const dst = name === "mov" ? "write" : "update";
    const isShift = name === "lsh" || name === "rsh" || name === "arsh";
    const imm = isShift ? "shift" : name === "div" || name === "mod" ? "divisor" : "operand";
    const mnemonic = name + suffix(width);
    const shared = { mnemonic, kind: "alu", cpu, width, dst, off: "zero" } as const;
    return [
      { name: `${name}${width}_imm`, opcode: klass | bits | op.BPF_K, ...shared, src: "zero", imm },
      { name: `${name}${width}_reg`, opcode: klass | bits | op.BPF_X, ...shared, src: "read", imm: "zero" },
    ] as const;
  });
}

function signedAluForms(width: 32 | 64): InsnForm[] {
  const klass = width === 64 ? op.BPF_ALU64 : op.BPF_ALU;
  const shared = { kind: "alu", cpu: 4, width, dst: "update", off: op.BPF_SIGNED_OFF } as const;
  return Object.entries(SIGNED_ALU_OPS).flatMap(([name, { op: bits }]) => {
    const one = { mnemonic: name + suffix(width), ...shared };
    return [
      { name: `${name}${width}_imm`, opcode: klass | bits | op.BPF_K, ...one, src: "zero", imm: "divisor" },
      { name: `${name}${width}_reg`, opcode: klass | bits | op.BPF_X, ...one, src: "read", imm: "zero" },
    ] as const;
  });
}

/** Negation, byte order and sign extension. */
function unaryForms(width: 32 | 64): InsnForm[] {
  const klass = width === 64 ? op.BPF_ALU64 : op.BPF_ALU;
  const one = { width, dst: "update", src: "zero", off: "zero" } as const;
  const mov = { kind: "movsx", cpu: 4, width, dst: "write", src: "read", imm: "zero" } as const;
  const neg = { name: `neg${width}`, mnemonic: `neg${suffix(width)}`, kind: "neg" } as const;
  const forms: InsnForm[] = [{ ...neg, opcode: klass | op.BPF_NEG, cpu: width === 64 ? 1 : 3, ...one, imm: "zero" }];
  for (const bits of [16, 32, 64] as const) {
    const add = (name: string, order: number, cpu: InsnForm["cpu"]) => {
      const opcode = klass | op.BPF_END | order;
      forms.push({ ...one, name, mnemonic: name, kind: "end", opcode, cpu, width: bits, imm: bits });
    };
    if (width === 64) {
      add(`bswap${bits}`, op.BPF_TO_LE, 4);
    } else {
      add(`le${bits}`, op.BPF_TO_LE, 1);
      add(`be${bits}`, op.BPF_TO_BE, 1);
    }
  }
  for (const bits of [8, 16, 32] as const) {
    if (bits < width) {
      const mnemonic = `movsx${bits}${width}`;
      const opcode = klass | op.BPF_MOV | op.BPF_X;
      forms.push({ name: `movsx${width}_${bits}`, mnemonic, opcode, ...mov, off: bits });
    }
  }
  return forms;
}

/** Casts between an arena's address space (1) and the kernel's (0); `imm` is destination << 16 | source. */
function castForms(): InsnForm[] {
  const shared = {
    kind: "addr_space_cast",
    opcode: op.BPF_ALU64 | op.BPF_MOV | op.BPF_X,
    cpu: 4,
    width: 64,
    dst: "write",
    src: "read",
    off: op.BPF_ADDR_SPACE_CAST,
  } as const;
  return [
    { name: "cast_kern", mnemonic: "cast_kern", ...shared, imm: 1 },
    { name: "cast_user", mnemonic: "cast_user", ...shared, imm: 1 << 16 },
  ];
}

function loadStoreForms(): InsnForm[] {
  const load: Fields = { dst: "write", src: "read", off: "bytes", imm: "zero" };
  const store: Fields = { dst: "read", src: "read", off: "bytes", imm: "zero" };
  const storeImm: Fields = { dst: "read", src: "zero", off: "bytes", imm: "operand" };
  const abs: Fields = { dst: "zero", src: "zero", off: "zero", imm: "operand" };
  const ind: Fields = { dst: "zero", src: "read", off: "zero", imm: "operand" };
  return Object.entries(SIZES).flatMap(([name, { size, bytes }]) => {
    const width = (bytes * 8) as InsnForm["width"];
    const form = (what: string, kind: InsnKind, opcode: number, cpu: InsnForm["cpu"], fields: Fields): InsnForm => ({
      name: `${what}_${name}`,
      mnemonic: what + name,
      kind,
      opcode: opcode | size,
      cpu,
      width,
      ...fields,
    });
    const forms = [
      form("ldx", "ldx", op.BPF_LDX | op.BPF_MEM, 1, load),
      form("stx", "stx", op.BPF_STX | op.BPF_MEM, 1, store),
      // LLVM emits immediate stores from v4 on; they are as old as BPF.
      form("st", "st", op.BPF_ST | op.BPF_MEM, 4, storeImm),
    ];
    if (name === "dw") return forms;
    return forms.concat(
      form("ldxs", "ldxs", op.BPF_LDX | op.BPF_MEMSX, 4, load),
      form("ldabs", "ld_abs", op.BPF_LD | op.BPF_ABS, 1, abs),
      form("ldind", "ld_ind", op.BPF_LD | op.BPF_IND, 1, ind),
    );
  });
}

function atomicForms(): InsnForm[] {
  return Object.entries(ATOMIC_OPS).flatMap(([name, imm]) => {
    const isOrdered = imm === op.BPF_LOAD_ACQ || imm === op.BPF_STORE_REL;
    const isFetch = name.startsWith("fetch_") || imm === op.BPF_XCHG;
    return Object.entries(SIZES)
      .filter(([, { bytes }]) => isOrdered || bytes >= 4)
      .map(
        ([letter, { size, bytes }]): InsnForm => ({
          name: `atomic_${name}_${letter}`,
          mnemonic: `lock ${name.replace("fetch_", "fetch ")}${suffix(bytes * 8)}`,
          kind: "atomic",
          opcode: op.BPF_STX | op.BPF_ATOMIC | size,
          cpu: isOrdered ? 4 : name === "add" ? 1 : 3,
          width: (bytes * 8) as InsnForm["width"],
          dst: imm === op.BPF_LOAD_ACQ ? "write" : "read",
          src: isFetch ? "update" : "read",
          off: "bytes",
          imm,
        }),
      );
  });
}

function immediateLoadForms(): InsnForm[] {
  const kinds: readonly [string, number, ImmUse, HighUse][] = [
    ["ld_imm64", op.BPF_PSEUDO_IMM64, "operand", "operand"],
    ["ld_map_fd", op.BPF_PSEUDO_MAP_FD, "fd", "zero"],
    ["ld_map_value", op.BPF_PSEUDO_MAP_VALUE, "fd", "bytes"],
    ["ld_btf_id", op.BPF_PSEUDO_BTF_ID, "btf_id", "fd"],
    ["ld_func", op.BPF_PSEUDO_FUNC, "slots", "zero"],
    ["ld_map_idx", op.BPF_PSEUDO_MAP_IDX, "index", "zero"],
    ["ld_map_idx_value", op.BPF_PSEUDO_MAP_IDX_VALUE, "index", "bytes"],
  ];
  const same = { mnemonic: "lddw", kind: "ld_imm64", opcode: op.BPF_LD_IMM64, cpu: 1 } as const;
  const shared = { ...same, width: 64, dst: "write", off: "zero" } as const;
  return kinds.map(([name, src, imm, high]) => ({ name, ...shared, src, imm, high }));
}

function jumpForms(): InsnForm[] {
  const none: Fields = { dst: "zero", src: "zero", off: "zero", imm: "zero" };
  const call = { ...none, kind: "call", opcode: op.BPF_JMP | op.BPF_CALL, width: 64 } as const;
  const ja = { ...none, kind: "ja", width: 64 } as const;
  return [
    { ...ja, name: "ja", mnemonic: "ja", opcode: op.BPF_JMP | op.BPF_JA, cpu: 1, off: "slots" },
    { ...ja, name: "ja_long", mnemonic: "ja32", opcode: op.BPF_JMP32 | op.BPF_JA, cpu: 4, imm: "slots" },
    {
      ...none,
      name: "may_goto",
      mnemonic: "may_goto",
      kind: "may_goto",
      opcode: op.BPF_JMP | op.BPF_JCOND,
      cpu: 4,
      width: 64,
      src: op.BPF_MAY_GOTO,
      off: "slots",
    },
    ...condJumpForms(64),
    ...condJumpForms(32),
    { ...call, name: "call_helper", mnemonic: "call helper", cpu: 1, src: op.BPF_HELPER_CALL, imm: "helper" },
    { ...call, name: "call_subprog", mnemonic: "call local", cpu: 1, src: op.BPF_PSEUDO_CALL, imm: "slots" },
    {
      ...call,
      name: "call_kfunc",
      mnemonic: "call runtime",
      cpu: 1,
      src: op.BPF_PSEUDO_KFUNC_CALL,
      off: "index",
      imm: "btf_id",
    },
    { ...none, name: "exit", mnemonic: "exit", kind: "exit", opcode: op.BPF_JMP | op.BPF_EXIT, cpu: 1, width: 64 },
  ];
}

function condJumpForms(width: 32 | 64): InsnForm[] {
  const klass = width === 64 ? op.BPF_JMP : op.BPF_JMP32;
  return Object.entries(JMP_OPS).flatMap(([name, { op: bits }]) => {
    const isLess = /^js?l[te]$/.test(name);
    const mnemonic = name + suffix(width);
    const shared = {
      mnemonic,
      kind: "jmp",
      cpu: width === 32 ? 3 : isLess ? 2 : 1,
      width,
      dst: "read",
      off: "slots",
    } as const;
    return [
      { name: `${name}${width}_imm`, opcode: klass | bits | op.BPF_K, ...shared, src: "zero", imm: "operand" },
      { name: `${name}${width}_reg`, opcode: klass | bits | op.BPF_X, ...shared, src: "read", imm: "zero" },
    ] as const;
  });
}

const FORMS_BY_OPCODE: readonly (readonly InsnForm[])[] = byOpcode(INSN_FORMS);

function byOpcode(forms: readonly InsnForm[]): InsnForm[][] {
  const table = Array.from({ length: 256 }, (): InsnForm[] => []);
  for (const form of forms) table[form.opcode]?.push(form);
  return table;
}

/** Every form of an opcode (0–255); empty for an unknown one. */
export function formsOfOpcode(opcode: number): readonly InsnForm[] {
  return FORMS_BY_OPCODE[opcode] ?? [];
}

/** Whether the kernel knows the opcode at all. Answers as bpf_opcode_in_insntable() does. */
export function isKnownOpcode(opcode: number): boolean {
  return formsOfOpcode(opcode).length > 0;
}

/** A field of an instruction; `high` is the second slot of a 64-bit immediate load. */
export type InsnField = "dst" | "src" | "off" | "imm" | "high";

/** What the table says about one instruction. */
export interface InsnInfo {
  readonly form: InsnForm;
  /** Fields holding what the form does not allow; empty for a valid instruction. */
  readonly faults: readonly InsnField[];
}

/**
 * Looks an instruction up. Of several forms sharing the opcode it is the one with the fewest faults;
 * undefined when no form of the opcode fits at all (unknown opcode, atomic operation, pseudo source).
 * @param next the second slot of a 64-bit immediate load; without it the second slot is not looked at.
 */
export function insnInfo(insn: Insn, next?: Insn): InsnInfo | undefined {
  let best: InsnInfo | undefined;
  for (const form of formsOfOpcode(insn.opcode)) {
    if (!selects(form, insn)) continue;
    const faults = faultsOf(form, insn, next);
    if (best === undefined || faults.length < best.faults.length) best = { form, faults };
    if (faults.length === 0) break;
  }
  return best;
}

/** Whether every field that selects the form holds the form's number. */
function selects(form: InsnForm, insn: Insn): boolean {
  return (
    (typeof form.src !== "number" || form.src === insn.src) &&
    (typeof form.off !== "number" || form.off === insn.off) &&
    (typeof form.imm !== "number" || form.imm === insn.imm)
  );
}

function faultsOf(form: InsnForm, insn: Insn, next: Insn | undefined): InsnField[] {
  const faults: InsnField[] = [];
  const isRegister = (value: number) => value < op.MAX_BPF_REG;
  if (form.dst === "zero" ? insn.dst !== 0 : !isRegister(insn.dst)) faults.push("dst");
  if (form.src === "zero" ? insn.src !== 0 : typeof form.src === "string" && !isRegister(insn.src)) faults.push("src");
  if (form.off === "zero" && insn.off !== 0) faults.push("off");
  if (form.imm === "zero" && insn.imm !== 0) faults.push("imm");
  if (form.imm === "shift" && (insn.imm < 0 || insn.imm >= form.width)) faults.push("imm");
  if (form.imm === "divisor" && insn.imm === 0) faults.push("imm");
  if (form.high !== undefined && next !== undefined) {
    const isEmpty = next.opcode === 0 && next.dst === 0 && next.src === 0 && next.off === 0;
    if (!isEmpty || (form.high === "zero" && next.imm !== 0)) faults.push("high");
  }
  return faults;
}

/**
 * Says in words what the encoding of an instruction has wrong; undefined for a valid one. For
 * messages of readers and assemblers: the verifier has words of its own.
 */
export function insnFault(insn: Insn, next?: Insn): string | undefined {
  const hex = `0x${insn.opcode.toString(16).padStart(2, "0")}`;
  if (!isKnownOpcode(insn.opcode)) return `unknown opcode ${hex}`;
  const info = insnInfo(insn, next);
  if (info === undefined) {
    return `opcode ${hex} has no form with source ${insn.src}, offset ${insn.off} and immediate ${insn.imm}`;
  }
  const field = info.faults[0];
  if (field === undefined) return undefined;
  if (field === "high") return `${info.form.name}: malformed second slot`;
  const rule = info.form[field] === "zero" ? "must be 0" : "is out of range";
  return `${info.form.name}: field ${field} ${rule}, got ${insn[field]}`;
}

/** Whether the instruction is the first slot of a 64-bit immediate load. */
export function isLdImm64(insn: Insn): boolean {
  return insn.opcode === op.BPF_LD_IMM64;
}

/** How many slots the instruction takes: 1 or 2. */
export function slotsOf(insn: Insn): 1 | 2 {
  return isLdImm64(insn) ? 2 : 1;
}

/** The unsigned 64-bit number in the two slots of an immediate load. */
export function imm64Of(insn: Insn, next: Insn): bigint {
  return (BigInt(next.imm >>> 0) << 32n) | BigInt(insn.imm >>> 0);
}

/** Whether the instruction belongs to a jump class; calls and exit do. */
export function isJumpClass(insn: Insn): boolean {
  const klass = op.bpfClass(insn.opcode);
  return klass === op.BPF_JMP || klass === op.BPF_JMP32;
}

/** Whether the instruction can go on elsewhere in its function: any `goto`, conditional or not, and `may_goto`. */
export function isJump(insn: Insn): boolean {
  if (!isJumpClass(insn)) return false;
  const bits = op.bpfOp(insn.opcode);
  return bits !== op.BPF_CALL && bits !== op.BPF_EXIT;
}

/** Whether the instruction always jumps: `goto` or `gotol`. */
export function isUncondJump(insn: Insn): boolean {
  return isJumpClass(insn) && op.bpfOp(insn.opcode) === op.BPF_JA;
}

/** Whether the instruction jumps or falls through; `may_goto` is one of them. */
export function isCondJump(insn: Insn): boolean {
  return isJump(insn) && !isUncondJump(insn);
}

/** Whether the instruction is `may_goto`. */
export function isMayGoto(insn: Insn): boolean {
  return insn.opcode === (op.BPF_JMP | op.BPF_JCOND) && insn.src === op.BPF_MAY_GOTO;
}

/** Whether the instruction is `exit`. */
export function isExit(insn: Insn): boolean {
  return insn.opcode === (op.BPF_JMP | op.BPF_EXIT);
}

/** Whether the instruction is a call of any kind. */
export function isCall(insn: Insn): boolean {
  return insn.opcode === (op.BPF_JMP | op.BPF_CALL);
}

/** Whether the instruction calls a helper by number. */
export function isHelperCall(insn: Insn): boolean {
  return isCall(insn) && insn.src === op.BPF_HELPER_CALL;
}

/** Whether the instruction calls a subprogram. */
export function isSubprogCall(insn: Insn): boolean {
  return isCall(insn) && insn.src === op.BPF_PSEUDO_CALL;
}

/** Whether the instruction calls a kernel function. */
export function isKfuncCall(insn: Insn): boolean {
  return isCall(insn) && insn.src === op.BPF_PSEUDO_KFUNC_CALL;
}

/** Whether the instruction loads the address of a subprogram. */
export function isFuncLoad(insn: Insn): boolean {
  return isLdImm64(insn) && insn.src === op.BPF_PSEUDO_FUNC;
}

/** Whether the instruction loads a map or an address in a map's value, by descriptor or by index. */
export function isMapLoad(insn: Insn): boolean {
  if (!isLdImm64(insn)) return false;
  return (
    insn.src === op.BPF_PSEUDO_MAP_FD ||
    insn.src === op.BPF_PSEUDO_MAP_VALUE ||
    insn.src === op.BPF_PSEUDO_MAP_IDX ||
    insn.src === op.BPF_PSEUDO_MAP_IDX_VALUE
  );
}

/** Whether the instruction is an atomic operation, whichever. */
export function isAtomic(insn: Insn): boolean {
  return op.bpfClass(insn.opcode) === op.BPF_STX && op.bpfMode(insn.opcode) === op.BPF_ATOMIC;
}

/** Distance in slots that a jump carries, from the next slot: `imm` of a `gotol`, `off` of the others. */
export function jumpDistance(insn: Insn): number {
  return insn.opcode === (op.BPF_JMP32 | op.BPF_JA) ? insn.imm : insn.off;
}

/** The slot that the jump at `slot` leads to; undefined for what is no jump. May lie outside the program. */
export function jumpTarget(insn: Insn, slot: number): number | undefined {
  return isJump(insn) ? slot + 1 + jumpDistance(insn) : undefined;
}

/** The slot of the subprogram that the call or address load at `slot` names; undefined for anything else. */
export function subprogTarget(insn: Insn, slot: number): number | undefined {
  return isSubprogCall(insn) || isFuncLoad(insn) ? slot + 1 + insn.imm : undefined;
}
