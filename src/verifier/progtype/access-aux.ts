// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";

/** What a valid context access gives. One is reused for every access. Mirrors struct bpf_insn_access_aux. */
export class InsnAccessAux {
  regType: number = RegType.SCALAR_VALUE;
  isLdsx = false;
  ctxFieldSize = 0;

  reset(isLdsx: boolean): void {
    this.regType = RegType.SCALAR_VALUE;
    this.isLdsx = isLdsx;
    this.ctxFieldSize = 0;
  }
}
