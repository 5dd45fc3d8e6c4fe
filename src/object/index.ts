// SPDX-License-Identifier: MIT
export * from "./maps.js";
export * from "./resolve.js";
