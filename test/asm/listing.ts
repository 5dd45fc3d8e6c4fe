// SPDX-License-Identifier: MIT
/*
 * What bpftool prints for a real program, with all that it knows when it does. Run as a program,
 * compiles and loads test/fixtures/asm/listing.c and writes what bpftool prints for it to listing.json
 * beside it:
 *
 *   node --import tsx test/asm/listing.ts
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ListingLine, ListingOptions } from "../../src/asm/disasm-prog.js";
import { decodeInsns, type Insn } from "../../src/asm/insn.js";
import { isLdImm64 } from "../../src/asm/isa.js";
import { Cmd } from "../../src/kernel/uapi.js";
import { Attr, bpf } from "../../src/syscall/attr.js";
import type { Fd } from "../../src/syscall/fd.js";
import { translatedInsns } from "../../src/syscall/info.js";
import { getPinned } from "../../src/syscall/pin.js";

/** A listing's material and bpftool's renderings of it, fit for JSON. */
export interface RecordedListing {
  /** `bpftool version`, first line. */
  readonly bpftool: string;
  /** Translated instructions in hexadecimal. */
  readonly insns: string;
  readonly lines: readonly ListingLine[];
  /** Prototypes by slot. */
  readonly signatures: Readonly<Record<string, string>>;
  /** Kernel symbols that calls lead to, by address in hexadecimal. */
  readonly symbols: Readonly<Record<string, string>>;
  readonly callBase: string;
  readonly subprogs: readonly string[];
  /** bpftool's text without options, with `opcodes`, and with `linum`. */
  readonly plain: string;
  readonly opcodes: string;
  readonly linum: string;
}

export function insnsOf(recorded: RecordedListing): Insn[] {
  return decodeInsns(Buffer.from(recorded.insns, "hex"));
}

export function optionsOf(recorded: RecordedListing): ListingOptions {
  return {
    lines: recorded.lines,
    signature: (slot) => recorded.signatures[slot],
    symbol: (address) => recorded.symbols[address.toString(16)],
    callBase: BigInt(`0x${recorded.callBase}`),
    subprogs: recorded.subprogs.map((address) => BigInt(`0x${address}`)),
  };
}

function tool(command: string, args: readonly string[], cwd?: string): string {
  const run = spawnSync(command, args, { encoding: "utf8", cwd });
  if (run.status !== 0)
    throw new Error(`${command} ${args.join(" ")}: ${run.error?.message ?? run.stderr + run.stdout}`);
  return run.stdout;
}

/** Compiles a C file of the fixtures; the line table names it relative to its directory. */
export function compileFixture(name: string, object: string, ...args: string[]): void {
  const source = fileURLToPath(new URL(`../fixtures/asm/${name}`, import.meta.url));
  const flags = ["-target", "bpf", "-g", "-O2", "-fdebug-compilation-dir=.", ...args];
  tool("clang-19", [...flags, "-c", basename(source), "-o", object], join(source, ".."));
}

/** Has bpftool list a pinned program. */
export function askBpftool(path: string): RecordedListing {
  using program = getPinned(path);
  const dump = (...args: string[]) => tool("bpftool", ["prog", "dump", "xlated", "pinned", path, ...args]);
  const bytes = translatedInsns(program);
  const insns = decodeInsns(bytes);
  const { callBase, names } = kernelSymbols();
  const subprogs = jitedSymbols(program);
  const called = insns
    .filter(({ opcode }) => opcode === 0x85)
    .map(({ imm }) => BigInt.asUintN(64, callBase + BigInt(imm)));
  const symbols = [...called, ...subprogs].flatMap((address) => {
    const name = names.get(address);
    return name === undefined ? [] : [[address.toString(16), name] as const];
  });
  return {
    bpftool: tool("bpftool", ["version"]).split("\n")[0]!,
    insns: Buffer.from(bytes).toString("hex"),
    ...sourceOf(
      insns,
      JSON.parse(tool("bpftool", ["-j", "prog", "dump", "xlated", "pinned", path, "linum"])) as JsonRow[],
    ),
    symbols: Object.fromEntries(symbols),
    callBase: callBase.toString(16),
    subprogs: subprogs.map((address) => address.toString(16)),
    plain: dump(),
    opcodes: dump("opcodes"),
    linum: dump("linum"),
  };
}

/** A row of bpftool's JSON, which has the same source lines in another form. */
interface JsonRow {
  readonly proto?: string;
  readonly src?: string;
  readonly file?: string;
  readonly line_num?: number;
  readonly line_col?: number;
}

function sourceOf(insns: readonly Insn[], rows: readonly JsonRow[]): Pick<RecordedListing, "lines" | "signatures"> {
  const lines: ListingLine[] = [];
  const signatures: Record<string, string> = {};
  let slot = 0;
  for (const { proto, src, file = "", line_num: line = 0, line_col: column = 0 } of rows) {
    if (proto !== undefined) signatures[slot] = proto;
    if (src !== undefined) lines.push({ insn: slot, text: src, file, line, column });
    slot += isLdImm64(insns[slot]!) ? 2 : 1;
  }
  return { lines, signatures };
}

function kernelSymbols(): { callBase: bigint; names: Map<bigint, string> } {
  const names = new Map<bigint, string>();
  let callBase = 0n;
  for (const row of readFileSync("/proc/kallsyms", "utf8").split("\n")) {
    const [hex, , name] = row.split(/\s+/);
    if (name === undefined) continue;
    const address = BigInt(`0x${hex}`);
    if (name === "__bpf_call_base") callBase = address;
    names.set(address, name);
  }
  return { callBase, names };
}

/** Offsets in `struct bpf_prog_info`. */
const NR_JITED_KSYMS = 104;
const JITED_KSYMS = 112;

/** Addresses of a program's compiled functions. */
function jitedSymbols(program: Fd): bigint[] {
  const ask = (info: Attr) => {
    const attr = new Attr().u32(0, program.number).u32(4, info.bytes.length).pointer(8, info.bytes);
    if (bpf(Cmd.OBJ_GET_INFO_BY_FD, attr, 16) < 0) throw new Error("no program info");
    return info;
  };
  const count = ask(new Attr(232)).getU32(NR_JITED_KSYMS);
  const addresses = new BigUint64Array(count);
  ask(new Attr(232).u32(NR_JITED_KSYMS, count).pointer(JITED_KSYMS, new Uint8Array(addresses.buffer)));
  return [...addresses];
}

/** Loads the listing program for as long as `use` runs. */
export function withListingProgram<T>(use: (path: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), "bpfsmith-"));
  const path = `/sys/fs/bpf/bpfsmith-listing-${process.pid}`;
  try {
    compileFixture("listing.c", join(dir, "listing.o"), "-mcpu=v3");
    tool("bpftool", ["prog", "load", join(dir, "listing.o"), path]);
    return use(path);
  } finally {
    rmSync(path, { force: true });
    rmSync(dir, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = new URL("../fixtures/asm/listing.json", import.meta.url);
  writeFileSync(file, `${JSON.stringify(withListingProgram(askBpftool), null, 2)}\n`);
}
