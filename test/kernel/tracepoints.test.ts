// SPDX-License-Identifier: MIT
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import {
  commonTracepoint,
  commonTracepointPaths,
  parseTracepointFormat,
  type TracepointFormat,
} from "../../src/kernel/index.js";
import { InputError } from "../../src/util/errors.js";

const events = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"].find((path) => {
  try {
    return existsSync(path) && readdirSync(path).length > 0;
  } catch {
    return false;
  }
});
const skip = events === undefined ? "skipped: no tracefs" : false;
if (skip) t.comment(skip);

const switchFormat = `name: sched_switch
ID: 372
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] filename;\toffset:28;\tsize:4;\tsigned:0;
\tfield:__rel_loc u8[] buf;\toffset:32;\tsize:4;\tsigned:0;
\tfield:const char *const * argv;\toffset:40;\tsize:8;\tsigned:0;
\tfield:const void* ptr;\toffset:48;\tsize:8;\tsigned:0;
\tfield:__u8 saddr[sizeof(struct sockaddr_in6)];\toffset:56;\tsize:28;\tsigned:0;
\tfield:unsigned long args[];\toffset:88;\tsize:0;\tsigned:0;

print fmt: "name: %s
field:nonsense", REC->x
`;

t.test("reading a format file", (t) => {
  const format = parseTracepointFormat(switchFormat);
  t.equal(format.name, "sched_switch");
  t.equal(format.id, 372);
  t.same(format.fields, [
    { name: "common_type", type: "unsigned short", isDynamic: false, offset: 0, size: 2, signed: false },
    { name: "common_pid", type: "int", isDynamic: false, offset: 4, size: 4, signed: true },
    { name: "prev_comm", type: "char", isDynamic: false, arrayLen: 16, offset: 8, size: 16, signed: false },
    { name: "prev_pid", type: "pid_t", isDynamic: false, offset: 24, size: 4, signed: true },
    { name: "filename", type: "char", isDynamic: true, offset: 28, size: 4, signed: false },
    { name: "buf", type: "u8", isDynamic: true, isRelative: true, offset: 32, size: 4, signed: false },
    { name: "argv", type: "const char *const *", isDynamic: false, offset: 40, size: 8, signed: false },
    { name: "ptr", type: "const void*", isDynamic: false, offset: 48, size: 8, signed: false },
    { name: "saddr", type: "__u8", isDynamic: false, arrayLen: 28, offset: 56, size: 28, signed: false },
    { name: "args", type: "unsigned long", isDynamic: false, arrayLen: 0, offset: 88, size: 0, signed: false },
  ]);
  t.end();
});

t.test("malformed format files", (t) => {
  const bad: readonly (readonly [text: string, message: RegExp])[] = [
    ["", /no "name:" line/],
    ["name: x\nformat:\n", /no "ID:" line/],
    ["name: x\nID: 1\nformat:\n", /has no fields/],
    ["name: x\nID: one\n", /line 2|:2|expected a number/],
    ["name: x\nID: 1\n\tfield:int a;\toffset:x;\tsize:4;\tsigned:1;", /expected a number after "offset:"/],
    ["name: x\nID: 1\n\tfield:int a;\toffset:0;\tsigned:1;", /expected "size:NUMBER"/],
    ["name: x\nID: 1\n\tfield:a;\toffset:0;\tsize:4;\tsigned:1;", /cannot read the field declaration "a"/],
    ["name: x\nID: 1\n\tfield:__data_loc char[] a;\toffset:0;\tsize:8;\tsigned:1;", /4 bytes/],
    ["name: x\nID: 1\nwhat is this", /unexpected "what is this"/],
    [switchFormat.slice(0, switchFormat.indexOf("size:16")), /expected "size:NUMBER"/],
  ];
  for (const [text, message] of bad) {
    t.throws(() => parseTracepointFormat(text), { name: "InputError", message }, JSON.stringify(text.slice(-40)));
  }
  t.end();
});

t.test("whatever the text, the answer is a format or an InputError", (t) => {
  const lines = switchFormat.split("\n");
  const mutation = fc
    .tuple(fc.nat(switchFormat.length), fc.nat(8), fc.string({ maxLength: 6 }))
    .map(([at, drop, insert]) => switchFormat.slice(0, at) + insert + switchFormat.slice(at + drop));
  const text = fc.oneof(
    fc.string(),
    mutation,
    fc.shuffledSubarray(lines).map((some) => some.join("\n")),
  );
  fc.assert(
    fc.property(text, (text) => {
      try {
        const format = parseTracepointFormat(text);
        return format.fields.every((field) => Number.isSafeInteger(field.offset) && field.name !== "");
      } catch (error) {
        if (error instanceof InputError) return true;
        throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.end();
});

/** Writes a format as the kernel does, for reading it back. */
function print(format: TracepointFormat): string {
  const fields = format.fields.map((field) => {
    const array = field.arrayLen === undefined ? "" : `[${field.arrayLen}]`;
    const loc = field.isDynamic ? `__${field.isRelative ? "rel" : "data"}_loc ${field.type}[]` : field.type;
    const place = `offset:${field.offset};\tsize:${field.size};\tsigned:${field.signed ? 1 : 0};`;
    return `\tfield:${loc} ${field.name}${array};\t${place}`;
  });
  return `name: ${format.name}\nID: ${format.id}\nformat:\n${fields.join("\n")}\n\nprint fmt: "x"\n`;
}

const table = new Map(commonTracepointPaths().map((path) => [path, commonTracepoint(path)!]));

t.test("a table of common tracepoints", (t) => {
  t.ok(table.size > 200, `${table.size} formats`);
  for (const path of ["sched/no_such", "syscalls/sys_enter_no_such", "toString", "syscalls/sys_enter_toString", "x"]) {
    t.equal(commonTracepoint(path), undefined, path);
  }
  t.end();
});

t.test("what is read back from a printed format is the format", (t) => {
  for (const format of table.values()) t.same(parseTracepointFormat(print(format)), format, format.name);
  t.end();
});

const skipTable = skip || (release().startsWith("6.18.") ? false : "skipped: not Linux 6.18");
t.test("the table against the running kernel's format files", { skip: skipTable }, (t) => {
  let compared = 0;
  for (const [path, format] of table) {
    const file = join(events!, path, "format");
    if (!existsSync(file)) continue;
    compared++;
    const live = parseTracepointFormat(readFileSync(file, "utf8"));
    t.ok(live.id > 0);
    t.same({ ...live, id: 0 }, format, path);
  }
  t.ok(compared > 100, `${compared} formats compared`);
  t.end();
});

t.test("every format file of the running kernel can be read", { skip }, (t) => {
  let read = 0;
  for (const system of readdirSync(events!, { withFileTypes: true })) {
    if (!system.isDirectory()) continue;
    for (const event of readdirSync(join(events!, system.name), { withFileTypes: true })) {
      const file = join(events!, system.name, event.name, "format");
      if (!event.isDirectory() || !existsSync(file)) continue;
      const text = readFileSync(file, "utf8");
      const format = parseTracepointFormat(text);
      read++;
      if (format.name !== event.name) t.fail(`${file}: name ${format.name}`);
      if (format.fields.length !== text.split("\tfield:").length - 1) t.fail(`${file}: ${format.fields.length} fields`);
    }
  }
  t.ok(read > 500, `${read} format files`);
  t.end();
});
