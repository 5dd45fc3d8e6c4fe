// SPDX-License-Identifier: GPL-2.0-only
import { baseType, RetType } from "../../kernel/bpf-types.js";
import { helperByName } from "../../kernel/helpers/index.js";
import type { VerifierEnv } from "../env.js";
import { getHelperProto } from "../kinds/helper-proto.js";
import { bpfHelperCall } from "../kinds/insn.js";

/** What a call does to the registers. Mirrors struct call_summary. */
export interface CallSummary {
  readonly numParams: number;
  readonly isVoid: boolean;
  readonly fastcall: boolean;
}

/** Helpers that become plain instructions on x86-64. Mirrors verifier_inlines_helper_call(). */
const INLINED: ReadonlySet<number> = new Set([helperByName("get_smp_processor_id")!]);

/** Null when nothing is known of the callee. Mirrors get_call_summary(). */
export function getCallSummary(env: VerifierEnv, call: number): CallSummary | null {
  if (!bpfHelperCall(env.insns, call)) return null;
  const id = env.insns.imm[call]!;
  const proto = getHelperProto(env, id);
  if (typeof proto === "number") return null;
  const end = proto.argTypes.indexOf(0);
  return {
    numParams: end < 0 ? proto.argTypes.length : end,
    isVoid: baseType(proto.retType) === RetType.VOID,
    fastcall: proto.allowFastcall && env.switches.percpuInsn && INLINED.has(id),
  };
}
