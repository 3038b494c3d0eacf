import { createSocket } from "node:dgram";
import { setImmediate as turn } from "node:timers/promises";
import { buildParticipantDispose, ENTITY_ID, portsOf } from "rtps-wire";
import { announcementOf } from "../../../discovery/relay/wire.fixture.ts";

/*
 * flood.ts RELAY PREFIX PREFIX COUNT: as fast as it can, disposes and announcements in the name of two participants, and
 * garbage. Prints how many datagrams it has sent.
 */

const [, , relay = "", first = "", second = "", count = "0"] = process.argv;
const header = (guidPrefix: string) => ({ version: { major: 2, minor: 3 }, vendorId: 0x0110, guidPrefix });
const forged = [first, second].flatMap((prefix) => {
  const guid = { prefix, entityId: ENTITY_ID.participant };
  const announcement = announcementOf(1, { guid, address: "10.71.2.99", sn: 1_000n });
  announcement.set(Buffer.from(prefix, "hex"), 8);
  return [buildParticipantDispose(header(prefix), 1_000n), announcement];
});
const datagrams = [...forged, Buffer.from("RTPS and more that is none"), ...forged.map((one) => one.subarray(0, 60))];
const socket = createSocket("udp4");
const { metatrafficMulticast: port } = portsOf(0);
let sent = 0;
while (sent < Number(count)) {
  for (let at = 0; at < 100; at++, sent++)
    socket.send(datagrams[sent % datagrams.length] ?? "", port, relay, () => undefined);
  await turn();
}
process.stdout.write(JSON.stringify({ sent }));
socket.close();
