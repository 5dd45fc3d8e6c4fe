// SPDX-License-Identifier: GPL-2.0-only

import type { Btf } from "../btf/types.js";
import { Errno } from "../kernel/errno.js";
import { licenseIsGplCompatible } from "../kernel/license.js";
import { Limit } from "../kernel/limits.js";
import { type KernelProfile, linux618 } from "../kernel/profile.js";
import { ProgFlag } from "../kernel/uapi.js";
import type { ProgramLoad } from "../model/load.js";
import { InputError } from "../util/errors.js";
import { type Capabilities, Unsupported, VerifierEnv, verbose } from "./env.js";
import type { VerifierListener } from "./events.js";
import { BPF_LOG_STATS } from "./log.js";
import { setSingleCommonValue } from "./num/sync.js";
import { checkAttachBtfId } from "./prep/attach.js";
import { checkBtfInfo, checkBtfInfoEarly } from "./prep/btf-info.js";
import { checkCfg } from "./prep/cfg.js";
import { markFastcallPatterns } from "./prep/fastcall.js";
import {
  addMayGotoSlots,
  checkTailCallMaps,
  convertCtxAccesses,
  optimizeBpfLoop,
  removeDeadSubprogs,
} from "./prep/fixups.js";
import { resolvePseudoLdimm64 } from "./prep/ld-imm64.js";
import { computeLiveRegisters } from "./prep/live-regs.js";
import { checkLoadAttr, effectiveAttachType } from "./prep/load-attr.js";
import { addMaps } from "./prep/maps.js";
import { computePostorder } from "./prep/postorder.js";
import { checkMaxStackDepth, removeFastcallSpillsFills } from "./prep/stack-depth.js";
import { addSubprogAndKfunc, checkSubprogs } from "./prep/subprogs.js";
import { EventStream } from "./report/stream.js";
import { doCheckMain, doCheckSubprogs, freeStates } from "./search/subprogs.js";
import { markVerifierStateClean } from "./state/mark.js";
import { bpfStackLivenessFree } from "./track/liveness.js";
import { computeScc } from "./track/scc.js";

export type { Capabilities } from "./env.js";

/** How to verify. */
export interface VerifyOptions {
  /**
   * As `attr.log_level` of BPF_PROG_LOAD: 0 for no log, 1 or 2, plus 4 for statistics, plus 8 for a fixed buffer (which
   * keeps the beginning of a log that does not fit; others keep the end). Default 0.
   */
  readonly logLevel?: number;
  /**
   * As `attr.log_size`: bytes of the buffer for the log, with its terminating NUL; 0 for none, which at a level other
   * than 0 still measures the log. When the log does not fit, the load fails with ENOSPC, also that of a right program.
   * Default: a buffer that everything fits into.
   */
  readonly logSize?: number;
  /** Whether `attr.log_buf` is given. Default: when {@link logSize} is not 0; the kernel takes nothing else. */
  readonly logBuf?: boolean;
  /** What the loading process may do. Default: everything. */
  readonly caps?: Capabilities;
  /** Which kernel to mirror. Default {@link linux618}. */
  readonly profile?: KernelProfile;
  /**
   * The kernel's own types (/sys/kernel/btf/vmlinux), asked for when a program's verdict depends on them. Without them
   * such programs are answered with `unsupported`.
   */
  readonly vmlinux?: () => Btf | null;
  /**
   * CPUs that the machine may have (nr_cpu_ids), 1–8192: bpf_get_smp_processor_id() returns less. Default: 8192, which
   * accepts only what every machine does.
   */
  readonly nrCpuIds?: number;
  /** Hears of every step while the program is walked; see docs/verifier-events.md. */
  readonly events?: VerifierListener;
  /** Also count how often each instruction was checked. */
  readonly countVisits?: boolean;
  /**
   * Instructions to check at most, over all paths: what takes more is `unsupported`. Default: none, which leaves the
   * kernel's own limit of a million.
   */
  readonly insnBudget?: number;
}

/** The figures of the log's last lines. */
export interface VerifyStats {
  readonly insnsProcessed: number;
  readonly maxStatesPerInsn: number;
  readonly totalStates: number;
  readonly peakStates: number;
  readonly markRead: number;
  /** Bytes of stack per function, joined by `+` as in the log. */
  readonly stackDepth: string;
}

