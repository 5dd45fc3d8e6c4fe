// SPDX-License-Identifier: GPL-2.0-only
import { baseType, RegType } from "../../kernel/bpf-types.js";
import type { VerifierEnv } from "../env.js";
import type { FrameSnapshot, RegisterSnapshot, SlotSnapshot, StateSnapshot } from "../events.js";
import { type FuncState, mustFrame } from "../state/frame.js";
import { frameText, regStateStr, regTypeStr, slotTypesStr } from "../state/print.js";
import {
  BPF_ADD_CONST,
  MAX_BPF_REG,
  R_FRAMENO,
  R_ID,
  R_MASK_HI,
  R_MASK_LO,
  R_OFF,
  R_PRECISE,
  R_REF_OBJ_ID,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_LO,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_LO,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
  regAt,
  STACK_SPILL,
  slotAt,
  slotType,
} from "../state/reg.js";
import { subprogName } from "../state/subprog.js";
import type { VerifierState } from "../state/vstate.js";

/* States as plain data, made when somebody asks. */

function unsigned(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

function signed(lo: number, hi: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo >>> 0);
}

/** What the union of the register holds. */
function unionOf(env: VerifierEnv, mem: Int32Array, o: number): Partial<RegisterSnapshot> {
  const value = mem[o + R_U0]!;
  switch (baseType(mem[o + R_TYPE]!)) {
    case RegType.PTR_TO_STACK:
      return { frameno: mem[o + R_FRAMENO]! };
    case RegType.PTR_TO_PACKET:
    case RegType.PTR_TO_PACKET_META:
      return { range: value };
    case RegType.PTR_TO_MEM:
      return { mem_size: value };
    case RegType.CONST_PTR_TO_MAP:
    case RegType.PTR_TO_MAP_KEY:
    case RegType.PTR_TO_MAP_VALUE: {
      const map = env.maps[value - 1]?.load;
      return map === undefined ? {} : { map: { name: map.name, key_size: map.keySize, value_size: map.valueSize } };
    }
    default:
      return {};
  }
}

/** The register or spilled register at `o`. */
export function registerSnapshot(env: VerifierEnv, frame: FuncState, mem: Int32Array, o: number): RegisterSnapshot {
  const type = mem[o + R_TYPE]!;
  const none = type === RegType.NOT_INIT;
  return {
    type: none ? "" : regTypeStr(env, type),
    text: none ? "" : regStateStr(env, frame, mem, o),
    precise: mem[o + R_PRECISE] !== 0,
    off: mem[o + R_OFF]!,
    var_off: {
      value: `0x${unsigned(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!).toString(16)}`,
      mask: `0x${unsigned(mem[o + R_MASK_LO]!, mem[o + R_MASK_HI]!).toString(16)}`,
    },
    smin_value: signed(mem[o + R_SMIN_LO]!, mem[o + R_SMIN_LO + 1]!).toString(),
    smax_value: signed(mem[o + R_SMAX_LO]!, mem[o + R_SMAX_LO + 1]!).toString(),
    umin_value: unsigned(mem[o + R_UMIN_LO]!, mem[o + R_UMIN_LO + 1]!).toString(),
    umax_value: unsigned(mem[o + R_UMAX_LO]!, mem[o + R_UMAX_LO + 1]!).toString(),
    s32_min_value: mem[o + R_S32_MIN]!,
    s32_max_value: mem[o + R_S32_MAX]!,
    u32_min_value: mem[o + R_U32_MIN]! >>> 0,
    u32_max_value: mem[o + R_U32_MAX]! >>> 0,
    id: mem[o + R_ID]! & ~BPF_ADD_CONST,
    ref_obj_id: mem[o + R_REF_OBJ_ID]!,
    ...unionOf(env, mem, o),
  };
}

function slotSnapshots(env: VerifierEnv, frame: FuncState): SlotSnapshot[] {
  const slots: SlotSnapshot[] = [];
  for (let spi = 0; spi < frame.allocatedStack >> 3; spi++) {
    const o = slotAt(spi);
    const types = slotTypesStr(frame.mem, o);
    if (types === "????????") continue;
    const fp = (-spi - 1) * 8;
    if (slotType(frame.mem, o, 7) !== STACK_SPILL) slots.push({ fp, types });
    else slots.push({ fp, types, spilled: registerSnapshot(env, frame, frame.mem, o) });
  }
  return slots;
}

function frameSnapshot(env: VerifierEnv, state: VerifierState, frameno: number): FrameSnapshot {
  const frame = mustFrame(state.frame[frameno]);
  const registers: Record<string, RegisterSnapshot> = {};
  for (let i = 0; i < MAX_BPF_REG; i++) {
    const o = regAt(i);
    if (frame.mem[o + R_TYPE] !== RegType.NOT_INIT) registers[`R${i}`] = registerSnapshot(env, frame, frame.mem, o);
  }
  return {
    frameno,
    subprogno: frame.subprogno,
    name: subprogName(env, frame.subprogno),
    callsite: frame.callsite,
    callback: frame.inAsyncCallbackFn ? "async" : frame.inCallbackFn ? "sync" : "none",
    registers,
    stack: slotSnapshots(env, frame),
    text: frameText(env, state, frameno, true),
  };
}

/** All of a state. */
export function stateSnapshot(env: VerifierEnv, state: VerifierState): StateSnapshot {
  const frames: FrameSnapshot[] = [];
  for (let i = 0; i <= state.curframe; i++) frames.push(frameSnapshot(env, state, i));
  return {
    frames,
    refs: state.refs.map(({ id }) => id),
    active_locks: state.activeLocks,
    speculative: state.speculative,
  };
}
