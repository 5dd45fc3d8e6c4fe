// SPDX-License-Identifier: GPL-2.0-only
import type { BtfBlob } from "../../btf/read.js";
import type { Btf, BtfType } from "../../btf/types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import type { InfoRecords } from "../../model/load.js";
import { type LineInfo, type VerifierEnv, verbose } from "../env.js";
import { btfBlobOf } from "./maps.js";

/* func_info and line_info: what the functions are called and which source line each instruction stems from. */

const FUNC_INFO_SIZE = 8;
const LINE_INFO_SIZE = 16;
const LINE_NUM_SHIFT = 10;

/** Mirrors check_abnormal_return(). */
function checkAbnormalReturn(env: VerifierEnv): number {
  for (let i = 1; i < env.subprogCnt; i++) {
    const subprog = env.subprogs[i]!;
    if (subprog.hasLdAbs) {
      verbose(env, "LD_ABS is not allowed in subprogs without BTF\n");
      return -Errno.EINVAL;
    }
    if (subprog.hasTailCall) {
      verbose(env, "tail_call is not allowed in subprogs without BTF\n");
      return -Errno.EINVAL;
    }
  }
  return 0;
}

/** Bytes of a record beyond those that the kernel knows are zero: bpf_check_uarg_tail_zero(). */
function tailIsZero(records: InfoRecords, at: number, known: number): boolean {
  for (let i = known; i < records.recSize; i++) if (records.bytes[at + i] !== 0) return false;
  return true;
}

/** The 32-bit word at `at`. */
function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function hasRecords(records: InfoRecords | null): records is InfoRecords {
  return records !== null && records.count > 0;
}

/** Mirrors check_btf_func_early(). */
function checkBtfFuncEarly(env: VerifierEnv, btf: Btf, records: InfoRecords): number {
  const { recSize, count } = records;
  if (recSize < FUNC_INFO_SIZE || recSize > Limit.MAX_FUNCINFO_REC_SIZE || recSize % 4 !== 0) {
    verbose(env, `invalid func info rec size ${recSize}\n`);
    return -Errno.EINVAL;
  }
  const { bytes } = records;
  let prev = 0;
  for (let i = 0; i < count; i++) {
    const at = i * recSize;
    if (!tailIsZero(records, at, FUNC_INFO_SIZE)) {
      verbose(env, "nonzero tailing record in func info");
      return -Errno.E2BIG;
    }
    const insnOff = u32(bytes, at);
    const typeId = u32(bytes, at + 4);
    if (i === 0 && insnOff !== 0) {
      verbose(env, `nonzero insn_off ${insnOff} for the first func info record`);
      return -Errno.EINVAL;
    }
    if (i !== 0 && insnOff <= prev) {
      verbose(env, `same or smaller insn offset (${insnOff}) than previous func info record (${prev})`);
      return -Errno.EINVAL;
    }
    if (btf.types[typeId]?.kind !== "func") {
      verbose(env, `invalid type id ${typeId | 0} in func info`);
      return -Errno.EINVAL;
    }
    prev = insnOff;
  }
  return 0;
}

/** Takes up the program's BTF and looks at func_info before the functions are known. Mirrors check_btf_info_early(). */
export function checkBtfInfoEarly(env: VerifierEnv): number {
  const { funcInfo, lineInfo, btf } = env.load;
  if (!hasRecords(funcInfo) && !hasRecords(lineInfo)) return checkAbnormalReturn(env);
  // File descriptor 0 stands for none; it is open, and no BTF.
  if (btf === null) return -Errno.EINVAL;
  const blob = btfBlobOf(env, btf);
  env.progBtf = blob.btf;
  if (!hasRecords(funcInfo)) return checkAbnormalReturn(env);
  return checkBtfFuncEarly(env, blob.btf, funcInfo);
}

function skipModifiers(btf: Btf, id: number): BtfType | undefined {
  let type = btf.types[id];
  while (
    type?.kind === "typedef" ||
    type?.kind === "const" ||
    type?.kind === "volatile" ||
    type?.kind === "restrict" ||
    type?.kind === "typeTag"
  ) {
    type = btf.types[type.type];
  }
  return type;
}

