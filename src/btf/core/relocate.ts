// SPDX-License-Identifier: MIT
import type { Insn } from "../../asm/insn.js";
import { BPF_LD_IMM64 } from "../../asm/opcode.js";
import { CoreReloKind } from "../../kernel/uapi.js";
import { type ErrorPlace, InputError } from "../../util/errors.js";
import type { Btf } from "../types.js";
import { matchEnumerator, matchField, type SpecMatch } from "./match-field.js";
import { typesAreCompatible, typesMatch } from "./match-type.js";
import { type CorePatch, patchInsn } from "./patch.js";
import { coreReloKindName, coreReloSubject } from "./relo-kind.js";
import { type CoreTypes, coreTypes, essentialName } from "./source.js";
import { type CoreReloRecord, type CoreSpec, emptySpec, formatSpec, parseSpec } from "./spec.js";
import { type CoreValue, coreValue } from "./value.js";
import { describe, kindsCompatible, nameOf, StepBudget } from "./walk.js";

/** A kernel's types: its own, and those of its modules. */
export interface CoreTarget {
  /** Name in messages, e.g. `vmlinux` or the path of a file. */
  readonly name: string;
  readonly types: CoreTypes;
  /** Split BTF of the kernel's modules; wanted only for what `types` does not have. */
  readonly modules?: () => readonly { readonly name: string; readonly types: CoreTypes }[];
}

/** A function with relocations. */
export interface CoreFunction {
  readonly name: string;
  readonly section: string;
  readonly insns: readonly Insn[];
  readonly core: readonly CoreReloRecord[];
}

/** A type of the target that was looked at for a relocation. */
export interface CoreCandidate extends SpecMatch {
  /** Name of the BTF that it is of. */
  readonly target: string;
}

/** What became of a relocation. */
export interface CoreReloResult {
  readonly relo: CoreReloRecord;
  /** What the program asks for; {@link formatSpec} says it in words. */
  readonly local: CoreSpec;
  readonly candidates: readonly CoreCandidate[];
  /** The first candidate that matches (all that match come to the same); null when none does. */
  readonly chosen: CoreCandidate | null;
  readonly value: CoreValue;
  readonly patch: CorePatch;
}

/** A function after relocation. */
export interface CoreRelocated {
  readonly insns: readonly Insn[];
  /** In the order of the relocations. */
  readonly results: readonly CoreReloResult[];
}

/** A possible target type. */
interface TargetType {
  readonly target: string;
  readonly types: CoreTypes;
  readonly id: number;
}

/** A relocation before the instruction is touched: equal relocations share it. */
type Resolution = Omit<CoreReloResult, "relo" | "patch">;

/**
 * Relocates the functions of one object (libbpf: bpf_object__relocate_core()). Functions must come in the
 * object's order, for a candidate that fails one relocation is not asked for the next ones of the same type.
 */
export class CoreRelocator {
  readonly #local: CoreTypes;
  readonly #target: CoreTarget | null;
  readonly #littleEndian: boolean;
  /** By local type id. */
  readonly #candidates = new Map<number, TargetType[]>();
  /** By kind, type, access string and number of candidates left (of a type's candidates, ever fewer are). */
  readonly #resolutions = new Map<string, Resolution>();

  /**
   * @param btf the object's types.
   * @param target null when no kernel is at hand: then only ids of local types can be relocated.
   */
  constructor(btf: Btf, target: CoreTarget | null, options: { readonly littleEndian?: boolean } = {}) {
    // Pointers of BPF programs have 8 bytes, whatever the object's types look like.
    this.#local = coreTypes(btf, { pointerSize: 8 });
    this.#target = target;
    this.#littleEndian = options.littleEndian ?? true;
  }

  /**
   * Relocates a function's instructions.
   * @throws InputError naming section, instruction and relocation where libbpf refuses the object.
   */
  relocate(func: CoreFunction): CoreRelocated {
    if (func.core.length === 0) return { insns: func.insns, results: [] };
    const insns = [...func.insns];
    const results = func.core.map((relo, index) => {
      try {
        return this.#relocateOne(insns, relo);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        const place: ErrorPlace = { section: func.section, insn: relo.insn };
        const what = `function ${func.name}: CO-RE relocation #${index} ${this.#describe(relo)}`;
        throw new InputError(`${what}: ${error.message}`, place, { cause: error });
      }
    });
    return { insns, results };
  }

