import { expect, test } from "vitest";
import { cidr, cidrSpan, ip } from "#shared/net/ip.ts";
import { planSockets, type SocketsSpec } from "./plan-sockets.ts";

const net1 = {
  name: "net1",
  addresses: [
    { address: ip("10.1.0.11"), prefix: cidr("10.1.0.0/24") },
    { address: ip("fd00::11"), prefix: cidr("fd00::/64") },
    { address: ip("fe80::11"), prefix: cidr("fe80::/64") },
  ],
};
const spec: SocketsSpec = {
  domains: new Set([0, 1]),
  listenAddresses: [],
  multicastInterfaces: [net1],
  families: new Set([4]),
  ownAddresses: [],
};
const shown = (changes: Partial<SocketsSpec>): string[] =>
  planSockets({ ...spec, ...changes }).map(
    ({ bind, groups, isExtra, port, sends }) =>
      `${bind} ${port}${sends ? "" : " mute"}${isExtra ? " extra" : ""}${groups.map(({ group, on }) => ` ${group}@${on}`).join("")}`,
  );

test("everywhere: one socket for each domain and family, in the groups of each network", () => {
  expect(shown({})).toEqual(["0.0.0.0 7400 239.255.0.1@10.1.0.11", "0.0.0.0 7650 239.255.0.1@10.1.0.11"]);
  expect(shown({ domains: new Set([0]), families: new Set([6]) })).toEqual([
    ":: 7400 ff02::ffff:efff:1@::%net1 ff1e::ffff:efff:1@::%net1",
  ]);
});

test("everywhere: beside it one for each address to speak from, but link-local ones", () => {
  const ownAddresses = net1.addresses.map(({ address, prefix }) => ({ address, span: cidrSpan(prefix), isVip: false }));
  const domains = new Set([0]);
  expect(shown({ domains, ownAddresses, families: new Set([4, 6]), multicastInterfaces: [] })).toEqual([
    "0.0.0.0 7400",
    "10.1.0.11 7400 extra",
    ":: 7400",
    "fd00::11 7400 extra",
  ]);
});

test("listen addresses: only there, and at the groups, which are for hearing alone", () => {
  const ownAddresses = net1.addresses.map(({ address, prefix }) => ({ address, span: cidrSpan(prefix), isVip: false }));
  const listenAddresses = [ip("10.1.0.11"), ip("10.2.0.11"), ip("fd00::11")];
  expect(shown({ domains: new Set([0]), listenAddresses, ownAddresses })).toEqual([
    "10.1.0.11 7400",
    "10.2.0.11 7400",
    "239.255.0.1 7400 mute 239.255.0.1@10.1.0.11",
  ]);
  expect(shown({ domains: new Set([0]), listenAddresses, multicastInterfaces: [] })).toEqual([
    "10.1.0.11 7400",
    "10.2.0.11 7400",
  ]);
});

test("listen addresses, IPv6: a socket for each link's own group, one for the group of all", () => {
  const net2 = { ...net1, name: "net2" };
  const listenAddresses = [ip("fd00::11")];
  const six = { domains: new Set([0]), families: new Set([6] as const), multicastInterfaces: [net1, net2] };
  expect(shown({ ...six, listenAddresses })).toEqual([
    "fd00::11 7400",
    "ff02::ffff:efff:1%net1 7400 mute ff02::ffff:efff:1@::%net1",
    "ff1e::ffff:efff:1 7400 mute ff1e::ffff:efff:1@::%net1 ff1e::ffff:efff:1@::%net2",
    "ff02::ffff:efff:1%net2 7400 mute ff02::ffff:efff:1@::%net2",
  ]);
});

test("a family of which listen addresses name none is heard by multicast alone", () => {
  expect(shown({ domains: new Set([0]), listenAddresses: [ip("fd00::11")] })).toEqual([
    "239.255.0.1 7400 mute 239.255.0.1@10.1.0.11",
  ]);
});
