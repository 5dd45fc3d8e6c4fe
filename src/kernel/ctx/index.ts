// SPDX-License-Identifier: MIT
import { ProgType } from "../uapi.js";
import { cgroupSkbCtx, lwtCtx, schedClsCtx, skSkbCtx, socketFilterCtx, xdpCtx } from "./packet.js";
import { kprobeCtx, perfEventCtx, rawTracepointCtx, tracepointCtx } from "./tracing.js";
import type { CtxLayout } from "./types.js";

export { cgroupSkbCtx, lwtCtx, schedClsCtx, skSkbCtx, socketFilterCtx, xdpCtx } from "./packet.js";
export { kprobeCtx, type PtReg, perfEventCtx, ptRegsRole, rawTracepointCtx, tracepointCtx } from "./tracing.js";
export { type CtxField, type CtxLayout, type CtxSizes, ctxFieldAt } from "./types.js";

const layouts: ReadonlyMap<number, CtxLayout> = new Map([
  [ProgType.SOCKET_FILTER, socketFilterCtx],
  [ProgType.KPROBE, kprobeCtx],
  [ProgType.SCHED_CLS, schedClsCtx],
  [ProgType.SCHED_ACT, schedClsCtx],
  [ProgType.TRACEPOINT, tracepointCtx],
  [ProgType.XDP, xdpCtx],
  [ProgType.CGROUP_SKB, cgroupSkbCtx],
  [ProgType.LWT_IN, lwtCtx],
  [ProgType.LWT_OUT, lwtCtx],
  [ProgType.LWT_XMIT, lwtCtx],
  [ProgType.LWT_SEG6LOCAL, lwtCtx],
  [ProgType.SK_SKB, skSkbCtx],
  [ProgType.PERF_EVENT, perfEventCtx],
  [ProgType.RAW_TRACEPOINT, rawTracepointCtx],
] as const);

/** The context of a program type; undefined for one whose layout is not known here yet. */
export function ctxLayout(progType: number): CtxLayout | undefined {
  return layouts.get(progType);
}
