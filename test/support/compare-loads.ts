// SPDX-License-Identifier: MIT
import { isDeepStrictEqual } from "node:util";
import { decodeInsns, INSN_SIZE } from "../../src/asm/insn.js";
import { BPF_LD_IMM64, BPF_PSEUDO_BTF_ID } from "../../src/asm/opcode.js";
import { readBtf, readBtfBlob } from "../../src/btf/read.js";
import type { InfoRecords, MapLoad, ProgramLoad } from "../../src/model/load.js";
import { toHex } from "../../src/util/encodings.js";

/** The first thing in which two loads differ. */
export interface Difference {
  readonly what: string;
  /** Ours, then what libbpf handed over. */
  readonly detail: string;
}

const same = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : Buffer.compare(a, b) === 0;

/** Compares what we resolved with what libbpf handed to the kernel; undefined when they are the same. */
export function compareLoads(ours: ProgramLoad, theirs: ProgramLoad): Difference | undefined {
  const fields = [
    "name",
    "progType",
    "expectedAttachType",
    "progFlags",
    "progIfindex",
    "kernVersion",
    "license",
    "attachBtfId",
  ] as const;
  for (const field of fields) {
    if (ours[field] !== theirs[field]) return { what: field, detail: `${ours[field]} / ${theirs[field]}` };
  }
  return (
    compareInsns(ours.insns, theirs.insns) ??
    compareMaps(ours.maps, theirs.maps) ??
    compareFdArrays(ours, theirs) ??
    compareBtf(ours.btf, theirs.btf) ??
    compareInfo("func_info", ours.funcInfo, theirs.funcInfo) ??
    compareLines(ours, theirs)
  );
}

/** The high half of an address of the kernel's, which another boot has elsewhere. */
const KERNEL_HALF = -1;

function compareInsns(ours: Uint8Array, theirs: Uint8Array): Difference | undefined {
  if (same(ours, theirs)) return undefined;
  const a = decodeInsns(ours);
  const b = decodeInsns(theirs);
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (Buffer.compare(slot(ours, i), slot(theirs, i)) === 0) continue;
    // A record has a descriptor there, and we an index.
    const isModuleBtf = a[i - 1]?.opcode === BPF_LD_IMM64 && a[i - 1]!.src === BPF_PSEUDO_BTF_ID;
    if (isModuleBtf && a[i]!.imm !== 0 && b[i]!.imm !== 0 && a[i]!.opcode === b[i]!.opcode) continue;
    const addresses = [a[i + 1]?.imm, b[i + 1]?.imm];
    if (a[i]!.opcode === BPF_LD_IMM64 && a[i]!.src === 0 && b[i]!.src === 0 && addresses.every(isKernel)) {
      i++;
      continue;
    }
    const kind = a[i]!.opcode !== b[i]!.opcode ? "opcode" : a[i]!.src !== b[i]!.src ? "src" : "imm or off";
    return { what: `insns: ${kind}`, detail: `insn ${i}: ${toHex(slot(ours, i))} / ${toHex(slot(theirs, i))}` };
  }
  return a.length === b.length ? undefined : { what: "insn_cnt", detail: `${a.length} / ${b.length}` };
}

const isKernel = (high: number | undefined): boolean => high === KERNEL_HALF;
const slot = (insns: Uint8Array, i: number): Uint8Array => insns.subarray(i * INSN_SIZE, (i + 1) * INSN_SIZE);

