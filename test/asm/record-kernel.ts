// SPDX-License-Identifier: MIT
/*
 * Asks the running kernel about every probe and writes its answers to test/fixtures/asm:
 *
 *   node --import tsx test/asm/record-kernel.ts
 */
import { writeFileSync } from "node:fs";
import { release } from "node:os";
import { judge, whyNoBpf } from "./kernel-judge.js";
import { hexOf, probes } from "./probes.js";

const reason = whyNoBpf();
if (reason !== undefined) throw new Error(reason);
const [major, minor] = release().split(".");
const rows = probes().map((probe) => {
  const { text, complaint } = judge(probe);
  return `    ${JSON.stringify(hexOf(probe))}: ${JSON.stringify([text, complaint])}`;
});
const file = new URL(`../fixtures/asm/kernel-${major}.${minor}.json`, import.meta.url);
writeFileSync(file, `{\n  "release": ${JSON.stringify(release())},\n  "probes": {\n${rows.join(",\n")}\n  }\n}\n`);
console.log(`${rows.length} instructions recorded from Linux ${release()}`);
