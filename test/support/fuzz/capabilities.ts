// SPDX-License-Identifier: MIT
import { InputError } from "../../../src/util/errors.js";
import type { Capabilities } from "../../../src/verifier/index.js";

const NAMES: Readonly<Record<string, keyof Capabilities>> = { bpf: "bpf", perfmon: "perfmon", net_admin: "netAdmin" };

/**
 * Capabilities by name: `root`, `none`, or some of bpf, perfmon, net_admin with commas between.
 * @throws InputError
 */
export function parseCapabilities(text: string): Capabilities {
  const all = text === "root";
  const caps = { bpf: all, perfmon: all, netAdmin: all };
  for (const name of all || text === "none" ? [] : text.split(",")) {
    const key = NAMES[name];
    if (key === undefined) throw new InputError(`--caps takes root, none, or bpf, perfmon, net_admin, not ${name}`);
    caps[key] = true;
  }
  return caps;
}

/** The command that runs another one with exactly these capabilities; empty when all are wanted. */
export function dropCommand(text: string): string[] {
  if (text === "root") return [];
  const caps =
    text === "none"
      ? ""
      : text
          .split(",")
          .map((name) => `,+${name}`)
          .join("");
  return [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    `--inh-caps=-all${caps}`,
    ...(caps === "" ? [] : [`--ambient-caps=-all${caps}`]),
  ];
}
