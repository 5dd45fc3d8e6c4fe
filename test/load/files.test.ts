// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { writeFileAtomic } from "../../src/load/files.js";
import { scratchDir } from "../support/tools.js";

t.test("a file is written, and replaces the one before", (t) => {
  const dir = scratchDir();
  const file = join(dir, "out.o");
  writeFileAtomic(file, Uint8Array.of(1, 2, 3));
  t.strictSame([...readFileSync(file)], [1, 2, 3]);
  const large = new Uint8Array(3_000_000).fill(7);
  writeFileAtomic(file, large);
  t.equal(Buffer.compare(readFileSync(file), large), 0);
  t.strictSame(readdirSync(dir), ["out.o"], "no temporary file stays");
  t.equal(statSync(file).mode & 0o111, 0, "it is not executable");
  t.end();
});

t.test("what is in the way is said, and nothing stays behind", (t) => {
  const dir = scratchDir();
  const missing = join(dir, "no", "out.o");
  t.throws(() => writeFileAtomic(missing, new Uint8Array()), {
    name: "InputError",
    message: `${missing}: cannot be written: no such directory`,
  });
  mkdirSync(join(dir, "taken"));
  t.throws(() => writeFileAtomic(join(dir, "taken"), new Uint8Array(1)), /it is a directory/);
  writeFileSync(join(dir, "plain"), "");
  t.throws(() => writeFileAtomic(join(dir, "plain", "out.o"), new Uint8Array(1)), /a part of the path is no directory/);
  t.throws(() => writeFileAtomic(join(dir, "n".repeat(300)), new Uint8Array(1)), /the name is too long/);
  t.strictSame(readdirSync(dir).sort(), ["plain", "taken"]);
  t.end();
});

t.test("permissions", { skip: process.getuid?.() === 0 ? "skipped: root may write anywhere" : false }, (t) => {
  const dir = scratchDir();
  chmodSync(dir, 0o555);
  t.throws(() => writeFileAtomic(join(dir, "out.o"), new Uint8Array(1)), /permission denied/);
  chmodSync(dir, 0o755);
  t.end();
});

const small = scratchDir();
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).status === 0;

t.test("a full disk", { skip: mounted ? false : "skipped: no right to mount a small file system" }, (t) => {
  const dir = small;
  try {
    const file = join(dir, "out.o");
    writeFileAtomic(file, Uint8Array.of(1));
    const large = new Uint8Array(1_000_000);
    t.throws(() => writeFileAtomic(file, large), {
      name: "InputError",
      message: `${file}: cannot be written: no space left on the device`,
    });
    t.strictSame([...readFileSync(file)], [1], "the old file is untouched");
    t.strictSame(readdirSync(dir), ["out.o"]);
  } finally {
    spawnSync("umount", [dir]);
  }
  t.end();
});
