// SPDX-License-Identifier: MIT
export * from "./globals.js";
export * from "./maps.js";
export * from "./resolve.js";
