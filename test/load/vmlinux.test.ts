// SPDX-License-Identifier: MIT
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import t from "tap";
import { kernelBtfBytes, kernelTypes, VMLINUX_BTF } from "../../src/load/vmlinux.js";
import { FfiUnavailableError } from "../../src/syscall/ffi.js";
import { mapFile } from "../../src/syscall/memory.js";
import { scratchDir } from "../support/tools.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const skip = existsSync(VMLINUX_BTF) ? false : "skipped: no vmlinux BTF";

t.test("the kernel's types are the file's bytes, mapped or read", { skip }, (t) => {
  t.equal(Buffer.compare(kernelBtfBytes(), readFileSync(VMLINUX_BTF)), 0);
  t.ok(kernelTypes()()!.idsByName("task_struct", "struct").length > 0);
  t.end();
});

t.test("a mapped file's address space goes back", async (t) => {
  const file = join(scratchDir(), "mapped");
  writeFileSync(file, "mapped bytes");
  const mappings = () => readFileSync("/proc/self/maps", "latin1").split(file).length - 1;
  let bytes: Uint8Array | undefined;
  try {
    bytes = mapFile(file);
  } catch (error) {
    if (!(error instanceof FfiUnavailableError)) throw error;
    return t.comment("skipped: no FFI");
  }
  t.equal(Buffer.from(bytes).toString(), "mapped bytes");
  t.equal(mappings(), 1);
  bytes = undefined;
  for (let i = 0; i < 20 && mappings() > 0; i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.equal(mappings(), 0);
  t.throws(() => mapFile(join(scratchDir(), "none")), { code: "ENOENT" });
});
