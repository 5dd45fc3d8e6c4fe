// SPDX-License-Identifier: MIT
import { createRequire } from "node:module";
import t from "tap";
import { AttachType, ProgFlag, ProgType, parseSection, SECTIONS, SELF_ATTACHING } from "../../src/kernel/index.js";

/** libbpf's own answer for a SEC name: program type and expected attach type; null when it knows none. */
type LibbpfLookup = (name: string) => readonly [number, number] | null;

function openLibbpf(): LibbpfLookup | undefined {
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const library = koffi.load("libbpf.so.1");
    const lookup = library.func("int libbpf_prog_type_by_name(const char *name, _Out_ int *type, _Out_ int *attach)");
    return (name) => {
      const type = [0];
      const attach = [0];
      return (lookup(name, type, attach) as number) === 0 ? [type[0]!, attach[0]!] : null;
    };
  } catch {
    return undefined;
  }
}

/** SEC names that came after libbpf 1.1, which is the oldest one that the test meets. */
const NEWER = new Set([
  "sk_skb/verdict",
  "kprobe.session",
  "uprobe.multi",
  "uprobe.multi.s",
  "uretprobe.multi",
  "uretprobe.multi.s",
  "usdt.s",
  "tc/ingress",
  "tc/egress",
  "tcx/ingress",
  "tcx/egress",
  "netkit/primary",
  "netkit/peer",
  "netfilter",
  "struct_ops.s",
  "cgroup/connect_unix",
  "cgroup/sendmsg_unix",
  "cgroup/recvmsg_unix",
  "cgroup/getpeername_unix",
  "cgroup/getsockname_unix",
]);

const libbpf = openLibbpf();

t.test(
  "libbpf agrees on every name",
  { skip: libbpf === undefined ? "skipped: no libbpf or no koffi" : false },
  (t) => {
    for (const def of SECTIONS) {
      const answer = libbpf!(def.name);
      if (answer === null) {
        t.ok(NEWER.has(def.name), `${def.name} is unknown to this libbpf`);
        continue;
      }
      t.strictSame(answer, [def.progType, def.attachType], def.name);
      const withTarget = libbpf!(`${def.name}/target`);
      t.equal(withTarget !== null && !SECTIONS.some((s) => s.name === `${def.name}/target`), def.takesTarget, def.name);
    }
    t.end();
  },
);

t.test(
  "libbpf and we know the same names",
  { skip: libbpf === undefined ? "skipped: no libbpf or no koffi" : false },
  (t) => {
    const names = [
      "tracepoint/a/b",
      "tracepointx",
      "tracepoint/",
      "xdp/devmap",
      "xdp/other",
      "xdp_foo",
      "kprobe",
      "kprobe/",
      "kprobe.s/x",
      "fentry.s/x",
      "iter/task",
      "cgroup/skb/x",
      "cgroup/dev",
      "socket1",
      "",
      "/",
      "action/x",
    ];
    for (const name of names) {
      const own = parseSection(name);
      const theirs = libbpf!(name);
      t.strictSame(own === undefined ? null : [own.def.progType, own.def.attachType], theirs, JSON.stringify(name));
    }
    t.end();
  },
);

t.test("names are taken apart", (t) => {
  t.match(parseSection("tp/sched/sched_switch"), { target: "sched/sched_switch", autoload: true });
  t.match(parseSection("?tp/sched/sched_switch"), { target: "sched/sched_switch", autoload: false });
  t.match(parseSection("xdp"), { target: null, def: { progType: ProgType.XDP, attachType: AttachType.XDP } });
  t.match(parseSection("tc/egress"), { target: null, def: { attachType: AttachType.TCX_EGRESS } });
  t.match(parseSection("fentry.s/do_unlinkat"), {
    target: "do_unlinkat",
    def: { sleepable: true, targetIsBtf: true, progFlags: ProgFlag.SLEEPABLE },
  });
  t.match(parseSection("xdp.frags/devmap"), { def: { progFlags: ProgFlag.XDP_HAS_FRAGS, attachType: 33 } });
  t.equal(parseSection("nonsense/x"), undefined);
  t.equal(new Set(SECTIONS.map((def) => def.name)).size, SECTIONS.length, "no name stands twice");
  for (const def of SECTIONS) {
    if (SELF_ATTACHING.has(def.attach)) t.ok(def.takesTarget, `${def.name} has a target to attach to`);
  }
  t.end();
});

t.test("sections of one's own go before libbpf's", (t) => {
  const { def } = parseSection("xdp")!;
  const own = [
    { ...def, name: "xdp/mine", takesTarget: false },
    { ...def, name: "late", takesTarget: true, needsTarget: true },
    { ...def, name: "xdp", progFlags: 1 },
  ];
  t.match(parseSection("?xdp/mine", own), { def: { name: "xdp/mine" }, target: null, autoload: false });
  t.equal(parseSection("xdp/mine/x", own), undefined);
  t.equal(parseSection("late", own), undefined);
  t.match(parseSection("late/a/b", own), { def: { name: "late" }, target: "a/b" });
  t.equal(parseSection("xdp", own)!.def.progFlags, 1);
  t.equal(parseSection("xdp.frags", own)!.def.name, "xdp.frags");
  t.end();
});
