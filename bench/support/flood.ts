/*
 * Sends frames as fast as one core can, until it is killed: node flood.ts CORE NETNS DEVICE MAC VIP FIRST-PORT SERVICES
 * With a DEVICE of veth the same core forwards them, too.
 */
import { familyOf, ip } from "#shared/net/ip.ts";
import { fill } from "./frames.ts";
import { FrameBatch, PacketSender, pinTo } from "./packet-sender.ts";

const [core = "0", netns = "", device = "", destinationMac = "", vip = "", firstPort = "", services = ""] =
  process.argv.slice(2);
pinTo(Number(core));
const sender = new PacketSender(netns, device);
const batch = new FrameBatch();
const address = ip(vip);
const stream = {
  family: familyOf(address),
  destinationMac,
  vip: address,
  flows: 50_000,
  firstPort: Number(firstPort),
  services: Number(services),
};
fill(batch, stream, 0);
for (;;) sender.send(batch);
