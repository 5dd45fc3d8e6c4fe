// SPDX-License-Identifier: GPL-2.0-only
import { BTF_KIND } from "../../btf/format.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import type { LoadedBtf } from "./blob.js";
import type { BtfEnv } from "./env.js";
import { checkMember, intIsRegular } from "./member.js";
import { hasNoSize, ResolvedTypes } from "./resolved.js";

/*
 * What types lead to: every reference is followed until something of known size comes, depth first, on a stack of 32
 * types. A pointer ends the way from a struct, and a struct the way from a pointer; otherwise a list could not be said.
 */

const EINVAL = -Errno.EINVAL;
const U32_MAX = 0xffffffff;

type Mode = "undecided" | "pointer" | "aggregate";

function isAggregate(kind: number): boolean {
  return kind === BTF_KIND.struct || kind === BTF_KIND.union || kind === BTF_KIND.array;
}

/** Mirrors btf_type_is_resolve_source_only(). */
function isSourceOnly(kind: number): boolean {
  return kind === BTF_KIND.var || kind === BTF_KIND.declTag || kind === BTF_KIND.datasec;
}

/** Mirrors btf_type_needs_resolve(). */
function needsResolve(btf: LoadedBtf, id: number): boolean {
  const kind = btf.kind(id);
  return (
    btf.isModifier(id) || kind === BTF_KIND.ptr || kind === BTF_KIND.func || isAggregate(kind) || isSourceOnly(kind)
  );
}

/** The second pass over all types. */
export class Resolver {
  private readonly env: BtfEnv;
  private readonly btf: LoadedBtf;
  private readonly types: ResolvedTypes;
  private readonly stack = new Uint32Array(Limit.MAX_RESOLVE_DEPTH);
  /** Of each type on the stack: how many of its members are done. */
  private readonly done = new Uint32Array(Limit.MAX_RESOLVE_DEPTH);
  private depth = 0;
  private mode: Mode = "undecided";

  constructor(env: BtfEnv) {
    this.env = env;
    this.btf = env.btf;
    this.types = new ResolvedTypes(env.btf);
  }

  /** Mirrors btf_check_all_types(). */
  checkAll(): number {
    const { env, btf, types } = this;
    env.checkingMeta = false;
    for (let id = 1; id < btf.count; id++) {
      env.logTypeId = id;
      let err = 0;
      if (needsResolve(btf, id) && !types.isResolved(id)) err = this.resolve(id);
      else if (btf.kind(id) === BTF_KIND.funcProto) err = this.checkPrototype(id);
      if (err !== 0) return err;
    }
    return 0;
  }

  /** Mirrors btf_resolve(). */
  private resolve(id: number): number {
    const { env } = this;
    const about = env.logTypeId;
    this.mode = "undecided";
    this.push(id);
    let err = 0;
    while (err === 0 && this.depth > 0) {
      const top = this.stack[this.depth - 1]!;
      env.logTypeId = top;
      err = this.step(top);
    }
    env.logTypeId = id;
    if (err === -Errno.E2BIG) env.sayType(id, `Exceeded max resolving depth:${Limit.MAX_RESOLVE_DEPTH}`);
    else if (err === -Errno.EEXIST) env.sayType(id, "Loop detected");
    else if (err === 0 && !this.isValid(id)) err = this.refuse(id, "Invalid resolve state");
    env.logTypeId = about;
    return err;
  }

  /** Mirrors btf_resolve_valid(). */
  private isValid(id: number): boolean {
    const { btf, types } = this;
    if (!types.isResolved(id)) return false;
    const kind = btf.kind(id);
    const to = types.idOf(id);
    const size = types.sizeOf(id);
    switch (kind) {
      case BTF_KIND.struct:
      case BTF_KIND.union:
      case BTF_KIND.datasec:
        return to === 0 && size === 0;
      case BTF_KIND.declTag:
      case BTF_KIND.func:
        return to !== 0 && size === 0;
      case BTF_KIND.array: {
        const element = types.sized(btf.u32(btf.rest(id)));
        const count = btf.u32(btf.rest(id) + 8);
        return element >= 0 && !btf.isModifier(element) && Math.imul(count, types.size) >>> 0 === size;
      }
      default: {
        const kindOfTo = btf.kind(to);
        return !btf.isModifier(to) && kindOfTo !== BTF_KIND.var && kindOfTo !== BTF_KIND.datasec;
      }
    }
  }

  /** Mirrors env_stack_push(). */
  private push(id: number): number {
    if (this.depth === Limit.MAX_RESOLVE_DEPTH) return -Errno.E2BIG;
    if (!this.types.visit(id)) return -Errno.EEXIST;
    this.stack[this.depth] = id;
    this.done[this.depth] = 0;
    this.depth++;
    if (this.mode !== "undecided") return 0;
    const kind = this.btf.kind(id);
    if (kind === BTF_KIND.ptr) this.mode = "pointer";
    else if (isAggregate(kind)) this.mode = "aggregate";
    return 0;
  }

