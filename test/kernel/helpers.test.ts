// SPDX-License-Identifier: MIT
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { release } from "node:os";
import t from "tap";
import {
  ALL_CAPS,
  ArgType,
  HELPER_MAX_ID,
  type HelperCaps,
  helperById,
  helperByName,
  helperNames,
  helperProto,
  helperProtos,
  ProgType,
  RetType,
  TypeFlag,
} from "../../src/kernel/index.js";
import { bpfPermission } from "../../src/syscall/index.js";
import { type AccessProbe, accessProbes, allowedHelpers, toRanges } from "../support/helper-access.js";
import { helperFunction, type ProtoFixture, type ProtoInMemory } from "../support/helper-functions.js";

interface AccessFixture {
  readonly release: string;
  readonly allCapabilities: Readonly<Record<string, string>>;
  readonly capBpfOnly: Readonly<Record<string, string>>;
}

const fixture: AccessFixture = JSON.parse(
  readFileSync(new URL("../fixtures/kernel/helper-access.json", import.meta.url), "utf8"),
);

function tableSays({ progType, attachType }: AccessProbe, caps: HelperCaps): string {
  const allowed = [...helperNames.keys()].filter((id) => helperProto(progType, attachType, id, caps) !== null);
  return toRanges(allowed);
}

t.test("which program may call which helper: the table against recorded answers of the kernel", (t) => {
  t.ok(Object.keys(fixture.allCapabilities).length > 35, `recorded under ${fixture.release}`);
  for (const probe of accessProbes) {
    const all = fixture.allCapabilities[probe.key];
    if (all !== undefined) t.equal(tableSays(probe, ALL_CAPS), all, probe.key);
    const few = fixture.capBpfOnly[probe.key];
    if (few !== undefined) t.equal(tableSays(probe, { bpf: true, perfmon: false }), few, `${probe.key}, CAP_BPF alone`);
  }
  t.end();
});

const permission = bpfPermission();
const sameKernel = release().startsWith("6.18.");
const skipLive = !permission.permitted ? "skipped: no bpf(2)" : sameKernel ? false : "skipped: not Linux 6.18";
if (skipLive) t.comment(skipLive);

t.test("which program may call which helper: the table against the running kernel", { skip: skipLive }, (t) => {
  let answered = 0;
  for (const probe of accessProbes) {
    const allowed = allowedHelpers(probe);
    if (allowed === null) continue;
    answered++;
    t.equal(tableSays(probe, ALL_CAPS), toRanges(allowed), probe.key);
  }
  t.ok(answered >= 7, `${answered} combinations answered`);
  t.end();
});

t.test("names and ids", (t) => {
  t.equal(helperById(1), "map_lookup_elem");
  t.equal(helperByName("bpf_ringbuf_submit"), 132);
  t.equal(helperByName("ringbuf_submit"), 132);
  t.equal(helperByName("bpf_no_such_helper"), undefined);
  t.equal(helperById(HELPER_MAX_ID), undefined);
  t.equal(helperProto(ProgType.TRACEPOINT, 0, 4711), null);
  t.equal(helperProto(4711, 0, 1), null);
  let listed: string[] | undefined;
  try {
    listed = execFileSync("bpftool", ["feature", "list_builtins", "helpers"], { encoding: "utf8" }).trim().split("\n");
  } catch {
    t.comment("skipped: no bpftool");
  }
  // An older bpftool knows fewer helpers, but those by the same ids.
  if (listed) {
    t.ok(listed.length > 190);
    const named = listed.map((name) => helperByName(name));
    t.same(
      named,
      listed.map((_, i) => i + (listed[0] === "bpf_unspec" ? 0 : 1)),
    );
  }
  t.end();
});

