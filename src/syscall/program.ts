// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../asm/insn.js";
import { Errno } from "../kernel/errno.js";
import { Cmd, LogLevel, progTypeName } from "../kernel/uapi.js";
import { Attr, bpf, cText } from "./attr.js";
import { capabilitiesFor } from "./capabilities.js";
import { SyscallError, VerifierRejection } from "./errors.js";
import { Fd } from "./fd.js";
import { PROG_LOAD, TEST_RUN } from "./layout.js";
import { type LoggedCall, type LogResult, withLog } from "./log-buffer.js";
import { paceAcceptedLoad } from "./pacing.js";

/** func_info or line_info as BPF_PROG_LOAD takes it. */
export interface ProgramInfo {
  readonly bytes: Uint8Array;
  /** Bytes per record. */
  readonly recSize: number;
  readonly count: number;
}

/** What BPF_PROG_LOAD takes; absent numbers are 0. */
export interface ProgramRequest {
  readonly name: string;
  /** BPF_PROG_TYPE_*. */
  readonly type: number;
  readonly expectedAttachType?: number;
  /** Instructions with real file descriptors. */
  readonly insns: Uint8Array;
  readonly license: string;
  readonly flags?: number;
  readonly ifindex?: number;
  readonly kernVersion?: number;
  readonly btf?: Fd | null;
  readonly funcInfo?: ProgramInfo | null;
  readonly lineInfo?: ProgramInfo | null;
  readonly attachBtfId?: number;
  /** Program whose function is attached to; vmlinux when null. */
  readonly attachProg?: Fd | null;
  /** Module's BTF that `attachBtfId` is of; vmlinux when absent. */
  readonly attachBtfFd?: number;
  /** Descriptors of maps and module BTFs, indexed by instructions. */
  readonly fdArray?: Int32Array | null;
}

/** A program in the kernel. */
export interface LoadedProgram {
  readonly fd: Fd;
  /** The verifier's log; empty when none was asked for. */
  readonly log: string;
  /** Milliseconds that the system call took. */
  readonly ms: number;
}

/** How to load. */
export interface LoadProgramOptions {
  /** Bytes of the first log buffer; a larger one is tried when the log does not fit. */
  readonly logSize?: number;
}

/** BPF_PROG_LOAD gives up with EAGAIN when a signal is pending. */
const MAX_RETRIES = 5;

/**
 * Loads a program (BPF_PROG_LOAD). Without a log level the kernel writes no log, which is several
 * times faster; a rejected program is then tried once more with level 1, for the log.
 * @param logLevel Bits of BPF_LOG_*: 1 and 2 for the verifier's steps, 4 for its statistics.
 * @throws VerifierRejection with the log when the verifier refuses the program; SyscallError when
 * the kernel refuses before looking at it (rights, attributes, unknown type).
 */
export function loadProgram(request: ProgramRequest, logLevel = 0, options: LoadProgramOptions = {}): LoadedProgram {
  if (logLevel !== 0) {
    const logged = loadWithLog(request, logLevel, options.logSize);
    // A log that outgrows the largest buffer hides the verdict behind ENOSPC.
    return accept(request, logged.truncated ? load(programAttr(request)) : logged.call, logged.log);
  }
  const first = load(programAttr(request));
  if (first.result >= 0) return accept(request, first, "");
  const second = loadWithLog(request, LogLevel.LEVEL1);
  // The first answer counts, the second is for the log; but ENOMEM, say, may not come again.
  return accept(request, second.call.result >= 0 ? second.call : first, second.log);
}

/** What one system call brought. */
interface Call {
  readonly result: number;
  readonly ms: number;
}

function accept(request: ProgramRequest, { result, ms }: Call, log: string): LoadedProgram {
  if (result >= 0) {
    const fd = new Fd(result, `program ${request.name}`);
    paceAcceptedLoad();
    return { fd, log, ms };
  }
  if (log !== "") throw new VerifierRejection(request.name, -result, log);
  throw refusal(request, -result);
}

function refusal(request: ProgramRequest, errno: number): SyscallError {
  const what = `${progTypeName(request.type) ?? `type ${request.type}`} program ${request.name}`;
  return new SyscallError("BPF_PROG_LOAD", errno, what, capabilitiesFor(request.type));
}

/** A log buffer exactly as BPF_PROG_LOAD is to get it. */
export interface RawLog {
  /** Bits of BPF_LOG_*. */
  readonly level: number;
  /** Null for none. */
  readonly buffer: Uint8Array | null;
  /** Bytes; that of the buffer when absent. */
  readonly size?: number;
}

/**
 * Loads a program once, without a second try and without judging the answer: for comparing what the kernel leaves in
 * a log buffer. The program, when accepted, goes at once.
 */
export function probeProgram(request: ProgramRequest, { level, buffer, size }: RawLog): LoggedCall {
  const attr = programAttr(request)
    .u32(PROG_LOAD.log_level, level)
    .u32(PROG_LOAD.log_size, size ?? buffer?.length ?? 0);
  if (buffer !== null) attr.pointer(PROG_LOAD.log_buf, buffer);
  const { result } = load(attr);
  if (result >= 0) {
    new Fd(result, `program ${request.name}`).close();
    paceAcceptedLoad();
  }
  return { result, trueSize: attr.getU32(PROG_LOAD.log_true_size) };
}

