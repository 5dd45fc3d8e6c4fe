// SPDX-License-Identifier: GPL-2.0-only
import { encodeInsns, type Insn } from "../../../src/asm/insn.js";
import type { ProgramLoad } from "../../../src/model/load.js";
import { type Capabilities, VerifierEnv } from "../../../src/verifier/env.js";
import { allocFrame } from "../../../src/verifier/state/frame.js";
import { initFuncState } from "../../../src/verifier/state/mark.js";
import { allocState } from "../../../src/verifier/state/vstate.js";

/** A load of these instructions as a socket filter, without maps and BTF. */
export function loadOf(insns: readonly Insn[], progFlags = 0): ProgramLoad {
  return {
    name: "test",
    progType: 1,
    expectedAttachType: 0,
    progFlags,
    progIfindex: 0,
    kernVersion: 0,
    license: "GPL",
    attachBtfId: 0,
    insns: encodeInsns(insns),
    maps: [],
    badMapInsns: [],
    fdArray: null,
    btf: null,
    funcInfo: null,
    lineInfo: null,
  };
}

const ALL: Capabilities = { bpf: true, perfmon: true, netAdmin: true };

/** An environment about to look at the first instruction, with no register but R10 written. */
export function envAt(insns: readonly Insn[], caps = ALL): VerifierEnv {
  const env = new VerifierEnv(loadOf(insns), 1, caps);
  const state = allocState();
  const frame = allocFrame();
  state.frame[0] = frame;
  initFuncState(env, frame, -1, 0, 0);
  state.branches = 1;
  env.curState = state;
  return env;
}