export interface VerifyResult {
  /** `unsupported`: the program uses something that is not modelled; nothing is claimed about it. */
  readonly verdict: "accepted" | "rejected" | "unsupported";
  /** Positive error number of a rejection, 0 otherwise. */
  readonly errno: number;
  /** What the kernel's log would hold: with a `logSize`, the text in the buffer up to the first NUL. */
  readonly log: string;
  /**
   * `attr.log_true_size`: bytes that the whole log takes with its NUL, the longest that it was before a part of it was
   * cut off. 0 at level 0, and where the load fails before the verifier looks at the program.
   */
  readonly logTrueSize: number;
  /**
   * With a `logSize`: every byte of a buffer that held zeros before, what stands behind the log's end included. Bytes
   * behind the array's end are still zero.
   */
  readonly logBytes?: Uint8Array;
  /**
   * The last line of the log before the statistics: of a rejection at level 1 or 2, the reason. Also when the buffer
   * was too small for it.
   */
  readonly lastMessage: string;
  readonly stats: VerifyStats;
  /** What is not modelled, and where it was met. */
  readonly construct?: { readonly insn: number; readonly what: string };
  /** By instruction slot, how often it was checked; when asked for. */
  readonly visits?: Uint32Array;
}

const ALL_CAPS: Capabilities = { bpf: true, perfmon: true, netAdmin: true };

/** The passes over a program, in the kernel's order. Mirrors bpf_check(). */
const PASSES: readonly ((env: VerifierEnv) => number)[] = [
  checkBtfInfoEarly,
  addSubprogAndKfunc,
  checkSubprogs,
  checkBtfInfo,
  resolvePseudoLdimm64,
  checkCfg,
  computePostorder,
  checkAttachBtfId,
  computeScc,
  computeLiveRegisters,
  markFastcallPatterns,
  doCheckMain,
  doCheckSubprogs,
  removeFastcallSpillsFills,
  checkMaxStackDepth,
  optimizeBpfLoop,
  removeDeadSubprogs,
  convertCtxAccesses,
  checkTailCallMaps,
  addMayGotoSlots,
];

/**
 * Judges a program as the kernel's verifier would.
 * @throws InputError when the load itself is malformed (BTF that cannot be read).
 */
export function verify(load: ProgramLoad, options: VerifyOptions = {}): VerifyResult {
  const timed = ((options.logLevel ?? 0) & BPF_LOG_STATS) !== 0;
  const start = timed ? performance.now() : 0;
  const env = makeEnv(load, options);
  setup(env, options.profile ?? linux618);
  const stream = options.events === undefined ? null : new EventStream(env, options.events);
  env.listen(options.countVisits === true ? new Uint32Array(env.insns.len) : null, stream);
  if (options.vmlinux !== undefined) env.vmlinux = options.vmlinux;
  if (options.nrCpuIds !== undefined) env.nrCpuIds = options.nrCpuIds;
  if (options.insnBudget !== undefined) env.insnBudget = options.insnBudget;
  let construct: VerifyResult["construct"];
  let ret = 0;
  try {
    ret = checkLoadAttr(env, options.profile ?? linux618);
    if (ret !== 0) return tell(stream, result(env, ret, undefined, false));
    addMaps(env);
    for (let i = 0; i < PASSES.length && ret === 0; i++) ret = PASSES[i]!(env);
  } catch (error) {
    if (!(error instanceof Unsupported)) throw error;
    construct = { insn: error.insnIdx, what: error.construct };
  } finally {
    freeStates(env);
    bpfStackLivenessFree(env);
  }
  const message = env.log.endPos;
  printVerificationStats(env, timed ? performance.now() - start : 0);
  ret = finalizeLog(env) || ret;
  return tell(stream, result(env, ret, construct, true, message));
}

/** The listener hears the verdict last. */
function tell(stream: EventStream | null, result: VerifyResult): VerifyResult {
  stream?.verdict(result.verdict, result.errno, result.lastMessage);
  return result;
}