function compareMaps(ours: readonly MapLoad[], theirs: readonly MapLoad[]): Difference | undefined {
  if (ours.length !== theirs.length) {
    const names = (maps: readonly MapLoad[]) => maps.map(({ name }) => name).join(" ");
    return { what: "maps: number", detail: `${names(ours)} / ${names(theirs)}` };
  }
  for (const [i, map] of ours.entries()) {
    const difference = compareMap(map, theirs[i]!);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function compareMap(ours: MapLoad, theirs: MapLoad): Difference | undefined {
  const fields = [
    "name",
    "type",
    "keySize",
    "valueSize",
    "maxEntries",
    "flags",
    "extra",
    "btfKeyTypeId",
    "btfValueTypeId",
    "btfVmlinuxValueTypeId",
    "frozen",
  ] as const;
  for (const field of fields) {
    if (ours[field] === theirs[field]) continue;
    return { what: `map: ${field}`, detail: `${theirs.name}: ${ours[field]} / ${theirs[field]}` };
  }
  const kind = (btf: MapLoad["btf"]) => (btf === null || btf === "prog" ? String(btf) : "its own");
  if (kind(ours.btf) !== kind(theirs.btf)) {
    return { what: "map: btf", detail: `${theirs.name}: ${kind(ours.btf)} / ${kind(theirs.btf)}` };
  }
  // Records hold the content of read-only maps only; one that is not said is zeros.
  if (theirs.value !== null && !same(ours.value ?? new Uint8Array(theirs.value.length), theirs.value)) {
    const hex = (bytes: Uint8Array | null) => (bytes === null ? "none" : toHex(bytes.subarray(0, 64)));
    return { what: "map: content", detail: `${theirs.name}: ${hex(ours.value)} / ${hex(theirs.value)}` };
  }
  if ((ours.inner === null) !== (theirs.inner === null)) {
    return { what: "map: inner", detail: `${theirs.name}: ${ours.inner?.name} / ${theirs.inner?.name}` };
  }
  const inner = ours.inner === null ? undefined : compareMap(ours.inner, theirs.inner!);
  return inner && { what: `inner ${inner.what}`, detail: inner.detail };
}

function compareFdArrays(ours: ProgramLoad, theirs: ProgramLoad): Difference | undefined {
  const text = (load: ProgramLoad) => load.fdArray?.map(({ kind }) => kind).join(" ") ?? "none";
  if (text(ours) !== text(theirs)) return { what: "fd_array", detail: `${text(ours)} / ${text(theirs)}` };
  const btf = (load: ProgramLoad, i: number) => (load.fdArray?.[i]?.kind === "btf" ? load.fdArray[i].btf : null);
  const other = ours.fdArray?.findIndex((_, i) => !same(btf(ours, i), btf(theirs, i))) ?? -1;
  return other < 0 ? undefined : { what: "fd_array: module", detail: `at ${other}` };
}

function compareBtf(ours: Uint8Array | null, theirs: Uint8Array | null): Difference | undefined {
  if (same(ours, theirs)) return undefined;
  if (ours === null || theirs === null) return { what: "btf: presence", detail: `${ours?.length} / ${theirs?.length}` };
  if (ours.length === theirs.length && sameTypes(ours, theirs)) return undefined;
  if (ours.length !== theirs.length) return { what: "btf: size", detail: `${ours.length} / ${theirs.length}` };
  const at = ours.findIndex((byte, i) => byte !== theirs[i]);
  return { what: "btf: bytes", detail: `at ${at}: ${ours[at]} / ${theirs[at]}` };
}

/** gcc writes the same text several times: then the same types have other offsets into the strings. */
function sameTypes(ours: Uint8Array, theirs: Uint8Array): boolean {
  try {
    return isDeepStrictEqual(readBtf(ours), readBtf(theirs));
  } catch {
    return false;
  }
}

function compareLines(ours: ProgramLoad, theirs: ProgramLoad): Difference | undefined {
  const difference = compareInfo("line_info", ours.lineInfo, theirs.lineInfo);
  if (difference === undefined || ours.btf === null || theirs.btf === null || same(ours.btf, theirs.btf))
    return difference;
  return compareInfo("line_info", withTexts(ours), withTexts(theirs));
}

/** Line records with the first offset of each text, for the reason above. */
function withTexts({ btf, lineInfo }: ProgramLoad): InfoRecords | null {
  if (btf === null || lineInfo === null) return lineInfo;
  const { strings } = readBtfBlob(btf);
  const bytes = Buffer.from(lineInfo.bytes);
  const whole = Buffer.from(strings).toString("latin1");
  const first = (at: number) => whole.indexOf(`\0${whole.slice(at, whole.indexOf("\0", at))}\0`) + 1;
  for (let at = 0; at < bytes.length; at += lineInfo.recSize) {
    for (const field of [at + 4, at + 8]) bytes.writeUInt32LE(first(bytes.readUInt32LE(field)), field);
  }
  return { ...lineInfo, bytes };
}

function compareInfo(what: string, ours: InfoRecords | null, theirs: InfoRecords | null): Difference | undefined {
  if (ours?.count !== theirs?.count) return { what: `${what}: number`, detail: `${ours?.count} / ${theirs?.count}` };
  if (ours === null || theirs === null || same(ours.bytes, theirs.bytes)) return undefined;
  const at = ours.bytes.findIndex((byte, i) => byte !== theirs.bytes[i]);
  const record = Math.floor(at / ours.recSize);
  const hex = ({ bytes, recSize }: InfoRecords) => toHex(bytes.subarray(record * recSize, (record + 1) * recSize));
  return { what, detail: `record ${record}: ${hex(ours)} / ${hex(theirs)}` };
}
