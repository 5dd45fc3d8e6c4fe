// SPDX-License-Identifier: MIT
export { SkAction, TcAction, XdpAction } from "../kernel/uapi.js";
export { type BtfTypes, btfTypes } from "./btf-types.js";
export type {
  ConditionArg,
  ForOptions,
  LoopControl,
  Program,
  ProgramBuilder,
  SwitchCases,
  WhileOptions,
} from "./builder.js";
export type { Condition } from "./condition.js";
export type {
  ContextOf,
  FlowKeys,
  KprobeContext,
  NetfilterContext,
  PerfEventContext,
  RawTracepointContext,
  ReadOnlyPlace,
  SocketFilterContext,
  SyscallContext,
  WritableTracepointContext,
  XdpContext,
} from "./context.js";
export type { Read } from "./core.js";
export {
  type ExternOptions,
  type Kconfig,
  type KconfigType,
  type KconfigValue,
  type KernelVariable,
  type Kfunc,
  type KfuncArg,
  type KfuncOptions,
  type KfuncResult,
  type Ksym,
  kconfig,
  kfunc,
  ksym,
  Tristate,
  type TypedKsym,
  tristate,
} from "./externs.js";
export type { ContextArray, ContextInt, ReadOnlyInt } from "./fields.js";
export {
  type AnyGlobal,
  type Constant,
  constant,
  type Global,
  type GlobalSection,
  type GlobalValue,
  global,
} from "./globals.js";
export type { Helpers } from "./helpers.js";
export type { CompileError, Memory, Scope } from "./internals.js";
export type { KernelElements, KernelInt, KernelObject, KernelPlace, KernelRef } from "./kernel-places.js";
export {
  type BitsType,
  bits,
  type Enumerators,
  type KernelEnum,
  type KernelFields,
  type KernelStruct,
  type KernelTypedef,
  kernelEnum,
  kernelStruct,
  kernelTypedef,
  kernelUnion,
} from "./kernel-types.js";
export type { Answer, ProgramKind, ResultOf } from "./kinds.js";
export {
  arrayOfMaps,
  type BloomFilter,
  bloomFilter,
  type CallerOf,
  CpumapValue,
  cgroupArray,
  cpuMap,
  DevmapValue,
  devMap,
  devMapHash,
  type HelperMap,
  hashOfMaps,
  lpmTrie,
  lruPercpuHashMap,
  type MapOfMaps,
  type MapsOptions,
  type PerfEventArray,
  type PrefixKey,
  perfEventArray,
  type Queue,
  queueMap,
  type RedirectMap,
  reuseportArray,
  type StackTrace,
  sockHash,
  sockMap,
  stackMap,
  stackTraceMap,
  xskMap,
} from "./map-kinds.js";
export {
  type AnyMap,
  type ArrayMap,
  arrayMap,
  type HashMap,
  hashMap,
  type KeyedMap,
  lruHashMap,
  type MapOptions,
  type Notify,
  percpuArrayMap,
  percpuHashMap,
  type RingBuffer,
  type RingRecord,
  ringbuf,
  type UpdateMode,
} from "./maps.js";
export { type BuildOptions, type ObjectDecl, type ObjectParts, object } from "./object.js";
export { type ArrayPlace, type Init, type Place, type StructPlace, sized } from "./places.js";
export type { MaybeNull, Nullable } from "./pointers.js";
export type { Position, SourceLine, SourceMapper } from "./position.js";
export type { PrintArg } from "./printk.js";
export {
  kprobe,
  kretprobe,
  type ProgramDecl,
  program,
  type Result,
  rawTracepoint,
  socketFilter,
  tc,
  tracepoint,
  xdp,
} from "./programs.js";
export type { Arguments, ArgumentsOf } from "./traced-context.js";
export type { TracepointResolver } from "./tracepoint-context.js";
export type {
  DeclaredContext,
  DynamicField,
  KnownContext,
  KnownTracepoint,
  ReadOnlyArray,
} from "./tracepoint-types.js";
export {
  type ArrayType,
  array,
  be16,
  be32,
  be64,
  bool,
  bytes,
  type CType,
  char,
  type FieldPlace,
  type Fields,
  type IntName,
  type IntType,
  type JsOf,
  type KernelArrayType,
  type PtrType,
  ptr,
  type StructJs,
  type StructType,
  s8,
  s16,
  s32,
  s64,
  struct,
  type TypeDecl,
  u8,
  u16,
  u32,
  u64,
} from "./types.js";
export type { AnyInt, Int, IntArg, IntPlace, Storable, Value, Variable } from "./values.js";
