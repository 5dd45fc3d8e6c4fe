// SPDX-License-Identifier: MIT

import { RegType } from "../kernel/bpf-types.js";
import { kprobeCtx, type PtReg, ptRegsRole, rawTracepointCtx, socketFilterCtx, xdpCtx } from "../kernel/ctx/index.js";
import type { CtxField, CtxLayout } from "../kernel/ctx/types.js";
import { BugError } from "../util/errors.js";
import type { Code, Mem } from "./code.js";
import { CODE, type Scope } from "./internals.js";
import { makePlace, type Place } from "./places.js";
import { type Nullable, nullable } from "./pointers.js";
import { type CType, type IntName, type IntType, u8, u16, u32, u64 } from "./types.js";
import { coerce, type Int, type IntArg, IntPlace, isInt, Value } from "./values.js";

/** An integer that can be read only. */
export type ReadOnlyInt<N extends IntName> = Int<N> & Pick<IntPlace<N>, "get">;

/** A place inside the context. */
export function contextMem(code: Code, offset: number): Mem {
  return {
    base: { reg: code.ctx },
    offset,
    align: 8,
    readOnly: "a program's context can neither be written nor given to a helper: copy what is needed first",
  };
}

const WORDS = { 1: u8, 2: u16, 4: u32, 8: u64 } as const;

function fieldOf(layout: CtxLayout, name: string): CtxField {
  const field = layout.fields.find((f) => f.name === name);
  if (field === undefined) throw new BugError(`${layout.name} has no field ${name}`);
  return field;
}

function fieldPlace(code: Code, { offset, size }: CtxField, index = 0): IntPlace {
  const type: IntType | undefined = WORDS[size as keyof typeof WORDS];
  if (type === undefined) throw new BugError(`no integer has ${size} bytes`);
  return new IntPlace(code, type, contextMem(code, offset + index * size));
}

/** Gives an object a getter for each scalar field of a context that programs may read. */
function defineFields(target: object, code: Code, layout: CtxLayout): void {
  for (const field of layout.fields) {
    if (field.read === null || field.count !== 1 || field.attach !== undefined) continue;
    if (field.regType !== undefined && field.regType !== RegType.SCALAR_VALUE) continue;
    Object.defineProperty(target, field.name, { enumerable: true, get: () => fieldPlace(code, field) });
  }
}

function checkIndex(code: Code, index: number, count: number, what: string): void {
  if (!Number.isInteger(index) || index < 0 || index >= count) {
    throw code.fail(`${what} ${index} does not exist: they go from 0 to ${count - 1}`);
  }
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

/* Packets. */

/** Fields of `struct __sk_buff` that socket filters read. */
type SkbField =
  | "len"
  | "pkt_type"
  | "mark"
  | "queue_mapping"
  | "protocol"
  | "vlan_present"
  | "vlan_tci"
  | "vlan_proto"
  | "priority"
  | "ingress_ifindex"
  | "ifindex"
  | "tc_index"
  | "hash"
  | "napi_id"
  | "gso_segs"
  | "gso_size";

/** What a socket filter sees of a packet; its bytes are read with `p.skbLoadBytes`. */
export type SocketFilterContext = Scope & { readonly [K in SkbField]: ReadOnlyInt<"u32"> };

export function socketFilterContext(code: Code): SocketFilterContext {
  const context = { [CODE]: code };
  defineFields(context, code, socketFilterCtx);
  return context as SocketFilterContext;
}

/** The most that may be added to the start of a packet; the verifier tracks ranges up to this. */
const MAX_PACKET_OFFSET = 0xffff;

/** What an XDP program sees of a packet. */
export class XdpContext implements Scope {
  readonly [CODE]: Code;
  declare readonly ingress_ifindex: ReadOnlyInt<"u32">;
  declare readonly rx_queue_index: ReadOnlyInt<"u32">;

  /** @internal */
  constructor(code: Code) {
    this[CODE] = code;
    defineFields(this, code, xdpCtx);
  }

  /**
   * A part of the packet, null when the packet ends before it. What it points to can be read and written until a
   * helper changes the packet.
   * @param at bytes from the packet's start; one computed at run time must have bounds that the verifier sees.
   */
  packet<C extends CType<unknown>>(type: C, at: IntArg = 0): Nullable<Place<C>> {
    const code = this[CODE];
    code.mark();
    const pointer = (name: string): number =>
      code.toReg(code.load(contextMem(code, fieldOf(xdpCtx, name).offset), u32));
    const end = pointer("data_end");
    const start = pointer("data");
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
    return nullable(code, {
      test: code.compare("jle", 64, limit, { reg: end }),
      make: () => makePlace(code, type, { base: { reg: base }, offset, align: 1 }),
    });
  }
}
