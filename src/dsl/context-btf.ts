// SPDX-License-Identifier: MIT
import type { BtfBuilder, KernelIntName } from "../btf/builder.js";
import { rawTracepointCtx } from "../kernel/ctx/index.js";
import type { CtxLayout } from "../kernel/ctx/types.js";
import type { TracepointField, TracepointFormat } from "../kernel/tracepoints.js";

/** Adds the type that a program's `ctx` points to and gives its id. */
export type ContextType = (btf: BtfBuilder) => number;

function wordOf(btf: BtfBuilder, size: number, signed = false): number {
  return btf.kernelInt(`__${signed ? "s" : "u"}${size * 8}` as KernelIntName);
}

/** The struct that the kernel's headers give programs of a type. */
export function layoutType({ name, size, fields }: CtxLayout): ContextType {
  return (btf) =>
    btf.add({
      kind: "struct",
      name: name.replace(/^struct /, ""),
      size,
      members: fields.map((field) => {
        const word = wordOf(btf, field.size);
        const type = field.count === 1 ? word : btf.array(word, field.count);
        return { name: field.name, type, bitOffset: field.offset * 8, bitSize: 0 };
      }),
    });
}

/** `struct bpf_raw_tracepoint_args { __u64 args[0]; }`: how many there are depends on the tracepoint. */
export const rawTracepointType: ContextType = (btf) => {
  const type = btf.array(wordOf(btf, 8), 0);
  return btf.add({
    kind: "struct",
    name: rawTracepointCtx.name.replace(/^struct /, ""),
    size: 0,
    members: [{ name: "args", type, bitOffset: 0, bitSize: 0 }],
  });
};

/** `unsigned long long`: the arguments of what BTF describes, one behind the other. */
export const wordsType: ContextType = (btf) => wordOf(btf, 8);

/** `struct bpf_nf_ctx`: pointers to `struct nf_hook_state` and `struct sk_buff`. */
export const netfilterType: ContextType = (btf) => {
  const pointer = btf.ptr(0);
  const members = ["state", "skb"].map((name, i) => ({ name, type: pointer, bitOffset: i * 64, bitSize: 0 }));
  return btf.add({ kind: "struct", name: "bpf_nf_ctx", size: 16, members });
};

function fieldType(btf: BtfBuilder, { size, signed, isDynamic, arrayLen, type }: TracepointField): number {
  const isWord = (bytes: number): boolean => [1, 2, 4, 8].includes(bytes);
  if (arrayLen === undefined || isDynamic) {
    return isWord(size) ? wordOf(btf, size, signed) : btf.array(wordOf(btf, 1), size);
  }
  if (type === "char") return btf.array(btf.int("char"), size);
  const element = size / arrayLen;
  return isWord(element) ? btf.array(wordOf(btf, element, signed), arrayLen) : btf.array(wordOf(btf, 1), size);
}

/** The record of a tracepoint as a struct. */
export function tracepointType(format: TracepointFormat): ContextType {
  return (btf) => {
    const end = Math.max(...format.fields.map((field) => field.offset + field.size));
    return btf.add({
      kind: "struct",
      // As the kernel names the records of its own tracepoints; system calls share theirs there, so these cannot clash.
      name: `trace_event_raw_${format.name.replace(/\W/g, "_")}`,
      size: Math.ceil(end / 8) * 8,
      members: format.fields.map((field) => ({
        name: field.name,
        type: fieldType(btf, field),
        bitOffset: field.offset * 8,
        bitSize: 0,
      })),
    });
  };
}
