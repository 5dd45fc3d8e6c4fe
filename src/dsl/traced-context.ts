// SPDX-License-Identifier: MIT
import type { Code } from "./code.js";
import { contextMem } from "./context.js";
import { CODE, type Scope } from "./internals.js";
import { type KernelPlace, objectAt } from "./kernel-places.js";
import type { KernelStruct } from "./kernel-types.js";
import type { IntType, PtrType, TypeDecl } from "./types.js";
import { u64 } from "./types.js";
import { type Int, Value } from "./values.js";

/** Arguments of what a program attaches to, in order: integers and pointers. */
export type Arguments = Readonly<Record<string, TypeDecl>>;

type ArgumentUse<C> =
  C extends IntType<infer N>
    ? Int<N>
    : C extends PtrType<infer T>
      ? T extends KernelStruct
        ? KernelPlace<T>
        : Int<"u64">
      : Int<"u64">;

/** Arguments as a program uses them: what pointers to kernel structs lead to is read directly, the verifier knows it. */
export type ArgumentsOf<A extends Arguments> = Scope & { readonly [K in keyof A]: ArgumentUse<A[K]> };

function argument(code: Code, type: TypeDecl, index: number): unknown {
  code.mark();
  const word = code.load(contextMem(code, index * 8), u64);
  if (type.kind === "int") {
    const int = type as unknown as IntType;
    return new Value(code, int, code.convert(word, u64, int));
  }
  const target = type.kind === "ptr" ? (type as unknown as PtrType).target : null;
  if ((target as TypeDecl | null)?.kind === "kernel")
    return objectAt(code, target as unknown as TypeDecl, word, "direct");
  return new Value(code, u64, word);
}

/** The arguments of what a program attaches to: 64-bit words, one behind the other. */
export function tracedContext(code: Code, args: Arguments): Scope {
  const context: Scope = { [CODE]: code };
  for (const [i, [name, type]] of Object.entries(args).entries()) {
    Object.defineProperty(context, name, { enumerable: true, get: () => argument(code, type, i) });
  }
  return context;
}
