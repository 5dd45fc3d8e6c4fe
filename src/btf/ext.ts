// SPDX-License-Identifier: MIT
import { ByteReader, ByteWriter } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import {
  BTF_EXT_HEADER_SIZE,
  BTF_EXT_MIN_HEADER_SIZE,
  BTF_MAGIC,
  BTF_MAX_SIZE,
  BTF_VERSION,
  CORE_RELO_SIZE,
  FUNC_INFO_SIZE,
  LINE_COL_BITS,
  LINE_INFO_SIZE,
  MAX_COLUMN,
  MAX_LINE,
} from "./format.js";
import type { BtfBlob } from "./read.js";
import type { StringTable } from "./strings.js";

/** A function's start and its BTF_KIND_FUNC. */
export interface FuncInfo {
  /** Bytes from the start of the ELF section (in .BTF.ext), or instruction slots (for the kernel). */
  readonly insnOff: number;
  readonly typeId: number;
}

/** The source line that the instructions from here on come from. */
export interface LineInfo {
  /** Bytes from the start of the ELF section (in .BTF.ext), or instruction slots (for the kernel). */
  readonly insnOff: number;
  readonly file: string;
  /** Text of the line. */
  readonly text: string;
  /** 1-based. */
  readonly line: number;
  /** 1-based. */
  readonly column: number;
}

/** A CO-RE relocation as it stands in .BTF.ext (struct bpf_core_relo). */
export interface CoreRelo {
  /** Bytes from the start of the ELF section. */
  readonly insnOff: number;
  readonly typeId: number;
  /** E.g. `0:1:2`. */
  readonly access: string;
  /** enum bpf_core_relo_kind. */
  readonly kind: number;
}

/** Records of one ELF section. */
export interface ExtSection<T> {
  readonly section: string;
  readonly records: readonly T[];
}

/** A .BTF.ext section. */
export interface BtfExt {
  readonly funcInfo: readonly ExtSection<FuncInfo>[];
  readonly lineInfo: readonly ExtSection<LineInfo>[];
  readonly coreRelos: readonly ExtSection<CoreRelo>[];
}

/**
 * Packs line and column as `line_col`. A column beyond 1023 is cut to 1023.
 * @throws InputError when the line is beyond 4194303.
 */
export function packLineCol(line: number, column: number): number {
  if (line > MAX_LINE) throw new InputError(`line ${line} is beyond ${MAX_LINE}, the last one that BTF can say`);
  return ((line << LINE_COL_BITS) | Math.min(column, MAX_COLUMN)) >>> 0;
}

/** Encodes records as BPF_PROG_LOAD and .BTF.ext take them (struct bpf_func_info). */
export function encodeFuncInfo(records: readonly FuncInfo[], littleEndian = true): Uint8Array {
  const out = new ByteWriter({ capacity: records.length * FUNC_INFO_SIZE, littleEndian });
  for (const record of records) out.u32(record.insnOff).u32(record.typeId);
  return out.finish();
}

/** Encodes records as BPF_PROG_LOAD and .BTF.ext take them (struct bpf_line_info); adds their texts to `strings`. */
export function encodeLineInfo(records: readonly LineInfo[], strings: StringTable, littleEndian = true): Uint8Array {
  const out = new ByteWriter({ capacity: records.length * LINE_INFO_SIZE, littleEndian });
  for (const record of records) {
    out.u32(record.insnOff).u32(strings.add(record.file)).u32(strings.add(record.text));
    out.u32(packLineCol(record.line, record.column));
  }
  return out.finish();
}

/**
 * Writes a .BTF.ext section. Its strings go to the string section of .BTF: call this before
 * `writeBtf()` finishes `strings`.
 */
export function writeBtfExt(ext: BtfExt, strings: StringTable, littleEndian = true): Uint8Array {
  const order = littleEndian;
  const func = writeInfo(ext.funcInfo, FUNC_INFO_SIZE, strings, order, (records) => encodeFuncInfo(records, order));
  const line = writeInfo(ext.lineInfo, LINE_INFO_SIZE, strings, order, (records) =>
    encodeLineInfo(records, strings, order),
  );
  const core = writeInfo(ext.coreRelos, CORE_RELO_SIZE, strings, order, (records) =>
    encodeCoreRelos(records, strings, order),
  );
  const capacity = BTF_EXT_HEADER_SIZE + func.length + line.length + core.length;
  const out = new ByteWriter({ capacity, littleEndian });
  out.u16(BTF_MAGIC).u8(BTF_VERSION).u8(0).u32(BTF_EXT_HEADER_SIZE);
  out.u32(0).u32(func.length);
  out.u32(func.length).u32(line.length);
  out.u32(func.length + line.length).u32(core.length);
  return out.bytes(func).bytes(line).bytes(core).finish();
}

