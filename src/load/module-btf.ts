// SPDX-License-Identifier: MIT
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Errno } from "../kernel/errno.js";
import { SyscallError } from "../syscall/errors.js";
import { disposeAll, type Fd } from "../syscall/fd.js";
import { btfInfo, objectIds, openById } from "../syscall/info.js";
import { InputError } from "../util/errors.js";

const BTF_DIRECTORY = "/sys/kernel/btf";
const VMLINUX = "vmlinux";

/** A module's BTF in the running kernel. */
interface KernelModule {
  readonly name: string;
  readonly blob: Uint8Array;
}

/** Modules with BTF, by their ids, as they were loaded. @throws SyscallError */
function* modulesById(): Generator<KernelModule & { readonly fd: Fd }, void> {
  for (const id of objectIds("btf")) {
    let fd: Fd;
    try {
      fd = openById("btf", id);
    } catch (error) {
      // It may be gone by now.
      if (error instanceof SyscallError && error.errno === Errno.ENOENT) continue;
      throw error;
    }
    const { name, kernel, btf } = btfInfo(fd);
    if (kernel && name !== VMLINUX) yield { name, blob: btf, fd };
    else fd.close();
  }
}

/**
 * The BTF of the running kernel's modules. The order decides which of two of the same name is meant; who may not ask
 * for it gets that of the directory.
 */
export function moduleBtfs(): readonly KernelModule[] {
  const names = readdirSync(BTF_DIRECTORY).filter((name) => name !== VMLINUX);
  const files = () => names.map((name) => ({ name, blob: readFileSync(join(BTF_DIRECTORY, name)) }));
  if (names.length < 2) return files();
  try {
    return Array.from(modulesById(), ({ name, blob, fd }) => {
      fd.close();
      return { name, blob };
    });
  } catch (error) {
    if (error instanceof SyscallError && error.isPermission) return files();
    throw error;
  }
}

/** Descriptors of modules' BTF for loads that refer to them, found by their content. */
export class ModuleBtfs implements Disposable {
  #open: readonly (KernelModule & { readonly fd: Fd })[] | undefined;

  /**
   * The descriptor of a module's BTF, valid until this is closed.
   * @throws InputError when no module of the running kernel has this BTF; SyscallError
   */
  fd(blob: Uint8Array): number {
    this.#open ??= [...modulesById()];
    const module = this.#open.find((one) => Buffer.compare(one.blob, blob) === 0);
    if (module === undefined) throw new InputError("the program refers to a kernel module that is not loaded here");
    return module.fd.number;
  }

  /** Closes what was opened. */
  close(): void {
    disposeAll(this.#open?.map(({ fd }) => fd) ?? []);
    this.#open = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
