// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { resultsOf } from "../../kernel/prog-results.js";
import { ProgType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { isPointerValue } from "../kinds/reg-type.js";
import { mustFrame } from "../state/frame.js";
import { checkRegArg, SRC_OP } from "../state/mark.js";
import { regTypeStr } from "../state/print.js";
import { R_TYPE, regAt } from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { retvalRangeWithin, verboseInvalidScalar } from "./retval-range.js";

/** Least and greatest value that a program may return. */
type Range = readonly [min: number, max: number];

/** What a program of this type may return, null for anything. The switch of check_return_code(). */
function progRange(env: VerifierEnv): Range | null {
  const { progType, attachBtfId } = env.load;
  switch (progType) {
    case ProgType.RAW_TRACEPOINT:
      return attachBtfId === 0 ? null : [0, 0];
    case ProgType.TRACING:
    case ProgType.LSM:
    case ProgType.STRUCT_OPS:
      throw new Unsupported(env.insnIdx, `return value of program type ${progType}`);
    default: {
      const results = resultsOf(progType, env.attachType);
      return results === null ? null : [results[0]!, results.at(-1)!];
    }
  }
}

/** Whether the register's value is within the range; `ctx` says where it is returned. */
function enforce(env: VerifierEnv, regno: number, regName: string, ctx: string, [min, max]: Range): number {
  const o = regAt(regno);
  const mem = env.cur().cur().mem;
  if (mem[o + R_TYPE] !== RegType.SCALAR_VALUE) {
    verbose(env, `${ctx} the register R${regno} is not a known value (${regTypeStr(env, mem[o + R_TYPE]!)})\n`);
    return -Errno.EINVAL;
  }
  const err = markChainPrecision(env, regno);
  if (err !== 0) return err;
  if (retvalRangeWithin(min, max, mem, o, false)) return 0;
  verboseInvalidScalar(env, mem, o, min, max, ctx, regName);
  return -Errno.EINVAL;
}

/** What the outermost frame returns in register `regno`. Mirrors check_return_code(). */
export function checkReturnCode(env: VerifierEnv, regno: number, regName: string): number {
  const frame = mustFrame(env.cur().frame[0]);
  const isSubprog = frame.subprogno !== 0;
  const err = checkRegArg(env, regno, SRC_OP);
  if (err !== 0) return err;
  if (isPointerValue(env, regno)) {
    verbose(env, `R${regno} leaks addr as return value\n`);
    return -Errno.EACCES;
  }
  if (frame.inAsyncCallbackFn) {
    const range: Range = [frame.callbackRetMin, frame.callbackRetMax];
    return enforce(env, regno, regName, "At async callback return", range);
  }
  if (isSubprog && !frame.inExceptionCallbackFn) {
    const type = env.cur().cur().mem[regAt(regno) + R_TYPE]!;
    if (type === RegType.SCALAR_VALUE) return 0;
    verbose(env, `At subprogram exit the register R${regno} is not a scalar value (${regTypeStr(env, type)})\n`);
    return -Errno.EINVAL;
  }
  const range = progRange(env);
  return range === null ? 0 : enforce(env, regno, regName, "At program exit", range);
}
