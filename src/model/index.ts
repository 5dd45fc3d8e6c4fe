// SPDX-License-Identifier: MIT

export { objectText } from "./asm-text.js";
export { type AssembleObjectOptions, assembleObject } from "./assemble.js";
export type * from "./codec.js";
export type * from "./load.js";
export * from "./make.js";
export * from "./record.js";
export type * from "./spec.js";
