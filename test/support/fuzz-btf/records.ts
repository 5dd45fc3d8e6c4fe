// SPDX-License-Identifier: MIT
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Adds the BTFs that stand anywhere in a value of JSON. */
function collect(json: unknown, found: Map<string, Uint8Array>): void {
  if (typeof json !== "object" || json === null) return;
  for (const [key, value] of Object.entries(json)) {
    // Shorter ones are references, like `prog`.
    if (key !== "btf" || typeof value !== "string" || value.length < 32) {
      collect(value, found);
      continue;
    }
    const bytes = new Uint8Array(Buffer.from(value, "base64"));
    found.set(createHash("sha256").update(bytes).digest("hex"), bytes);
  }
}

/** All different BTFs of a file of load records, or of all in a directory. */
export function btfsOfRecords(path: string, isDirectory: boolean): Uint8Array[] {
  const names = isDirectory ? readdirSync(path).filter((name) => name.endsWith(".jsonl")) : [""];
  const found = new Map<string, Uint8Array>();
  for (const name of names.sort()) {
    for (const line of readFileSync(join(path, name), "utf8").split("\n")) {
      if (line !== "") collect(JSON.parse(line), found);
    }
  }
  return [...found.values()];
}