  /** Mirrors env_stack_pop_resolved(). */
  private pop(to: number, size: number): number {
    this.depth--;
    this.types.resolve(this.stack[this.depth]!, to, size);
    return 0;
  }

  /** Whether the type must be resolved before the one on top of the stack: neither a sink nor resolved. */
  private isAhead(id: number): boolean {
    return !this.isSink(id) && !this.types.isResolved(id);
  }

  /** Mirrors env_type_is_resolve_sink(). */
  private isSink(id: number): boolean {
    const { btf } = this;
    if (this.mode === "undecided") return !needsResolve(btf, id);
    if (btf.isModifier(id)) return false;
    const kind = btf.kind(id);
    return this.mode === "pointer" ? kind !== BTF_KIND.ptr : !isAggregate(kind);
  }

  private refuse(id: number, message: string): number {
    this.env.sayType(id, message);
    return EINVAL;
  }

  /** One step with the type on top of the stack: its kind's resolve(). */
  private step(id: number): number {
    switch (this.btf.kind(id)) {
      case BTF_KIND.struct:
      case BTF_KIND.union:
        return this.struct(id);
      case BTF_KIND.array:
        return this.array(id);
      case BTF_KIND.ptr:
        return this.reference(id, true);
      case BTF_KIND.var:
        return this.variable(id);
      case BTF_KIND.datasec:
        return this.datasec(id);
      case BTF_KIND.declTag:
        return this.declTag(id);
      case BTF_KIND.func:
        return this.func(id);
      default:
        if (this.btf.isModifier(id)) return this.reference(id, false);
        this.env.sayBasic(id, "Unsupported resolve");
        return EINVAL;
    }
  }

  /**
   * The pointer at which a modifier's way ended when it was resolved for a struct, which now has to be gone on from: it
   * might lead back. -1 when there is none.
   */
  private pointerAhead(next: number): number {
    if (!this.btf.isModifier(next)) return -1;
    const to = this.types.idOf(next);
    return this.btf.kind(to) === BTF_KIND.ptr && this.isAhead(to) ? to : -1;
  }

  /** Mirrors btf_modifier_resolve() and btf_ptr_resolve(). */
  private reference(id: number, pointer: boolean): number {
    const { btf, types } = this;
    let next = btf.word(id);
    if (!btf.has(next) || isSourceOnly(btf.kind(next))) return this.refuse(id, "Invalid type_id");
    if (this.isAhead(next)) return this.push(next);
    const ahead = pointer ? this.pointerAhead(next) : -1;
    if (ahead >= 0) return this.push(ahead);
    const sized = types.sized(next);
    if (sized >= 0) return this.pop(sized, 0);
    if (types.isResolved(next)) next = types.idOf(next);
    const kind = btf.kind(next);
    if (kind !== BTF_KIND.void && kind !== BTF_KIND.fwd && kind !== BTF_KIND.funcProto) {
      return this.refuse(id, "Invalid type_id");
    }
    return this.pop(next, 0);
  }

  /** Mirrors btf_var_resolve(). */
  private variable(id: number): number {
    const { btf, types } = this;
    const next = btf.word(id);
    if (!btf.has(next) || isSourceOnly(btf.kind(next))) return this.refuse(id, "Invalid type_id");
    if (this.isAhead(next)) return this.push(next);
    const ahead = this.pointerAhead(next);
    if (ahead >= 0) return this.push(ahead);
    const sized = types.sized(next);
    return sized < 0 ? this.refuse(id, "Invalid type_id") : this.pop(sized, 0);
  }

  /** Whether a type can stand in an array or struct, as far as its kind says. */
  private canBePart(id: number): boolean {
    const { btf } = this;
    return btf.has(id) && !hasNoSize(btf, id) && !isSourceOnly(btf.kind(id));
  }

  /** Mirrors btf_array_resolve(). */
  private array(id: number): number {
    const { btf, types } = this;
    const index = btf.u32(btf.rest(id) + 4);
    if (!this.canBePart(index)) return this.refuse(id, "Invalid index");
    if (this.isAhead(index)) return this.push(index);
    const indexInt = types.sized(index);
    if (indexInt < 0 || btf.kind(indexInt) !== BTF_KIND.int || !intIsRegular(btf, indexInt)) {
      return this.refuse(id, "Invalid index");
    }
    const element = btf.u32(btf.rest(id));
    if (!this.canBePart(element)) return this.refuse(id, "Invalid elem");
    if (this.isAhead(element)) return this.push(element);
    const sized = types.sized(element);
    if (sized < 0) return this.refuse(id, "Invalid elem");
    if (btf.kind(sized) === BTF_KIND.int && !intIsRegular(btf, sized)) return this.refuse(id, "Invalid array of int");
    const count = btf.u32(btf.rest(id) + 8);
    // A product beyond 2^53 is not exact, and far too large.
    if (types.size * count > U32_MAX) return this.refuse(id, "Array size overflows U32_MAX");
    return this.pop(sized, types.size * count);
  }

