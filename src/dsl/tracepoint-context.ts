// SPDX-License-Identifier: MIT
import { commonTracepoint } from "../kernel/tracepoint-table.js";
import type { TracepointField, TracepointFormat } from "../kernel/tracepoints.js";
import type { Code } from "./code.js";
import { contextMem } from "./context.js";
import { type ContextType, tracepointType } from "./context-btf.js";
import { CODE } from "./internals.js";
import { makePlace } from "./places.js";
import type { DynamicField } from "./tracepoint-types.js";
import { alignUp, array, bytes, type CType, char, type Fields, s8, s16, s32, s64, u8, u16, u32, u64 } from "./types.js";
import { Value } from "./values.js";

/**
 * Tells how the machine that an object is built for lays a tracepoint's record out; undefined when that is not
 * known. Whatever it throws ends the build.
 */
export type TracepointResolver = (category: string, name: string) => TracepointFormat | undefined;

const UNSIGNED = { 1: u8, 2: u16, 4: u32, 8: u64 } as const;
const SIGNED = { 1: s8, 2: s16, 4: s32, 8: s64 } as const;

/** The C type of a field, by its declaration, size and sign. */
function fieldType({ type, size, signed, arrayLen }: TracepointField): CType<unknown> {
  const ints: Readonly<Record<number, CType<unknown>>> = signed ? SIGNED : UNSIGNED;
  if (arrayLen === undefined) return ints[size] ?? bytes(size);
  if (type === "char") return array(char, size);
  const element = ints[size / arrayLen];
  return element === undefined ? bytes(size) : array(element, arrayLen);
}

function dynamicField(code: Code, { offset, size, isRelative }: TracepointField): DynamicField {
  const word = (): number => {
    code.mark();
    return code.toReg(code.load(contextMem(code, offset), u32));
  };
  return {
    address() {
      const from = code.binary("and", 32, { reg: word() }, { value: 0xffffn });
      const base = code.binary("add", 64, { reg: code.ctx }, from);
      const end = isRelative === true ? BigInt(offset + size) : 0n;
      return new Value(code, u64, code.binary("add", 64, base, { value: end }));
    },
    size: () => new Value(code, u32, code.binary("rsh", 32, { reg: word() }, { value: 16n })),
  };
}

/** The first field after those that all tracepoints have. */
const FIRST_FIELD = 8;

/** Lays declared fields out as C would behind the common ones, for machines without a format file. */
function assumedFormat(path: string, fields: Fields): TracepointFormat {
  let end = FIRST_FIELD;
  const placed = Object.entries(fields).map(([name, type]): TracepointField => {
    const offset = alignUp(end, type.align);
    end = offset + type.size;
    return { name, type: type.cName, offset, size: type.size, signed: false, isDynamic: false };
  });
  // They are the same for all.
  const common = commonTracepoint("sched/sched_switch")?.fields.filter((field) => field.offset < FIRST_FIELD) ?? [];
  return { name: path.slice(path.indexOf("/") + 1), id: 0, fields: [...common, ...placed] };
}

/** The format of a tracepoint: the machine's own, else the table's, else what the program says. */
function formatOf(code: Code, path: string, declared: Fields | null, resolve?: TracepointResolver): TracepointFormat {
  const slash = path.indexOf("/");
  const own = resolve?.(path.slice(0, slash), path.slice(slash + 1));
  if (own !== undefined) return own;
  const known = commonTracepoint(path);
  if (known !== undefined) return known;
  if (declared !== null) return assumedFormat(path, declared);
  throw code.fail(
    `tracepoint ${path} is neither in this machine's tracefs nor in bpfsmith's table: is the name right? ` +
      "Its fields can be declared: tracepoint(path, name, { field: u32, … }, (p, ctx) => …)",
  );
}

function checkDeclared(code: Code, path: string, name: string, type: CType<unknown>, field: TracepointField): void {
  if (field.isDynamic || type.size === field.size) return;
  throw code.fail(
    `tracepoint ${path}: field ${name} is declared as ${type.cName} of ${type.size} bytes, ` +
      `but the kernel says ${field.type} of ${field.size}`,
  );
}

/** The object that stands for a tracepoint's context, and its type. */
export function tracepointContext(
  code: Code,
  path: string,
  declared: Fields | null,
  resolve?: TracepointResolver,
): { readonly value: object; readonly type: ContextType } {
  const format = formatOf(code, path, declared, resolve);
  return { value: contextObject(code, path, format, declared), type: tracepointType(format) };
}

function contextObject(code: Code, path: string, format: TracepointFormat, declared: Fields | null): object {
  const context = { [CODE]: code };
  const define = (name: string, get: () => unknown): void => {
    Object.defineProperty(context, name, { enumerable: true, get });
  };
  // The kernel does not let programs read the common fields.
  const readable = format.fields.filter((field) => field.offset >= FIRST_FIELD);
  for (const field of readable) {
    const type = declared?.[field.name];
    if (type !== undefined) checkDeclared(code, path, field.name, type, field);
    define(field.name, () =>
      field.isDynamic
        ? dynamicField(code, field)
        : makePlace(code, type ?? fieldType(field), contextMem(code, field.offset)),
    );
  }
  const missing = Object.keys(declared ?? {}).find((name) => !readable.some((field) => field.name === name));
  if (missing !== undefined) throw code.fail(`tracepoint ${path} has no field ${missing} in this kernel`);
  return new Proxy(context, {
    get(target, key) {
      if (typeof key === "symbol" || key in target) return Reflect.get(target, key) as unknown;
      code.mark();
      const names = readable.map((field) => field.name);
      throw code.fail(`tracepoint ${path} has no field ${key}: it has ${names.join(", ") || "none"}`);
    },
  });
}
