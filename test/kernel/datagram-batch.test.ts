import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openSocket } from "../../discovery/sockets/open-socket.ts";
import { DatagramBatch, type OutgoingDatagram } from "../../shared/kernel/datagram-batch.ts";
import { socketAddress } from "../../shared/kernel/socket-address.ts";

/* Over the loopback; with an MTU below the length of a segment the kernel refuses to make any. */

const ip = (...args: string[]): unknown => execFileSync("ip", args);

beforeAll(() => {
  ip("address", "add", "10.99.0.1/32", "dev", "lo");
  ip("address", "add", "fd99::1/128", "dev", "lo", "nodad");
});
afterAll(() => {
  ip("link", "set", "lo", "mtu", "65536");
  ip("address", "delete", "10.99.0.1/32", "dev", "lo");
  // With a small MTU there is no IPv6, nor its addresses.
  ip("-6", "address", "flush", "dev", "lo", "to", "fd99::1/128");
});

it.each([
  ["segments", 4, "10.99.0.1", 65_536, true],
  ["segments, IPv6", 6, "fd99::1", 65_536, true],
  ["an MTU below a datagram's length", 4, "10.99.0.1", 1_000, false],
] as const)("%s: each datagram arrives, octet for octet", async (_, family, address, mtu, segments) => {
  ip("link", "set", "lo", "mtu", String(mtu));
  const receivers = [createSocket(`udp${family}`), createSocket(`udp${family}`)];
  const heard: number[][] = [[], []];
  const faults: string[] = [];
  for (const [which, receiver] of receivers.entries()) {
    receiver.bind(0, address);
    await once(receiver, "listening");
    receiver.setRecvBufferSize(1 << 20);
    receiver.on("message", (octets, { port }) => {
      heard[which]?.push(octets[0] ?? -1);
      if (octets.some((octet) => octet !== octets[0])) faults.push("octets of two datagrams in one");
      if (port !== own.port) faults.push(`from port ${port}`);
    });
  }
  const wanted = { key: "", domainId: 0, family, bind: address, port: 0, sends: true, isExtra: false, groups: [] };
  const { fd, socket } = openSocket(wanted);
  socket.bind({ fd });
  const own = socket.address();
  const places = receivers.map((receiver) => socketAddress(address, receiver.address().port));
  const datagrams = Array.from({ length: 200 }, (_unused, at): OutgoingDatagram[] => {
    const to = places[at % 2];
    return to === undefined ? [] : [{ to, octets: new Uint8Array(at % 3 === 0 ? 1_100 : 444).fill(at) }];
  }).flat();
  const sender = { fd, segments: true };
  expect(new DatagramBatch().send(sender, datagrams)).toEqual({ left: [], failed: 0 });
  expect(sender.segments).toBe(segments);
  await expect.poll(() => heard.map(({ length }) => length), { timeout: 10_000 }).toEqual([100, 100]);
  expect(faults).toEqual([]);
  for (const [which, octets] of heard.entries()) {
    expect(octets.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_unused, at) => 2 * at + which));
  }
  for (const one of [...receivers, socket]) one.close();
});
