// SPDX-License-Identifier: MIT

/**
 * Gives a user's program the rooms of the running bpfsmith by specifier (`bpfsmith`, `bpfsmith/load`); undefined for
 * names that are none.
 */
export type Rooms = (specifier: string) => unknown;

/** By what a command line can be run: the script for `verify`, the script that holds every command, the modules. */
export type Runner = "verify" | "app" | "modules";

/**
 * The command line needs more of bpfsmith than runs. A program can only run on the library's modules when it uses
 * top-level await, `import.meta`, or packages that may themselves import bpfsmith and must meet the same one.
 */
export class NeedsMore extends Error {
  override readonly name = "NeedsMore";
  readonly runner: Runner;

  constructor(runner: Runner) {
    super(`needs ${runner}`);
    this.runner = runner;
  }
}

let joined: Rooms | undefined;

/** Says that bpfsmith runs joined into one script, whose rooms are these. */
export function joinRooms(rooms: Rooms): void {
  joined = rooms;
}

/** The rooms of the one script that runs, undefined when bpfsmith runs as modules. */
export function joinedRooms(): Rooms | undefined {
  return joined;
}
