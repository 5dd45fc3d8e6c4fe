// SPDX-License-Identifier: MIT

/*
 * Finds every `struct bpf_func_proto` of a helper in the running kernel's read-only data, through a
 * BPF program that reads kernel memory, and writes test/fixtures/kernel/helper-protos.json. As root:
 *
 *   npx tsx scripts/record-helper-protos.ts
 */
import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { fileURLToPath } from "node:url";
import * as asm from "../src/asm/build.js";
import { encodeInsns } from "../src/asm/insn.js";
import { readBtf } from "../src/btf/read.js";
import { helperByName, helperProtos, MapType, ProgType } from "../src/kernel/index.js";
import { createMap, loadProgram, MapAccess, testRun } from "../src/syscall/index.js";
import { helperFunction, type ProtoFixture, type ProtoInMemory } from "../test/support/helper-functions.js";

const CHUNK = 0x8000;
/** Bytes of read-only data to look through. */
const RODATA = 0x180_0000;
const PROTO_SIZE = 96;
const POISON = 0xdead_0000_0000_eb9fn;
const FLAG_MASK = 0x0fff_ffff;

const symbols = new Map<string, bigint>();
const names = new Map<bigint, string>();
for (const line of readFileSync("/proc/kallsyms", "utf8").split("\n")) {
  const [address, , name, module] = line.split(/\s+/);
  if (name === undefined || module !== undefined) continue;
  symbols.set(name, BigInt(`0x${address}`));
}
const wanted = new Set([...helperProtos().keys()].map(helperFunction));
for (const [name, address] of symbols) {
  if (wanted.has(name) || name.endsWith("_allowed")) names.set(address, name);
}
const start = symbols.get("__start_rodata");
if (start === undefined || start === 0n) throw new Error("/proc/kallsyms shows no addresses: run as root");
const image = readKernel(start, RODATA);
const view = new DataView(image.buffer);
const types = readBtf(new Uint8Array(readFileSync("/sys/kernel/btf/vmlinux"))).types;

/** Copies kernel memory, a chunk a run of a small program; what cannot be read stays zero. */
function readKernel(from: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  using map = createMap({ name: "chunk", type: MapType.ARRAY, keySize: 4, valueSize: CHUNK, maxEntries: 1 });
  const insns = encodeInsns(
    [
      asm.ldx("dw", 6, 1, 0),
      asm.stImm("w", 10, -4, 0),
      asm.mov64Reg(2, 10),
      asm.alu64Imm("add", 2, -4),
      asm.ldMapFd(1, map.number),
      asm.callHelper(helperByName("map_lookup_elem")!),
      asm.jmpImm("jne", 0, 0, 1),
      asm.exit(),
      asm.mov64Reg(1, 0),
      asm.mov64Imm(2, CHUNK),
      asm.mov64Reg(3, 6),
      asm.callHelper(helperByName("probe_read_kernel")!),
      asm.exit(),
    ].flat(),
  );
  using program = loadProgram({ name: "read_kernel", type: ProgType.RAW_TRACEPOINT, insns, license: "GPL" }).fd;
  const access = new MapAccess(map, 4, CHUNK);
  const context = new Uint8Array(96);
  for (let at = 0; at < length; at += CHUNK) {
    new DataView(context.buffer).setBigUint64(0, from + BigInt(at), true);
    if (testRun(program, { context }).retval !== 0 || !access.lookup()) continue;
    bytes.set(access.valueBytes, at);
  }
  return bytes;
}

/** Name of the kernel type whose BTF id stands at an address: `*` for what the verifier fills in, `?` for what is elsewhere. */
function btfName(pointer: bigint): string | null {
  if (pointer === 0n) return null;
  if (pointer === POISON) return "*";
  const at = Number(pointer - start!);
  if (at < 0 || at + 4 > image.length) return "?";
  const type = types[view.getUint32(at, true)];
  return type !== undefined && "name" in type ? type.name : "?";
}

/** The structure at an offset of the image, null when what stands there is something else. */
function readProto(at: number): ProtoInMemory | null {
  const flags = [8, 9, 10, 11].map((off) => view.getUint8(at + off));
  const retType = view.getUint32(at + 12, true);
  const argTypes = [16, 20, 24, 28, 32].map((off) => view.getUint32(at + off, true));
  if (
    flags.some((flag) => flag > 1) ||
    (retType & 0xff) > 8 ||
    retType > FLAG_MASK ||
    view.getUint32(at + 36, true) !== 0
  )
    return null;
  if (
    argTypes.some((type, i) => (type & 0xff) > 23 || type > FLAG_MASK || (type !== 0 && i > 0 && argTypes[i - 1] === 0))
  )
    return null;
  const args = [40, 48, 56, 64, 72].map((off) => {
    const word = view.getBigUint64(at + off, true);
    return word !== 0n && word < 0x10000n ? Number(word) : btfName(word);
  });
  const retBtf = view.getBigUint64(at + 80, true);
  const allowed = view.getBigUint64(at + 88, true);
  if (allowed !== 0n && !names.has(allowed)) return null;
  return {
    gplOnly: flags[0] === 1,
    pktAccess: flags[1] === 1,
    mightSleep: flags[2] === 1,
    allowFastcall: flags[3] === 1,
    retType,
    argTypes,
    args,
    retBtf: btfName(retBtf),
    allowed: names.get(allowed) ?? null,
  };
}

const protos: Record<string, ProtoInMemory[]> = {};
for (let at = 0; at + PROTO_SIZE <= image.length; at += 8) {
  const name = names.get(view.getBigUint64(at, true));
  if (name === undefined || !wanted.has(name)) continue;
  const proto = readProto(at);
  if (proto === null) continue;
  protos[name] ??= [];
  protos[name].push(proto);
}
const sorted = Object.fromEntries(Object.entries(protos).sort(([a], [b]) => (a < b ? -1 : 1)));
const fixture: ProtoFixture = { release: release(), protos: sorted };
const lines = Object.entries(fixture.protos).map(
  ([name, list]) => `    ${JSON.stringify(name)}: ${JSON.stringify(list)}`,
);
const text = `{\n  "release": ${JSON.stringify(fixture.release)},\n  "protos": {\n${lines.join(",\n")}\n  }\n}\n`;
writeFileSync(fileURLToPath(new URL("../test/fixtures/kernel/helper-protos.json", import.meta.url)), text);
console.log(`${lines.length} functions, ${Object.values(protos).flat().length} prototypes`);
