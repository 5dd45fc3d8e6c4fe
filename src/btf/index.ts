// SPDX-License-Identifier: MIT
export * from "./builder.js";
export * from "./size.js";
export type * from "./types.js";
