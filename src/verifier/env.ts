// SPDX-License-Identifier: GPL-2.0-only
import type { Btf } from "../btf/types.js";
import type { HelperFacts, HelperProto } from "../kernel/helpers/index.js";
import { type KernelSwitches, linux618 } from "../kernel/profile.js";
import type { VerifierRules } from "../kernel/rules.js";
import type { MapLoad, ProgramLoad } from "../model/load.js";
import type { BtfFieldKind } from "./kinds/btf-record.js";
import { BPF_LOG_LEVEL, BPF_LOG_LEVEL2, Log } from "./log.js";
import { REG_WORDS } from "./state/reg.js";
import { BacktrackState, Liveness, type SccVisit, type StackElem } from "./state/tables.js";
import type { VerifierState } from "./state/vstate.js";
import type { Tracer } from "./tracer.js";

/*
 * Columns are used again by the next verification of a program of about the same length: making two
 * dozen arrays takes longer than verifying a small program. Their length says nothing; `Insns.len`
 * does.
 */
const MIN_COLUMN = 64;
/** Columns of longer programs are not kept. */
const MAX_KEPT_COLUMN = 65536;

/** The next power of two from MIN_COLUMN on, as its exponent. */
function sizeClass(len: number): number {
  return 32 - Math.clz32(Math.max(len, MIN_COLUMN) - 1);
}

/** The program's instructions, predecoded into columns; index = slot. */
export class Insns {
  len = 0;
  readonly capacity: number;
  readonly code: Uint8Array;
  readonly dst: Uint8Array;
  readonly src: Uint8Array;
  readonly off: Int16Array;
  readonly imm: Int32Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.code = new Uint8Array(capacity);
    this.dst = new Uint8Array(capacity);
    this.src = new Uint8Array(capacity);
    this.off = new Int16Array(capacity);
    this.imm = new Int32Array(capacity);
  }

  /** Takes up a program: 8 bytes a slot, little-endian. */
  decode(bytes: Uint8Array): void {
    const len = bytes.length >> 3;
    const { code, dst, src, off, imm } = this;
    this.len = len;
    for (let i = 0, at = 0; i < len; i++, at += 8) {
      const regs = bytes[at + 1]!;
      code[i] = bytes[at]!;
      dst[i] = regs & 0xf;
      src[i] = regs >> 4;
      off[i] = bytes[at + 2]! | (bytes[at + 3]! << 8);
      imm[i] = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
    }
  }
}

let spareInsns = new Insns(MIN_COLUMN);

function insnsOf(bytes: Uint8Array): Insns {
  const len = bytes.length >> 3;
  let insns = spareInsns;
  if (insns.capacity < len) {
    insns = new Insns(len <= MAX_KEPT_COLUMN ? 1 << sizeClass(len) : len);
    if (len <= MAX_KEPT_COLUMN) spareInsns = insns;
  }
  insns.decode(bytes);
  return insns;
}

/** Values of {@link InsnAux.loopInline}. */
export const LOOP_UNSEEN = 0;
export const LOOP_FITS = 1;
export const LOOP_UNFIT = 2;

/** Bytes per instruction that the columns of {@link InsnAux} take at most. */
const AUX_BYTES = 64;

