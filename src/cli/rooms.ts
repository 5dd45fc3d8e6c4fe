// SPDX-License-Identifier: MIT

/**
 * Gives a user's program the rooms of the running bpfsmith by specifier (`bpfsmith`, `bpfsmith/load`); undefined for
 * names that are none.
 */
export type Rooms = (specifier: string) => unknown;

/**
 * A program can only run on the library's modules, as it uses top-level await, `import.meta`, or packages that may
 * themselves import bpfsmith and must meet the same one.
 */
export class NeedsModules extends Error {
  override readonly name = "NeedsModules";
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
