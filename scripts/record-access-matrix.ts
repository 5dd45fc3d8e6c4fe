// SPDX-License-Identifier: MIT

/*
 * Asks the running kernel about every access to the context of every program type, and writes
 * test/fixtures/kernel/access-matrix.json. As root, for about a minute:
 *
 *   npx tsx scripts/record-access-matrix.ts
 */
import { writeFileSync } from "node:fs";
import { release } from "node:os";
import { fileURLToPath } from "node:url";
import { askAll, type PlaceAnswers, places } from "../test/support/access-matrix.js";
import { kernelAnswer } from "../test/support/kernel-answer.js";

const answers: Record<string, PlaceAnswers> = {};
for (const place of places) answers[place.key] = askAll(place, kernelAnswer);
const path = fileURLToPath(new URL("../test/fixtures/kernel/access-matrix.json", import.meta.url));
writeFileSync(path, `${JSON.stringify({ release: release(), answers }, null, 1)}\n`);
