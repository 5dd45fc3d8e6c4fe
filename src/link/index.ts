// SPDX-License-Identifier: MIT
export * from "./interface.js";
export * from "./kprobe.js";
export * from "./link.js";
export * from "./raw-tracepoint.js";
export * from "./socket-filter.js";
export * from "./struct-ops.js";
export * from "./trace.js";
export * from "./trace-pipe.js";
export * from "./tracefs.js";
export * from "./tracepoint.js";
export * from "./uprobe.js";
export * from "./xdp.js";
