// SPDX-License-Identifier: MIT
import { ArgType, baseType, RetType, typeMayBeNull } from "../kernel/bpf-types.js";
import { ALL_CAPS, type HelperProto, helperByName, helperProto } from "../kernel/helpers/index.js";
import type { HelperName } from "../kernel/helpers/names.js";
import type { coreProtos } from "../kernel/helpers/protos-core.js";
import type { packetProtos } from "../kernel/helpers/protos-packet.js";
import type { socketProtos } from "../kernel/helpers/protos-socket.js";
import type { tracingProtos } from "../kernel/helpers/protos-tracing.js";
import { helperResults } from "../kernel/helpers/results.js";
import type { helperSetTable } from "../kernel/helpers/sets.js";
import { progTypeName } from "../kernel/uapi.js";
import { callHelper, camelCase } from "./call.js";
import type { Code } from "./code.js";
import type { Reg } from "./codegen/ir.js";
import { CODE, isMemory, MEMORY, type Memory, type Scope } from "./internals.js";
import { type KindRow, kindRow, type ProgramKind } from "./kinds.js";
import { AnyMap, mapAddress } from "./maps.js";
import { SizedMemory } from "./places.js";
import { type IntType, s64, u32, u64 } from "./types.js";
import { checkOwner, coerce, describeValue, type Int, type IntArg, isInt, Value } from "./values.js";

/*
 * Helpers as methods. Names, arguments and who may call what come from the kernel's prototype table, for the
 * compiler (the types below) and at run time (the functions below that) alike.
 */

type Sets = typeof helperSetTable;

/** Where the search for the helpers of a kind begins. */
type SetOf<Kind extends ProgramKind> = KindRow<Kind>["progType"] extends keyof Sets
  ? Sets[KindRow<Kind>["progType"]]
  : never;

/** Helpers that are called in other words: through maps, records and `p.printk`. */
const SPOKEN_FOR = [
  "map_lookup_elem",
  "map_update_elem",
  "map_delete_elem",
  "map_push_elem",
  "map_pop_elem",
  "map_peek_elem",
  "ringbuf_reserve",
  "ringbuf_submit",
  "ringbuf_discard",
  "ringbuf_output",
  "trace_printk",
  "trace_vprintk",
] as const;

type SpokenFor = (typeof SPOKEN_FOR)[number];

/* Types. */

type Protos = typeof coreProtos & typeof tracingProtos & typeof packetProtos & typeof socketProtos;

/** Variants of all helpers that a set and those behind it offer. */
type Choices<Set> = Set extends { readonly helpers: infer Own; readonly next: infer Next }
  ? Next extends null
    ? Own
    : Own & Omit<Choices<Next>, keyof Own>
  : never;

/** The variant that programs of an attach type get. */
type Variant<Choice, Attach, Sleeps> = Choice extends string
  ? Choice
  : Choice extends { readonly sleepable: infer Sleepable; readonly other: infer Other }
    ? Sleeps extends true
      ? Sleepable
      : Other
    : Choice extends {
          readonly attach: readonly (infer Own)[];
          readonly proto: infer Proto;
          readonly other: infer Other;
        }
      ? Attach extends Own
        ? Proto
        : Variant<Other, Attach, Sleeps>
      : Choice extends { readonly needs: string; readonly proto: infer Proto }
        ? Proto
        : never;

/** The first word of an argument's type, without its flags. */
type Base<Arg> = Arg extends `${infer First} | ${string}` ? First : Arg;

type MemoryBase = "PTR_TO_MEM" | "PTR_TO_UNINIT_MEM" | "PTR_TO_FIXED_SIZE_MEM";
type SizeBase = "CONST_SIZE" | "CONST_SIZE_OR_ZERO";

/**
 * The parameters of a helper's method. The context is filled in, a memory brings its size along; what a
 * program cannot have yet (kernel objects, callbacks, dynptrs) makes `never`.
 */
type Parameters<Args extends readonly string[]> = Args extends readonly [
  infer First,
  ...infer Rest extends readonly string[],
]
  ? Base<First> extends "ANYTHING"
    ? [value: IntArg, ...Parameters<Rest>]
    : Base<First> extends "PTR_TO_CTX" | "PTR_TO_CTX_OR_NULL"
      ? Parameters<Rest>
      : Base<First> extends "CONST_MAP_PTR"
        ? [map: AnyMap, ...Parameters<Rest>]
        : Base<First> extends "PTR_TO_MEM_OR_NULL"
          ? [memory: Memory | null, ...Parameters<WithoutSize<Rest>>]
          : Base<First> extends MemoryBase | "PTR_TO_MAP_KEY"
            ? [memory: Memory, ...Parameters<WithoutSize<Rest>>]
            : never
  : [];

