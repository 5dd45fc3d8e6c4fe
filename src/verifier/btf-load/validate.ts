// SPDX-License-Identifier: GPL-2.0-only
import { BTF_MAX_SIZE } from "../../btf/format.js";
import { findType } from "../../btf/size.js";
import type { Btf } from "../../btf/types.js";
import { Errno } from "../../kernel/errno.js";
import { KPTR_DESTRUCTORS } from "../../kernel/kptr.js";
import { decodeUtf8 } from "../../util/bytes.js";
import { InputError } from "../../util/errors.js";
import { bpfVerifierLogAttrValid, Log } from "../log.js";
import { LoadedBtf } from "./blob.js";
import { BtfEnv } from "./env.js";
import { parseHeader } from "./header.js";
import { checkAllMetas } from "./meta.js";
import { Resolver } from "./resolve.js";
import { faultOfStructs, type KernelStructs } from "./struct-metas.js";
import { checkTypeTags } from "./tags.js";

/** How to validate. */
export interface ValidateBtfOptions {
  /**
   * As `attr.btf_log_level` of BPF_BTF_LOAD: 0 for no log; 1, 2 and 4 give the same; plus 8 for a fixed buffer, which
   * keeps the beginning of a log that does not fit (others keep the end). Default 1.
   */
  readonly logLevel?: number;
  /**
   * As `attr.btf_log_size`: bytes of the buffer for the log with its terminating NUL; 0 for none, which at a level other
   * than 0 still measures the log. When the log does not fit, the answer is ENOSPC, also for a right BTF. Default: a
   * buffer that everything fits into.
   */
  readonly logSize?: number;
  /**
   * The kernel's own types, asked for only when a struct has a pointer that owns something (`kptr`): of the kernel's
   * structs some cannot be owned. Without them none counts as the kernel's.
   */
  readonly vmlinux?: () => Btf | null;
}

/** What BPF_BTF_LOAD would answer. */
export interface BtfVerdict {
  /** Positive error number, 0 when the BTF is accepted. */
  readonly errno: number;
  /**
   * Why the BTF is refused: the last line of the log, also when the buffer was too small for it (so nothing at level 0);
   * of special fields, of which the kernel says nothing, in words of ours. Empty when it is accepted.
   */
  readonly reason: string;
  /** The kernel's log: with a `logSize`, the text in the buffer up to the first NUL. */
  readonly log: string;
  /** The log's bytes: names need not be UTF-8. */
  readonly logBytes: Uint8Array;
  /** `attr.btf_log_true_size`: bytes that the whole log takes with its NUL; 0 at level 0. */
  readonly logTrueSize: number;
}

/** Bytes of a log of which only the end is wanted. */
const REASON_LOG_SIZE = 4096;

/** What was asked about a kernel's structs. */
const knownStructs = new WeakMap<Btf, Map<string, boolean>>();

function hasStruct(btf: Btf, name: string): boolean {
  let known = knownStructs.get(btf);
  if (known === undefined) {
    known = new Map();
    knownStructs.set(btf, known);
  }
  let has = known.get(name);
  if (has === undefined) {
    has = findType(btf, "struct", name) !== undefined;
    known.set(name, has);
  }
  return has;
}

function kernelStructs(vmlinux: (() => Btf | null) | undefined): KernelStructs {
  return {
    has: (name) => {
      const btf = vmlinux?.() ?? null;
      return btf !== null && hasStruct(btf, name);
    },
    hasDestructor: (name) => KPTR_DESTRUCTORS.has(name),
  };
}

/** Mirrors btf_parse(), without what it does about the log. */
function parse(bytes: Uint8Array, log: Log, kernel: KernelStructs): { errno: number; reason: string } {
  const refused = (err: number) => ({ errno: -err, reason: decodeUtf8(bytesOf(log.lineBefore(log.endPos).trim())) });
  const header = parseHeader(bytes, log);
  if (typeof header === "number") return refused(header);
  const env = new BtfEnv(new LoadedBtf(bytes, header), log);
  const err = checkAllMetas(env) || new Resolver(env).checkAll() || checkTypeTags(env);
  if (err !== 0) return refused(err);
  const fault = faultOfStructs(env.btf, kernel);
  return fault === null ? { errno: 0, reason: "" } : { errno: fault.errno, reason: fault.message };
}

/** The text's characters, each of which is a byte. */
function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** What the reader of the log finds. */
function textOf(log: Log): Uint8Array {
  const { buffer } = log;
  if (buffer === null) return bytesOf(log.toString());
  buffer.finish();
  const end = buffer.bytes.indexOf(0);
  return end < 0 ? buffer.bytes : buffer.bytes.subarray(0, end);
}

function checkU32(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new InputError(`${name} ${value} is no 32-bit number`);
  }
}

/**
 * Judges a BTF as BPF_BTF_LOAD of Linux 6.18 does, with its error number and its log, byte for byte. Any bytes get an
 * answer.
 * @throws InputError when an option is no 32-bit number
 */
export function validateBtf(bytes: Uint8Array, options: ValidateBtfOptions = {}): BtfVerdict {
  const { logLevel = 1, logSize } = options;
  checkU32("log level", logLevel);
  if (logSize !== undefined) checkU32("log size", logSize);
  const hasBuffer = logSize === undefined ? logLevel !== 0 : logSize !== 0;
  const silent = (errno: number, reason = ""): BtfVerdict => ({
    errno,
    reason,
    log: "",
    logBytes: new Uint8Array(0),
    logTrueSize: 0,
  });
  if (bytes.length > BTF_MAX_SIZE) return silent(Errno.E2BIG, `more than ${BTF_MAX_SIZE} bytes`);
  if (!bpfVerifierLogAttrValid(logLevel, hasBuffer, logSize ?? (hasBuffer ? 1 : 0))) {
    return silent(Errno.EINVAL, "log level and size do not go together");
  }
  const log = new Log(logLevel, logSize);
  const { errno, reason } = parse(bytes, log, kernelStructs(options.vmlinux));
  if (logLevel === 0) return silent(errno, reason);
  const full = log.buffer !== null && log.buffer.size !== 0 && log.trueSize > log.buffer.size;
  const logBytes = textOf(log);
  return {
    errno: full ? Errno.ENOSPC : errno,
    reason: full && errno === 0 ? "the log does not fit" : reason,
    log: decodeUtf8(logBytes),
    logBytes,
    logTrueSize: log.trueSize,
  };
}

/**
 * Why the kernel refuses a BTF, null when it does not: {@link validateBtf} for those who want no log, which for a large
 * BTF is larger still.
 */
export function btfRefusal(
  bytes: Uint8Array,
  vmlinux: () => Btf | null = () => null,
): Pick<BtfVerdict, "errno" | "reason"> | null {
  const { errno, reason } = validateBtf(bytes, { logLevel: 0, vmlinux });
  if (errno === 0) return null;
  if (reason !== "") return { errno, reason };
  return { errno, reason: validateBtf(bytes, { logLevel: 1, logSize: REASON_LOG_SIZE, vmlinux }).reason };
}
