// SPDX-License-Identifier: MIT
// Drops ICMP (ping) at a network interface, before the rest of the kernel sees it, and counts by protocol.
// Needs an interface: bpfsmith run examples/drop-icmp.ts --device veth0
import { arrayMap, be16, be32, bytes, object, struct, u8, u16, u64, XdpAction, xdp } from "bpfsmith";
import type { RunArgs, Session } from "bpfsmith/load";

const ETH_P_IP = 0x0800;
const IPPROTO_ICMP = 1;

const EthernetHeader = struct("ethhdr", { dst: bytes(6), src: bytes(6), proto: be16 });

const Ipv4Header = struct("iphdr", {
  version_ihl: u8,
  tos: u8,
  tot_len: be16,
  id: be16,
  frag_off: be16,
  ttl: u8,
  protocol: u8,
  check: u16,
  saddr: be32,
  daddr: be32,
});

const counts = arrayMap("counts", u64, { maxEntries: 256 });

const dropIcmp = xdp("drop_icmp", (p, ctx) => {
  const eth = ctx.packet(EthernetHeader).orReturn(XdpAction.PASS);
  p.if(eth.proto.ne(ETH_P_IP), () => p.return(XdpAction.PASS));
  const ip = ctx.packet(Ipv4Header, EthernetHeader.size).orReturn(XdpAction.PASS);
  const protocol = ip.protocol.get();
  p.ifNotNull(counts.lookup(p, protocol), (count) => count.atomicAdd(1));
  p.if(protocol.eq(IPPROTO_ICMP), () => p.return(XdpAction.DROP));
  return XdpAction.PASS;
});

export default object({ name: "drop_icmp", license: "GPL", programs: [dropIcmp] });

export async function main(session: Session, args: RunArgs): Promise<void> {
  await session.ended;
  for (const [protocol, count] of session.map(counts).entries()) {
    if (count === 0n) continue;
    const verdict = protocol === IPPROTO_ICMP ? "dropped" : "passed";
    if (args.json) session.print(JSON.stringify({ protocol, count: Number(count), verdict }));
    else session.print(`protocol ${protocol}: ${count} packets ${verdict}`);
  }
}
