// SPDX-License-Identifier: MIT
export * from "./find-section.js";
export * from "./format.js";
export * from "./limits.js";
export * from "./link/link-objects.js";
export * from "./map-def.js";
export * from "./object-btf.js";
export * from "./object-layout.js";
export * from "./read-elf.js";
export * from "./read-object.js";
export * from "./write-elf.js";
export * from "./write-object.js";
