// SPDX-License-Identifier: MIT
export { dedupTypes } from "./dedup.js";
export * from "./merge.js";
export { BtfWords } from "./words.js";
