// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../asm/insn.js";
import { BPF_LD_IMM64, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../asm/opcode.js";
import { Errno, errnoName } from "../kernel/errno.js";
import { mapTypeName, progTypeName } from "../kernel/uapi.js";
import { fromBase64, fromHex, toBase64, toHex } from "../util/encodings.js";
import { InputError } from "../util/errors.js";
import {
  array,
  asInteger,
  asString,
  bool,
  integers,
  type Json,
  nullable,
  number,
  object,
  string,
} from "../util/json.js";
import type { FdArrayEntry, InfoRecords, MapLoad, ProgramLoad } from "./load.js";

/*
 * Load records: one JSON object a line, everything one BPF_PROG_LOAD was given, and what a real
 * kernel answered. Field names are those of `union bpf_attr` where it has them.
 */

/** Figures of the log's last line, `processed N insns …`. */
export interface VerifierStats {
  readonly insnsProcessed: number;
  readonly maxStatesPerInsn: number;
  readonly totalStates: number;
  readonly peakStates: number;
  readonly markRead: number;
}

/** What a real kernel answered to a load. */
export interface KernelAnswer {
  /** As uname(2) says it. */
  readonly release: string;
  /** 0 when the program was accepted, else a positive error number. */
  readonly errno: number;
  /** `before`: bpf(2) failed without the verifier, which is no verdict on the program. */
  readonly stage: "verifier" | "before";
  /** The log at level 2, without the line "verification time". */
  readonly log: string;
  /** The middle of the log is missing. */
  readonly logTruncated: boolean;
  /** File with the whole log, gzipped, when its middle is missing and somebody kept it. */
  readonly logFile?: string;
  /** The log at level 2 outgrew the buffer: what is kept of it does not begin at its beginning. */
  readonly logOverflowed?: boolean;
  /** The log at level 1. */
  readonly log1: string;
  /** Null when the log has no such line. */
  readonly stats: VerifierStats | null;
  /** The kernel's own figure for the time it took, in microseconds. */
  readonly verificationUs?: number;
}

/** One load, with what a kernel answered when somebody asked it. */
export interface LoadRecord {
  /** Names the record among others. */
  readonly id: string;
  readonly load: ProgramLoad;
  readonly kernel: KernelAnswer | null;
}

/** A sound record of a load that {@link ProgramLoad} cannot express: that of a program which attaches to another one. */
export class InexpressibleLoad extends InputError {
  /** Of the record. */
  readonly id: string;
  /** What cannot be expressed. */
  readonly construct: string;

  constructor(id: string, construct: string) {
    super(`load record ${id}: attach_prog: a ${construct} cannot be expressed`);
    this.id = id;
    this.construct = construct;
  }
}

/**
 * Reads one record from its JSON text.
 * @throws InputError saying which field is wrong; {@link InexpressibleLoad} for a program that attaches to another.
 */
export function readRecord(text: string): LoadRecord {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`a load record is no JSON: ${(error as Error).message}`);
  }
  const record = object(json, "load record");
  const id = string(record, "id");
  if (nullable(record, "attach_prog", object) !== null) {
    throw new InexpressibleLoad(id, "program attached to another program");
  }
  try {
    const kernel = nullable(record, "kernel", object);
    return { id, load: readLoad(record), kernel: kernel === null ? null : readAnswer(kernel) };
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`load record ${id}: ${error.message}`);
    throw error;
  }
}

function readLoad(record: Json): ProgramLoad {
  const insns = fromHex(string(record, "insns"));
  const count = number(record, "insn_cnt");
  if (insns.length !== count * INSN_SIZE) {
    throw new InputError(`insns: insn_cnt is ${count}, but there are ${insns.length} bytes`);
  }
  const badMapInsns = array(record, "map_relocs")
    .map((pair, i) => integers(pair, `map_relocs[${i}]`))
    .filter(([, map]) => map === -1)
    .map(([insn]) => insn!);
  const fdArray = record.fd_array == null ? null : array(record, "fd_array").map(readFdArrayEntry);
  return {
    name: nullable(record, "prog_name", asString) ?? "",
    progType: number(record, "prog_type"),
    expectedAttachType: number(record, "expected_attach_type"),
    progFlags: number(record, "prog_flags"),
    progIfindex: number(record, "prog_ifindex"),
    kernVersion: number(record, "kern_version"),
    license: nullable(record, "license", asString) ?? "",
    attachBtfId: number(record, "attach_btf_id"),
    ...(record.attach_btf == null ? {} : { attachBtf: bytes(record, "attach_btf")! }),
    insns,
    maps: array(record, "maps").map((map, i) => readMap(object(map, `maps[${i}]`))),
    badMapInsns,
    fdArray,
    ...(record.module_btfs == null ? {} : { moduleBtfs: readModules(record) }),
    btf: bytes(record, "btf"),
    funcInfo: readInfo(record, "func_info"),
    lineInfo: readInfo(record, "line_info"),
  };
}