/** What the verifier learns about each instruction, as columns. Mirrors struct bpf_insn_aux_data. */
export class InsnAux {
  readonly capacity: number;
  /** All columns, which lie one behind the other. */
  private readonly bytes: Uint8Array;
  readonly seen: Uint32Array;
  readonly jmpPoint: Uint8Array;
  readonly prunePoint: Uint8Array;
  readonly forceCheckpoint: Uint8Array;
  readonly callsCallback: Uint8Array;
  readonly isIterNext: Uint8Array;
  readonly nospec: Uint8Array;
  readonly nospecResult: Uint8Array;
  readonly zextDst: Uint8Array;
  readonly aluState: Uint8Array;
  readonly aluLimit: Uint32Array;
  readonly ctxFieldSize: Uint8Array;
  /** bpf_reg_type of the pointer that a load or store goes through, 0 when not seen. */
  readonly ptrType: Int32Array;
  /** 1-based index into `env.maps` for ld_imm64 of a map or map value. */
  readonly mapIndex: Int32Array;
  readonly mapOff: Uint32Array;
  readonly scc: Uint32Array;
  readonly liveRegsBefore: Uint16Array;
  readonly fastcallPattern: Uint8Array;
  readonly fastcallSpillsNum: Uint8Array;
  /** 1-based index into `env.maps` of the map that a helper call is given, 0 when not seen (map_ptr_state). */
  readonly callMap: Int32Array;
  /** The helper call is given different maps on different paths. */
  readonly callMapPoison: Uint8Array;
  /** Whether bpf_loop() can be inlined here: LOOP_UNSEEN, LOOP_FITS or LOOP_UNFIT (loop_inline_state). */
  readonly loopInline: Uint8Array;
  /** Subprogram that bpf_loop() calls. */
  readonly loopCallback: Uint16Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    const buffer = new ArrayBuffer(capacity * AUX_BYTES);
    let used = 0;
    const take = (bytes: number): number => {
      const at = used;
      used += bytes * capacity;
      return at;
    };
    const u8 = (): Uint8Array => new Uint8Array(buffer, take(1), capacity);
    const u16 = (): Uint16Array => new Uint16Array(buffer, take(2), capacity);
    const u32 = (): Uint32Array => new Uint32Array(buffer, take(4), capacity);
    const i32 = (): Int32Array => new Int32Array(buffer, take(4), capacity);
    this.seen = u32();
    this.jmpPoint = u8();
    this.prunePoint = u8();
    this.forceCheckpoint = u8();
    this.callsCallback = u8();
    this.isIterNext = u8();
    this.nospec = u8();
    this.nospecResult = u8();
    this.zextDst = u8();
    this.aluState = u8();
    this.aluLimit = u32();
    this.ctxFieldSize = u8();
    this.ptrType = i32();
    this.mapIndex = i32();
    this.mapOff = u32();
    this.scc = u32();
    this.liveRegsBefore = u16();
    this.fastcallPattern = u8();
    this.fastcallSpillsNum = u8();
    this.callMap = i32();
    this.callMapPoison = u8();
    this.loopInline = u8();
    this.loopCallback = u16();
    this.bytes = new Uint8Array(buffer, 0, used);
  }

  /** Zeroes every column. */
  reset(): void {
    this.bytes.fill(0);
  }
}

/** By size class. */
const spareAux: (InsnAux | undefined)[] = [];

function auxOf(len: number): InsnAux {
  if (len > MAX_KEPT_COLUMN) return new InsnAux((len + 3) & ~3);
  const size = sizeClass(len);
  const spare = spareAux[size];
  if (spare !== undefined) {
    spare.reset();
    return spare;
  }
  const aux = new InsnAux(1 << size);
  spareAux[size] = aux;
  return aux;
}

/** One function of the program. Mirrors struct bpf_subprog_info. */
export class SubprogInfo {
  /** First instruction. */
  start: number;
  /** Index into line info of its first line. */
  linfoIdx = 0;
  postorderStart = 0;
  exitIdx = 0;
  stackDepth = 0;
  fastcallStackOff = 0;
  hasTailCall = false;
  tailCallReachable = false;
  hasLdAbs = false;
  isCb = false;
  isAsyncCb = false;
  isExceptionCb = false;
  argsCached = false;
  keepFastcallStack = false;
  changesPktData = false;
  mightSleep = false;
  /** A call of this global function was seen. */
  called = false;
  /** Its BTF does not say what its arguments are: bpf_func_info_aux.unreliable. */
  unreliable = false;
  argCnt = 0;
  args: { argType: number; memSize: number; btfId: number }[] = [];
  /** From func_info: the name, or "" without BTF; linkage global or static. */
  name = "";
  isGlobal = false;
  btfFuncId = 0;
  /** enum priv_stack_mode, as check_max_stack_depth() leaves it. */
  privStackMode = 0;
  /** No path reached it: the accepted program goes without. */
  removed = false;

  constructor(start: number) {
    this.start = start;
  }
}

