// SPDX-License-Identifier: MIT
export * from "./globals.js";
export * from "./kconfig.js";
export * from "./maps.js";
export * from "./missing.js";
export * from "./options.js";
export * from "./resolve.js";
export * from "./struct-ops.js";
