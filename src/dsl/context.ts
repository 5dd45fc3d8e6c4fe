// SPDX-License-Identifier: MIT
import {
  type CtxLayout,
  ctxLayout,
  type ctxLayouts,
  flowKeysLayout,
  kprobeCtx,
  type PtReg,
  ptRegsRole,
  rawTracepointCtx,
} from "../kernel/ctx/index.js";
import type { CtxField, CtxPointee } from "../kernel/ctx/types.js";
import { type PACKET_RIGHTS, packetRights } from "../kernel/prog-results.js";
import type { SectionDef } from "../kernel/sections.js";
import { ProgType } from "../kernel/uapi.js";
import { BugError } from "../util/errors.js";
import type { Code, Mem } from "./code.js";
import { checkIndex, defineFields, type FieldsOf, type ReadOnlyInt } from "./fields.js";
import { CODE, READ, type Scope } from "./internals.js";
import { type KernelPlace, objectAt } from "./kernel-places.js";
import type { KernelStruct } from "./kernel-types.js";
import type { KindRow, ProgramKind } from "./kinds.js";
import { makePlace, type Place } from "./places.js";
import { type Nullable, nullable } from "./pointers.js";
import type { ReadOnlyArray } from "./tracepoint-types.js";
import { type ArrayType, type CType, type IntType, type PtrType, type StructType, u32, u64 } from "./types.js";
import { coerce, type Int, type IntArg, isInt, Value } from "./values.js";

/** A place inside the context. */
export function contextMem(code: Code, offset: number): Mem {
  return {
    base: { reg: code.ctx },
    offset,
    align: 8,
    readOnly: "a program's context can neither be written nor given to a helper: copy what is needed first",
  };
}

function fieldOf(layout: CtxLayout, name: string): CtxField {
  const field = layout.fields.find((f) => f.name === name);
  if (field === undefined) throw new BugError(`${layout.name} has no field ${name}`);
  return field;
}

/* Tracing. */

/** What a kprobe sees: the registers of the probed function. */
export class KprobeContext implements Scope {
  readonly [CODE]: Code;

  /** @internal */
  constructor(code: Code) {
    this[CODE] = code;
  }

  /** A register, by its name on x86-64. */
  reg(name: PtReg): Int<"u64"> {
    this[CODE].mark();
    return new Value(this[CODE], u64, this[CODE].load(contextMem(this[CODE], fieldOf(kprobeCtx, name).offset), u64));
  }

  /** An argument of the probed function, counting from 0; at its entry only. */
  arg(index: number): Int<"u64"> {
    this[CODE].mark();
    checkIndex(this[CODE], index, ptRegsRole.params.length, "argument");
    return this.reg(ptRegsRole.params[index]!);
  }

  /** The result of the probed function; at its return only. */
  returnValue(): Int<"u64"> {
    return this.reg(ptRegsRole.returnValue);
  }
}

/** What a perf event's program sees: the registers where the event happened, and the sample. */
export class PerfEventContext extends KprobeContext {
  /** Events between two samples. */
  declare readonly sample_period: ReadOnlyInt<"u64">;
  /** The address that the event is about, 0 when there is none. */
  declare readonly addr: ReadOnlyInt<"u64">;
}

/** What a raw tracepoint passes: its arguments as 64-bit words. */
export class RawTracepointContext implements Scope {
  readonly [CODE]: Code;

  /** @internal */
  constructor(code: Code) {
    this[CODE] = code;
  }

  /** An argument of the tracepoint, counting from 0. */
  arg(index: number): Int<"u64"> {
    const code = this[CODE];
    code.mark();
    const { offset, size, count } = fieldOf(rawTracepointCtx, "args");
    checkIndex(code, index, count, "argument");
    return new Value(code, u64, code.load(contextMem(code, offset + index * size), u64));
  }
}

/** What a writable raw tracepoint passes: its first argument is a buffer that the program may change. */
export class WritableTracepointContext extends RawTracepointContext {
  /** The buffer, as a type that is not larger than it: attaching fails otherwise. */
  buffer<C extends CType<unknown>>(type: C): Place<C> {
    const reg = this[CODE].toReg(this.arg(0)[READ]());
    return makePlace(this[CODE], type, { base: { reg }, offset: 0, align: 8 });
  }
}

/** What a syscall program gets: memory of the one who runs it with BPF_PROG_TEST_RUN. */
export class SyscallContext implements Scope {
  readonly [CODE]: Code;

  /** @internal */
  constructor(code: Code) {
    this[CODE] = code;
  }

  /** The memory as a type, from so many bytes on. Who runs the program must give as many bytes. */
  as<C extends CType<unknown>>(type: C, offset = 0): Place<C> {
    this[CODE].mark();
    return makePlace(this[CODE], type, { base: { reg: this[CODE].ctx }, offset, align: 8 });
  }
}

/** What a netfilter program gets: two objects of the kernel. */
export class NetfilterContext implements Scope {
  readonly [CODE]: Code;

