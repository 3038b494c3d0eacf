import { expect, it } from "vitest";
import { cidr, ip } from "#shared/net/ip.ts";
import { type KernelInterface, planNetworks } from "./plan-networks.ts";

const device = (
  name: string,
  address: string,
  prefix: string,
  more: Partial<KernelInterface> = {},
): KernelInterface => ({
  name,
  ifindex: 7,
  up: true,
  mac: "02:00:00:00:00:01",
  mtu: 1500,
  addresses: [
    { address: ip("fe80::1"), prefix: cidr("fe80::/64") },
    { address: ip(address), prefix: cidr(prefix) },
  ],
  ...more,
});
const wanted = [
  { name: "default/a", interface: "net1" },
  { name: "default/b", interface: "net2" },
];
const FIRST = device("net1", "10.0.1.1", "10.0.1.0/24");
const problemsWith = (second: KernelInterface) => planNetworks(wanted, [FIRST, second]);

it("takes networks with an Ethernet interface and an IPv4 address", () => {
  expect(problemsWith(device("net2", "10.0.2.1", "10.0.2.0/24"))).toEqual({
    attached: [
      expect.objectContaining({ name: "default/a", interface: "net1", address: "10.0.1.1", prefixes: ["10.0.1.0/24"] }),
      expect.objectContaining({ name: "default/b", interface: "net2", address: "10.0.2.1", prefixes: ["10.0.2.0/24"] }),
    ],
    problems: [],
  });
});

it.each([
  ["absent", device("net3", "10.0.2.1", "10.0.2.0/24"), "network default/b: there is no interface net2"],
  ["down", device("net2", "10.0.2.1", "10.0.2.0/24", { up: false }), "network default/b: net2 is down"],
  [
    "a tunnel",
    device("net2", "10.0.2.1", "10.0.2.0/24", { mac: undefined }),
    "network default/b: net2 is no Ethernet interface; multicast is not copied to or from it",
  ],
  [
    "without an address",
    device("net2", "10.0.2.1", "10.0.2.0/24", { addresses: [] }),
    "network default/b: net2 has no IPv4 address; give it one, by which its network is known",
  ],
])("leaves out one that is %s", (_what, second, problem) => {
  const { attached, problems } = problemsWith(second);
  expect(attached.map(({ name }) => name)).toEqual(["default/a"]);
  expect(problems).toEqual([problem]);
});

it("leaves out both of two that share addresses", () => {
  const { attached, problems } = problemsWith(device("net2", "10.0.1.129", "10.0.1.128/25"));
  expect(attached).toEqual([]);
  expect(problems).toEqual([
    "networks default/a and default/b have addresses in common (10.0.1.0/24; 10.0.1.128/25): " +
      "multicast of neither is copied; give each network its own prefix",
  ]);
});