function checkU32(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new InputError(`${name} ${value} is no 32-bit number`);
  }
}

function makeEnv(load: ProgramLoad, options: VerifyOptions): VerifierEnv {
  const { logLevel = 0, logSize } = options;
  checkU32("log level", logLevel);
  if (logSize !== undefined) checkU32("log size", logSize);
  const env = new VerifierEnv(load, logLevel, options.caps ?? ALL_CAPS, logSize);
  env.hasLogBuf = options.logBuf ?? (logSize === undefined ? logLevel !== 0 : logSize !== 0);
  return env;
}

/** ENOSPC when the log did not fit, whatever the verdict. Mirrors bpf_vlog_finalize(). */
function finalizeLog({ log }: VerifierEnv): number {
  const { buffer } = log;
  if (buffer === null || buffer.size === 0 || log.level === 0) return 0;
  buffer.finish();
  return log.trueSize > buffer.size ? -Errno.ENOSPC : 0;
}

function setup(env: VerifierEnv, profile: KernelProfile): void {
  const { load } = env;
  env.switches = profile.switches;
  env.attachType = effectiveAttachType(load.progType, load.expectedAttachType);
  env.rules = profile.rules;
  env.helpers = profile.helpers;
  setSingleCommonValue(profile.rules.singleCommonValue);
  env.sleepable = (load.progFlags & ProgFlag.SLEEPABLE) !== 0;
  env.gplCompatible = licenseIsGplCompatible(load.license);
  env.strictAlignment =
    (load.progFlags & ProgFlag.STRICT_ALIGNMENT) !== 0 || !profile.switches.efficientUnalignedAccess;
  if ((load.progFlags & ProgFlag.ANY_ALIGNMENT) !== 0) env.strictAlignment = false;
  env.testStateFreq = env.bpfCapable && (load.progFlags & ProgFlag.TEST_STATE_FREQ) !== 0;
  env.testRegInvariants = (load.progFlags & ProgFlag.TEST_REG_INVARIANTS) !== 0;
  markVerifierStateClean(env);
}

function stackDepth(env: VerifierEnv): string {
  let text = "";
  for (let i = 0; i < env.subprogCnt; i++) {
    const { removed, stackDepth } = env.subprogs[i]!;
    if (!removed) text += (text === "" ? "" : "+") + stackDepth;
  }
  return text;
}

/** Mirrors print_verification_stats(). */
function printVerificationStats(env: VerifierEnv, milliseconds: number): void {
  if (env.log.level === 0) return;
  if ((env.log.level & BPF_LOG_STATS) !== 0) {
    verbose(env, `verification time ${Math.floor(milliseconds * 1000)} usec\n`);
    verbose(env, `stack depth ${stackDepth(env)}\n`);
  }
  verbose(
    env,
    `processed ${env.insnProcessed} insns (limit ${Limit.BPF_COMPLEXITY_LIMIT_INSNS}) ` +
      `max_states_per_insn ${env.maxStatesPerInsn} total_states ${env.totalStates} ` +
      `peak_states ${env.peakStates} mark_read ${env.longestMarkReadWalk}\n`,
  );
}

function result(
  env: VerifierEnv,
  ret: number,
  construct: VerifyResult["construct"],
  started: boolean,
  messageEnd = env.log.endPos,
): VerifyResult {
  const log = env.log.toString();
  const { buffer } = env.log;
  return {
    verdict: construct !== undefined ? "unsupported" : ret === 0 ? "accepted" : "rejected",
    errno: construct !== undefined ? 0 : -ret,
    log,
    logTrueSize: started ? env.log.trueSize : 0,
    ...(buffer === null ? {} : { logBytes: buffer.bytes }),
    lastMessage: env.log.lineBefore(messageEnd),
    stats: {
      insnsProcessed: env.insnProcessed,
      maxStatesPerInsn: env.maxStatesPerInsn,
      totalStates: env.totalStates,
      peakStates: env.peakStates,
      markRead: env.longestMarkReadWalk,
      stackDepth: stackDepth(env),
    },
    ...(construct === undefined ? {} : { construct }),
    ...(env.visits === null ? {} : { visits: env.visits }),
  };
}
