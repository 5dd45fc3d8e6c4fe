// SPDX-License-Identifier: MIT
import { Cmd } from "../kernel/uapi.js";
import { Attr, bpf } from "./attr.js";
import { SyscallError, VerifierRejection } from "./errors.js";
import { Fd } from "./fd.js";
import { BTF_LOAD } from "./layout.js";
import { withLog } from "./log-buffer.js";

/**
 * Brings a BTF blob into the kernel (BPF_BTF_LOAD).
 * @param name For messages.
 * @throws VerifierRejection with the kernel's log when it finds fault with the blob, else SyscallError.
 */
export function loadBtf(btf: Uint8Array, name: string): Fd {
  const result = bpf(Cmd.BTF_LOAD, btfAttr(btf), BTF_LOAD.size);
  const what = `BTF of ${name}`;
  if (result >= 0) return new Fd(result, what);
  const second = withLog((log) => {
    const attr = btfAttr(btf)
      .u32(BTF_LOAD.btf_log_level, 1)
      .u32(BTF_LOAD.btf_log_size, log.length)
      .pointer(BTF_LOAD.btf_log_buf, log);
    const retried = bpf(Cmd.BTF_LOAD, attr, BTF_LOAD.size);
    return { result: retried, trueSize: attr.getU32(BTF_LOAD.btf_log_true_size) };
  });
  if (second.result >= 0) return new Fd(second.result, what);
  if (second.log !== "") throw new VerifierRejection(what, -result, second.log);
  throw new SyscallError("BPF_BTF_LOAD", -result, what);
}

function btfAttr(btf: Uint8Array): Attr {
  return new Attr().pointer(BTF_LOAD.btf, btf).u32(BTF_LOAD.btf_size, btf.length);
}

/** What BPF_BTF_LOAD said to one blob. */
export interface BtfLoadAnswer {
  /** Positive error number, 0 when the kernel took it. */
  readonly errno: number;
  /** `btf_log_true_size`: bytes that the whole log takes with its NUL. */
  readonly logTrueSize: number;
}

/**
 * Puts a blob before the kernel once, with these log attributes as they are, and lets go of it at once.
 * @param log Buffer for the log, which is its whole length; null for none.
 */
export function askBtf(btf: Uint8Array, logLevel: number, log: Uint8Array | null): BtfLoadAnswer {
  const attr = btfAttr(btf).u32(BTF_LOAD.btf_log_level, logLevel);
  if (log !== null) attr.u32(BTF_LOAD.btf_log_size, log.length).pointer(BTF_LOAD.btf_log_buf, log);
  const result = bpf(Cmd.BTF_LOAD, attr, BTF_LOAD.size);
  if (result >= 0) new Fd(result, "BTF").close();
  return { errno: Math.max(0, -result), logTrueSize: attr.getU32(BTF_LOAD.btf_log_true_size) };
}
