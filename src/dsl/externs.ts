// SPDX-License-Identifier: MIT
import type { BtfBuilder } from "../btf/builder.js";
import type { ExternSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { callHelper } from "./call.js";
import type { Code, Mem } from "./code.js";
import type { Reg } from "./codegen/ir.js";
import { Condition } from "./condition.js";
import { CODE, FIELD, isMemory, MEMORY, type Memory, type Scope } from "./internals.js";
import { isKernelRef, type KernelPlace, type KernelRef, objectAt } from "./kernel-places.js";
import { addressOf, wordOf } from "./kernel-read.js";
import { aggregateOf, type KernelEnum, kernelEnum, withoutTypedefs } from "./kernel-types.js";
import { makePlace } from "./places.js";
import { type Nullable, nullable } from "./pointers.js";
import { type ArrayType, type CType, type IntType, isCType, type PtrType, s64, type TypeDecl, u64 } from "./types.js";
import { checkOwner, coerce, describeValue, type Int, type IntArg, IntPlace, isInt, Value } from "./values.js";

/*
 * What a program uses and the kernel has: values of its configuration, its variables, its functions. They are found
 * when the object meets a kernel.
 */

/** What every extern can be told. */
export interface ExternOptions {
  /** The program can do without it; by default it cannot be loaded where the kernel does not have it. */
  readonly weak?: boolean;
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_.]*$/;

/** Something of the kernel's that a program uses. */
export abstract class Extern {
  readonly name: string;
  readonly weak: boolean;

  /** @internal */
  constructor(name: string, { weak = false }: ExternOptions) {
    if (!IDENTIFIER.test(name)) throw new InputError(`"${name}" cannot name something of the kernel's`);
    this.name = name;
    this.weak = weak;
  }

  /** @internal What the object says of it. */
  abstract spec(btf: BtfBuilder): ExternSpec;

  /** The register with its address. */
  protected address64(code: Code): Reg {
    code.mark();
    return code.symbol({ kind: "extern", extern: code.surroundings.useExtern(this, (message) => code.fail(message)) });
  }

  protected symbolSpec(
    parts: Pick<ExternSpec, "section" | "kind" | "btfId"> & Partial<Pick<ExternSpec, "size" | "align">>,
  ): ExternSpec {
    return { name: this.name, weak: this.weak, visibility: "default", size: 0, align: 1, ...parts };
  }
}

const KCONFIG = ".kconfig";
const KSYMS = ".ksyms";

/* Configuration. */

/** Answers of a configuration question that may also be answered with "as a module". */
export const Tristate = { NO: 0, YES: 1, MODULE: 2 } as const;

/** The type of such an answer. */
export const tristate = kernelEnum("libbpf_tristate", {
  TRI_NO: Tristate.NO,
  TRI_YES: Tristate.YES,
  TRI_MODULE: Tristate.MODULE,
});

/** Types that values of the configuration have: `y`, `n` and `m`, numbers, and texts. */
export type KconfigType = IntType | typeof tristate | ArrayType<IntType<"char">, number>;

/** A value of the configuration in a program. */
export type KconfigValue<C> =
  C extends IntType<infer N>
    ? Int<N>
    : C extends KernelEnum
      ? Int<"u32">
      : C extends CType<unknown>
        ? Memory<C>
        : never;

/** A value of the kernel's configuration, the same as long as the kernel runs. */
export class Kconfig<C extends KconfigType = KconfigType> extends Extern {
  readonly #type: C;

  /** @internal */
  constructor(name: string, type: C, options: ExternOptions) {
    super(name, options);
    this.#type = type;
  }

  /** The value: an integer, or the memory that holds a text. A weak one that the kernel does not have is 0. */
  get(p: Scope): KconfigValue<C> {
    const code = p[CODE];
    const mem: Mem = {
      base: { reg: this.address64(code) },
      offset: 0,
      align: this.#type.align,
      readOnly: "the kernel's configuration can neither be written nor given to a helper: copy what is needed first",
    };
    const type: TypeDecl = this.#type;
    const word = wordOf(type);
    // A verifier that knows the value goes on with it.
    if (word !== undefined) return new IntPlace(code, word, mem).get() as unknown as KconfigValue<C>;
    return makePlace(code, type as CType<unknown>, mem) as KconfigValue<C>;
  }

  /** @internal */
  spec(btf: BtfBuilder): ExternSpec {
    const { size, align } = this.#type;
    const btfId = btf.var(this.name, this.#type.toBtf(btf), "extern");
    return this.symbolSpec({ section: KCONFIG, kind: "var", btfId, size, align });
  }
}

/**
 * A value of the kernel's configuration: `CONFIG_HZ` and its kin, and what libbpf adds to them,
 * `LINUX_KERNEL_VERSION` first of all. The type says how it is written there: `bool` for `y` and `n`, {@link tristate}
 * for those and `m`, `char` for the letter itself, integers, and `array(char, …)` for texts.
 * @throws InputError for a type that is none of these.
 */
export function kconfig<C extends KconfigType>(name: string, type: C, options: ExternOptions = {}): Kconfig<C> {
  const plain: TypeDecl = type;
  const isText = plain.kind === "array" && wordOf((plain as ArrayType).element)?.name === "char";
  if (plain.kind !== "int" && plain !== tristate && !isText) {
    throw new InputError(
      `${name}: a value of the configuration is an integer, bool, tristate or char[], not ${plain.cName}`,
    );
  }
  return new Kconfig(name, type, options);
}

/* Variables. */

/** A symbol of the kernel's, of which only the address matters. */
export class Ksym extends Extern {
  /** @internal */
  constructor(name: string, options: ExternOptions) {
    super(name, options);
  }

  /** Its address; 0 for a weak one that the kernel does not have. */
  address(p: Scope): Int<"u64"> {
    const code = p[CODE];
    return new Value(code, u64, { reg: this.address64(code) });
  }

  /** Whether the kernel has it; to be asked of weak ones. */
  exists(p: Scope): Condition {
    return exists(p[CODE], this.address64(p[CODE]));
  }

  /** @internal */
  spec(btf: BtfBuilder): ExternSpec {
    const btfId = btf.var(this.name, btf.modifier("const", 0), "extern");
    return this.symbolSpec({ section: KSYMS, kind: "var", btfId });
  }
}

function exists(code: Code, reg: Reg): Condition {
  return new Condition(code.compare("jne", 64, { reg }, { value: 0n }));
}

/** A variable of the kernel's in a program: integers can be read, members of structs too. */
export type KernelVariable<C> =
  C extends IntType<infer N>
    ? Int<N> & Pick<IntPlace<N>, "get">
    : C extends CType<unknown>
      ? Memory<C>
      : KernelPlace<C>;

/** A variable of the kernel's that its BTF knows: above all those that each CPU has one of. */
export class TypedKsym<C extends TypeDecl = TypeDecl> extends Extern {
  readonly #type: C;

  /** @internal */
  constructor(name: string, type: C, options: ExternOptions) {
    super(name, options);
    this.#type = type;
  }

  /** Whether the kernel has it; to be asked of weak ones. */
  exists(p: Scope): Condition {
    return exists(p[CODE], this.address64(p[CODE]));
  }

  /** The variable itself, where there is one for all CPUs. */
  get(p: Scope): KernelVariable<C> {
    const code = p[CODE];
    return this.#place(code, this.address64(code));
  }

  /** The variable of the CPU that the program runs on. */
  thisCpu(p: Scope): KernelVariable<C> {
    const code = p[CODE];
    return this.#place(code, callHelper(code, "this_cpu_ptr", [this.address64(code)], "thisCpu"));
  }

  /** The variable of a CPU, null where there is no such CPU. */
  onCpu(p: Scope, cpu: IntArg): Nullable<KernelVariable<C>> {
    const code = p[CODE];
    const address = this.address64(code);
    const reg = callHelper(code, "per_cpu_ptr", [address, code.toReg(coerce(code, cpu, u64))], "onCpu");
    return nullable(code, {
      test: code.compare("jne", 64, { reg }, { value: 0n }),
      make: () => this.#place(code, reg),
    });
  }

  #place(code: Code, reg: Reg): KernelVariable<C> {
    const type: TypeDecl = this.#type;
    const word = wordOf(type);
    const readOnly = "a variable of the kernel's cannot be written";
    const mem: Mem = { base: { reg }, offset: 0, align: type.align, readOnly };
    if (word !== undefined) return new IntPlace(code, word, mem) as unknown as KernelVariable<C>;
    if (aggregateOf(type) === undefined && isCType(type)) return makePlace(code, type, mem) as KernelVariable<C>;
    return objectAt(code, type, { reg }, "direct") as KernelVariable<C>;
  }

  /** @internal */
  spec(btf: BtfBuilder): ExternSpec {
    const { size, align } = this.#type;
    const btfId = btf.var(this.name, this.#type.toBtf(btf), "extern");
    return this.symbolSpec({ section: KSYMS, kind: "var", btfId, size, align });
  }
}

/**
 * A symbol of the kernel's by its name in /proc/kallsyms, for its address. With a type it is a variable that the kernel's BTF
 * must know, and can be read.
 */
export function ksym(name: string, options?: ExternOptions): Ksym;
export function ksym<C extends TypeDecl>(name: string, type: C, options?: ExternOptions): TypedKsym<C>;
export function ksym(name: string, first?: TypeDecl | ExternOptions, options: ExternOptions = {}): Ksym | TypedKsym {
  if (first !== undefined && "toBtf" in first) return new TypedKsym(name, first, options);
  return new Ksym(name, first ?? {});
}

/* Functions. */

/** What a function of the kernel may be given for a parameter of a type. */
export type KfuncArg<C> = C extends PtrType ? KernelRef | Memory | null : IntArg;

/** What a function of the kernel gives. */
export type KfuncResult<R, MayBeNull> =
  R extends PtrType<infer T>
    ? MayBeNull extends true
      ? Nullable<KernelPlace<T>>
      : KernelPlace<T>
    : R extends IntType<infer N>
      ? Int<N>
      : undefined;

/** What a function of the kernel can be told. */
export interface KfuncOptions<MayBeNull extends boolean> extends ExternOptions {
  /** The pointer that it gives may be null. */
  readonly mayBeNull?: MayBeNull;
}

/** A function of the kernel that programs may call. */
export class Kfunc<
  P extends readonly TypeDecl[] = readonly TypeDecl[],
  R extends TypeDecl | null = TypeDecl | null,
  MayBeNull extends boolean = boolean,
> extends Extern {
  readonly #params: P;
  readonly #returns: R;
  readonly #mayBeNull: boolean;

  /** @internal */
  constructor(name: string, params: P, returns: R, options: KfuncOptions<MayBeNull>) {
    super(name, options);
    this.#params = params;
    this.#returns = returns;
    this.#mayBeNull = options.mayBeNull === true;
  }

  /** Calls the function. */
  call(p: Scope, ...args: { readonly [I in keyof P]: KfuncArg<P[I]> }): KfuncResult<R, MayBeNull> {
    const code = p[CODE];
    code.mark();
    const extern = code.surroundings.useExtern(this, (message) => code.fail(message));
    if (args.length !== this.#params.length) {
      throw code.fail(`${this.name}() takes ${this.#params.length} arguments, got ${args.length}`);
    }
    const regs = args.map((value, i) => this.#argument(code, value, i));
    return this.#result(code, code.call({ extern }, regs)) as KfuncResult<R, MayBeNull>;
  }

  #argument(code: Code, value: unknown, index: number): Reg {
    const type = withoutTypedefs(this.#params[index]!);
    if (type.kind !== "ptr") {
      const kind = wordOf(type) ?? u64;
      if (typeof value !== "number" && typeof value !== "bigint" && !isInt(value)) {
        throw code.fail(`${this.name}() expects an integer as argument ${index + 1}, got ${describeValue(value)}`);
      }
      // A register of its own: the kernel looks at as many bits as the parameter has.
      return code.toReg(code.convert(coerce(code, value, kind), kind, kind.signed ? s64 : u64));
    }
    if (value === null) return code.toReg({ value: 0n });
    if (isKernelRef(value) && !isInt(value)) {
      checkOwner(code, value);
      return code.toReg(addressOf(code, value[FIELD]));
    }
    if (!isMemory(value)) {
      throw code.fail(`${this.name}() expects a pointer as argument ${index + 1}, got ${describeValue(value)}`);
    }
    checkOwner(code, value);
    return code.addressOf(value[MEMORY].mem);
  }

  #result(code: Code, reg: Reg): unknown {
    const type = this.#returns === null ? null : withoutTypedefs(this.#returns);
    if (type === null) return undefined;
    const word = wordOf(type);
    if (word !== undefined) return new Value(code, word, code.convert({ reg }, u64, word));
    const make = (): unknown => objectAt(code, (type as PtrType).target as TypeDecl, { reg }, "direct");
    if (!this.#mayBeNull) return make();
    return nullable(code, { test: code.compare("jne", 64, { reg }, { value: 0n }), make });
  }

  /** Whether the kernel has it; to be asked of weak ones. */
  exists(p: Scope): Condition {
    return exists(p[CODE], this.address64(p[CODE]));
  }

  /** @internal */
  spec(btf: BtfBuilder): ExternSpec {
    const params = this.#params.map((type, i) => ({ name: `arg${i}`, type: type.toBtf(btf) }));
    const proto = btf.funcProto(this.#returns?.toBtf(btf) ?? 0, params);
    return this.symbolSpec({ section: KSYMS, kind: "func", btfId: btf.func(this.name, proto, "extern") });
  }
}

/**
 * A function of the kernel that programs may call (kfunc), by its parameters' types and what it gives; null for
 * nothing. Pointers that it gives are known to the verifier: members of what they point to are read by ordinary loads.
 * @param name a suffix `___…` is not part of the kernel's name.
 * @throws InputError for more than five parameters, and for a result that is neither an integer nor a pointer to a type.
 */
export function kfunc<
  const P extends readonly TypeDecl[],
  R extends TypeDecl | null,
  const MayBeNull extends boolean = false,
>(name: string, params: P, returns: R, options: KfuncOptions<MayBeNull> = {}): Kfunc<P, R, MayBeNull> {
  if (params.length > 5) throw new InputError(`${name}: a function that programs call has at most five parameters`);
  const result: TypeDecl | null = returns;
  const isPointer = result?.kind === "ptr" && (result as PtrType).target !== null;
  if (result !== null && !isPointer && wordOf(result) === undefined) {
    throw new InputError(`${name}: a function gives an integer or a pointer to a type, not ${result.cName}`);
  }
  return new Kfunc(name, params, returns, options);
}
