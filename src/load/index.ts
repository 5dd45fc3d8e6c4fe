// SPDX-License-Identifier: MIT
export * from "./ask-kernel.js";
export * from "./attach.js";
export * from "./cpus.js";
export * from "./files.js";
export * from "./kernel-facts.js";
export * from "./load-object.js";
export * from "./loaded-object.js";
export * from "./patch.js";
export * from "./prepare.js";
export * from "./session.js";
export * from "./typed-global.js";
export * from "./typed-map.js";
export * from "./typed-ring.js";
export * from "./vmlinux.js";