/** Mirrors btf_type_is_small_int() or btf_is_any_enum(). */
function returnsScalar(btf: Btf, protoId: number): boolean {
  const proto = btf.types[protoId];
  const ret = proto?.kind === "funcProto" ? skipModifiers(btf, proto.returnType) : undefined;
  return ret?.kind === "enum" || ret?.kind === "enum64" || (ret?.kind === "int" && ret.size <= 8);
}

/** Mirrors check_btf_func(). */
function checkBtfFunc(env: VerifierEnv, btf: Btf, records: InfoRecords): number {
  if (records.count !== env.subprogCnt) {
    verbose(env, "number of funcs in func_info doesn't match number of subprogs\n");
    return -Errno.EINVAL;
  }
  const { bytes } = records;
  for (let i = 0; i < records.count; i++) {
    const subprog = env.subprogs[i]!;
    if (subprog.start !== u32(bytes, i * records.recSize)) {
      verbose(env, "func_info BTF section doesn't match subprog layout in BPF program\n");
      return -Errno.EINVAL;
    }
    const typeId = u32(bytes, i * records.recSize + 4);
    const func = btf.types[typeId];
    if (func?.kind !== "func") return -Errno.EINVAL;
    subprog.name = func.name;
    subprog.isGlobal = func.linkage === "global";
    subprog.btfFuncId = typeId;
    if (i !== 0 && !returnsScalar(btf, func.type)) {
      if (subprog.hasLdAbs) {
        verbose(env, "LD_ABS is only allowed in functions that return 'int'.\n");
        return -Errno.EINVAL;
      }
      if (subprog.hasTailCall) {
        verbose(env, "tail_call is only allowed in functions that return 'int'.\n");
        return -Errno.EINVAL;
      }
    }
  }
  return 0;
}

const HANDLER_TAG = "exception_callback:";
const handlers = new WeakMap<Btf, ReadonlyMap<number, readonly string[]>>();

/** Of each function that tags give handlers of exceptions: their names. */
function handlersByFunction(btf: Btf): ReadonlyMap<number, readonly string[]> {
  let known = handlers.get(btf);
  if (known === undefined) {
    const found = new Map<number, string[]>();
    for (const type of btf.types) {
      if (type.kind !== "declTag" || type.componentIdx !== -1 || !type.name.startsWith(HANDLER_TAG)) continue;
      const name = type.name.slice(HANDLER_TAG.length);
      found.set(type.type, [...(found.get(type.type) ?? []), name]);
    }
    known = found;
    handlers.set(btf, known);
  }
  return known;
}

/**
 * The first instruction of the function that the main function names as its handler of exceptions, 0 when it names none,
 * or a negative errno. Mirrors bpf_find_exception_callback_insn_off().
 */
export function findExceptionCallback(env: VerifierEnv): number {
  const { funcInfo } = env.load;
  const btf = env.progBtf;
  if (btf === null || !hasRecords(funcInfo)) return 0;
  const names = handlersByFunction(btf).get(u32(funcInfo.bytes, 4));
  if (names === undefined) return 0;
  if (names.length > 1) {
    verbose(env, "multiple exception callback tags for main subprog\n");
    return -Errno.EEXIST;
  }
  const name = names[0]!;
  const id = btf.types.findIndex((type) => type.kind === "func" && type.name === name);
  const func = btf.types[id];
  if (func?.kind !== "func") {
    verbose(env, `exception callback '${name}' could not be found in BTF\n`);
    return -Errno.ENOENT;
  }
  if (func.linkage !== "global") {
    verbose(env, `exception callback '${name}' must have global linkage\n`);
    return -Errno.EINVAL;
  }
  return handlerStart(env, funcInfo, id);
}

/** Where func_info says that function `id` begins; the last of its records counts. */
function handlerStart(env: VerifierEnv, { bytes, recSize, count }: InfoRecords, id: number): number {
  let start = 0;
  for (let at = 0; at < count * recSize; at += recSize) {
    if (u32(bytes, at + 4) !== id) continue;
    start = u32(bytes, at);
    if (start === 0) {
      verbose(env, "invalid exception callback insn_off in func_info: 0\n");
      start = -Errno.EINVAL;
    }
  }
  if (start !== 0) return start;
  verbose(env, "exception callback type id not found in func_info\n");
  return -Errno.EINVAL;
}

