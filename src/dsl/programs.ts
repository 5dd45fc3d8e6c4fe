// SPDX-License-Identifier: MIT
import { ctxLayout } from "../kernel/ctx/index.js";
import { resultsOf } from "../kernel/prog-results.js";
import { parseSection, type SectionDef, type SectionName } from "../kernel/sections.js";
import { ProgType } from "../kernel/uapi.js";
import { BugError, InputError } from "../util/errors.js";
import { newBuilder, type Program } from "./builder.js";
import { Code, type Surroundings } from "./code.js";
import type { Routine } from "./codegen/ir.js";
import {
  type ContextOf,
  type KprobeContext,
  newContext,
  type RawTracepointContext,
  type SocketFilterContext,
  type XdpContext,
} from "./context.js";
import { type ContextType, layoutType, netfilterType, rawTracepointType, wordsType } from "./context-btf.js";
import type { CompileError } from "./internals.js";
import {
  type Answer,
  type KindOfSection,
  type KnownSection,
  kindRow,
  type ProgramKind,
  type TracedSection,
} from "./kinds.js";
import { callerPosition, type Position } from "./position.js";
import { type Arguments, type ArgumentsOf, tracedContext } from "./traced-context.js";
import { type TracepointResolver, tracepointContext } from "./tracepoint-context.js";
import type { DeclaredContext, KnownContext, KnownTracepoint } from "./tracepoint-types.js";
import { type Fields, s64 } from "./types.js";
import { coerce, describeValue, type IntArg, isInt } from "./values.js";

/** What a program's callback answers where any result will do. Nothing stands for 0. */
// biome-ignore lint/suspicious/noConfusingVoidType: callbacks without a return statement are meant.
export type Result = IntArg | void;

/** A program, declared. `object` puts it into an object. */
export interface ProgramDecl {
  readonly kind: ProgramKind;
  readonly name: string;
  /** ELF section, which says where the program is attached. */
  readonly section: string;
  /** @internal Runs the callback. */
  write(surroundings: Surroundings, tracepoints?: TracepointResolver): WrittenProgram;
}

/** What a program's callback wrote. */
interface WrittenProgram {
  readonly routine: Routine;
  /** What its `ctx` points to. */
  readonly contextType: ContextType;
}

