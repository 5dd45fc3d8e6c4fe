// SPDX-License-Identifier: MIT
export { ffi, openFfi } from "./backend.js";
export * from "./btf.js";
export * from "./capabilities.js";
export * from "./errors.js";
export * from "./fd.js";
export * from "./ffi.js";
export * from "./info.js";
export * from "./link.js";
export * from "./map.js";
export * from "./memory.js";
export * from "./mount.js";
export * from "./pacing.js";
export * from "./perf-event.js";
export * from "./permissions.js";
export * from "./pin.js";
export * from "./program.js";
export * from "./ringbuf.js";
export * from "./socket.js";