function stringOrNull(blob: BtfBlob, offset: number): string | null {
  try {
    return blob.stringAt(offset);
  } catch {
    return null;
  }
}

/** Mirrors the checks of one record in check_btf_line(). */
function checkLine(env: VerifierEnv, i: number, insnOff: number, prev: number): number {
  if ((i !== 0 && insnOff <= prev) || insnOff >= env.insns.len) {
    verbose(env, `Invalid line_info[${i}].insn_off:${insnOff} (prev_offset:${prev} prog->len:${env.insns.len})\n`);
    return -Errno.EINVAL;
  }
  if (env.insns.code[insnOff] === 0) {
    verbose(env, `Invalid insn code at line_info[${i}].insn_off\n`);
    return -Errno.EINVAL;
  }
  return 0;
}

const decodedLines = new WeakMap<
  Uint8Array,
  { readonly blob: BtfBlob; readonly lines: readonly (LineInfo | null)[] }
>();

/** The records, decoded once for every array that holds some; null for those whose strings are not in the BTF. */
function linesOf(blob: BtfBlob, { bytes, recSize, count }: InfoRecords): readonly (LineInfo | null)[] {
  const known = decodedLines.get(bytes);
  if (known !== undefined && known.blob === blob && known.lines.length === count) return known.lines;
  const lines: (LineInfo | null)[] = [];
  for (let i = 0, at = 0; i < count; i++, at += recSize) {
    const fileNameOff = u32(bytes, at + 4);
    const lineCol = u32(bytes, at + 12);
    const line = stringOrNull(blob, u32(bytes, at + 8));
    const file = stringOrNull(blob, fileNameOff);
    lines.push(
      line === null || file === null
        ? null
        : {
            insnOff: u32(bytes, at),
            file,
            fileNameOff,
            line,
            lineNum: lineCol >>> LINE_NUM_SHIFT,
            lineCol: lineCol & ((1 << LINE_NUM_SHIFT) - 1),
          },
    );
  }
  decodedLines.set(bytes, { blob, lines });
  return lines;
}

/** Mirrors check_btf_line(). */
function checkBtfLine(env: VerifierEnv, blob: BtfBlob, records: InfoRecords): number {
  const { bytes, recSize, count } = records;
  if (recSize < LINE_INFO_SIZE || recSize > Limit.MAX_LINEINFO_REC_SIZE || recSize % 4 !== 0) return -Errno.EINVAL;
  const lines = linesOf(blob, records);
  let prev = 0;
  let s = 0;
  for (let i = 0; i < count; i++) {
    const at = i * recSize;
    if (!tailIsZero(records, at, LINE_INFO_SIZE)) {
      verbose(env, "nonzero tailing record in line_info");
      return -Errno.E2BIG;
    }
    const insnOff = u32(bytes, at);
    const err = checkLine(env, i, insnOff, prev);
    if (err !== 0) return err;
    if (lines[i] === null) {
      verbose(env, `Invalid line_info[${i}].line_off or .file_name_off\n`);
      return -Errno.EINVAL;
    }
    if (s !== env.subprogCnt) {
      const start = env.subprogs[s]!.start;
      if (insnOff === start) {
        env.subprogs[s]!.linfoIdx = i;
        s++;
      } else if (start < insnOff) {
        verbose(env, `missing bpf_line_info for func#${s}\n`);
        return -Errno.EINVAL;
      }
    }
    prev = insnOff;
  }
  if (s !== env.subprogCnt) {
    verbose(env, `missing bpf_line_info for ${env.subprogCnt - s} funcs starting from func#${s}\n`);
    return -Errno.EINVAL;
  }
  env.lineInfos = lines as readonly LineInfo[];
  return 0;
}

/** Mirrors check_btf_info(). */
export function checkBtfInfo(env: VerifierEnv): number {
  const { funcInfo, lineInfo, btf } = env.load;
  if (btf === null || (!hasRecords(funcInfo) && !hasRecords(lineInfo))) return checkAbnormalReturn(env);
  const blob = btfBlobOf(env, btf);
  const err = hasRecords(funcInfo) ? checkBtfFunc(env, blob.btf, funcInfo) : checkAbnormalReturn(env);
  if (err !== 0) return err;
  return hasRecords(lineInfo) ? checkBtfLine(env, blob, lineInfo) : 0;
}
