// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/** One field of a tracepoint's record. */
export interface TracepointField {
  readonly name: string;
  /** C type of one element, as the format file spells it, e.g. `pid_t`, `const char *`, `char`. */
  readonly type: string;
  /** Bytes from the start of the record, which is the start of the program's context. */
  readonly offset: number;
  /** Bytes of the whole field; 4 for a dynamic one. */
  readonly size: number;
  readonly signed: boolean;
  /**
   * `__data_loc` or `__rel_loc`: the field is a u32 whose low half is the offset and whose high half the length in
   * bytes of an array elsewhere in the record.
   */
  readonly isDynamic: boolean;
  /** `__rel_loc`: the offset counts from the end of this field, not from the start of the record. */
  readonly isRelative?: boolean;
  /** Elements of an array of fixed length; 0 when the file does not say it in a way that can be understood. */
  readonly arrayLen?: number;
}

/** A tracepoint's record, as tracefs describes it in `events/SYSTEM/NAME/format`. */
export interface TracepointFormat {
  readonly name: string;
  /** The running kernel's number of the event, for perf_event_open(2); 0 when unknown. */
  readonly id: number;
  /** All fields, the common ones first, in the file's order. */
  readonly fields: readonly TracepointField[];
}

/** Sizes of the types whose array lengths old kernels spell as expressions. */
const elementSizes: Readonly<Record<string, number>> = {
  char: 1,
  "unsigned char": 1,
  u8: 1,
  __u8: 1,
  u16: 2,
  __u16: 2,
  u32: 4,
  __u32: 4,
  int: 4,
  "unsigned int": 4,
  u64: 8,
  __u64: 8,
  long: 8,
  "unsigned long": 8,
};

const FIELD_PREFIX = "field:";
const WORD_AT_END = /[A-Za-z_]\w*$/;

/** The value of `key:NUMBER`. */
function keyed(part: string | undefined, key: string, line: number): number {
  const text = part?.trim() ?? "";
  if (!text.startsWith(`${key}:`)) throw new InputError(`expected "${key}:NUMBER" in a field`, { line });
  const digits = text.slice(key.length + 1);
  const value = Number(digits);
  if (!/^\d{1,9}$/.test(digits)) throw new InputError(`expected a number after "${key}:", got "${digits}"`, { line });
  return value;
}

function arrayLength(text: string, type: string, size: number): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const element = elementSizes[type];
  return element === undefined ? 0 : Math.floor(size / element);
}

type Declaration = Pick<TracepointField, "name" | "type" | "isDynamic" | "isRelative" | "arrayLen">;

/**
 * Splits a field declaration such as `__data_loc char[] filename` or `char comm[16]`.
 * @param size bytes of the field, for array lengths that are no plain number.
 * @throws InputError when the text is no declaration.
 */
export function parseTracepointDeclaration(text: string, size: number, line?: number): Declaration {
  let decl = text.trim();
  let array: string | undefined;
  const bracket = decl.indexOf("[");
  if (decl.endsWith("]") && bracket > 0) {
    array = decl.slice(bracket + 1, -1);
    decl = decl.slice(0, bracket).trimEnd();
  }
  const name = WORD_AT_END.exec(decl)?.[0];
  let type = name === undefined ? "" : decl.slice(0, -name.length).trimEnd();
  if (name === undefined || type === "") throw new InputError(`cannot read the field declaration "${text}"`, { line });
  const loc = /^__(data|rel)_loc\s+/.exec(type);
  if (loc === null)
    return {
      name,
      type,
      isDynamic: false,
      ...(array === undefined ? {} : { arrayLen: arrayLength(array, type, size) }),
    };
  type = type.slice(loc[0].length).replace(/\s*\[\]$/, "");
  if (type === "") throw new InputError(`cannot read the field declaration "${text}"`, { line });
  return { name, type, isDynamic: true, ...(loc[1] === "rel" ? { isRelative: true } : {}) };
}

function parseField(text: string, line: number): TracepointField {
  const parts = text.slice(FIELD_PREFIX.length).split(";");
  const offset = keyed(parts[1], "offset", line);
  const size = keyed(parts[2], "size", line);
  // Kernels before 2.6.33 did not say whether a field is signed.
  const signed = parts[3] === undefined || parts[3].trim() === "" ? 0 : keyed(parts[3], "signed", line);
  const declaration = parseTracepointDeclaration(parts[0] ?? "", size, line);
  if (declaration.isDynamic && size !== 4) throw new InputError(`a dynamic field has 4 bytes, not ${size}`, { line });
  return { ...declaration, offset, size, signed: signed !== 0 };
}

/**
 * Reads the text of a tracefs `format` file.
 * @throws InputError with the line when the text is no such file.
 */
export function parseTracepointFormat(text: string): TracepointFormat {
  let name: string | undefined;
  let id: number | undefined;
  const fields: TracepointField[] = [];
  for (const [i, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    // The print format may hold line breaks, and nothing follows it.
    if (line.startsWith("print fmt:")) break;
    if (line.startsWith("name:")) name = line.slice(5).trim();
    else if (line.startsWith("ID:")) id = keyed(`ID:${line.slice(3).trim()}`, "ID", i + 1);
    else if (line.startsWith(FIELD_PREFIX)) fields.push(parseField(line, i + 1));
    else if (line !== "" && line !== "format:")
      throw new InputError(`unexpected "${line.slice(0, 60)}"`, { line: i + 1 });
  }
  if (name === undefined || name === "") throw new InputError('a tracepoint format has no "name:" line');
  if (id === undefined) throw new InputError('a tracepoint format has no "ID:" line');
  if (fields.length === 0) throw new InputError(`the format of tracepoint ${name} has no fields`);
  return { name, id, fields };
}
