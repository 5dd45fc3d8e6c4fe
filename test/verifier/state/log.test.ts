// SPDX-License-Identifier: GPL-2.0-only
import fc from "fast-check";
import t from "tap";
import { Log } from "../../../src/verifier/log.js";

const text = fc.string({ unit: fc.constantFrom("a", "\n", ";", "é", "→", "😀") });

t.test("positions count bytes, and cutting back gives what stood there before", (t) => {
  fc.assert(
    fc.property(fc.array(text), fc.array(text), (before, after) => {
      const log = new Log(2);
      for (const chunk of before) log.writeUtf8(chunk);
      const { endPos } = log;
      if (endPos !== Buffer.byteLength(before.join(""))) return false;
      for (const chunk of after) log.writeUtf8(chunk);
      if (log.toString() !== [...before, ...after].join("")) return false;
      log.reset(endPos);
      return log.toString() === before.join("") && log.endPos === endPos;
    }),
  );
  t.end();
});

t.test("cutting in the middle of a chunk keeps whole characters", (t) => {
  fc.assert(
    fc.property(text, text, fc.nat(), (before, chunk, at) => {
      const log = new Log(1);
      log.writeUtf8(before);
      log.writeUtf8(chunk);
      const bytes = Buffer.from(before + chunk);
      const pos = at % (bytes.length + 1);
      log.reset(pos);
      const whole = new TextDecoder().decode(bytes.subarray(0, pos), { stream: true });
      return log.endPos === pos && log.toString() === whole;
    }),
  );
  t.end();
});

t.test("many chunks are as one", (t) => {
  const log = new Log(2);
  let text = "";
  for (let i = 0; i < 10_000; i++) {
    log.write(`${i}:`);
    log.write(" x\n");
    text += `${i}: x\n`;
    if (i % 1000 === 999) {
      log.reset(log.endPos - 3);
      text = text.slice(0, -3);
    }
  }
  t.equal(log.endPos, text.length);
  t.ok(log.toString() === text);
  t.equal(log.lineBefore(log.endPos - 6), "9998: x");
  log.reset(10);
  log.write("!");
  t.equal(log.toString(), `${text.slice(0, 10)}!`);
  t.end();
});

t.test("nothing is kept at level 0", (t) => {
  const log = new Log(0);
  log.writeUtf8("something\n");
  log.reset(3);
  t.equal(log.toString(), "");
  t.equal(log.endPos, 0);
  t.end();
});