function encodeCoreRelos(records: readonly CoreRelo[], strings: StringTable, littleEndian: boolean): Uint8Array {
  const out = new ByteWriter({ capacity: records.length * CORE_RELO_SIZE, littleEndian });
  for (const record of records) {
    out.u32(record.insnOff).u32(record.typeId).u32(strings.add(record.access)).u32(record.kind);
  }
  return out.finish();
}

/** One of the three parts; an empty one takes no bytes, as clang leaves it. */
function writeInfo<T>(
  sections: readonly ExtSection<T>[],
  recordSize: number,
  strings: StringTable,
  littleEndian: boolean,
  encode: (records: readonly T[]) => Uint8Array,
): Uint8Array {
  const out = new ByteWriter({ littleEndian });
  const filled = sections.filter((section) => section.records.length > 0);
  if (filled.length > 0) out.u32(recordSize);
  for (const { section, records } of filled) {
    out.u32(strings.add(section)).u32(records.length).bytes(encode(records));
  }
  return out.finish();
}

/**
 * Reads a .BTF.ext section; its strings are those of the .BTF section beside it.
 * @throws InputError with the offset for anything malformed.
 */
export function readBtfExt(bytes: Uint8Array, blob: BtfBlob): BtfExt {
  if (bytes.length > BTF_MAX_SIZE) throw new InputError(`.BTF.ext: ${bytes.length} bytes is beyond ${BTF_MAX_SIZE}`);
  const header = new ByteReader(bytes, { what: ".BTF.ext header", littleEndian: blob.littleEndian });
  const magic = header.u16("magic");
  if (magic !== BTF_MAGIC) throw new InputError(`.BTF.ext header: magic 0x${magic.toString(16)}, expected 0xeb9f`);
  const version = header.u8("version");
  if (version !== BTF_VERSION) throw new InputError(`.BTF.ext header: version ${version}, expected ${BTF_VERSION}`);
  header.skip(1, "flags");
  const headerLength = header.u32("hdr_len");
  if (headerLength < BTF_EXT_MIN_HEADER_SIZE) {
    throw new InputError(`.BTF.ext header: hdr_len ${headerLength}, expected at least ${BTF_EXT_MIN_HEADER_SIZE}`);
  }
  const part = (what: string) => {
    const offset = header.u32(`${what} offset`);
    const length = header.u32(`${what} length`);
    const slice = header.slice(headerLength + offset, length, what);
    return new ByteReader(slice, { what: `.BTF.ext ${what}`, littleEndian: blob.littleEndian });
  };
  const { stringAt } = blob;
  const funcInfo = readInfo(part("func_info"), FUNC_INFO_SIZE, blob, (r) => ({
    insnOff: r.u32("insn_off"),
    typeId: r.u32("type_id"),
  }));
  const lineInfo = readInfo(part("line_info"), LINE_INFO_SIZE, blob, (r) => {
    const insnOff = r.u32("insn_off");
    const file = stringAt(r.u32("file_name_off"));
    const text = stringAt(r.u32("line_off"));
    const lineCol = r.u32("line_col");
    return { insnOff, file, text, line: lineCol >>> LINE_COL_BITS, column: lineCol & MAX_COLUMN };
  });
  if (headerLength < BTF_EXT_HEADER_SIZE) return { funcInfo, lineInfo, coreRelos: [] };
  const coreRelos = readInfo(part("core_relo"), CORE_RELO_SIZE, blob, (r) => ({
    insnOff: r.u32("insn_off"),
    typeId: r.u32("type_id"),
    access: stringAt(r.u32("access_str_off")),
    kind: r.u32("kind"),
  }));
  return { funcInfo, lineInfo, coreRelos };
}

/** Records may be longer than we know; what is behind the known fields is passed over. */
function readInfo<T>(
  reader: ByteReader,
  knownSize: number,
  blob: BtfBlob,
  read: (r: ByteReader) => T,
): ExtSection<T>[] {
  if (reader.length === 0) return [];
  const recordSize = reader.u32("record size");
  if (recordSize < knownSize || recordSize % 4 !== 0) {
    throw new InputError(`${reader.what}: record size ${recordSize}, expected a multiple of 4, at least ${knownSize}`);
  }
  const sections: ExtSection<T>[] = [];
  while (reader.remaining > 0) {
    const section = blob.stringAt(reader.u32("section name"));
    const count = reader.u32("record count");
    if (count * recordSize > reader.remaining) {
      throw new InputError(
        `${reader.what}: ${count} records of ${recordSize} bytes at offset ${reader.offset}, but only ${reader.remaining} bytes are left`,
      );
    }
    const records = Array.from({ length: count }, () => {
      const at = reader.offset;
      const record = read(reader);
      reader.seek(at + recordSize, "next record");
      return record;
    });
    sections.push({ section, records });
  }
  return sections;
}
