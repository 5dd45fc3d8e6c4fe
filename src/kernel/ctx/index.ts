// SPDX-License-Identifier: MIT
import { ProgType } from "../uapi.js";
import { cgroupSkbCtx, flowDissectorCtx, lwtCtx, schedClsCtx, skSkbCtx, socketFilterCtx, xdpCtx } from "./packet.js";
import { cgroupSockCtx } from "./sock.js";
import {
  cgroupDeviceCtx,
  cgroupSockAddrCtx,
  cgroupSockoptCtx,
  cgroupSysctlCtx,
  skLookupCtx,
  skMsgCtx,
  skReuseportCtx,
  sockOpsCtx,
} from "./socket.js";
import { kprobeCtx, lircMode2Ctx, perfEventCtx, rawTracepointCtx, tracepointCtx } from "./tracing.js";
import type { CtxLayout } from "./types.js";

export {
  cgroupSkbCtx,
  flowDissectorCtx,
  flowKeysLayout,
  lwtCtx,
  schedClsCtx,
  skSkbCtx,
  socketFilterCtx,
  xdpCtx,
} from "./packet.js";
export { cgroupSockCtx, sockCommonLayout, sockLayout, tcpSockLayout } from "./sock.js";
export {
  cgroupDeviceCtx,
  cgroupSockAddrCtx,
  cgroupSockoptCtx,
  cgroupSysctlCtx,
  skLookupCtx,
  skMsgCtx,
  skReuseportCtx,
  sockOpsCtx,
} from "./socket.js";
export {
  kprobeCtx,
  lircMode2Ctx,
  type PtReg,
  perfEventCtx,
  ptRegsRole,
  rawTracepointCtx,
  tracepointCtx,
} from "./tracing.js";
export { CTX_POINTERS, type CtxField, type CtxLayout, type CtxPointee, type CtxSizes, ctxFieldAt } from "./types.js";

/** The contexts by program type. */
export const ctxLayouts = {
  [ProgType.SOCKET_FILTER]: socketFilterCtx,
  [ProgType.KPROBE]: kprobeCtx,
  [ProgType.SCHED_CLS]: schedClsCtx,
  [ProgType.SCHED_ACT]: schedClsCtx,
  [ProgType.TRACEPOINT]: tracepointCtx,
  [ProgType.XDP]: xdpCtx,
  [ProgType.CGROUP_SKB]: cgroupSkbCtx,
  [ProgType.CGROUP_SOCK]: cgroupSockCtx,
  [ProgType.LWT_IN]: lwtCtx,
  [ProgType.LWT_OUT]: lwtCtx,
  [ProgType.LWT_XMIT]: lwtCtx,
  [ProgType.LWT_SEG6LOCAL]: lwtCtx,
  [ProgType.SK_SKB]: skSkbCtx,
  [ProgType.FLOW_DISSECTOR]: flowDissectorCtx,
  [ProgType.CGROUP_DEVICE]: cgroupDeviceCtx,
  [ProgType.CGROUP_SYSCTL]: cgroupSysctlCtx,
  [ProgType.CGROUP_SOCKOPT]: cgroupSockoptCtx,
  [ProgType.CGROUP_SOCK_ADDR]: cgroupSockAddrCtx,
  [ProgType.SOCK_OPS]: sockOpsCtx,
  [ProgType.SK_MSG]: skMsgCtx,
  [ProgType.SK_REUSEPORT]: skReuseportCtx,
  [ProgType.SK_LOOKUP]: skLookupCtx,
  [ProgType.LIRC_MODE2]: lircMode2Ctx,
  [ProgType.PERF_EVENT]: perfEventCtx,
  [ProgType.RAW_TRACEPOINT]: rawTracepointCtx,
} as const satisfies Readonly<Record<number, CtxLayout>>;

/** The context of a program type; undefined for one whose layout is not known here yet. */
export function ctxLayout(progType: number): CtxLayout | undefined {
  return (ctxLayouts as Readonly<Record<number, CtxLayout>>)[progType];
}
