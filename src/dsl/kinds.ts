// SPDX-License-Identifier: MIT
import type { RESULT_RULES } from "../kernel/prog-results.js";
import { type SectionDef, type SectionName, type SectionRow, sectionRow } from "../kernel/sections.js";
import { ProgType } from "../kernel/uapi.js";
import type { CompileError } from "./internals.js";
import type { AnyInt, IntArg } from "./values.js";

/*
 * Kinds of programs: what a SEC name stands for. The kernel's tables of sections, contexts, helpers and results are
 * looked up by it, at run time and by the compiler.
 */

/** Kinds that have a name of their own besides their section's. */
const ALIASES = { socketFilter: "socket", rawTracepoint: "raw_tracepoint" } as const satisfies Record<
  string,
  SectionName
>;

type Aliases = typeof ALIASES;

/** A kind of program: a SEC name without its target, e.g. `xdp`, `kprobe`, `cgroup/connect4`. */
export type ProgramKind = SectionName | keyof Aliases;

/** What the table of sections says of a kind. */
export type KindRow<Kind extends ProgramKind> = Kind extends keyof Aliases
  ? SectionRow<Aliases[Kind]>
  : SectionRow<Kind & SectionName>;

/** What the table of sections says of a kind. */
export function kindRow(kind: ProgramKind): SectionDef {
  return sectionRow(Object.hasOwn(ALIASES, kind) ? ALIASES[kind as keyof Aliases] : (kind as SectionName));
}

/* Sections as the user writes them. */

type WithTarget = { [N in SectionName]: SectionRow<N>["takesTarget"] extends true ? N : never }[SectionName];

/** The kind of a section with or without its target; never when it is none. */
export type KindOfSection<Section extends string> = Section extends SectionName
  ? Section
  : Section extends `${infer Name}/${string}`
    ? Name extends WithTarget
      ? Name
      : never
    : never;

/** Types whose programs say more than a section does: they have functions of their own. */
type Elsewhere<Kind extends SectionName> = KindRow<Kind>["targetIsBtf"] extends true
  ? CompileError<"the arguments of this kind of program must be declared: program(section, name, { arg: u64 }, (p, args) => …)">
  : KindRow<Kind>["progType"] extends typeof ProgType.TRACEPOINT
    ? CompileError<"a tracepoint has fields of its own: use tracepoint(path, name, (p, ctx) => …)">
    : KindRow<Kind>["progType"] extends typeof ProgType.STRUCT_OPS
      ? CompileError<"the programs of struct_ops cannot be declared yet">
      : unknown;

/** What stands in the place of a section that `program()` does not take. */
export type KnownSection<Section extends string> = [KindOfSection<Section>] extends [never]
  ? CompileError<"there is no such section: they are named as in libbpf, e.g. tc, cgroup/connect4, uprobe/PATH:OFFSET">
  : Elsewhere<KindOfSection<Section>>;

/** What stands in the place of a section whose arguments cannot be declared. */
export type TracedSection<Section extends string> = [KindOfSection<Section>] extends [never]
  ? KnownSection<Section>
  : KindRow<KindOfSection<Section>>["progType"] extends typeof ProgType.TRACING | typeof ProgType.LSM
    ? unknown
    : CompileError<"only programs that attach by BTF (fentry, fexit, fmod_ret, tp_btf, iter, lsm) declare their arguments">;

/* Results. */

type FindRule<Rules, Type, Attach> = Rules extends readonly [infer First, ...infer Rest]
  ? First extends { readonly type: Type; readonly results: infer Results extends readonly number[] }
    ? First extends { readonly attach: readonly (infer Own)[] }
      ? Attach extends Own
        ? Results[number]
        : FindRule<Rest, Type, Attach>
      : Results[number]
    : FindRule<Rest, Type, Attach>
  : never;

type Allowed<Kind extends ProgramKind> = FindRule<
  typeof RESULT_RULES,
  KindRow<Kind>["progType"],
  KindRow<Kind>["attachType"]
>;

/** Types whose result means little or nothing. */
const RESULTLESS = [
  ProgType.KPROBE,
  ProgType.TRACEPOINT,
  ProgType.RAW_TRACEPOINT,
  ProgType.RAW_TRACEPOINT_WRITABLE,
  ProgType.PERF_EVENT,
  ProgType.TRACING,
  ProgType.SYSCALL,
  ProgType.STRUCT_OPS,
] as const;

type Resultless = (typeof RESULTLESS)[number];

/** What a program of a kind may return: any integer, or what the kernel allows; a computed one the verifier judges. */
export type ResultOf<Kind extends ProgramKind> = [Allowed<Kind>] extends [never] ? IntArg : Allowed<Kind> | AnyInt;

/** What the callback of a program answers. Nothing stands for 0, where the result means nothing. */
export type Answer<Kind extends ProgramKind> = [Allowed<Kind>] extends [never]
  ? KindRow<Kind>["progType"] extends Resultless
    ? // biome-ignore lint/suspicious/noConfusingVoidType: callbacks without a return statement are meant.
      IntArg | void
    : IntArg
  : ResultOf<Kind>;

/** The parameters of `p.return`. */
export type ReturnArgs<Kind extends ProgramKind> = [Allowed<Kind>] extends [never]
  ? KindRow<Kind>["progType"] extends Resultless
    ? [result?: IntArg]
    : [result: IntArg]
  : [result: ResultOf<Kind>];