function readModules(record: Json): Uint8Array[] {
  return array(record, "module_btfs").map((btf, i) => fromBase64(asString(btf, `module_btfs[${i}]`)));
}

function bytes(record: Json, key: string): Uint8Array | null {
  return nullable(record, key, (value) => fromBase64(asString(value, key)));
}

function readInfo(record: Json, key: "func_info" | "line_info"): InfoRecords | null {
  const data = bytes(record, key);
  if (data === null) return null;
  const recSize = number(record, `${key}_rec_size`);
  const count = number(record, `${key}_cnt`);
  if (data.length !== recSize * count) {
    throw new InputError(`${key}: ${count} records of ${recSize} bytes make ${recSize * count}, not ${data.length}`);
  }
  return { bytes: data, recSize, count };
}

function readFdArrayEntry(value: unknown, i: number): FdArrayEntry {
  const entry = object(value, `fd_array[${i}]`);
  if (typeof entry.map === "number") return { kind: "map", map: entry.map };
  if (typeof entry.btf === "string") return { kind: "btf", btf: fromBase64(entry.btf) };
  if (typeof entry.fd === "number") return { kind: "fd", fd: entry.fd };
  throw new InputError(`fd_array[${i}]: expected a map index, a base64 BTF or a file descriptor`);
}

function readMap(map: Json): MapLoad {
  const btf = nullable(map, "btf", (value) => (value === "prog" ? "prog" : fromBase64(asString(value, "btf"))));
  const extra = string(map, "map_extra");
  if (!/^0x[0-9a-f]{1,16}$/.test(extra)) throw new InputError(`map_extra: expected 0x and digits, got ${extra}`);
  return {
    name: string(map, "name"),
    type: number(map, "type"),
    keySize: number(map, "key_size"),
    valueSize: number(map, "value_size"),
    maxEntries: number(map, "max_entries"),
    flags: number(map, "map_flags"),
    extra: BigInt(extra),
    ...(map.numa_node == null ? {} : { numaNode: number(map, "numa_node") }),
    btf,
    btfKeyTypeId: number(map, "btf_key_type_id"),
    btfValueTypeId: number(map, "btf_value_type_id"),
    btfVmlinuxValueTypeId: number(map, "btf_vmlinux_value_type_id"),
    ...(map.value_btf == null ? {} : { valueBtf: bytes(map, "value_btf")! }),
    inner: nullable(map, "inner_map", (inner) => readMap(object(inner, "inner_map"))),
    frozen: bool(map, "frozen"),
    value: bytes(map, "rdonly_value"),
  };
}

function readAnswer(kernel: Json): KernelAnswer {
  const stage = string(kernel, "stage");
  if (stage !== "verifier" && stage !== "before") throw new InputError(`stage: got ${JSON.stringify(stage)}`);
  const processed = nullable(kernel, "insns_processed", asInteger);
  const stats =
    processed === null
      ? null
      : {
          insnsProcessed: processed,
          maxStatesPerInsn: number(kernel, "max_states_per_insn"),
          totalStates: number(kernel, "total_states"),
          peakStates: number(kernel, "peak_states"),
          markRead: number(kernel, "mark_read"),
        };
  return {
    release: string(kernel, "release"),
    errno: number(kernel, "errno"),
    stage,
    log: nullable(kernel, "log", asString) ?? "",
    logTruncated: kernel.log_truncated === true,
    ...(typeof kernel.log_file === "string" ? { logFile: kernel.log_file } : {}),
    ...(overflowed(kernel) ? { logOverflowed: true } : {}),
    log1: nullable(kernel, "log1", asString) ?? "",
    stats,
    ...(typeof kernel.verification_us === "number" ? { verificationUs: kernel.verification_us } : {}),
  };
}

/** Whether the load failed for its log alone, which a verdict of ENOSPC at level 2 says. */
function overflowed(kernel: Json): boolean {
  const byLevel = nullable(kernel, "errno_by_level", object);
  return byLevel !== null && byLevel["2"] === Errno.ENOSPC && kernel.errno !== Errno.ENOSPC;
}

