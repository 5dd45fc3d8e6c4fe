// SPDX-License-Identifier: MIT
export type * from "./load.js";
export type * from "./spec.js";
