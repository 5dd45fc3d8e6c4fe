// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import t from "tap";
import * as asm from "../../src/asm/index.js";
import { ProgType } from "../../src/kernel/uapi.js";
import { pinObject } from "../../src/syscall/pin.js";
import { loadProgram } from "../../src/syscall/program.js";
import { whyNoBpf } from "./kernel-judge.js";
import { askBpftool, insnsOf, optionsOf, type RecordedListing, withListingProgram } from "./listing.js";

const recorded = JSON.parse(
  readFileSync(new URL("../fixtures/asm/listing.json", import.meta.url), "utf8"),
) as RecordedListing;

/** Compares every rendering, line by line. */
function compare(t: Pick<typeof import("tap").t, "same">, theirs: RecordedListing): void {
  const insns = insnsOf(theirs);
  const options = optionsOf(theirs);
  t.same(asm.disasmProgram(insns, options).split("\n"), theirs.plain.split("\n"), "plain");
  t.same(asm.disasmProgram(insns, { ...options, opcodes: true }).split("\n"), theirs.opcodes.split("\n"), "opcodes");
  t.same(asm.disasmProgram(insns, { ...options, linum: true }).split("\n"), theirs.linum.split("\n"), "linum");
}

t.test("listings are bpftool's, byte for byte (recorded)", async (t) => {
  for (const what of ["map[id:", "][0]+", "subprog[+", "#bpf_prog_", "line_num:", "0x1122334455667788"]) {
    t.ok(recorded.linum.includes(what), `the recorded program shows ${what}`);
  }
  compare(t, recorded);
});

const version = (tool: string, ...args: string[]) => spawnSync(tool, args, { encoding: "utf8" }).stdout ?? "";
const noBpftool = version("bpftool", "version") === "" ? "skipped: no bpftool" : false;
const noClang = version("clang-19", "--version") === "" ? "skipped: no clang-19" : false;
const noBpf = whyNoBpf() ?? false;

t.test("listings are bpftool's for a program in the kernel", { skip: noBpf || noBpftool || noClang }, async (t) => {
  compare(t, withListingProgram(askBpftool));
});

/**
 * What bpftool 7.1 prints otherwise: its disassembler is Linux 6.2's, older than cpu v4. By the rows
 * of the kernel that loads the program.
 */
const OLD_BPFTOOL: Readonly<Record<string, string>> = {
  "(3f) r6 s/= r7": "(3f) r6 /= r7",
  "(94) w6 s%= 5": "(94) w6 %= 5",
  "(bf) r1 = (s16)r6": "(bf) r1 = r6",
  "(bc) w1 = (s8)w6": "(bc) w1 = w6",
  "(d7) r1 = bswap32 r1": "BUG_alu64_d7",
  "(06) gotol pc+1": "(06) if w0 jmp 0x1 goto pc+0",
  "(81) r1 = *(s32 *)(r10 -8)": "BUG_ldx_81",
  "(db) store_release((u64 *)(r10 -8), r6)": "BUG_db",
};

t.test("where bpftool is older than cpu v4, it differs as expected", { skip: noBpf || noBpftool }, async (t) => {
  const insns = [
    asm.mov64Imm(6, 1000),
    asm.mov64Imm(7, 3),
    asm.salu64Reg("sdiv", 6, 7),
    asm.salu32Imm("smod", 6, 5),
    asm.movsx64(1, 6, 16),
    asm.movsx32(1, 6, 8),
    asm.bswap(1, 32),
    asm.atomic("store_rel", "dw", 10, 6, -8),
    asm.ldxs("w", 1, 10, -8),
    asm.jmpImm("jeq", 1, 0, 1),
    asm.jaLong(1),
    asm.mov64Imm(6, -1),
    asm.mov64Imm(0, 0),
    asm.exit(),
  ];
  const path = `/sys/fs/bpf/bpfsmith-cpu-v4-${process.pid}`;
  const request = { name: "cpu_v4", type: ProgType.SOCKET_FILTER, insns: asm.encodeInsns(insns), license: "GPL" };
  using program = loadProgram(request).fd;
  t.teardown(() => rmSync(path, { force: true }));
  pinObject(program, path);
  const theirs = askBpftool(path);
  const ourRows = asm.disasmProgram(insnsOf(theirs), optionsOf(theirs)).split("\n");
  const theirRows = theirs.plain.split("\n");
  t.equal(ourRows.length, theirRows.length);
  const isOld = theirs.bpftool.startsWith("bpftool v7.1.");
  const withoutSlot = (row: string) => row.replace(/^ *\d+: /, "");
  const differing = ourRows.flatMap((ours, i) =>
    ours === theirRows[i] ? [] : [[withoutSlot(ours), withoutSlot(theirRows[i]!)]],
  );
  if (isOld) t.same(Object.fromEntries(differing), OLD_BPFTOOL, "just the expected differences");
  else
    for (const [ours, row] of differing) t.equal(OLD_BPFTOOL[ours!], row, `${theirs.bpftool} may still print ${row}`);
});

t.test("lines follow bpftool's way through them", async (t) => {
  const line = (insn: number, text: string) => ({ insn, text, file: "a.ts", line: insn + 1, column: 2 });
  const insns = [...asm.ldImm64(1, 1), asm.mov64Imm(0, 0), asm.exit()];
  const lines = [line(0, "  indented"), line(1, "in a second slot"), line(3, "end")];
  const rows = asm.disasmProgram(insns, { lines, linum: true }).split("\n");
  t.same(rows, [
    "; indented [file:a.ts line_num:1 line_col:2]",
    "   0: (18) r1 = 0x1",
    "; in a second slot [file:a.ts line_num:2 line_col:2]",
    "   2: (b7) r0 = 0",
    "; end [file:a.ts line_num:4 line_col:2]",
    "   3: (95) exit",
    "",
  ]);
});

t.test("hidden and interpreted calls", async (t) => {
  const xlated = [asm.rawInsn(0x85, 0, 1, 7, 1), asm.rawInsn(0x85, 0, 0, 0, 100_000), asm.rawInsn(0x85, 0, 0, 0, 0)];
  const list = (options: asm.ListingOptions) => asm.disasmProgram(xlated, options);
  t.equal(list({}), "   0: (85) call pc+7\n   1: (85) call 0x186a0#100000\n   2: (85) call bpf_unspec#0\n");
  t.match(list({ subprogs: [1n, 0xffffffffc0001000n] }), "call pc+7#0xffffffffc0001000\n");
});

t.test("programs that were not loaded name what they refer to", async (t) => {
  const names: Record<number, string> = { 0: "map[events]", 2: "helper_fn" };
  const insns = [...asm.ldMapFd(1, 0), asm.callSubprog(4), asm.callSubprog(-3), asm.callHelper(1), asm.callKfunc(9)];
  t.equal(
    asm.disasmProgram(insns, { reference: (slot) => names[slot] }),
    [
      "   0: (18) r1 = map[events]",
      "   2: (85) call pc+4#helper_fn",
      "   3: (85) call pc-3",
      "   4: (85) call bpf_map_lookup_elem#1",
      "   5: (85) call kernel-function#9",
      "",
    ].join("\n"),
  );
});