  /** @internal */
  constructor(code: Code) {
    this[CODE] = code;
  }

  /** The hook's state, as the program declares `nf_hook_state`. */
  state<T extends KernelStruct>(type: T): KernelPlace<T> {
    return this.#object(type, 0);
  }

  /** The packet's buffer, as the program declares `sk_buff`. */
  skb<T extends KernelStruct>(type: T): KernelPlace<T> {
    return this.#object(type, 8);
  }

  #object<T extends KernelStruct>(type: T, offset: number): KernelPlace<T> {
    const code = this[CODE];
    code.mark();
    return objectAt(code, type, code.load(contextMem(code, offset), u64), "direct");
  }
}

/* Packets. */

/** A part of memory that can be read only. */
export type ReadOnlyPlace<C> =
  C extends IntType<infer N>
    ? ReadOnlyInt<N>
    : C extends StructType<infer F>
      ? { readonly [K in keyof F]: ReadOnlyPlace<F[K]> }
      : C extends ArrayType<infer E, infer N>
        ? ReadOnlyArray<E, N>
        : C extends PtrType
          ? ReadOnlyInt<"u64">
          : never;

/** The most that may be added to the start of a packet; the verifier tracks ranges up to this. */
const MAX_PACKET_OFFSET = 0xffff;

/** A packet that programs may read and write. */
export interface PacketAccess extends Scope {
  /**
   * A part of the packet, null when the packet ends before it. What it points to can be read and written until a
   * helper changes the packet.
   * @param at bytes from the packet's start; one computed at run time must have bounds that the verifier sees.
   */
  packet<C extends CType<unknown>>(type: C, at?: IntArg): Nullable<Place<C>>;
}

/** A packet that programs may read. */
export interface ReadOnlyPacketAccess extends Scope {
  /**
   * A part of the packet, null when the packet ends before it.
   * @param at bytes from the packet's start; one computed at run time must have bounds that the verifier sees.
   */
  packet<C extends CType<unknown>>(type: C, at?: IntArg): Nullable<ReadOnlyPlace<C>>;
}

/** The metadata before a packet, which programs of one packet leave for each other. */
export interface MetaAccess extends Scope {
  /** A part of the metadata before the packet, null when there is less. */
  meta<C extends CType<unknown>>(type: C, at?: IntArg): Nullable<Place<C>>;
}

/** The value of a socket's option. */
export interface OptionAccess extends Scope {
  /** A part of the option's value, null when the value ends before it. */
  optval<C extends CType<unknown>>(type: C, at?: IntArg): Nullable<Place<C>>;
}

/** What a flow dissector fills in. */
export type FlowKeys = Scope & FieldsOf<(typeof flowKeysLayout.fields)[number], 0>;

const READ_ONLY_PACKET = "programs of this type can only read the packet";

interface Range {
  readonly start: CtxField;
  readonly end: CtxField;
  readonly readOnly: boolean;
}

function pointerField(layout: CtxLayout, points: CtxPointee): CtxField | undefined {
  return layout.fields.find((field) => field.points === points && field.read !== null);
}

/** A part of what lies between two pointers of the context. */
function partOf<C extends CType<unknown>>(code: Code, range: Range, type: C, at: IntArg): Nullable<Place<C>> {
  code.mark();
  const pointer = ({ offset, size }: CtxField): number =>
    code.toReg(code.load(contextMem(code, offset), size === 8 ? u64 : u32));
  const end = pointer(range.end);
  const start = pointer(range.start);
  let base = start;
  let offset = 0;
  if (isInt(at)) {
    base = code.toReg(code.binary("add", 64, { reg: start }, coerce(code, at, u64)));
  } else {
    offset = Number(at);
    if (!Number.isInteger(offset) || offset < 0 || offset + type.size > MAX_PACKET_OFFSET) {
      throw code.fail(`a packet's bytes go from 0 to ${MAX_PACKET_OFFSET}, got ${at} and ${type.size} more`);
    }
  }
  const limit = code.binary("add", 64, { reg: base }, { value: BigInt(offset + type.size) });
  const readOnly = range.readOnly ? { readOnly: READ_ONLY_PACKET } : {};
  return nullable(code, {
    test: code.compare("jle", 64, limit, { reg: end }),
    make: () => makePlace(code, type, { base: { reg: base }, offset, align: 1, ...readOnly }),
  });
}

/** Gives a context the methods for what it points to. */
function definePointers(target: Scope, code: Code, layout: CtxLayout, progType: number): void {
  const rights = packetRights(progType);
  const start = pointerField(layout, "packet");
  const end = pointerField(layout, "packetEnd");
  const meta = pointerField(layout, "packetMeta");
  const define = (name: string, range: Range): void => {
    const value = (type: CType<unknown>, at: IntArg = 0): unknown => partOf(code, range, type, at);
    Object.defineProperty(target, name, { value });
  };
  if (start !== undefined && end !== undefined && rights !== null) {
    define(start.name === "optval" ? "optval" : "packet", { start, end, readOnly: rights === "read" });
    if (meta !== undefined) define("meta", { start: meta, end: start, readOnly: false });
  }
  const keys = pointerField(layout, "flowKeys");
  if (keys === undefined) return;
  Object.defineProperty(target, "flow_keys", {
    get(): unknown {
      code.mark();
      const reg = code.toReg(code.load(contextMem(code, keys.offset), u64));
      const value = { [CODE]: code };
      defineFields(value, code, flowKeysLayout.fields, 0, () => ({ base: { reg }, offset: 0, align: 8 }));
      return value;
    },
  });
}

