// SPDX-License-Identifier: MIT
export * from "./builder.js";
export * from "./core/index.js";
export * from "./dedup/index.js";
export * from "./dump/c.js";
export * from "./dump/raw.js";
export * from "./dump/ts.js";
export * from "./ext.js";
export * from "./format.js";
export * from "./layout/layout.js";
export * from "./layout/text.js";
export * from "./lazy.js";
export * from "./read.js";
export * from "./size.js";
export * from "./split.js";
export * from "./strings.js";
export type * from "./types.js";
export { writeBtf } from "./write.js";
