// SPDX-License-Identifier: MIT
import { BugError, InputError } from "../../util/errors.js";
import { type BtfIndex, LazyBtf } from "../lazy.js";
import { MAX_NESTING, StepLimit } from "../limits.js";

/** How a type depends on the one that leads to it. */
const WEAK = 0;
const STRONG = 1;
type Link = typeof WEAK | typeof STRONG;

/** States of a type; 0 is that of one not seen yet. */
const ORDERING = 1;
const ORDERED = 2;

/**
 * The order in which C wants definitions: whatever is embedded before what embeds it. Where a pointer stands
 * between two named types a forward declaration is enough (a weak link); an anonymous one is written out where
 * it is used, so what it needs is needed there, pointer or not (a strong link).
 *
 * The order is that of libbpf's btf_dump_order_type(), so that headers come out as bpftool writes them.
 */
export class DefinitionOrder {
  readonly #btf: BtfIndex;
  readonly #state: Uint8Array;
  readonly #referenced: Uint8Array;
  #queue: number[] = [];
  readonly #steps: StepLimit;

  constructor(btf: BtfIndex) {
    this.#btf = btf;
    this.#state = new Uint8Array(btf.types.length);
    this.#state[0] = ORDERED;
    this.#referenced = findReferenced(btf);
    this.#steps = new StepLimit(btf.types.length, "ordering the definitions");
  }

  /**
   * Ids of the definitions that this type needs, itself included, in their order; without those of earlier calls.
   * @throws InputError for a type that contains itself, or nesting beyond reason.
   */
  definitionsFor(id: number): readonly number[] {
    this.#queue = [];
    this.#visit(id, false, 0);
    return this.#queue;
  }

  #visit(id: number, throughPtr: boolean, depth: number): Link {
    const state = this.#state;
    if (state[id] === ORDERED) return STRONG;
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    this.#steps.step();
    const type = this.#btf.typeById(id);
    if (state[id] === ORDERING) {
      const isNamed = (type.kind === "struct" || type.kind === "union") && type.name !== "";
      if (isNamed && throughPtr) return WEAK;
      throw new InputError(`BTF type id ${id} contains itself`);
    }
    switch (type.kind) {
      case "void":
        throw new BugError("void is ordered from the start");
      case "int":
      case "float":
        state[id] = ORDERED;
        return WEAK;
      case "ptr": {
        const link = this.#visit(type.type, true, depth + 1);
        state[id] = ORDERED;
        return link;
      }
      case "array":
        return this.#visit(type.type, false, depth + 1);
      case "struct":
      case "union":
        if (throughPtr && type.name !== "") return WEAK;
        state[id] = ORDERING;
        this.#steps.step(type.members.length);
        for (const member of type.members) this.#visit(member.type, false, depth + 1);
        if (type.name !== "") this.#queue.push(id);
        state[id] = ORDERED;
        return STRONG;
      case "enum":
      case "enum64":
      case "fwd":
        // An anonymous enum that nothing refers to is there for its constants.
        if (type.name !== "" || this.#referenced[id] === 0) this.#queue.push(id);
        state[id] = ORDERED;
        return STRONG;
      case "typedef":
        if (this.#visit(type.type, throughPtr, depth + 1) === WEAK && throughPtr) return WEAK;
        this.#queue.push(id);
        state[id] = ORDERED;
        return STRONG;
      case "volatile":
      case "const":
      case "restrict":
      case "typeTag":
        return this.#visit(type.type, throughPtr, depth + 1);
      case "funcProto": {
        this.#steps.step(type.params.length);
        let link = this.#visit(type.returnType, throughPtr, depth + 1);
        for (const param of type.params) if (this.#visit(param.type, throughPtr, depth + 1) === STRONG) link = STRONG;
        return link;
      }
      case "func":
      case "var":
      case "datasec":
      case "declTag":
        state[id] = ORDERED;
        return WEAK;
    }
  }
}

/** Which types any other refers to, so far as it matters: functions only refer to their prototypes. */
function findReferenced(btf: BtfIndex): Uint8Array {
  const referenced = new Uint8Array(btf.types.length);
  if (btf instanceof LazyBtf) {
    btf.markReferenced(referenced);
    return referenced;
  }
  for (let id = 1; id < referenced.length; id++) {
    if (btf.kindById(id) === "func") continue;
    const type = btf.typeById(id);
    switch (type.kind) {
      case "array":
        referenced[type.indexType] = 1;
        referenced[type.type] = 1;
        break;
      case "struct":
      case "union":
        for (const member of type.members) referenced[member.type] = 1;
        break;
      case "funcProto":
        // The return value does not count for libbpf.
        for (const param of type.params) referenced[param.type] = 1;
        break;
      case "datasec":
        for (const info of type.vars) referenced[info.type] = 1;
        break;
      default:
        if ("type" in type) referenced[type.type] = 1;
    }
  }
  return referenced;
}
