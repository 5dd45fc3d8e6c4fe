// SPDX-License-Identifier: MIT

/*
 * Compares the mirror's verdicts and logs with a kernel's:
 *
 *   npm run parity -- examples | FILE.jsonl [--all] [--only TEXT] [--log]
 *
 * FILE.jsonl holds load records with kernel answers; `examples` builds the programs of examples/ and puts
 * them before the running kernel. Differences are listed with their first differing
 * line: the first 40 of them, or --all. --only takes records whose id holds TEXT, --log prints both logs.
 */
import { createReadStream, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { readInput } from "../src/cli/input.js";
import { askKernel } from "../src/load/ask-kernel.js";
import { readRecord, writeRecord } from "../src/model/record.js";
import { resolveObject } from "../src/object/resolve.js";
import { bpfPermission } from "../src/syscall/permissions.js";
import { InputError } from "../src/util/errors.js";
import { judge, mask, type Parity } from "../test/support/parity.js";

const LISTED = 40;

/** What the comparison of many records came to. */
class Tally {
  programs = 0;
  verdicts = 0;
  logs = 0;
  readonly differences: string[] = [];

  add(parity: Parity): void {
    this.programs++;
    if (parity.sameVerdict) this.verdicts++;
    if (parity.difference === null) this.logs++;
    if (parity.sameVerdict && parity.difference === null) return;
    this.differences.push(describe(parity));
  }

  fail(id: string, error: unknown): void {
    this.programs++;
    this.differences.push(`${id}: ${(error as Error).stack ?? String(error)}`);
  }

  print(all: boolean): void {
    const shown = all ? this.differences : this.differences.slice(0, LISTED);
    for (const text of shown) console.log(text);
    if (shown.length < this.differences.length) console.log(`… and ${this.differences.length - shown.length} more`);
    console.log(`${this.programs} programs, ${this.verdicts} identical verdicts, ${this.logs} identical logs`);
  }
}

function describe({ id, result, kernel, sameVerdict, difference }: Parity): string {
  const lines = [id];
  if (!sameVerdict) {
    const construct = result.construct ? ` (${result.construct.what} at insn ${result.construct.insn})` : "";
    const verdict = kernel.errno === 0 ? "accepted" : `rejected, errno ${kernel.errno}`;
    lines.push(`  verdict: kernel ${verdict}; ours ${result.verdict}, errno ${result.errno}${construct}`);
  }
  if (difference !== null) {
    lines.push(`  line ${difference.line}`, `    kernel: ${difference.kernel}`, `    ours:   ${difference.ours}`);
  }
  return lines.join("\n");
}

/** The records of a file, as text. */
function recordsOf(file: string): AsyncIterable<string> {
  return createInterface({ input: createReadStream(file) });
}

/** The programs of examples/ with the running kernel's answers, as text. */
async function* examples(): AsyncIterable<string> {
  const directory = fileURLToPath(new URL("../examples", import.meta.url));
  for (const name of readdirSync(directory).sort()) {
    if (!name.endsWith(".ts")) continue;
    const { spec } = await readInput(join(directory, name));
    for (const program of resolveObject(spec).programs) {
      yield writeRecord({ id: `${name}/${program.name}`, load: program.load, kernel: askKernel(program.load) });
    }
  }
}

async function compare(records: AsyncIterable<string>, only: string, showLogs: boolean): Promise<Tally> {
  const tally = new Tally();
  for await (const line of records) {
    if (line === "") continue;
    let id = "?";
    try {
      const record = readRecord(line);
      id = record.id;
      if (!id.includes(only) || record.kernel === null || record.kernel.stage === "before") continue;
      const parity = judge(record);
      tally.add(parity);
      if (showLogs) console.log(`kernel:\n${mask(record.kernel.log)}\nours:\n${mask(parity.result.log)}`);
    } catch (error) {
      if (error instanceof InputError && id === "?") console.error(`skipped: ${error.message}`);
      else tally.fail(id, error);
    }
  }
  return tally;
}

const args = process.argv.slice(2);
const at = args.indexOf("--only");
const only = at < 0 ? "" : (args[at + 1] ?? "");
const file = args.find((arg, i) => !arg.startsWith("--") && (at < 0 || i !== at + 1));
if (file === undefined) {
  console.error("usage: npm run parity -- examples | FILE.jsonl [--all] [--only TEXT] [--log]");
  process.exitCode = 2;
} else if (file === "examples" && !bpfPermission().permitted) {
  console.log("skipped: no bpf(2)");
} else {
  const tally = await compare(file === "examples" ? examples() : recordsOf(file), only, args.includes("--log"));
  tally.print(args.includes("--all"));
  if (tally.differences.length > 0) process.exitCode = 1;
}
