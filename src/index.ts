// SPDX-License-Identifier: MIT
export * from "./dsl/index.js";
