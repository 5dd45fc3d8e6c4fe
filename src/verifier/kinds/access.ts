// SPDX-License-Identifier: GPL-2.0-only

/** enum bpf_access_type. */
export const BPF_READ = 1;
/** As a write, but named after the helper that does it: where kernels do not tell what a helper does. */
export const BPF_INDIRECT = 3;
export const BPF_WRITE = 2;

/** enum bpf_access_src: by an instruction, or by a helper. */
export const ACCESS_DIRECT = 1;
export const ACCESS_HELPER = 2;

/**
 * What checking a call's arguments finds out, for the rest of the call. One is reused for every call.
 * Mirrors struct bpf_call_arg_meta.
 */
export class CallArgMeta {
  /** 1-based index into `env.maps`, 0 for none. */
  mapPtr = 0;
  mapUid = 0;
  rawMode = false;
  pktAccess = false;
  releaseRegno = 0;
  regno = 0;
  accessSize = 0;
  memSize = 0;
  /** u64, as two words. */
  msizeMaxLo = 0;
  msizeMaxHi = 0;
  refObjId = 0;
  dynptrId = 0;
  /** The call may move the packet, though its helper's name does not say so. */
  changesPktData = false;
  funcId = 0;
  subprogno = 0;
  retBtf = 0;
  retBtfId = 0;
  /** s64; only small values matter: -1 when the key is no constant. */
  constMapKey = 0;

  reset(): void {
    this.mapPtr = 0;
    this.mapUid = 0;
    this.rawMode = false;
    this.pktAccess = false;
    this.releaseRegno = 0;
    this.regno = 0;
    this.accessSize = 0;
    this.memSize = 0;
    this.msizeMaxLo = 0;
    this.msizeMaxHi = 0;
    this.refObjId = 0;
    this.dynptrId = 0;
    this.changesPktData = false;
    this.funcId = 0;
    this.subprogno = 0;
    this.retBtf = 0;
    this.retBtfId = 0;
    this.constMapKey = 0;
  }
}