/** A map the program can reach: given with the load, or the inner map of one. */
export interface VerifierMap {
  /** 1-based index in `env.maps`; what R_U0 of map registers holds. */
  readonly index: number;
  readonly load: MapLoad;
  /** 1-based index of the inner map's template, 0 for none. */
  readonly inner: number;
  /** Its special fields by BTF (spin lock, timer, kptr, ...), null when it has none or no BTF. */
  readonly record: BtfRecord | null;
}

/** Special fields of a map value. Mirrors struct btf_record. */
export interface BtfRecord {
  readonly fields: readonly { readonly offset: number; readonly size: number; readonly kind: BtfFieldKind }[];
}

/** One line_info record, decoded. */
export interface LineInfo {
  readonly insnOff: number;
  /** Path of the source file, and where its name stands in the string table: what tells files apart. */
  readonly file: string;
  readonly fileNameOff: number;
  readonly line: string;
  readonly lineNum: number;
  readonly lineCol: number;
}

/** Capabilities of the loading process, as the verifier looks at them. */
export interface Capabilities {
  readonly bpf: boolean;
  readonly perfmon: boolean;
  readonly netAdmin: boolean;
}

/**
 * What the mirror does not model yet: thrown from wherever it is met, turned into the verdict
 * `unsupported` by verify(). Never an error of the program.
 */
export class Unsupported extends Error {
  override readonly name = "Unsupported";
  readonly insnIdx: number;
  readonly construct: string;

  constructor(insnIdx: number, construct: string) {
    super(`insn ${insnIdx}: ${construct}`);
    this.insnIdx = insnIdx;
    this.construct = construct;
  }
}

const noInts = new Int32Array(0);
const noLines: readonly LineInfo[] = [];
const fakeRegs = new Int32Array(2 * REG_WORDS);
const backtrackState = new BacktrackState();

/** The most CPUs that a kernel can be configured for (NR_CPUS on x86-64). */
export const MAX_NR_CPUS = 8192;

/** Everything one verification needs. Mirrors struct bpf_verifier_env. */
export class VerifierEnv {
  readonly load: ProgramLoad;
  readonly insns: Insns;
  readonly aux: InsnAux;
  readonly log: Log;
  /** The load gives a buffer for the log. */
  hasLogBuf = false;
  readonly caps: Capabilities;

  insnIdx = 0;
  prevInsnIdx = -1;
  curState: VerifierState | null = null;

  /* derived from capabilities and flags */
  allowPtrLeaks: boolean;
  allowUninitStack: boolean;
  bypassSpecV1: boolean;
  bypassSpecV4: boolean;
  bpfCapable: boolean;
  strictAlignment: boolean;
  testStateFreq: boolean;
  testRegInvariants: boolean;
  sleepable: boolean;
  /** The expected attach type as the kernel completes it. */
  attachType: number;
  gplCompatible: boolean;

  /** Maps by (index - 1). */
  readonly maps: VerifierMap[] = [];
  /** Those that an instruction names, in order of first use. */
  readonly usedMaps: VerifierMap[] = [];
  /** BTF objects by (index - 1). */
  readonly btfs: Btf[] = [];
  /** The kernel's own BTF, asked for only by programs that need it; null where there is none. */
  vmlinux: () => Btf | null = () => null;
  /** The program's own BTF. */
  progBtf: Btf | null = null;
  /** The functions in order of their start; behind them one more that starts at the program's end. */
  readonly subprogs: SubprogInfo[] = [];
  /** Functions, without the one behind them. */
  subprogCnt = 0;
  lineInfos: readonly LineInfo[] = noLines;
  prevLinfo: LineInfo | null = null;

  idGen = 0;
  passCnt = 0;
  seenDirectWrite = false;
  seenException = false;
  /** The function that handles exceptions, 0 for none. */
  exceptionCallbackSubprog = 0;
  /** End of the last byte of the context that the program touches. */
  maxCtxOffset = 0;
  exploreAluLimits = false;
  /** What the kernel's configuration and JIT can do. */
  switches: KernelSwitches = linux618.switches;
  /** How the kernel's release judges where releases differ. */
  rules: VerifierRules = linux618.rules;
  /** The helpers that the release knows. */
  helpers: HelperFacts = linux618.helpers;
  /** Their prototypes for this program, as far as asked for; see kinds/helper-proto.ts. */
  helperProtos: (HelperProto | number | undefined)[] | null = null;
  /** How often each instruction was checked, when somebody asked. */
  visits: Uint32Array | null = null;
  /** Who is told what happens, when somebody listens. */
  tracer: Tracer | null = null;
  /** Instructions are counted or listened to. */
  watched = false;
  /** Steps, calls and returns go to the log or to a listener. */
  reports = false;
  /** The log is at level 2, or somebody listens. */
  details = false;
  /** States are to be printed in full: a path was taken up, or a function returned. */
  doPrintState = false;
  /** CPUs of the machine: the result of bpf_get_smp_processor_id() stays below (nr_cpu_ids). */
  nrCpuIds: number = MAX_NR_CPUS;