type WithoutSize<Args extends readonly string[]> = Args extends readonly [
  infer First,
  ...infer Rest extends readonly string[],
]
  ? First extends SizeBase
    ? Rest
    : Args
  : [];

type ResultName<Helper> = Helper extends keyof typeof helperResults ? (typeof helperResults)[Helper] : "s64";

type Method<Row, Sleeps> = Row extends { readonly mightSleep: true }
  ? Sleeps extends true
    ? AnyMethod<Row>
    : never
  : AnyMethod<Row>;

type AnyMethod<Row> = Row extends {
  readonly helper: infer Helper;
  readonly ret: infer Ret;
  readonly args: infer Args extends readonly string[];
}
  ? [Parameters<Args>] extends [never]
    ? never
    : Callable<Parameters<Args>, Ret, Helper>
  : never;

type Callable<P extends unknown[], Ret, Helper> = Ret extends "INTEGER"
  ? (...args: P) => Int<ResultName<Helper>>
  : Ret extends "VOID"
    ? (...args: P) => void
    : never;

/** `ktime_get_ns` as `ktimeGetNs`. */
export type CamelCase<S> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S & string;

type RowOf<Variants> = Variants extends keyof Protos ? Protos[Variants] : never;

type AllMethods<C, Attach, Sleeps> = {
  readonly [K in keyof C as K extends SpokenFor ? never : CamelCase<K>]: Method<
    RowOf<Variant<C[K], Attach, Sleeps>>,
    Sleeps
  >;
};

type WithoutNever<M> = { readonly [K in keyof M as [M[K]] extends [never] ? never : K]: M[K] };

/** The helpers that programs of a kind may call, as methods. */
export type Helpers<Kind extends ProgramKind> = WithoutNever<
  AllMethods<Choices<SetOf<Kind>>, KindRow<Kind>["attachType"], KindRow<Kind>["sleepable"]>
>;

/* Run time. */

function isSize(type: number | undefined): boolean {
  return type === ArgType.CONST_SIZE || type === ArgType.CONST_SIZE_OR_ZERO;
}

/** Whether every argument is of a kind that {@link prepare} knows. */
function isCallable(proto: HelperProto): boolean {
  const known: readonly number[] = [
    ArgType.ANYTHING,
    ArgType.PTR_TO_CTX,
    ArgType.CONST_MAP_PTR,
    ArgType.PTR_TO_MEM,
    ArgType.PTR_TO_MAP_KEY,
  ];
  const args = proto.argTypes.filter((type) => type !== ArgType.DONTCARE);
  const isKnown = args.every(
    (type, i) => known.includes(baseType(type)) || (isSize(type) && baseType(args[i - 1] ?? 0) === ArgType.PTR_TO_MEM),
  );
  return isKnown && (proto.retType === RetType.INTEGER || proto.retType === RetType.VOID);
}

/** Puts the arguments of one call into registers. */
class Arguments {
  readonly regs: Reg[] = [];
  readonly #code: Code;
  readonly #proto: HelperProto;
  readonly #given: readonly unknown[];
  #next = 0;
  #size: Reg | null = null;
  /** Bytes of a key of the map among the arguments. */
  #keySize = 0;

  constructor(code: Code, proto: HelperProto, given: readonly unknown[]) {
    this.#code = code;
    this.#proto = proto;
    this.#given = given;
  }

  prepare(): readonly Reg[] {
    for (const [i, type] of this.#proto.argTypes.entries()) {
      if (type === ArgType.DONTCARE) break;
      this.regs.push(this.#one(type, i));
    }
    if (this.#next < this.#given.length) {
      throw this.#fail(`takes ${this.#next} arguments, got ${this.#given.length}`);
    }
    return this.regs;
  }

  #fail(what: string): Error {
    return this.#code.fail(`${camelCase(this.#proto.name)}() ${what}`);
  }

  #take(expected: string): unknown {
    if (this.#next >= this.#given.length) throw this.#fail(`expects ${expected} as argument ${this.#next + 1}`);
    return this.#given[this.#next++];
  }

