import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { addressBytes } from "#shared/kernel/address-bytes.ts";
import { writeSysctl } from "#shared/kernel/network-namespace.ts";
import { openRawIcmp, type RawIcmp } from "#shared/kernel/raw-icmp.ts";
import { makeTestbed, type Testbed } from "./testbed.ts";

let bed: Testbed;
const stop = new AbortController();
beforeAll(() => {
  bed = makeTestbed("icmp");
  // The peer answers every bad packet, at once.
  writeSysctl(bed.peer, "net/ipv4/icmp_ratelimit", 0);
  writeSysctl(bed.peer, "net/ipv4/icmp_msgs_per_sec", 100_000);
  writeSysctl(bed.peer, "net/ipv4/icmp_msgs_burst", 100_000);
  writeSysctl(bed.peer, "net/ipv6/icmp/ratelimit", 0);
});
afterAll(() => {
  stop.abort();
  bed.remove();
});

function open(family: 4 | 6, packetsPerSecond = 1000): { icmp: RawIcmp; packets: Uint8Array[] } {
  const packets: Uint8Array[] = [];
  const icmp = openRawIcmp({
    family,
    netns: bed.netns,
    signal: stop.signal,
    packetsPerSecond,
    onPacket: (packet) => packets.push(packet),
    onError: (error) => {
      throw error;
    },
  });
  return { icmp, packets };
}

/** UDP without payload to a port where nobody listens. */
function ipv4(source: string, destination: string): Uint8Array {
  const packet = new Uint8Array(28);
  packet.set([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17]);
  packet.set(addressBytes(source), 12);
  packet.set(addressBytes(destination), 16);
  packet.set([0x30, 0x39, 0x00, 0x09, 0, 8, 0, 0], 20);
  return packet;
}

/** An unknown next header, which is answered by a parameter problem; no checksum needed. */
function ipv6(source: string, destination: string): Uint8Array {
  const packet = new Uint8Array(48);
  packet.set([0x60, 0, 0, 0, 0, 8, 253, 64]);
  packet.set(addressBytes(source), 8);
  packet.set(addressBytes(destination), 24);
  return packet;
}

test("IPv4: sends a whole packet and receives the error it causes, but no echo", async () => {
  const { icmp, packets } = open(4);
  icmp.sendRaw(ipv4("10.9.0.1", "10.9.0.2"));
  await vi.waitFor(() => expect(packets).toHaveLength(1), { interval: 2, timeout: 20_000 });
  const [packet] = packets;
  expect([...(packet?.subarray(12, 20) ?? [])]).toEqual([10, 9, 0, 2, 10, 9, 0, 1]);
  expect([packet?.[9], packet?.[20], packet?.[21]]).toEqual([1, 3, 3]);
  expect(packet?.subarray(28, 56).subarray(12, 20)).toEqual(ipv4("10.9.0.1", "10.9.0.2").subarray(12, 20));
  expect(() => icmp.sendRaw(new Uint8Array(3))).toThrow(/whole IPv4 packets/);
  icmp.close();
  expect(() => icmp.sendRaw(ipv4("10.9.0.1", "10.9.0.2"))).toThrow(/closed/);
});

test("IPv6: the header is rebuilt", async () => {
  const { icmp, packets } = open(6);
  const sent = ipv6("fd09:0::1", "fd09:0::2");
  icmp.sendRaw(sent);
  await vi.waitFor(() => expect(packets).toHaveLength(1), { interval: 2, timeout: 20_000 });
  const [packet] = packets;
  expect(packet?.subarray(8, 24)).toEqual(addressBytes("fd09:0::2"));
  expect(packet?.subarray(24, 40)).toEqual(addressBytes("fd09:0::1"));
  expect([packet?.[0], packet?.[6], packet?.[7], packet?.[40], packet?.[41]]).toEqual([0x60, 58, 64, 4, 1]);
  expect((packet?.[5] ?? 0) + 40).toBe(packet?.length);
  expect(packet?.subarray(48, 48 + 40)).toEqual(sent.subarray(0, 40));
  icmp.close();
});

test("marks choose the route", async () => {
  bed.ip("route", "add", "10.9.0.0/24", "dev", "a1", "table", "700");
  bed.ip("rule", "add", "fwmark", "0x7", "table", "700", "pref", "50");
  bed.ip("neigh", "replace", "10.9.0.2", "lladdr", "02:00:00:00:00:01", "dev", "a1", "nud", "permanent");
  const sentOn = (device: string) =>
    Number(JSON.parse(bed.ip("-j", "-s", "link", "show", "dev", device))[0].stats64.tx.packets);
  const before = sentOn("a1");
  const { icmp } = open(4);
  for (let index = 0; index < 20; index++) icmp.sendRaw(ipv4("10.9.0.1", "10.9.0.2"), { mark: 7 });
  expect(sentOn("a1") - before).toBeGreaterThanOrEqual(20);
  icmp.close();
});

test("a flood is held to the rate, and the rest is counted", async () => {
  const { icmp, packets } = open(4, 100);
  const startMs = performance.now();
  for (let index = 0; index < 3000; index++) icmp.sendRaw(ipv4("10.9.0.1", "10.9.0.2"));
  await vi.waitFor(() => expect(icmp.counters().received).toBeGreaterThan(20), { interval: 5, timeout: 5000 });
  const windows = Math.ceil((performance.now() - startMs) / 100) + 1;
  expect(packets.length).toBeLessThanOrEqual(windows * 10);
  icmp.sendRaw(ipv4("10.9.0.1", "10.9.0.2"));
  await vi.waitFor(() => expect(icmp.counters().dropped).toBeGreaterThan(0), { interval: 5, timeout: 60_000 });
  icmp.close();
});