  insnProcessed = 0;
  /** Instructions after which it gives up as unsupported. */
  insnBudget = Number.POSITIVE_INFINITY;
  prevInsnProcessed = 0;
  jmpsProcessed = 0;
  prevJmpsProcessed = 0;
  maxStatesPerInsn = 0;
  totalStates = 0;
  peakStates = 0;
  longestMarkReadWalk = 0;
  freeListSize = 0;
  exploredStatesSize = 0;
  numBackedges = 0;

  /** Registers and stack slots of the current frame to print next time; slot masks as two words. */
  scratchedRegs = 0;
  scratchedSlotsLo = 0;
  scratchedSlotsHi = 0;
  prevLogPos = 0;
  prevInsnPrintPos = 0;

  /** Two registers for constants that stand in for a source register (kernel: fake_reg). */
  readonly fake = fakeRegs;

  /** States to be explored later, the next one last. */
  readonly stack: StackElem[] = [];
  /** Heads of the lists of visited states, by a hash of instruction and call site; see track/explored.ts. */
  exploredStates: (VerifierState | null)[] = [];
  /** Head of the list of evicted states that others still point to. */
  freeList: VerifierState | null = null;
  /** By number of the component. */
  sccInfo: (SccVisit[] | null)[] = [];
  sccCnt = 0;
  readonly liveness = new Liveness();
  readonly bt = backtrackState;
  /** Instructions in post-order, subprogram after subprogram; see SubprogInfo.postorderStart. */
  insnPostorder = noInts;
  /** The same instructions in the same ranges, each behind all that it reaches unless both stand in one loop. */
  insnTopo = noInts;
  /** Where control goes after each instruction, by falling through and by jumping; -1 for nowhere. */
  succNext = noInts;
  succJump = noInts;

  /** Index in the current state's jump history of the entry made for this instruction, -1 for none. */
  curHistEnt = -1;

  /** @param logSize Bytes of the log's buffer; undefined for a log that is kept whole. */
  constructor(load: ProgramLoad, logLevel: number, caps: Capabilities, logSize?: number) {
    this.load = load;
    this.insns = insnsOf(load.insns);
    this.aux = auxOf(this.insns.len);
    this.log = new Log(logLevel, logSize);
    this.listen(null, null);
    this.caps = caps;
    this.fake.fill(0);
    this.bt.reset();
    this.bpfCapable = caps.bpf;
    this.allowPtrLeaks = caps.perfmon;
    this.allowUninitStack = caps.perfmon;
    this.bypassSpecV1 = caps.perfmon;
    this.bypassSpecV4 = caps.perfmon;
    this.strictAlignment = false;
    this.testStateFreq = false;
    this.testRegInvariants = false;
    this.sleepable = false;
    this.attachType = load.expectedAttachType;
    this.gplCompatible = false;
  }

  /** Settles what is counted and who is told. */
  listen(visits: Uint32Array | null, tracer: Tracer | null): void {
    this.visits = visits;
    this.tracer = tracer;
    this.watched = visits !== null || tracer !== null;
    this.reports = (this.log.level & BPF_LOG_LEVEL) !== 0 || tracer !== null;
    this.details = (this.log.level & BPF_LOG_LEVEL2) !== 0 || tracer !== null;
  }

  /** The state being explored. */
  cur(): VerifierState {
    return this.curState!;
  }
}

/** Appends to the log when it is on. Guard calls whose text is costly to make with `env.log.level !== 0`. */
export function verbose(env: VerifierEnv, text: string): void {
  env.log.write(text);
}