/* Which context a kind has. */

type Layouts = typeof ctxLayouts;

type Rights = typeof PACKET_RIGHTS;

type PointsTo<F, P extends CtxPointee> = F extends { readonly read: null }
  ? never
  : F extends { readonly points: P; readonly name: infer Name }
    ? Name
    : never;

type PacketOf<F, Type> = [PointsTo<F, "packet">] extends [never]
  ? unknown
  : "optval" extends PointsTo<F, "packet">
    ? OptionAccess
    : Type extends keyof Rights
      ? Rights[Type] extends "write"
        ? PacketAccess
        : ReadOnlyPacketAccess
      : unknown;

type MetaOf<F> = [PointsTo<F, "packetMeta">] extends [never] ? unknown : MetaAccess;

type FlowKeysOf<F> = [PointsTo<F, "flowKeys">] extends [never] ? unknown : { readonly flow_keys: FlowKeys };

type LayoutField<Kind extends ProgramKind> = KindRow<Kind>["progType"] extends keyof Layouts
  ? Layouts[KindRow<Kind>["progType"]]["fields"][number]
  : never;

/** The fields of a context, and ways to what it points to. */
type FieldContext<Kind extends ProgramKind> = Scope &
  FieldsOf<LayoutField<Kind>, KindRow<Kind>["attachType"]> &
  PacketOf<LayoutField<Kind>, KindRow<Kind>["progType"]> &
  MetaOf<LayoutField<Kind>> &
  FlowKeysOf<LayoutField<Kind>>;

interface OwnContexts {
  readonly [ProgType.KPROBE]: KprobeContext;
  readonly [ProgType.PERF_EVENT]: PerfEventContext;
  readonly [ProgType.RAW_TRACEPOINT]: RawTracepointContext;
  readonly [ProgType.RAW_TRACEPOINT_WRITABLE]: WritableTracepointContext;
  readonly [ProgType.SYSCALL]: SyscallContext;
  readonly [ProgType.NETFILTER]: NetfilterContext;
}

/** What `ctx` is in a program of a kind. */
export type ContextOf<Kind extends ProgramKind> = KindRow<Kind>["progType"] extends keyof OwnContexts
  ? OwnContexts[KindRow<Kind>["progType"]]
  : KindRow<Kind>["progType"] extends keyof Layouts
    ? FieldContext<Kind>
    : Scope;

/** What a socket filter sees of a packet; its bytes are read with `p.skbLoadBytes`. */
export type SocketFilterContext = ContextOf<"socket">;

/** What an XDP program sees of a packet. */
export type XdpContext = ContextOf<"xdp">;

const OWN_CONTEXTS: Readonly<Record<number, new (code: Code) => Scope>> = {
  [ProgType.KPROBE]: KprobeContext,
  [ProgType.PERF_EVENT]: PerfEventContext,
  [ProgType.RAW_TRACEPOINT]: RawTracepointContext,
  [ProgType.RAW_TRACEPOINT_WRITABLE]: WritableTracepointContext,
  [ProgType.SYSCALL]: SyscallContext,
  [ProgType.NETFILTER]: NetfilterContext,
};

/** The context of a program, with all that its type and attach type allow. */
export function newContext(code: Code, { name, progType, attachType }: SectionDef): Scope {
  const Own = OWN_CONTEXTS[progType];
  const context: Scope = Own === undefined ? { [CODE]: code } : new Own(code);
  const layout = ctxLayout(progType);
  if (layout === undefined || (Own !== undefined && progType !== ProgType.PERF_EVENT)) return context;
  // Registers are there by their names, with reg().
  const fields = Own === undefined ? layout.fields : layout.fields.slice(kprobeCtx.fields.length);
  defineFields(context, code, fields, attachType, () => ({ base: { reg: code.ctx }, offset: 0, align: 8 }));
  definePointers(context, code, layout, progType);
  return guarded(context, code, layout, name);
}

/** Complains in words about fields that are not there, which plain JavaScript may ask for. */
function guarded(context: Scope, code: Code, layout: CtxLayout, section: string): Scope {
  return new Proxy(context, {
    get(target, key) {
      if (typeof key === "symbol" || key in target) return Reflect.get(target, key) as unknown;
      code.mark();
      const isThere = layout.fields.some((field) => field.name === key);
      const what = isThere
        ? `may not read ${key} of ${layout.name}`
        : `have no ${key} in their context, ${layout.name}`;
      throw code.fail(`programs of section ${section} ${what}`);
    },
  });
}
