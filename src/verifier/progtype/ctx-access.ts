// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import {
  CTX_POINTERS,
  type CtxField,
  type CtxLayout,
  type CtxSizes,
  ctxFieldAt,
  ctxLayout,
} from "../../kernel/ctx/index.js";
import { Limit } from "../../kernel/limits.js";
import { ProgType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv } from "../env.js";
import { BPF_READ, BPF_WRITE } from "../kinds/access.js";
import type { InsnAccessAux } from "./access-aux.js";
import { sockFilterIsValidAccess } from "./sock.js";

/* Offsets in struct bpf_nf_ctx. */
const NF_CTX_STATE = 0;
const NF_CTX_SKB = 8;

/** Whether a naturally aligned access of `size` bytes at `off` suits the field. */
function fits(field: CtxField, off: number, size: number, sizes: CtxSizes): boolean {
  const end = field.offset + field.size * field.count;
  const pair = size === 8 && off + 8 <= end;
  switch (sizes) {
    case "full":
      return size === field.size;
    case "narrow":
      return size <= field.size;
    case "narrow2":
      return size >= 2 && size <= field.size;
    case "narrowStart":
      return size === field.size || (off === field.offset && size < field.size);
    case "narrowPair":
      return size <= field.size || pair;
    case "fullPair":
      return size === field.size || pair;
    case "padded":
      return size <= field.size || size === 4;
    case "any":
      return off + size <= end;
  }
}

/** Whether the layout allows the access; fills in `info` when it does. */
function checkLayout(
  env: VerifierEnv,
  layout: CtxLayout,
  off: number,
  size: number,
  type: number,
  info: InsnAccessAux,
): boolean {
  if (off < 0 || off >= layout.size || off % size !== 0) return false;
  const field = ctxFieldAt(layout, off);
  const sizes = type === BPF_READ ? field?.read : field?.write;
  if (field === undefined || sizes == null || !fits(field, off, size, sizes)) return false;
  const attach = env.attachType;
  if (field.attach !== undefined && !field.attach.includes(attach)) return false;
  if (type === BPF_WRITE && field.writeAttach !== undefined && !field.writeAttach.includes(attach)) return false;
  if (field.noSignExtend === true && info.isLdsx) return false;
  if (field.points !== undefined) info.regType = CTX_POINTERS[field.points];
  if (type === BPF_READ && sizes.startsWith("narrow")) info.ctxFieldSize = field.size;
  return true;
}

/** Without CAP_BPF, cgroup_skb programs do without packet data and the time stamp's setting. */
function cgroupSkbNeedsCap(env: VerifierEnv, layout: CtxLayout, off: number, type: number): boolean {
  if (env.bpfCapable) return false;
  const name = ctxFieldAt(layout, off)?.name;
  return name === "data" || name === "data_end" || (name === "tstamp" && type === BPF_WRITE);
}

/**
 * Whether a program of this type may access its context so. `info.isLdsx` is looked at, the rest of
 * `info` filled in. Mirrors env->ops->is_valid_access().
 * @throws Unsupported for a program type whose context is not known.
 */
export function isValidAccess(env: VerifierEnv, off: number, size: number, type: number, info: InsnAccessAux): boolean {
  const progType = env.load.progType;
  if (progType === ProgType.SYSCALL) return off >= 0 && off < 0xffff && off % size === 0;
  if (progType === ProgType.TRACEPOINT) return tpProgIsValidAccess(off, size, type);
  if (progType === ProgType.CGROUP_SOCK) return sockFilterIsValidAccess(env, off, size, type, info);
  if (progType === ProgType.RAW_TRACEPOINT_WRITABLE) return rawTpWritableIsValidAccess(env, off, size, type, info);
  if (progType === ProgType.NETFILTER) return nfIsValidAccess(env, off, size, type);
  const layout = ctxLayout(progType);
  if (layout === undefined) throw new Unsupported(env.insnIdx, `context access of program type ${progType}`);
  if (progType === ProgType.CGROUP_SKB && cgroupSkbNeedsCap(env, layout, off, type)) return false;
  return checkLayout(env, layout, off, size, type, info);
}

/**
 * The kernel compares the lower bound without sign, so that negative offsets pass: what lies before
 * the record is readable, by mistake. Mirrors tp_prog_is_valid_access().
 */
function tpProgIsValidAccess(off: number, size: number, type: number): boolean {
  const outside = (off >= 0 && off < 8) || off >= Limit.PERF_MAX_TRACE_SIZE;
  return !outside && type === BPF_READ && off % size === 0;
}

/**
 * Two pointers to kernel objects. Mirrors nf_is_valid_access().
 * @throws Unsupported for what may be read
 */
function nfIsValidAccess(env: VerifierEnv, off: number, size: number, type: number): boolean {
  if (type !== BPF_READ || size !== 8 || (off !== NF_CTX_STATE && off !== NF_CTX_SKB)) return false;
  throw new Unsupported(env.insnIdx, "kernel object in the context of a netfilter program");
}

/** The first argument is the tracepoint's writable buffer. Mirrors raw_tp_writable_prog_is_valid_access(). */
function rawTpWritableIsValidAccess(
  env: VerifierEnv,
  off: number,
  size: number,
  type: number,
  info: InsnAccessAux,
): boolean {
  if (off === 0) {
    if (size !== 8 || type !== BPF_READ) return false;
    info.regType = RegType.PTR_TO_TP_BUFFER;
  }
  return checkLayout(env, ctxLayout(ProgType.RAW_TRACEPOINT)!, off, size, type, info);
}

/** Whether the program type's context is converted when accessed, so that its size is known (convert_ctx_access). */
export function convertsCtxAccess(progType: number): boolean {
  switch (progType) {
    case ProgType.KPROBE:
    case ProgType.TRACEPOINT:
    case ProgType.RAW_TRACEPOINT:
    case ProgType.RAW_TRACEPOINT_WRITABLE:
    case ProgType.TRACING:
    case ProgType.LSM:
    case ProgType.EXT:
    case ProgType.STRUCT_OPS:
    case ProgType.SYSCALL:
    case ProgType.CGROUP_DEVICE:
    case ProgType.LIRC_MODE2:
    case ProgType.NETFILTER:
      return false;
    default:
      return true;
  }
}
