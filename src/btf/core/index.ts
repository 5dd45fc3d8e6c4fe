// SPDX-License-Identifier: MIT
export * from "./match-type.js";
export * from "./patch.js";
export * from "./relo-kind.js";
export * from "./relocate.js";
export * from "./source.js";
export * from "./spec.js";
export * from "./value.js";
