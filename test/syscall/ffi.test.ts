// SPDX-License-Identifier: MIT
import { closeSync, openSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { release } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import t from "tap";
import { Errno } from "../../src/kernel/errno.js";
import { type Ffi, FfiUnavailableError, openFfi } from "../../src/syscall/index.js";
import { InputError } from "../../src/util/errors.js";

/** System calls that the product has no use for, but a test has. */
const NR = (
  {
    x64: { read: 0, close: 3, mmap: 9, munmap: 11, getpid: 39, uname: 63, eventfd2: 290 },
    arm64: { read: 63, close: 57, mmap: 222, munmap: 215, getpid: 172, uname: 160, eventfd2: 19 },
  } as Record<string, Record<"read" | "close" | "mmap" | "munmap" | "getpid" | "uname" | "eventfd2", number>>
)[process.arch];

const installed = (name: string): boolean => {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
};

const call = (ffi: Ffi, nr: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number =>
  ffi.syscall(nr, a, b, c, d, e, f);

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

for (const name of ["koffi", "ffi-napi"] as const) {
  const skip =
    NR === undefined
      ? `skipped: no system call numbers for ${process.arch}`
      : installed(name)
        ? false
        : `skipped: ${name} is not installed`;
  t.test(`FFI contract of ${name}`, { skip }, (t) => {
    const nr = NR!;
    const ffi = openFfi(name);
    t.equal(ffi.name, name);

    t.test("results and errno", (t) => {
      t.equal(call(ffi, nr.getpid), process.pid);
      t.equal(call(ffi, nr.close, -1), -Errno.EBADF);
      t.equal(call(ffi, nr.mmap, 0, 0, 1, 0x22, -1, 0), -Errno.EINVAL, "a mapping of no bytes");
      for (let i = 0; i < 2000; i++) {
        if (call(ffi, nr.close, -1) !== -Errno.EBADF) t.fail(`errno was lost in round ${i}`);
      }
      t.end();
    });

    t.test("the kernel writes to the address of an array", (t) => {
      const uname = new Uint8Array(390);
      t.equal(call(ffi, nr.uname, ffi.address(uname)), 0);
      const text = new TextDecoder().decode(uname.subarray(130, 195)).split("\0")[0];
      t.equal(text, release());
      t.end();
    });

    t.test("an address holds while the garbage collector works, also of small arrays and parts", (t) => {
      const whole = new Uint8Array(64);
      const arrays = [new Uint8Array(4), new Uint8Array(64), whole.subarray(8, 24), new Uint8Array(100_000)];
      const addresses = arrays.map((array) => ffi.address(array));
      t.equal(ffi.address(whole) + 8, addresses[2], "a part begins within the whole");
      collectGarbage();
      collectGarbage();
      t.strictSame(
        arrays.map((array) => ffi.address(array)),
        addresses,
      );
      const zero = openSync("/dev/urandom", "r");
      arrays.forEach((array, i) => {
        t.equal(call(ffi, nr.read, zero, addresses[i]!, 4), 4);
        t.ok(array.subarray(0, 4).some((byte) => byte !== 0));
      });
      closeSync(zero);
      t.end();
    });

    t.test("foreign memory is seen without copying, from both sides", (t) => {
      const page = 4096;
      const address = call(ffi, nr.mmap, 0, page, 3, 0x22, -1, 0);
      t.ok(address > 0 && Number.isSafeInteger(address));
      const view = ffi.view(address, page);
      t.equal(view.length, page);
      const file = openSync("/proc/self/comm", "r");
      const length = call(ffi, nr.read, file, address + 16, 100);
      closeSync(file);
      t.equal(Buffer.from(view.subarray(16, 16 + length)).toString(), readFileSync("/proc/self/comm", "utf8"));
      const words = new BigUint64Array(view.buffer, view.byteOffset, 1);
      Atomics.store(words, 0, 0x1122_3344_5566_7788n);
      t.equal(ffi.view(address, 8)[0], 0x88, "a second view sees what the first one wrote");
      t.equal(call(ffi, nr.munmap, address, page), 0);
      t.end();
    });

    t.test("a watch reports readiness, until it is closed", { skip: ffi.watch === null && "no watch" }, async (t) => {
      const fd = call(ffi, nr.eventfd2, 0, 0o4000);
      const counter = new Uint8Array(8);
      let calls = 0;
      const watch = ffi.watch!(fd, () => {
        calls++;
        call(ffi, nr.read, fd, ffi.address(counter), 8);
      });
      await new Promise((resolve) => setTimeout(resolve, 20));
      t.equal(calls, 0, "not ready yet");
      const { writeSync } = await import("node:fs");
      writeSync(fd, new Uint8Array(new BigUint64Array([3n]).buffer));
      await new Promise((resolve) => setTimeout(resolve, 20));
      t.equal(calls, 1);
      t.equal(counter[0], 3);
      watch.close();
      watch.close();
      writeSync(fd, new Uint8Array(new BigUint64Array([1n]).buffer));
      await new Promise((resolve) => setTimeout(resolve, 20));
      t.equal(calls, 1, "closed");
      closeSync(fd);
    });
    t.end();
  });
}

t.test("a missing backend says how to install it", { skip: installed("ffi-napi") && "ffi-napi is installed" }, (t) => {
  try {
    openFfi("ffi-napi");
    t.fail("it opened");
  } catch (error) {
    t.ok(error instanceof FfiUnavailableError);
    t.match((error as Error).message, "FFI_NAPI=1 npm install --no-save ffi-napi ref-napi");
  }
  t.end();
});

t.test("an unknown backend is refused by name", (t) => {
  t.throws(() => openFfi("libffi"), new InputError('BPFSMITH_FFI must be koffi or ffi-napi, not "libffi"'));
  t.end();
});
