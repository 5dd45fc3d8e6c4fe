// SPDX-License-Identifier: GPL-2.0-only
import type { Btf, BtfType } from "../../btf/types.js";
import { ArgType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { ProgType } from "../../kernel/uapi.js";
import { type SubprogInfo, Unsupported, type VerifierEnv, verbose } from "../env.js";

/* What BTF says of a function's arguments, as types of the verifier. */

const MAX_RESOLVE_DEPTH = 32;
const VOID: BtfType = { kind: "void" };

function typeAt(btf: Btf, id: number): BtfType {
  return btf.types[id] ?? VOID;
}

function nameOf(type: BtfType): string {
  return "name" in type ? type.name : "";
}

/** `const` and its like, and tags: modifiers other than a typedef. */
function isQualifier(type: BtfType): type is Extract<BtfType, { kind: "volatile" | "const" | "restrict" | "typeTag" }> {
  return type.kind === "const" || type.kind === "volatile" || type.kind === "restrict" || type.kind === "typeTag";
}

/** Mirrors btf_type_is_modifier(). */
function isModifier(
  type: BtfType,
): type is Extract<BtfType, { kind: "typedef" | "volatile" | "const" | "restrict" | "typeTag" }> {
  return type.kind === "typedef" || isQualifier(type);
}

function skipModifiers(btf: Btf, id: number): BtfType {
  let type = typeAt(btf, id);
  while (isModifier(type)) type = typeAt(btf, type.type);
  return type;
}

const kindNames: Readonly<Record<BtfType["kind"], string>> = {
  void: "UNKNOWN",
  int: "INT",
  ptr: "PTR",
  array: "ARRAY",
  struct: "STRUCT",
  union: "UNION",
  enum: "ENUM",
  fwd: "FWD",
  typedef: "TYPEDEF",
  volatile: "VOLATILE",
  const: "CONST",
  restrict: "RESTRICT",
  func: "FUNC",
  funcProto: "FUNC_PROTO",
  var: "VAR",
  datasec: "DATASEC",
  float: "FLOAT",
  declTag: "DECL_TAG",
  typeTag: "TYPE_TAG",
  enum64: "ENUM64",
};

/** Mirrors btf_type_str(). */
function btfTypeStr(type: BtfType): string {
  return kindNames[type.kind];
}

/** Bytes of a value of the type, -1 when it has no size. Mirrors btf_resolve_size(). */
function resolveSize(btf: Btf, start: BtfType): number {
  let type = start;
  let nelems = 1;
  for (let i = 0; i < MAX_RESOLVE_DEPTH; i++) {
    if (isModifier(type)) {
      type = typeAt(btf, type.type);
      continue;
    }
    let size: number;
    switch (type.kind) {
      case "int":
      case "struct":
      case "union":
      case "enum":
      case "enum64":
      case "float":
        size = type.size;
        break;
      case "ptr":
        size = 8;
        break;
      case "array":
        nelems *= type.nelems;
        if (nelems > 0xffff_ffff) return -1;
        type = typeAt(btf, type.type);
        continue;
      default:
        return -1;
    }
    return nelems * size > 0xffff_ffff ? -1 : nelems * size;
  }
  return -1;
}

function isStruct(type: BtfType): boolean {
  return type.kind === "struct" || type.kind === "union";
}

function isScalar(type: BtfType): boolean {
  return type.kind === "int" || type.kind === "enum" || type.kind === "enum64";
}

const sk = ["__sk_buff", "sk_buff"];

/** Names of the structs that a program type's context may be declared as; none: only by tag. */
const ctxNames: ReadonlyMap<number, readonly string[]> = new Map<number, readonly string[]>([
  [ProgType.SOCKET_FILTER, sk],
  [ProgType.SCHED_CLS, sk],
  [ProgType.SCHED_ACT, sk],
  [ProgType.XDP, ["xdp_md", "xdp_buff"]],
  [ProgType.CGROUP_SKB, sk],
  [ProgType.CGROUP_SOCK, ["bpf_sock"]],
  [ProgType.CGROUP_SOCK_ADDR, ["bpf_sock_addr"]],
  [ProgType.LWT_IN, sk],
  [ProgType.LWT_OUT, sk],
  [ProgType.LWT_XMIT, sk],
  [ProgType.LWT_SEG6LOCAL, sk],
  [ProgType.SOCK_OPS, ["bpf_sock_ops"]],
  [ProgType.SK_SKB, sk],
  [ProgType.SK_MSG, ["sk_msg_md"]],
  [ProgType.FLOW_DISSECTOR, sk],
  [ProgType.KPROBE, ["pt_regs", "bpf_user_pt_regs_t"]],
  [ProgType.PERF_EVENT, ["bpf_perf_event_data"]],
  [ProgType.RAW_TRACEPOINT, ["bpf_raw_tracepoint_args"]],
  [ProgType.RAW_TRACEPOINT_WRITABLE, ["bpf_raw_tracepoint_args"]],
  [ProgType.CGROUP_DEVICE, ["bpf_cgroup_dev_ctx"]],
  [ProgType.CGROUP_SYSCTL, ["bpf_sysctl"]],
  [ProgType.CGROUP_SOCKOPT, ["bpf_sockopt"]],
  [ProgType.SK_REUSEPORT, ["sk_reuseport_md"]],
  [ProgType.SK_LOOKUP, ["bpf_sk_lookup"]],
  [ProgType.NETFILTER, ["bpf_nf_ctx"]],
]);

/** Whether the pointer's target is, after `const` and the like, the typedef bpf_user_pt_regs_t. */
function isUserPtRegsTypedef(btf: Btf, target: number): boolean {
  let type = typeAt(btf, target);
  while (isQualifier(type)) type = typeAt(btf, type.type);
  return type.kind === "typedef" && type.name === "bpf_user_pt_regs_t";
}

/** Whether a pointer to `target` is the program's context by its type's name. Mirrors btf_is_prog_ctx_type(). */
function isProgCtxType(btf: Btf, target: number, progType: number): boolean {
  if (progType === ProgType.KPROBE && isUserPtRegsTypedef(btf, target)) return true;
  const type = skipModifiers(btf, target);
  return isStruct(type) && (ctxNames.get(progType)?.includes(nameOf(type)) ?? false);
}

/** Types that stand for the context of a program of this type although they do not bear its name. */
function isSpecialCtx(progType: number, type: BtfType): boolean {
  switch (progType) {
    case ProgType.KPROBE:
    case ProgType.PERF_EVENT:
      return type.kind === "struct" && type.name === "pt_regs";
    case ProgType.RAW_TRACEPOINT:
    case ProgType.RAW_TRACEPOINT_WRITABLE:
      return type.kind === "int" && type.size === 8;
    case ProgType.TRACEPOINT:
    case ProgType.SYSCALL:
    case ProgType.EXT:
      return true;
    default:
      return false;
  }
}

/** An argument tagged as context must be declared as one. Mirrors btf_validate_prog_ctx_type(). */
function validateProgCtxType(env: VerifierEnv, btf: Btf, target: number, arg: number): number {
  const { progType } = env.load;
  const regsTypedef = progType === ProgType.KPROBE || progType === ProgType.PERF_EVENT;
  if (regsTypedef && isUserPtRegsTypedef(btf, target)) return 0;
  const type = skipModifiers(btf, target);
  if (type.kind === "void") return 0;
  if (nameOf(type) === "") {
    verbose(env, `arg#${arg} type doesn't have a name\n`);
    return -Errno.EINVAL;
  }
  if (isSpecialCtx(progType, type)) return 0;
  const name = ctxNames.get(progType)?.[0];
  if (name === undefined) {
    verbose(env, `arg#${arg} should be void pointer\n`);
    return -Errno.EINVAL;
  }
  if (type.kind !== "struct" || type.name !== name) {
    verbose(env, `arg#${arg} should be \`struct ${name} *\`\n`);
    return -Errno.EINVAL;
  }
  return 0;
}

/* enum btf_arg_tag. */
const ARG_TAG_CTX = 1;
const ARG_TAG_NONNULL = 2;
const ARG_TAG_TRUSTED = 4;
const ARG_TAG_UNTRUSTED = 8;
const ARG_TAG_NULLABLE = 16;
const ARG_TAG_ARENA = 32;

const tagBits: ReadonlyMap<string, number> = new Map([
  ["ctx", ARG_TAG_CTX],
  ["nonnull", ARG_TAG_NONNULL],
  ["trusted", ARG_TAG_TRUSTED],
  ["untrusted", ARG_TAG_UNTRUSTED],
  ["nullable", ARG_TAG_NULLABLE],
  ["arena", ARG_TAG_ARENA],
]);

type DeclTag = Extract<BtfType, { kind: "declTag" }>;

const taggedArgs = new WeakMap<Btf, ReadonlyMap<number, readonly DeclTag[]>>();

/** The `arg:` tags of a BTF, in its order, by the id of the function that they stand on. */
function argTagsOf(btf: Btf): ReadonlyMap<number, readonly DeclTag[]> {
  const known = taggedArgs.get(btf);
  if (known !== undefined) return known;
  const tags = new Map<number, DeclTag[]>();
  for (const type of btf.types) {
    if (type.kind !== "declTag" || !type.name.startsWith("arg:")) continue;
    const list = tags.get(type.type);
    if (list === undefined) tags.set(type.type, [type]);
    else list.push(type);
  }
  taggedArgs.set(btf, tags);
  return tags;
}

/** The `arg:` tags of argument `arg`, or a negative errno. */
function argTags(env: VerifierEnv, btf: Btf, funcId: number, arg: number, isGlobal: boolean): number {
  const list = argTagsOf(btf).get(funcId);
  if (list === undefined) return 0;
  let tags = 0;
  for (const type of list) {
    if (type.componentIdx !== arg) continue;
    if (!isGlobal) {
      verbose(env, `arg#${arg} type tag is not supported in static functions\n`);
      return -Errno.EOPNOTSUPP;
    }
    const tag = type.name.slice("arg:".length);
    const bit = tag === "untrusted" && !env.rules.untrustedArgs ? undefined : tagBits.get(tag);
    if (bit === undefined) {
      verbose(env, `arg#${arg} has unsupported set of tags\n`);
      return -Errno.EOPNOTSUPP;
    }
    tags |= bit;
  }
  return tags;
}

function invalid(env: VerifierEnv, text: string): number {
  verbose(env, text);
  return -Errno.EINVAL;
}

/** Whether the pointer's target is struct bpf_dynptr. Mirrors btf_is_dynptr_ptr(). */
function isDynptrPtr(btf: Btf, target: number): boolean {
  const type = skipModifiers(btf, target);
  if (type.kind === "fwd") return !type.isUnion && type.name === "bpf_dynptr";
  return isStruct(type) && nameOf(type) === "bpf_dynptr";
}

interface Arg {
  argType: number;
  memSize: number;
  btfId: number;
}

/** Plain memory behind a pointer of a global function. */
function memArg(env: VerifierEnv, btf: Btf, i: number, target: number, tags: number, out: Arg): number {
  if ((tags & ARG_TAG_NULLABLE) !== 0) return invalid(env, `arg#${i} has invalid combination of tags\n`);
  const type = skipModifiers(btf, target);
  const size = resolveSize(btf, type);
  if (size < 0) {
    return invalid(
      env,
      `arg#${i} reference type('${btfTypeStr(type)} ${nameOf(type)}') size cannot be determined: -22\n`,
    );
  }
  out.argType = (tags & ARG_TAG_NONNULL) !== 0 ? ArgType.PTR_TO_MEM : ArgType.PTR_TO_MEM | TypeFlag.PTR_MAYBE_NULL;
  out.memSize = size;
  return 0;
}

/** A tagged pointer that is neither context nor plain memory: 0 when `out` is filled, 1 when the tags say nothing. */
function taggedArg(env: VerifierEnv, btf: Btf, i: number, target: number, tags: number, out: Arg): number {
  if ((tags & ARG_TAG_TRUSTED) !== 0) {
    if ((tags & ARG_TAG_NONNULL) !== 0) return invalid(env, `arg#${i} has invalid combination of tags\n`);
    throw new Unsupported(env.insnIdx, "trusted argument of a global function");
  }
  if ((tags & ARG_TAG_UNTRUSTED) !== 0) {
    if (tags !== ARG_TAG_UNTRUSTED) {
      return invalid(env, `arg#${i} untrusted cannot be combined with any other tags\n`);
    }
    const type = skipModifiers(btf, target);
    if (type.kind !== "void" && !isScalar(type)) {
      throw new Unsupported(env.insnIdx, "untrusted kernel object as argument of a global function");
    }
    out.argType = ArgType.PTR_TO_MEM | TypeFlag.MEM_RDONLY | TypeFlag.PTR_UNTRUSTED;
    out.memSize = 0;
    return 0;
  }
  if ((tags & ARG_TAG_ARENA) !== 0) {
    if (tags !== ARG_TAG_ARENA) return invalid(env, `arg#${i} arena cannot be combined with any other tags\n`);
    out.argType = ArgType.PTR_TO_ARENA;
    return 0;
  }
  return 1;
}

/** A pointer argument: 0 when `out` is filled, 1 when it is none of the known kinds, or a negative errno. */
function ptrArg(
  env: VerifierEnv,
  btf: Btf,
  i: number,
  target: number,
  tags: number,
  isGlobal: boolean,
  out: Arg,
): number {
  if ((tags & ARG_TAG_CTX) !== 0 || isProgCtxType(btf, target, env.load.progType)) {
    if ((tags & ~ARG_TAG_CTX) !== 0) return invalid(env, `arg#${i} has invalid combination of tags\n`);
    if ((tags & ARG_TAG_CTX) !== 0 && validateProgCtxType(env, btf, target, i) !== 0) return -Errno.EINVAL;
    out.argType = ArgType.PTR_TO_CTX;
    return 0;
  }
  if (isDynptrPtr(btf, target)) {
    if (tags !== 0) return invalid(env, `arg#${i} has invalid combination of tags\n`);
    out.argType = ArgType.PTR_TO_DYNPTR | TypeFlag.MEM_RDONLY;
    return 0;
  }
  const tagged = taggedArg(env, btf, i, target, tags, out);
  if (tagged !== 1) return tagged;
  return isGlobal ? memArg(env, btf, i, target, tags, out) : 1;
}

/** Fills in argument `i`. */
function prepareArg(env: VerifierEnv, btf: Btf, sub: SubprogInfo, i: number, typeId: number): number {
  const out: Arg = { argType: 0, memSize: 0, btfId: 0 };
  const tags = argTags(env, btf, sub.btfFuncId, i, sub.isGlobal);
  if (tags < 0) return tags;
  const type = skipModifiers(btf, typeId);
  if (type.kind === "ptr") {
    const got = ptrArg(env, btf, i, type.type, tags, sub.isGlobal, out);
    if (got < 0) return got;
    if (got === 0) {
      sub.args[i] = out;
      return 0;
    }
  }
  if (tags !== 0) return invalid(env, `arg#${i} has pointer tag, but is not a pointer type\n`);
  if (isScalar(type)) {
    out.argType = ArgType.ANYTHING;
    sub.args[i] = out;
    return 0;
  }
  if (!sub.isGlobal) return -Errno.EINVAL;
  return invalid(env, `Arg#${i} type ${btfTypeStr(type)} in ${sub.name}() is not supported yet.\n`);
}

/** Whether func_info was given with the program. */
export function hasFuncInfo(env: VerifierEnv): boolean {
  return env.progBtf !== null && (env.load.funcInfo?.count ?? 0) > 0;
}

/**
 * Finds out what the arguments of function `subprog` are; only for programs with func_info.
 * Mirrors btf_prepare_func_args().
 */
export function btfPrepareFuncArgs(env: VerifierEnv, subprog: number): number {
  const sub = env.subprogs[subprog]!;
  const btf = env.progBtf!;
  if (sub.argsCached) return 0;

  const func = typeAt(btf, sub.btfFuncId);
  const proto = func.kind === "func" ? typeAt(btf, func.type) : VOID;
  if (proto.kind !== "funcProto") return -Errno.EFAULT;
  const nargs = proto.params.length;
  if (nargs > Limit.MAX_BPF_FUNC_REG_ARGS) {
    if (!sub.isGlobal) return -Errno.EINVAL;
    return invalid(
      env,
      `Global function ${sub.name}() with ${nargs} > ${Limit.MAX_BPF_FUNC_REG_ARGS} args. Buggy compiler.\n`,
    );
  }
  if (!isScalar(skipModifiers(btf, proto.returnType))) {
    if (!sub.isGlobal) return -Errno.EINVAL;
    return invalid(env, `Global function ${sub.name}() doesn't return scalar. Only those are supported.\n`);
  }
  for (const [i, param] of proto.params.entries()) {
    const err = prepareArg(env, btf, sub, i, param.type);
    if (err !== 0) return err;
  }
  sub.argCnt = nargs;
  sub.argsCached = true;
  return 0;
}
