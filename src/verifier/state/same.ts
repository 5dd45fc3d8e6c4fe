// SPDX-License-Identifier: GPL-2.0-only
import { checkIds } from "./ids.js";
import { R_ID, R_OFF, R_REF_OBJ_ID, R_TYPE, R_U0, R_U1, R_U2 } from "./reg.js";

/* Comparisons of registers to the bit. Where the kernel compares memory, they name the words. */

/** Type, offset and union are the same: memcmp() up to var_off. */
export function sameObject(om: Int32Array, o: number, cm: Int32Array, c: number): boolean {
  return (
    om[o + R_TYPE] === cm[c + R_TYPE] &&
    om[o + R_OFF] === cm[c + R_OFF] &&
    om[o + R_U0] === cm[c + R_U0] &&
    om[o + R_U1] === cm[c + R_U1] &&
    om[o + R_U2] === cm[c + R_U2]
  );
}

/** All but the ids and what follows them is the same: memcmp() up to id. */
export function sameUpToId(om: Int32Array, o: number, cm: Int32Array, c: number): boolean {
  for (let i = R_TYPE; i < R_ID; i++) if (om[o + i] !== cm[c + i]) return false;
  return om[o + R_U0] === cm[c + R_U0] && om[o + R_U1] === cm[c + R_U1] && om[o + R_U2] === cm[c + R_U2];
}

/** Mirrors regs_exact(). */
export function regsExact(om: Int32Array, o: number, cm: Int32Array, c: number): boolean {
  return (
    sameUpToId(om, o, cm, c) &&
    checkIds(om[o + R_ID]!, cm[c + R_ID]!) &&
    checkIds(om[o + R_REF_OBJ_ID]!, cm[c + R_REF_OBJ_ID]!)
  );
}