  /** Mirrors btf_struct_resolve(). */
  private struct(id: number): number {
    const { env, btf, types } = this;
    const members = btf.rest(id);
    const frame = this.depth - 1;
    const count = btf.vlen(id);
    let i = this.done[frame]!;
    // The member that had to be resolved first: now it shows whether it fits.
    if (i > 0) {
      const err = checkMember(env, types, id, members + (i - 1) * 12);
      if (err !== 0) return err;
    }
    for (; i < count; i++) {
      const member = members + i * 12;
      const type = btf.u32(member + 4);
      if (!this.canBePart(type)) {
        env.sayMember(id, member, type, "Invalid member");
        return EINVAL;
      }
      if (this.isAhead(type)) {
        this.done[frame] = i + 1;
        return this.push(type);
      }
      const err = checkMember(env, types, id, member);
      if (err !== 0) return err;
    }
    return this.pop(0, 0);
  }

  /** Mirrors btf_datasec_resolve(). */
  private datasec(id: number): number {
    const { env, btf, types } = this;
    this.mode = "undecided";
    const vars = btf.rest(id);
    const frame = this.depth - 1;
    const count = btf.vlen(id);
    for (let i = this.done[frame]!; i < count; i++) {
      const vsi = vars + i * 12;
      const variable = btf.u32(vsi);
      let fault = "";
      if (!btf.has(variable) || btf.kind(variable) !== BTF_KIND.var) fault = "Not a VAR kind member";
      else if (this.isAhead(variable)) {
        this.done[frame] = i + 1;
        return this.push(variable);
      } else if (types.sized(btf.word(variable)) < 0) fault = "Invalid type";
      else if (btf.u32(vsi + 8) < types.size) fault = "Invalid size";
      if (fault !== "") {
        env.sayVariable(id, vsi, fault);
        return EINVAL;
      }
    }
    return this.pop(0, 0);
  }

  /** Mirrors btf_decl_tag_resolve(). */
  private declTag(id: number): number {
    const { btf } = this;
    const next = btf.word(id);
    const kind = btf.has(next) ? btf.kind(next) : BTF_KIND.void;
    const isStruct = kind === BTF_KIND.struct || kind === BTF_KIND.union;
    if (kind !== BTF_KIND.func && !isStruct && kind !== BTF_KIND.var && kind !== BTF_KIND.typedef) {
      return this.refuse(id, "Invalid type_id");
    }
    if (this.isAhead(next)) return this.push(next);
    const component = btf.u32(btf.rest(id));
    if ((component | 0) !== -1) {
      if (kind === BTF_KIND.var || kind === BTF_KIND.typedef) return this.refuse(id, "Invalid component_idx");
      const parts = btf.vlen(isStruct ? next : btf.word(next));
      if (component >= parts) return this.refuse(id, "Invalid component_idx");
    }
    return this.pop(next, 0);
  }

  /** Mirrors btf_func_resolve() and btf_func_check(). */
  private func(id: number): number {
    const { btf } = this;
    const proto = btf.word(id);
    if (!btf.has(proto) || btf.kind(proto) !== BTF_KIND.funcProto) return this.refuse(id, "Invalid type_id");
    const params = btf.rest(proto);
    const count = btf.vlen(proto);
    for (let i = 0; i < count; i++) {
      const nameless = btf.u32(params + i * 8) === 0;
      if (nameless && btf.u32(params + i * 8 + 4) !== 0) return this.refuse(id, `Invalid arg#${i + 1}`);
    }
    return this.pop(proto, 0);
  }

  /** Whether something can be handed to a function or back; resolves it. 1 when it cannot, else 0 or a negative errno. */
  private checkPassed(type: number): number {
    const { btf, types } = this;
    if (!btf.has(type) || isSourceOnly(btf.kind(type))) return 1;
    if (needsResolve(btf, type) && !types.isResolved(type)) {
      const err = this.resolve(type);
      if (err !== 0) return err;
    }
    return types.sized(type) < 0 ? 1 : 0;
  }

  /** Mirrors btf_func_proto_check(). */
  private checkPrototype(id: number): number {
    const { btf } = this;
    const returned = btf.word(id);
    if (returned !== 0) {
      const err = this.checkPassed(returned);
      if (err !== 0) return err > 0 ? this.refuse(id, "Invalid return type") : err;
    }
    const params = btf.rest(id);
    let count = btf.vlen(id);
    if (count > 0 && btf.u32(params + (count - 1) * 8 + 4) === 0) {
      // More arguments may follow: no name either.
      if (btf.u32(params + (count - 1) * 8) !== 0) return this.refuse(id, `Invalid arg#${count}`);
      count--;
    }
    for (let i = 0; i < count; i++) {
      const name = btf.u32(params + i * 8);
      const type = btf.u32(params + i * 8 + 4);
      // The name is looked at before the type is resolved, whose faults have other words.
      const possible = btf.has(type) && !isSourceOnly(btf.kind(type));
      const named = name === 0 || (btf.nameOffsetValid(name) && btf.validIdentifier(name));
      const err = possible && named ? this.checkPassed(type) : 1;
      if (err !== 0) return err > 0 ? this.refuse(id, `Invalid arg#${i + 1}`) : err;
    }
    return 0;
  }
}
