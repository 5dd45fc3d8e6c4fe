// SPDX-License-Identifier: GPL-2.0-only
export { type BtfVerdict, btfRefusal, type ValidateBtfOptions, validateBtf } from "./btf-load/validate.js";
export type * from "./events.js";
export { type Capabilities, type VerifyOptions, type VerifyResult, type VerifyStats, verify } from "./verify.js";
