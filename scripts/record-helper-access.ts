// SPDX-License-Identifier: MIT

/*
 * Asks the running kernel which helpers each program type may call, once with all capabilities and once
 * with CAP_BPF alone (through setpriv), and writes test/fixtures/kernel/helper-access.json. As root:
 *
 *   npx tsx scripts/record-helper-access.ts
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { release } from "node:os";
import { fileURLToPath } from "node:url";
import { accessProbes, allowedHelpers, toRanges } from "../test/support/helper-access.js";

const CAP_BPF_ONLY = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+bpf", "--ambient-caps=+bpf"];
const PRINT = "--print";

function ask(): Record<string, string> {
  const answers: Record<string, string> = {};
  for (const probe of accessProbes) {
    const allowed = allowedHelpers(probe);
    if (allowed !== null) answers[probe.key] = toRanges(allowed);
  }
  return answers;
}

if (process.argv.includes(PRINT)) console.log(JSON.stringify(ask()));
else {
  const script = fileURLToPath(import.meta.url);
  const child = execFileSync("setpriv", [...CAP_BPF_ONLY, process.execPath, "--import", "tsx", script, PRINT], {
    encoding: "utf8",
  });
  const fixture = { release: release(), allCapabilities: ask(), capBpfOnly: JSON.parse(child) };
  const path = fileURLToPath(new URL("../test/fixtures/kernel/helper-access.json", import.meta.url));
  writeFileSync(path, `${JSON.stringify(fixture, null, 2)}\n`);
}
