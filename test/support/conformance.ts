// SPDX-License-Identifier: MIT

/** A case of the suite bpf_conformance: a text file of parts that begin with `-- NAME`. */
export interface ConformanceCase {
  readonly asm: string;
  /** The words of the program, where the case has them. */
  readonly raw: readonly bigint[] | undefined;
  /** Memory that r1 points to (r2 is its length), empty without. */
  readonly mem: Uint8Array;
  /** What r0 must be in the end; undefined when the program must fail. */
  readonly result: bigint | undefined;
}

const PARTS = ["asm", "mem", "raw", "result", "error"] as const;
type Part = (typeof PARTS)[number];

/** Reads a case; what it does not know it passes over, as the suite's own reader does. */
export function conformanceCase(text: string): ConformanceCase {
  const parts: Record<Part, string[]> = { asm: [], mem: [], raw: [], result: [], error: [] };
  let part: Part | undefined;
  for (const line of text.split("\n").map((row) => row.replace(/\r$/, "").replace(/#.*/, ""))) {
    if (line.startsWith("--")) part = PARTS.find((name) => line.includes(name));
    else if (part !== undefined) parts[part].push(line);
  }
  const words = (lines: readonly string[]) =>
    lines
      .join(" ")
      .split(/\s+/)
      .filter((word) => word !== "");
  const raw = words(parts.raw).map((word) => BigInt(word));
  const result = words(parts.result)[0];
  return {
    asm: parts.asm.join("\n"),
    raw: raw.length === 0 ? undefined : raw,
    mem: Uint8Array.from(words(parts.mem), (byte) => Number.parseInt(byte, 16)),
    result: result === undefined ? undefined : BigInt(`0x${result.replace(/^0x/, "")}`),
  };
}