function loadWithLog(request: ProgramRequest, level: number, size?: number): LogResult & { readonly call: Call } {
  let call: Call = { result: 0, ms: 0 };
  const result = withLog((log) => {
    const attr = programAttr(request)
      .u32(PROG_LOAD.log_level, level)
      .u32(PROG_LOAD.log_size, log.length)
      .pointer(PROG_LOAD.log_buf, log);
    call = load(attr);
    return { result: call.result, trueSize: attr.getU32(PROG_LOAD.log_true_size) };
  }, size);
  return { ...result, call };
}

function load(attr: Attr): Call {
  for (let retry = 0; ; retry++) {
    const start = performance.now();
    const result = bpf(Cmd.PROG_LOAD, attr, PROG_LOAD.size);
    const ms = performance.now() - start;
    if (-result !== Errno.EAGAIN || retry === MAX_RETRIES) return { result, ms };
  }
}

function programAttr(request: ProgramRequest): Attr {
  const attr = new Attr()
    .u32(PROG_LOAD.prog_type, request.type)
    .u32(PROG_LOAD.insn_cnt, Math.floor(request.insns.length / INSN_SIZE))
    .pointer(PROG_LOAD.insns, request.insns)
    .pointer(PROG_LOAD.license, cText(request.license))
    .u32(PROG_LOAD.kern_version, request.kernVersion ?? 0)
    .u32(PROG_LOAD.prog_flags, request.flags ?? 0)
    .name(PROG_LOAD.prog_name, request.name)
    .u32(PROG_LOAD.prog_ifindex, request.ifindex ?? 0)
    .u32(PROG_LOAD.expected_attach_type, request.expectedAttachType ?? 0)
    .u32(PROG_LOAD.attach_btf_id, request.attachBtfId ?? 0);
  if (request.attachBtfFd !== undefined) attr.u32(PROG_LOAD.attach_btf_obj_fd, request.attachBtfFd);
  if (request.attachProg) attr.u32(PROG_LOAD.attach_prog_fd, request.attachProg.number);
  if (request.btf) attr.u32(PROG_LOAD.prog_btf_fd, request.btf.number);
  if (request.funcInfo) {
    attr
      .u32(PROG_LOAD.func_info_rec_size, request.funcInfo.recSize)
      .u32(PROG_LOAD.func_info_cnt, request.funcInfo.count)
      .pointer(PROG_LOAD.func_info, request.funcInfo.bytes);
  }
  if (request.lineInfo) {
    attr
      .u32(PROG_LOAD.line_info_rec_size, request.lineInfo.recSize)
      .u32(PROG_LOAD.line_info_cnt, request.lineInfo.count)
      .pointer(PROG_LOAD.line_info, request.lineInfo.bytes);
  }
  if (request.fdArray) {
    const { buffer, byteOffset, byteLength } = request.fdArray;
    attr.pointer(PROG_LOAD.fd_array, new Uint8Array(buffer, byteOffset, byteLength));
  }
  return attr;
}

/** What BPF_PROG_TEST_RUN takes. */
export interface TestRunRequest {
  /** Input data (a packet). */
  readonly data?: Uint8Array;
  /** Input context. */
  readonly context?: Uint8Array;
  /** Bytes of output data wanted; the kernel needs room for all that the program leaves. */
  readonly dataOutSize?: number;
  readonly contextOutSize?: number;
  /** How often to run; 0 and 1 mean once. */
  readonly repeat?: number;
  /** BPF_F_TEST_*. */
  readonly flags?: number;
  readonly cpu?: number;
}

/** What a test run brought. */
export interface TestRunResult {
  /** The program's return value, unsigned. */
  readonly retval: number;
  /** Mean duration of one run in nanoseconds. */
  readonly duration: number;
  readonly data: Uint8Array;
  readonly context: Uint8Array;
}

/**
 * Runs a loaded program on given input (BPF_PROG_TEST_RUN).
 * @throws SyscallError
 */
export function testRun(program: Fd, request: TestRunRequest = {}): TestRunResult {
  const data = new Uint8Array(request.dataOutSize ?? 0);
  const context = new Uint8Array(request.contextOutSize ?? 0);
  const attr = new Attr()
    .u32(TEST_RUN.prog_fd, program.number)
    .u32(TEST_RUN.data_size_in, request.data?.length ?? 0)
    .pointer(TEST_RUN.data_in, request.data ?? null)
    .u32(TEST_RUN.data_size_out, data.length)
    .pointer(TEST_RUN.data_out, data)
    .u32(TEST_RUN.repeat, request.repeat ?? 0)
    .u32(TEST_RUN.ctx_size_in, request.context?.length ?? 0)
    .pointer(TEST_RUN.ctx_in, request.context ?? null)
    .u32(TEST_RUN.ctx_size_out, context.length)
    .pointer(TEST_RUN.ctx_out, context)
    .u32(TEST_RUN.flags, request.flags ?? 0)
    .u32(TEST_RUN.cpu, request.cpu ?? 0);
  const result = bpf(Cmd.PROG_TEST_RUN, attr, TEST_RUN.size);
  if (result < 0) throw new SyscallError("BPF_PROG_TEST_RUN", -result, program.what);
  return {
    retval: attr.getU32(TEST_RUN.retval),
    duration: attr.getU32(TEST_RUN.duration),
    data: data.subarray(0, attr.getU32(TEST_RUN.data_size_out)),
    context: context.subarray(0, attr.getU32(TEST_RUN.ctx_size_out)),
  };
}