  #one(type: number, index: number): Reg {
    const code = this.#code;
    if (isSize(type) && this.#size !== null) {
      const size = this.#size;
      this.#size = null;
      return size;
    }
    switch (baseType(type)) {
      case ArgType.PTR_TO_CTX:
        return code.ctx;
      case ArgType.CONST_MAP_PTR:
        return this.#map();
      case ArgType.PTR_TO_MAP_KEY:
        return this.#memory(false, false, this.#keySize);
      case ArgType.PTR_TO_MEM:
        return this.#memory(typeMayBeNull(type), isSize(this.#proto.argTypes[index + 1]), this.#proto.argSizes[index]!);
      default:
        return this.#integer();
    }
  }

  #map(): Reg {
    const map = this.#take("a map");
    if (!(map instanceof AnyMap)) throw this.#fail(`expects a map as argument ${this.#next}`);
    this.#keySize = map.spec.keySize;
    return mapAddress(this.#code, map);
  }

  #integer(): Reg {
    const value = this.#take("an integer");
    if (typeof value !== "number" && typeof value !== "bigint" && !isInt(value)) {
      throw this.#fail(`expects an integer as argument ${this.#next}, got ${describeValue(value)}`);
    }
    return this.#code.toReg(coerce(this.#code, value, isInt(value) && value.type.signed ? s64 : wide(value)));
  }

  #memory(orNull: boolean, hasSize: boolean, fixedSize: number): Reg {
    const code = this.#code;
    const memory = this.#take("memory");
    if (memory === null && orNull) {
      if (hasSize) this.#size = code.toReg({ value: 0n });
      return code.toReg({ value: 0n });
    }
    if (!isMemory(memory)) {
      throw this.#fail(`expects memory as argument ${this.#next}, got ${describeValue(memory)}`);
    }
    checkOwner(code, memory);
    const { mem, size } = memory[MEMORY];
    code.checkWritable(mem);
    if (fixedSize > size) throw this.#fail(`needs ${fixedSize} bytes as argument ${this.#next}, got ${size}`);
    const bytes: IntArg = memory instanceof SizedMemory ? memory.bytes : size;
    const address = code.addressOf(mem);
    if (hasSize) this.#size = code.toReg(coerce(code, bytes, u64));
    return address;
  }
}

/** Literals are 64-bit patterns here, whatever their sign. */
function wide(value: IntArg): IntType {
  return isInt(value) || value >= 0 ? u64 : s64;
}

const RESULT_TYPES = { u32, u64, s64 } as const;

function resultType(name: HelperName): IntType {
  return RESULT_TYPES[(helperResults as Partial<Record<HelperName, "u32" | "u64">>)[name] ?? "s64"];
}

/** Calls a helper with the user's arguments. */
function callMethod(code: Code, proto: HelperProto, given: readonly unknown[]): Int | undefined {
  code.mark();
  const result = callHelper(code, proto.name, new Arguments(code, proto, given).prepare());
  if (proto.retType === RetType.VOID) return undefined;
  const type = resultType(proto.name);
  return new Value(code, type, type.bits === 32 ? code.convert({ reg: result }, u64, type) : { reg: result });
}

/** Why programs of a kind cannot call a helper in this way; null when they can. */
function objection(kind: ProgramKind, proto: HelperProto | null, method: string): string | null {
  const { progType, sleepable, name } = kindRow(kind);
  if (proto === null) return `a ${progTypeName(progType)} program (${name}) may not call ${method}()`;
  if (proto.mightSleep && !sleepable) return `${method}() may sleep, which programs of section ${name} may not`;
  if (isCallable(proto)) return null;
  return `${method}() cannot be called from here yet: it takes or gives something that the DSL has no type for`;
}

/** `ktimeGetNs` as `ktime_get_ns`. */
function snakeCase(method: string): string {
  return method.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A helper as a method, with what speaks against calling it (null when nothing does) beside it. */
function helperMethod(kind: ProgramKind, id: number, method: string) {
  const { progType, attachType, sleepable } = kindRow(kind);
  const proto = helperProto(progType, attachType, id, ALL_CAPS, sleepable);
  const why = objection(kind, proto, method);
  const call = function (this: Scope, ...given: unknown[]): Int | undefined {
    const code = this[CODE];
    if (proto !== null && why === null) return callMethod(code, proto, given);
    code.mark();
    throw code.fail(`${why}`);
  };
  return Object.assign(call, { objection: why });
}

/**
 * A prototype for the builders of a kind: it has a method for every helper, made when it is asked for, since most never
 * are. Those that programs of the kind may not call say so.
 */
export function withHelpers(base: object, kind: ProgramKind): object {
  const methods = new Map<string, unknown>();
  return new Proxy(base, {
    get(target, key, receiver) {
      if (typeof key === "symbol" || key in target) return Reflect.get(target, key, receiver) as unknown;
      if (!methods.has(key)) {
        const name = snakeCase(key);
        const id = (SPOKEN_FOR as readonly string[]).includes(name) ? undefined : helperByName(name);
        methods.set(key, id === undefined ? undefined : helperMethod(kind, id, key));
      }
      return methods.get(key);
    },
  });
}