/** A context as the callback gets it, and the type of its memory. */
interface Context<Ctx> {
  readonly value: Ctx;
  readonly type: ContextType;
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

interface Parts<Kind extends ProgramKind, Ctx> {
  readonly kind: Kind;
  readonly name: string;
  readonly section: string;
  readonly context: (code: Code, tracepoints?: TracepointResolver) => Context<Ctx>;
  readonly body: (p: Program<Kind>, ctx: Ctx) => unknown;
}

function declare<Kind extends ProgramKind, Ctx>({ kind, name, section, context, body }: Parts<Kind, Ctx>): ProgramDecl {
  if (!IDENTIFIER.test(name)) throw new InputError(`"${name}" cannot name a program: it is not a C identifier`);
  const at: Position | null = callerPosition();
  return {
    kind,
    name,
    section,
    write(surroundings, tracepoints) {
      const code = new Code(name, at, surroundings);
      const { progType, attachType } = kindRow(kind);
      code.limitResults(resultsOf(progType, attachType));
      const { value, type } = context(code, tracepoints);
      const result: unknown = body(newBuilder(kind, code), value);
      code.return(coerce(code, checkResult(code, result), s64));
      return { routine: code.finish(), contextType: type };
    },
  };
}

function checkResult(code: Code, result: unknown): IntArg {
  if (result === undefined) return 0;
  if (typeof result === "number" || typeof result === "bigint" || isInt(result)) return result;
  throw code.fail(`a program's result is an integer, got ${describeValue(result)}`);
}

/**
 * A program of any section whose name says all of it, e.g. `program("cgroup/connect4", "redirect", (p, ctx) => 1)`. Its
 * context, its helpers and what it may return follow from the section.
 * @param section a SEC name as libbpf has them, with its target where it takes one: `uprobe/PATH:OFFSET`.
 * @param name the program's name.
 * @throws InputError for a section that is none, and a name that is no C identifier.
 */
export function program<const Section extends string>(
  section: Section & KnownSection<Section>,
  name: string,
  body: (p: Program<KindOfSection<Section>>, ctx: ContextOf<KindOfSection<Section>>) => Answer<KindOfSection<Section>>,
): ProgramDecl;
/**
 * A program at what BTF describes, e.g. `fentry/vfs_read`, `tp_btf/sched_switch`, `lsm/file_open`, `iter/task`.
 * @param args the arguments in order, all of them: integers, and pointers to kernel structs. For fexit and lsm the result
 *   follows; for iterators they are the members of the iterator's context.
 */
export function program<const Section extends string, A extends Arguments>(
  section: Section & TracedSection<Section>,
  name: string,
  args: A,
  body: (p: Program<KindOfSection<Section>>, args: ArgumentsOf<A>) => Answer<KindOfSection<Section>>,
): ProgramDecl;
export function program(
  section: string,
  name: string,
  ...rest: [args: Arguments, body: (p: never, ctx: never) => unknown] | [body: (p: never, ctx: never) => unknown]
): ProgramDecl {
  const [args, body] = rest.length === 2 ? rest : [null, rest[0]];
  const parsed = parseSection(section);
  if (parsed === undefined) throw new InputError(`there is no section ${section}`);
  const { def } = parsed;
  const isTraced = def.progType === ProgType.TRACING || def.progType === ProgType.LSM;
  if (isTraced !== (args !== null)) {
    throw new InputError(
      isTraced
        ? `the arguments of programs of section ${def.name} must be declared: program(section, name, { … }, body)`
        : `programs of section ${def.name} have a context: their arguments are not declared`,
    );
  }
  if (def.progType === ProgType.EXT || def.progType === ProgType.TRACEPOINT || def.progType === ProgType.STRUCT_OPS) {
    throw new InputError(`program() cannot declare programs of section ${def.name}`);
  }
  const context =
    args === null
      ? plainContext(def)
      : (code: Code): Context<never> => ({ value: tracedContext(code, args) as never, type: wordsType });
  return declare({ kind: def.name as SectionName, name, section, context, body: body as never });
}

function plainContext(def: SectionDef): (code: Code) => Context<never> {
  return (code) => ({ value: newContext(code, def) as never, type: contextType(def.progType) });
}

function contextType(progType: number): ContextType {
  if (progType === ProgType.RAW_TRACEPOINT || progType === ProgType.RAW_TRACEPOINT_WRITABLE) return rawTracepointType;
  if (progType === ProgType.SYSCALL) return () => 0;
  if (progType === ProgType.NETFILTER) return netfilterType;
  const layout = ctxLayout(progType);
  if (layout === undefined) throw new BugError(`no context is known for program type ${progType}`);
  return layoutType(layout);
}

/** What stands in the place of a tracepoint's path that the table does not know. */
type KnownPath<Path> = Path extends KnownTracepoint
  ? Path
  : CompileError<"this tracepoint is not in bpfsmith's table: declare its fields, tracepoint(path, name, { field: u32 }, (p, ctx) => …)">;

/**
 * A program at a tracepoint. The fields of its context are those of the machine's format file where the object is built
 * for this machine, else of a checked-in table; tracepoints that are not in the table need their fields
 * declared.
 * @param path `category/name`, as under `events/` of tracefs.
 * @param name the program's name.
 * @throws InputError for a name that is no C identifier.
 */
export function tracepoint<const Path extends string>(
  path: Path & KnownPath<Path>,
  name: string,
  body: (p: Program<"tracepoint">, ctx: KnownContext<Path>) => Answer<"tracepoint">,
): ProgramDecl;
export function tracepoint<F extends Fields>(
  path: string,
  name: string,
  fields: F,
  body: (p: Program<"tracepoint">, ctx: DeclaredContext<F>) => Answer<"tracepoint">,
): ProgramDecl;
export function tracepoint(
  path: string,
  name: string,
  ...rest: [fields: Fields, body: (p: never, ctx: never) => unknown] | [body: (p: never, ctx: never) => unknown]
): ProgramDecl {
  const [fields, body] = rest.length === 2 ? rest : [null, rest[0]];
  if (!/^[^/]+\/[^/]+$/.test(path)) {
    throw new InputError(`"${path}" is no tracepoint: expected category/name, e.g. sched/sched_switch`);
  }
  return declare({
    kind: "tracepoint",
    name,
    section: `tracepoint/${path}`,
    context: (code, tracepoints) => tracepointContext(code, path, fields, tracepoints) as Context<unknown>,
    body: body as (p: Program<"tracepoint">, ctx: unknown) => unknown,
  });
}

/**
 * A program at a raw tracepoint, which gets the arguments as the kernel's code passes them.
 * @param event the tracepoint's name without its category.
 */
export function rawTracepoint(
  event: string,
  name: string,
  body: (p: Program<"rawTracepoint">, ctx: RawTracepointContext) => Answer<"rawTracepoint">,
): ProgramDecl {
  return program(`raw_tracepoint/${event}`, name, body);
}

/** A program at the entry of a kernel function. */
export function kprobe(
  func: string,
  name: string,
  body: (p: Program<"kprobe">, ctx: KprobeContext) => Answer<"kprobe">,
): ProgramDecl {
  return program(`kprobe/${func}`, name, body);
}

/** A program at the return of a kernel function. */
export function kretprobe(
  func: string,
  name: string,
  body: (p: Program<"kretprobe">, ctx: KprobeContext) => Answer<"kretprobe">,
): ProgramDecl {
  return program(`kretprobe/${func}`, name, body);
}

/** A program on a socket: its result says how many bytes of a packet the socket gets, 0 for none. */
export function socketFilter(
  name: string,
  body: (p: Program<"socketFilter">, ctx: SocketFilterContext) => Answer<"socketFilter">,
): ProgramDecl {
  return program("socket", name, body);
}

/** A program at a network interface, before anything else sees a packet: its result is an `XdpAction`. */
export function xdp(name: string, body: (p: Program<"xdp">, ctx: XdpContext) => Answer<"xdp">): ProgramDecl {
  return program("xdp", name, body);
}

/** A program at a network interface's queueing discipline (`clsact`): its result is a `TcAction`. */
export function tc(name: string, body: (p: Program<"tc">, ctx: ContextOf<"tc">) => Answer<"tc">): ProgramDecl {
  return program("tc", name, body);
}
