// SPDX-License-Identifier: MIT
export * from "./bpf-types.js";
export * from "./ctx/index.js";
export * from "./errno.js";
export * from "./helpers/index.js";
export * from "./license.js";
export * from "./limits.js";
export * from "./profile.js";
export * from "./prog-results.js";
export * from "./prog-rights.js";
export * from "./rules.js";
export * from "./sections.js";
export * from "./tracepoint-table.js";
export * from "./tracepoints.js";
export * from "./uapi.js";
