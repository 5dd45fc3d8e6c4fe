// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { FUNC_INFO_SIZE, LINE_INFO_SIZE } from "../../src/btf/format.js";
import { readObject } from "../../src/elf/read-object.js";
import { runningKernel } from "../../src/load/kernel-facts.js";
import type { InfoRecords, MapLoad, ProgramLoad } from "../../src/model/load.js";
import { resolveObject } from "../../src/object/resolve.js";
import { fromHex } from "../../src/util/encodings.js";
import { compareLoads } from "../support/compare-loads.js";
import { runQuietly, scratchDir, whyNoBpf, whyNoTool } from "../support/tools.js";

/*
 * The installed libbpf opens an object of clang's and loads its programs; what it hands to the kernel is caught
 * (test/fixtures/libbpf/capture.c) and must be what we resolve.
 */

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/libbpf/${name}`, import.meta.url));
const scratch = scratchDir();

/** Builds the program that catches libbpf's loads; what is missing when it cannot be built. */
function buildCapture(): string | undefined {
  try {
    runQuietly("gcc", "-O1", "-rdynamic", "-o", join(scratch, "capture"), fixture("capture.c"), "-lbpf", "-ldl");
    return undefined;
  } catch {
    return "skipped: no libbpf to link with";
  }
}

interface CapturedMap extends Omit<MapLoad, "btf" | "value" | "inner" | "extra" | "btfVmlinuxValueTypeId"> {
  readonly typed: boolean;
  readonly value: string | null;
  readonly inner: CapturedMap | null;
  readonly extra: number;
}

interface Captured extends Omit<ProgramLoad, "maps" | "insns" | "btf" | "funcInfo" | "lineInfo"> {
  readonly maps: readonly CapturedMap[];
  readonly insns: string;
  readonly btf: string | null;
  readonly funcInfo: string | null;
  readonly lineInfo: string | null;
}

const bytes = (hex: string | null): Uint8Array | null => (hex === null ? null : fromHex(hex));

function mapOf(map: CapturedMap): MapLoad {
  const { typed, value, inner, extra, ...rest } = map;
  return {
    ...rest,
    extra: BigInt(extra),
    btf: typed ? "prog" : null,
    btfVmlinuxValueTypeId: 0,
    value: bytes(value),
    inner: inner && mapOf(inner),
  };
}

function records(hex: string | null, recSize: number): InfoRecords | null {
  const all = bytes(hex);
  return all && { bytes: all, recSize, count: all.length / recSize };
}

function loadOf(line: string): ProgramLoad {
  const captured = JSON.parse(line) as Captured;
  return {
    ...captured,
    progIfindex: 0,
    badMapInsns: [],
    fdArray: null,
    insns: fromHex(captured.insns),
    maps: captured.maps.map(mapOf),
    btf: bytes(captured.btf),
    funcInfo: records(captured.funcInfo, FUNC_INFO_SIZE),
    lineInfo: records(captured.lineInfo, LINE_INFO_SIZE),
  };
}

const skip = whyNoBpf() || whyNoTool("clang-19") || whyNoTool("gcc") || buildCapture() || false;

t.test("libbpf hands over what we resolve", { skip }, (t) => {
  for (const flags of [
    ["-O2", "-mcpu=v3"],
    ["-O2", "-mcpu=v4"],
    ["-O1", "-mcpu=v1"],
    ["-O3", "-mcpu=v2"],
  ]) {
    const name = flags.join(" ");
    const file = join(scratch, `loads${flags.join("")}.o`);
    runQuietly("clang-19", "-target", "bpf", "-g", ...flags, "-Wno-everything", "-c", fixture("object.c"), "-o", file);
    const { stdout } = spawnSync(join(scratch, "capture"), [file], { encoding: "utf8" });
    const theirs = stdout.trimEnd().split("\n").map(loadOf);
    const spec = readObject(readFileSync(file), { name: `loads${flags.join("")}` });
    const { programs } = resolveObject(spec, { ...runningKernel(), wanted: () => true, keepGoing: true });
    t.ok(theirs.length >= 6, `${name}: libbpf loads ${theirs.length} programs`);
    for (const load of theirs) {
      const ours = programs.find((program) => program.load.name === load.name);
      t.ok(ours, `${name}: ${load.name} is there`);
      const difference = ours && compareLoads(ours.load, load);
      t.equal(difference, undefined, `${name}: ${load.name}: ${difference?.what} ${difference?.detail}`);
    }
  }
  t.end();
});
