// SPDX-License-Identifier: MIT

/** Number of single-character insertions, deletions and replacements that lead from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/**
 * Those of `candidates` that somebody who wrote `name` may have meant, the likeliest first: few
 * letters differ, or one name contains the other.
 */
export function similarNames(name: string, candidates: Iterable<string>, limit = 3): string[] {
  const ranked: { candidate: string; distance: number }[] = [];
  for (const candidate of candidates) {
    const contains =
      name.length >= 3 && candidate.length >= 3 && (candidate.includes(name) || name.includes(candidate));
    // Counting edits of hopelessly different lengths would be wasted work.
    if (!contains && Math.abs(candidate.length - name.length) > name.length / 3) continue;
    const distance = editDistance(name, candidate);
    if (contains || distance <= Math.max(2, name.length / 3)) ranked.push({ candidate, distance });
  }
  ranked.sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1));
  return ranked.slice(0, limit).map(({ candidate }) => candidate);
}

/** ` (similar: a, b)` for the end of a message; empty when nothing is similar. */
export function similarNote(name: string, candidates: Iterable<string>): string {
  const similar = similarNames(name, candidates);
  return similar.length === 0 ? "" : ` (similar: ${similar.join(", ")})`;
}