t.test("every prototype is well-formed", (t) => {
  for (const [variant, proto] of helperProtos()) {
    const count = proto.argTypes.indexOf(ArgType.DONTCARE);
    const used = count < 0 ? 5 : count;
    t.ok(
      proto.argTypes.slice(used).every((type) => type === ArgType.DONTCARE),
      `${variant}: no argument after the last`,
    );
    proto.argTypes.forEach((type, i) => {
      if ((type & TypeFlag.MEM_FIXED_SIZE) !== 0)
        t.ok(proto.argSizes[i]! > 0, `${variant}: argument ${i + 1} has a size`);
      const base = type & 0xff;
      if (base === ArgType.CONST_SIZE || base === ArgType.CONST_SIZE_OR_ZERO) {
        t.equal(proto.argTypes[i - 1]! & 0xff, ArgType.PTR_TO_MEM, `${variant}: a size follows its memory`);
      }
      if (base === ArgType.PTR_TO_BTF_ID) t.ok(proto.argBtf[i], `${variant}: argument ${i + 1} names its type`);
    });
    if ((proto.retType & 0xff) === RetType.PTR_TO_BTF_ID) t.ok(proto.retBtf, `${variant}: the result names its type`);
  }
  for (const name of helperNames) {
    if (name === "unspec") continue;
    t.ok(
      [...helperProtos().values()].some((proto) => proto.name === name),
      `${name} has a prototype`,
    );
  }
  t.end();
});

/** Prototypes that the recorded kernel was built without, or that its image does not show. */
const notInImage = new Set([
  "override_return",
  "probe_write_user",
  "rc_repeat",
  "rc_keydown",
  "rc_pointer_rel",
  // Has no function of its own: the call is replaced.
  "tail_call",
]);

t.test("prototypes against the recorded kernel's memory", (t) => {
  const { protos }: ProtoFixture = JSON.parse(
    readFileSync(new URL("../fixtures/kernel/helper-protos.json", import.meta.url), "utf8"),
  );
  for (const [variant, proto] of helperProtos()) {
    const found = protos[helperFunction(variant)];
    if (notInImage.has(variant)) {
      t.equal(found, undefined, `${variant} is not in the image`);
      continue;
    }
    const ours: ProtoInMemory = {
      gplOnly: proto.gplOnly,
      pktAccess: proto.pktAccess,
      mightSleep: proto.mightSleep,
      allowFastcall: proto.allowFastcall,
      retType: proto.retType,
      argTypes: proto.argTypes,
      args: proto.argSizes.map((size, i) => (size > 0 ? size : proto.argBtf[i]!)),
      retBtf: proto.retBtf,
      allowed: proto.allowed,
    };
    const same = found?.some((one) => {
      const args = one.args.map((arg, i) => (arg === "?" ? ours.args[i] : arg));
      return JSON.stringify({ ...one, args }) === JSON.stringify(ours);
    });
    if (same) t.pass(variant);
    else t.same([ours], found, variant);
  }
  t.end();
});

t.test("variants of one helper", (t) => {
  const id = helperByName("perf_event_output")!;
  const variant = (type: number): string | undefined => helperProto(type, 0, id)?.variant;
  t.equal(variant(ProgType.TRACEPOINT), "perf_event_output_tp");
  t.equal(variant(ProgType.KPROBE), "perf_event_output");
  t.equal(variant(ProgType.RAW_TRACEPOINT), "perf_event_output_raw_tp");
  t.equal(variant(ProgType.SOCKET_FILTER), "skb_event_output");
  t.equal(variant(ProgType.XDP), "xdp_event_output");
  const stack = helperByName("get_stack")!;
  t.equal(helperProto(ProgType.KPROBE, 0, stack, ALL_CAPS, true)?.variant, "get_stack_sleepable");
  t.equal(helperProto(ProgType.KPROBE, 0, stack, ALL_CAPS, false)?.variant, "get_stack");
  t.equal(helperProto(ProgType.TRACEPOINT, 0, helperByName("trace_printk")!, { bpf: false, perfmon: false }), null);
  t.end();
});