/** One record as a line of JSON, without a line break at its end. */
export function writeRecord({ id, load, kernel }: LoadRecord): string {
  return JSON.stringify({
    id,
    prog_name: load.name,
    prog_type: load.progType,
    prog_type_name: progTypeName(load.progType) ?? null,
    expected_attach_type: load.expectedAttachType,
    prog_flags: load.progFlags,
    prog_ifindex: load.progIfindex,
    kern_version: load.kernVersion,
    license: load.license,
    attach_btf_id: load.attachBtfId,
    ...(load.attachBtf && { attach_btf: toBase64(load.attachBtf) }),
    insn_cnt: load.insns.length / INSN_SIZE,
    insns: toHex(load.insns),
    map_relocs: mapRelocs(load),
    fd_array: load.fdArray?.map(writeFdArrayEntry) ?? null,
    ...(load.moduleBtfs && { module_btfs: load.moduleBtfs.map(toBase64) }),
    maps: load.maps.map((map, idx) => ({ idx, ...writeMap(map) })),
    btf: base64(load.btf),
    ...writeInfo("func_info", load.funcInfo),
    ...writeInfo("line_info", load.lineInfo),
    kernel: kernel === null ? null : writeAnswer(kernel),
  });
}

const base64 = (data: Uint8Array | null): string | null => (data === null ? null : toBase64(data));

/** Instructions that name a map by file descriptor, with its index, -1 for one that is none. */
function mapRelocs(load: ProgramLoad): [insn: number, map: number][] {
  const view = new DataView(load.insns.buffer, load.insns.byteOffset, load.insns.byteLength);
  const relocs: [number, number][] = [];
  for (let at = 0; at + INSN_SIZE <= load.insns.length; at += INSN_SIZE) {
    const pseudo = view.getUint8(at + 1) >> 4;
    if (view.getUint8(at) !== BPF_LD_IMM64) continue;
    if (pseudo !== BPF_PSEUDO_MAP_FD && pseudo !== BPF_PSEUDO_MAP_VALUE) continue;
    const insn = at / INSN_SIZE;
    relocs.push([insn, load.badMapInsns.includes(insn) ? -1 : view.getInt32(at + 4, true)]);
  }
  return relocs;
}

function writeFdArrayEntry(entry: FdArrayEntry): object {
  if (entry.kind === "map") return { map: entry.map };
  if (entry.kind === "btf") return { btf: toBase64(entry.btf) };
  return { fd: entry.fd };
}

function writeMap(map: MapLoad): object {
  return {
    name: map.name,
    type: map.type,
    type_name: mapTypeName(map.type) ?? null,
    key_size: map.keySize,
    value_size: map.valueSize,
    max_entries: map.maxEntries,
    map_flags: map.flags,
    map_extra: `0x${map.extra.toString(16)}`,
    ...(map.numaNode === undefined ? {} : { numa_node: map.numaNode }),
    btf: map.btf === "prog" ? "prog" : base64(map.btf),
    btf_key_type_id: map.btfKeyTypeId,
    btf_value_type_id: map.btfValueTypeId,
    btf_vmlinux_value_type_id: map.btfVmlinuxValueTypeId,
    ...(map.valueBtf && { value_btf: toBase64(map.valueBtf) }),
    inner_map: map.inner === null ? null : writeMap(map.inner),
    frozen: map.frozen,
    rdonly_value: base64(map.value),
  };
}

function writeInfo(key: string, info: InfoRecords | null): object {
  return {
    [`${key}_rec_size`]: info?.recSize ?? 0,
    [`${key}_cnt`]: info?.count ?? 0,
    [key]: info === null ? null : toBase64(info.bytes),
  };
}

function writeAnswer(kernel: KernelAnswer): object {
  return {
    release: kernel.release,
    errno: kernel.errno,
    errno_name: kernel.errno === 0 ? null : (errnoName(kernel.errno) ?? null),
    stage: kernel.stage,
    insns_processed: kernel.stats?.insnsProcessed ?? null,
    max_states_per_insn: kernel.stats?.maxStatesPerInsn ?? null,
    total_states: kernel.stats?.totalStates ?? null,
    peak_states: kernel.stats?.peakStates ?? null,
    mark_read: kernel.stats?.markRead ?? null,
    ...(kernel.logTruncated ? { log_truncated: true } : {}),
    log: kernel.log,
    log1: kernel.log1,
  };
}
