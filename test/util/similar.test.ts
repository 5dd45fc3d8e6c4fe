// SPDX-License-Identifier: MIT
import fc from "fast-check";
import t from "tap";
import { editDistance, similarNames, similarNote } from "../../src/util/similar.js";

t.test("edit distance", (t) => {
  t.equal(editDistance("", ""), 0);
  t.equal(editDistance("kitten", "sitting"), 3);
  t.equal(editDistance("abc", ""), 3);
  const word = fc.string({ maxLength: 8 });
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      const distance = editDistance(a, b);
      return (
        distance === editDistance(b, a) &&
        (distance === 0) === (a === b) &&
        distance <= editDistance(a, c) + editDistance(c, b) &&
        distance >= Math.abs(a.length - b.length)
      );
    }),
  );
  t.end();
});

t.test("similar names, the likeliest first", (t) => {
  const names = ["sys_enter_execve", "sys_exit_execve", "sys_enter_execveat", "sched_switch", "x"];
  t.strictSame(similarNames("sys_enter_exceve", names)[0], "sys_enter_execve");
  t.strictSame(similarNames("execve", names).sort(), ["sys_enter_execve", "sys_enter_execveat", "sys_exit_execve"]);
  t.strictSame(similarNames("zzzzzz", names), []);
  t.equal(similarNote("sched_swich", names), " (similar: sched_switch)");
  t.equal(similarNote("zzzzzz", names), "");
  t.end();
});
