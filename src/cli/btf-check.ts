// SPDX-License-Identifier: MIT
import { isElf } from "../elf/find-section.js";
import { errnoName } from "../kernel/errno.js";
import { kernelTypes } from "../load/vmlinux.js";
import { resolveObject } from "../object/resolve.js";
import { InputError } from "../util/errors.js";
import { btfRefusal, validateBtf } from "../verifier/btf-load/validate.js";
import { readBytes } from "./btf-file.js";
import { readInput } from "./input.js";
import { ExitCode, print, printPieces } from "./output.js";
import { resolveFor } from "./target.js";

/** Options of `btf check`. */
export interface BtfCheckOptions {
  readonly log?: boolean;
  readonly vmlinux?: string;
  readonly json?: boolean;
}

/** Bytes of the log that are shown at most: its end. */
const LOG_SIZE = 64 << 20;

/** What BPF_BTF_LOAD gets: of an object the types with their sections completed, raw BTF as it stands. */
async function blobOf(file: string, { vmlinux }: BtfCheckOptions): Promise<Uint8Array> {
  if (!/\.[cm]?ts$/.test(file)) {
    const bytes = readBytes(file);
    if (!isElf(bytes)) return bytes;
  }
  const { spec } = await readInput(file);
  const options = vmlinux === undefined ? {} : { vmlinux };
  const { btf } = resolveObject(spec, {
    ...resolveFor(options),
    btfFault: () => null,
    wanted: () => false,
    keepGoing: true,
  });
  if (btf === null) throw new InputError("has no types (was it built with -g?)", { file });
  return btf;
}

/** `bpfsmith btf check FILE` */
export async function btfCheckCommand(file: string, options: BtfCheckOptions): Promise<number> {
  const blob = await blobOf(file, options);
  const vmlinux = kernelTypes(options.vmlinux);
  const refusal = btfRefusal(blob, vmlinux);
  const errno = refusal?.errno ?? 0;
  const reason = refusal?.reason ?? "";
  const error = errno === 0 ? null : (errnoName(errno) ?? String(errno));
  const log = options.log ? validateBtf(blob, { logLevel: 1, logSize: LOG_SIZE, vmlinux }).log : undefined;
  if (options.json) {
    print(JSON.stringify({ file, accepted: error === null, errno, error, reason, log }));
  } else {
    if (log !== undefined) printPieces([log, log.endsWith("\n") ? "" : "\n"]);
    print(`${file}: ${error === null ? "accepted" : `refused (${error}): ${reason}`}`);
  }
  return error === null ? ExitCode.OK : ExitCode.REJECTED;
}
