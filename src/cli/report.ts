// SPDX-License-Identifier: MIT
import { SyscallError, VerifierRejection } from "../syscall/errors.js";
import { FfiUnavailableError } from "../syscall/ffi.js";
import { InputError } from "../util/errors.js";
import { paint } from "./colors.js";
import { ExitCode, note } from "./output.js";

/** The errno of a failed file operation, when `error` is one. */
function fileErrorCode(error: unknown): string | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return typeof code === "string" && typeof syscall === "string" ? code : undefined;
}

/** Prints one clear message for whatever went wrong and says which exit code it stands for. */
export function reportError(error: unknown): number {
  const failed = paint("red", "error:", 2);
  if (error instanceof VerifierRejection) {
    note(error.log.trimEnd());
    note(`${failed} ${error.message}`);
    return ExitCode.REJECTED;
  }
  if (error instanceof InputError) {
    note(`${failed} ${error.message}`);
    return ExitCode.REJECTED;
  }
  if (error instanceof SyscallError) {
    note(`${failed} ${error.message}`);
    return error.isPermission ? ExitCode.PERMISSION : ExitCode.REJECTED;
  }
  if (error instanceof FfiUnavailableError) {
    note(`${failed} ${error.message}`);
    return ExitCode.PERMISSION;
  }
  const code = fileErrorCode(error);
  if (code !== undefined) {
    note(`${failed} ${(error as Error).message}`);
    return code === "EACCES" || code === "EPERM" ? ExitCode.PERMISSION : ExitCode.REJECTED;
  }
  note(`${failed} bpfsmith met something it did not expect; this is a bug of bpfsmith or of the program it ran`);
  note(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return ExitCode.BUG;
}
