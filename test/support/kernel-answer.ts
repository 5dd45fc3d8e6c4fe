// SPDX-License-Identifier: MIT
import type { ProgramLoad } from "../../src/model/load.js";
import { loadProgram, SyscallError, VerifierRejection } from "../../src/syscall/index.js";
import { shortAnswer } from "./access-matrix.js";

/** What the running kernel says about a program without maps, in few words. */
export function kernelAnswer(load: ProgramLoad): string {
  const { name, progType: type, expectedAttachType, insns, license, progFlags: flags } = load;
  try {
    const { fd, log } = loadProgram({ name, type, expectedAttachType, insns, license, flags }, 2);
    fd.close();
    return shortAnswer(0, log);
  } catch (error) {
    if (error instanceof VerifierRejection) return shortAnswer(error.errno, error.log);
    if (error instanceof SyscallError) return `${error.errno} before the verifier`;
    throw error;
  }
}
