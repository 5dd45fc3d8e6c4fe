// SPDX-License-Identifier: MIT
import { BugError } from "../../util/errors.js";
import { ArgType, RetType, TypeFlag } from "../bpf-types.js";
import { type HelperFacts, helpers618 } from "./facts.js";
import { type HelperName, helperNames } from "./names.js";
import { coreProtos } from "./protos-core.js";
import { packetProtos } from "./protos-packet.js";
import { socketProtos } from "./protos-socket.js";
import { tracingProtos } from "./protos-tracing.js";
import type { ProtoChoice } from "./sets-base.js";
import type { HelperCaps, HelperProto, ProtoRow } from "./types.js";

export type { HelperFacts } from "./facts.js";
export { helpers612, helpers618 } from "./facts.js";
export type { HelperName } from "./names.js";
export { HELPER_MAX_ID, helperNames } from "./names.js";
export type { HelperCaps, HelperProto } from "./types.js";

const ids: ReadonlyMap<string, number> = new Map(helperNames.map((name, id) => [name, id]));

function typeNumber(text: string, base: Readonly<Record<string, number>>): number {
  let type = 0;
  for (const [i, name] of text.split(" | ").entries()) {
    const value = i === 0 ? base[name] : (TypeFlag as Readonly<Record<string, number>>)[name];
    if (value === undefined) throw new BugError(`helper prototype table: unknown type ${text}`);
    type |= value;
  }
  return type;
}

function five<T>(at: (arg: number) => T): readonly T[] {
  return [1, 2, 3, 4, 5].map(at);
}

function resolve(variant: string, row: ProtoRow, facts: HelperFacts): HelperProto {
  const args = facts.args[variant];
  return {
    id: helperByName(row.helper)!,
    name: row.helper,
    variant,
    retType: typeNumber(row.ret, RetType),
    argTypes: five((arg) => typeNumber(args?.[arg] ?? row.args[arg - 1] ?? "DONTCARE", ArgType)),
    argSizes: five((arg) => row.argSize?.[arg] ?? 0),
    argBtf: five((arg) => row.argBtf?.[arg] ?? null),
    retBtf: row.retBtf ?? null,
    gplOnly: row.gpl ?? false,
    pktAccess: row.pktAccess ?? false,
    mightSleep: (row.mightSleep ?? false) || facts.mightSleep.includes(variant),
    allowFastcall: row.fastcall ?? false,
    allowed: row.allowed ?? null,
  };
}

const tables: readonly Readonly<Record<string, ProtoRow>>[] = [coreProtos, tracingProtos, packetProtos, socketProtos];

/** Prototypes asked for so far: a program needs a handful of the 274. */
const resolvedBy = new WeakMap<HelperFacts, Map<string, HelperProto>>();

/** A prototype by its variant's name, e.g. `perf_event_output_tp`: that of the kernel without `bpf_` and `_proto`. */
function protoOfVariant(variant: string, facts: HelperFacts): HelperProto | undefined {
  let resolved = resolvedBy.get(facts);
  if (resolved === undefined) {
    resolved = new Map();
    resolvedBy.set(facts, resolved);
  }
  let proto = resolved.get(variant);
  if (proto === undefined) {
    const row = tables.find((table) => Object.hasOwn(table, variant))?.[variant];
    if (row === undefined) return undefined;
    proto = resolve(variant, row, facts);
    resolved.set(variant, proto);
  }
  return proto;
}

/** Every prototype by its variant's name. */
export function helperProtos(facts: HelperFacts = helpers618): ReadonlyMap<string, HelperProto> {
  const variants = tables.flatMap((table) => Object.keys(table));
  return new Map(variants.map((variant) => [variant, protoOfVariant(variant, facts)!]));
}

/** The name of a helper without `bpf_`; undefined for an id that names none. The kernel's log prints `bpf_NAME#ID`. */
export function helperById(id: number): HelperName | undefined {
  return helperNames[id];
}

/** The id of a helper, with or without `bpf_` in front; undefined when there is none of that name. */
export function helperByName(name: string): number | undefined {
  return ids.get(name) ?? (name.startsWith("bpf_") ? ids.get(name.slice(4)) : undefined);
}

/** All that root may do. */
export const ALL_CAPS: HelperCaps = { bpf: true, perfmon: true };

/**
 * The prototype under which a program may call a helper; null when it may not ("program of this type
 * cannot use helper") or the id names none. Mirrors `env->ops->get_func_proto()`.
 * @param expectedAttachType BPF attach type of the load; some variants depend on it.
 * @param id BPF_FUNC_* number.
 * @param sleepable whether the program runs in a sleepable context.
 * @param facts which kernel's helpers; default those of 6.18.
 */
export function helperProto(
  progType: number,
  expectedAttachType: number,
  id: number,
  caps: HelperCaps = ALL_CAPS,
  sleepable = false,
  facts: HelperFacts = helpers618,
): HelperProto | null {
  const name = helperNames[id];
  if (name === undefined) return null;
  for (let set = facts.sets.get(progType) ?? null; set !== null; set = set.next) {
    if (set.needs !== undefined && !caps[set.needs]) return null;
    const choice = set.helpers[name];
    if (choice === undefined) continue;
    const variant = choose(choice, expectedAttachType, caps, sleepable);
    if (variant === null) return null;
    const proto = protoOfVariant(variant, facts);
    if (proto === undefined) throw new BugError(`helper set names an unknown prototype ${variant}`);
    return proto;
  }
  return null;
}

function choose(choice: ProtoChoice, attach: number, caps: HelperCaps, sleepable: boolean): string | null {
  if (choice === null || typeof choice === "string") return choice;
  if ("sleepable" in choice) return sleepable ? choice.sleepable : choice.other;
  if ("needs" in choice) return caps[choice.needs] ? choice.proto : null;
  return choice.attach.includes(attach) ? choice.proto : choose(choice.other, attach, caps, sleepable);
}