  #relocateOne(insns: Insn[], relo: CoreReloRecord): CoreReloResult {
    if (insns[relo.insn]?.opcode === BPF_LD_IMM64 && relo.insn + 1 >= insns.length) {
      throw new InputError("the 64-bit immediate load is truncated");
    }
    const resolution = this.resolve(relo);
    return { relo, ...resolution, patch: patchInsn(insns, relo.insn, resolution.value) };
  }

  /** The relocation in words, as far as it makes sense. */
  #describe(relo: CoreReloRecord): string {
    try {
      return formatSpec(parseSpec(this.#local, relo));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return `<${coreReloKindName(relo.kind)}> [${relo.typeId}] + ${relo.access}`;
    }
  }

  /**
   * Finds what a relocation comes to, without an instruction.
   * @throws InputError where libbpf refuses the object.
   */
  resolve(relo: Omit<CoreReloRecord, "insn">): Resolution {
    const left = this.#candidates.get(relo.typeId)?.length ?? -1;
    const key = `${relo.kind} ${relo.typeId} ${relo.access} ${left}`;
    let resolution = this.#resolutions.get(key);
    if (resolution === undefined) {
      resolution = this.#resolve(relo);
      this.#resolutions.set(key, resolution);
    }
    return resolution;
  }

  #resolve(relo: Omit<CoreReloRecord, "insn">): Resolution {
    if (relo.kind === CoreReloKind.TYPE_ID_LOCAL) {
      const local = parseSpec(this.#local, relo);
      return { local, candidates: [], chosen: null, value: coreValue(local, local, this.#littleEndian) };
    }
    const types = this.#candidatesOf(relo.typeId);
    const local = parseSpec(this.#local, relo);
    const candidates = types.map((type) => ({ target: type.target, ...matchCandidate(local, type) }));
    const matching = candidates.filter((candidate) => candidate.matches);
    const [chosen, ...others] = matching;
    if (chosen === undefined) {
      return { local, candidates, chosen: null, value: coreValue(local, null, this.#littleEndian) };
    }
    const value = coreValue(local, chosen.spec, this.#littleEndian);
    for (const other of others) {
      const otherValue = coreValue(local, other.spec, this.#littleEndian);
      if (other.spec.bitOffset !== chosen.spec.bitOffset || otherValue.after !== value.after) {
        throw new InputError(
          `ambiguous: value ${value.after} by ${inWords(chosen)}, ${otherValue.after} by ${inWords(other)}`,
        );
      }
    }
    this.#candidates.set(
      relo.typeId,
      types.filter((_, i) => candidates[i]!.matches),
    );
    return { local, candidates, chosen, value };
  }

  /** The target types that the local one may stand for: same name without flavours, same kind. */
  #candidatesOf(localId: number): TargetType[] {
    let candidates = this.#candidates.get(localId);
    if (candidates === undefined) {
      candidates = this.#findCandidates(localId);
      this.#candidates.set(localId, candidates);
    }
    return candidates;
  }

  #findCandidates(localId: number): TargetType[] {
    const local = this.#local.typeById(localId);
    const name = essentialName(nameOf(local));
    if (name === "") throw new InputError(`${describe(local)} has no name to find it by on the target`);
    if (this.#target === null) {
      throw new InputError("the object must be relocated against the types of a kernel, and none were given");
    }
    const from = (target: string, types: CoreTypes): TargetType[] =>
      types
        .idsByEssentialName(name)
        .filter((id) => kindsCompatible(types.typeById(id), local))
        .map((id) => ({ target, types, id }));
    const main = from(this.#target.name, this.#target.types);
    if (main.length > 0) return main;
    return (this.#target.modules?.() ?? []).flatMap((module) => from(module.name, module.types));
  }
}

function matchCandidate(local: CoreSpec, candidate: TargetType): SpecMatch {
  const { types, id } = candidate;
  const budget = new StepBudget();
  switch (coreReloSubject(local.kind)) {
    case "field":
      return matchField(local, types, id, budget);
    case "enumval":
      return matchEnumerator(local, types, id);
    default: {
      const compare = local.kind === CoreReloKind.TYPE_MATCHES ? typesMatch : typesAreCompatible;
      const matches = compare(local.types, local.rootTypeId, types, id, budget);
      return { spec: emptySpec(types, id, local.kind), matches };
    }
  }
}

/** E.g. `struct s.a (0:0 @ offset 0) of vmlinux`. */
function inWords(candidate: CoreCandidate): string {
  return `${formatSpec(candidate.spec)} of ${candidate.target}`;
}
