// SPDX-License-Identifier: MIT
import { fstatSync } from "node:fs";
import { createRequire } from "node:module";

/** What to mark text with. */
export type Color = "red" | "green" | "yellow" | "dim";

/** Where text goes: standard output or standard error. */
export type Output = 1 | 2;

type Painters = Readonly<Record<Color, (text: string) => string>>;

const painters = new Map<Output, Painters | undefined>();

/**
 * Asks the file first: Node's streams, and picocolors, which looks at them when it is loaded, take milliseconds to
 * start, and most output goes to files and pipes.
 */
function isTerminal(to: Output): boolean {
  try {
    if (!fstatSync(to).isCharacterDevice()) return false;
  } catch {
    return false;
  }
  return (to === 1 ? process.stdout : process.stderr).isTTY === true;
}

function paintersFor(to: Output): Painters | undefined {
  if (process.env.NO_COLOR !== undefined || !isTerminal(to)) return undefined;
  const pc = createRequire(import.meta.url)("picocolors") as { createColors(enabled: boolean): Painters };
  return pc.createColors(true);
}

/** Text as a terminal shows it; plain when that output is none or NO_COLOR is set. */
export function paint(color: Color, text: string, to: Output): string {
  if (!painters.has(to)) painters.set(to, paintersFor(to));
  return painters.get(to)?.[color](text) ?? text;
}
