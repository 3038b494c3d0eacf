import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { networkScript } from "./network-script.ts";
import { loadTopology } from "./resolve-topology.ts";

function script(name: string) {
  const file = new URL(`../examples/lab/${name}/topology.yaml`, import.meta.url);
  return networkScript(loadTopology(readFileSync(file, "utf8"), name));
}

describe("network script", () => {
  it("joins two members by a veth pair and more by a bridge", () => {
    expect(script("minimal").fabric).toEqual([
      "netns add client",
      "netns add router",
      "netns add gateway-a",
      "netns add target-1",
      "netns add target-2",
      "link add name acc0 netns router address 02:c0:00:00:00:01 mtu 1500 type veth peer name eth0 netns client address 02:c0:00:00:00:02 mtu 1500",
      "link add name ext0 netns router address 02:c0:00:01:00:01 mtu 1500 type veth peer name ext0 netns gateway-a address 02:c0:00:01:00:02 mtu 1500",
      "link add name br2 mtu 1500 type bridge mcast_snooping 0",
      "link set br2 up",
      "link add name gateway-a.svc0 mtu 1500 type veth peer name svc0 netns gateway-a address 02:c0:00:02:00:01 mtu 1500",
      "link set gateway-a.svc0 master br2 up",
      "link add name target-1.svc0 mtu 1500 type veth peer name svc0 netns target-1 address 02:c0:00:02:00:02 mtu 1500",
      "link set target-1.svc0 master br2 up",
      "link add name target-2.svc0 mtu 1500 type veth peer name svc0 netns target-2 address 02:c0:00:02:00:03 mtu 1500",
      "link set target-2.svc0 master br2 up",
    ]);
  });

  it("makes the router forward and spread by ports, and leaves a gateway's settings to its proxy", () => {
    const { nodes } = script("default");
    expect(nodes.get("router")).toContain("echo 1 > /proc/sys/net/ipv4/ip_forward");
    expect(nodes.get("router")).toContain("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    expect(nodes.get("router")).toContain("echo 1 > /proc/sys/net/ipv4/fib_multipath_hash_policy");
    expect(nodes.get("router")).toContain("echo 1 > /proc/sys/net/ipv6/fib_multipath_hash_policy");
    expect(nodes.get("gateway-a")).not.toContain("/proc/sys");
    expect(nodes.get("client")).toContain("route add 0.0.0.0/0 via 203.0.113.1\nroute add ::/0 via 2001:db8:c::1");
  });

  it("gives each VXLAN host a bridge, a device of the smaller MTU, and the other hosts to flood to", () => {
    const host = script("vxlan").nodes.get("host-1");
    expect(host).toContain("link add name vx0 mtu 1450 type vxlan id 42 dstport 4789 local 172.16.0.1 dev und0");
    expect(host).toContain("bridge fdb append 00:00:00:00:00:00 dev vx0 dst 172.16.0.2");
    expect(host).not.toContain("dst 172.16.0.1");
    expect(host).toContain("link set gateway-a.svc0 master br0 up");
  });

  it("knows the far end of every link", () => {
    const names = ["minimal", "default", "vxlan"] as const;
    const [minimal, bridged, vxlan] = names.map((name) => script(name).farEnds);
    expect(minimal?.get("gateway-a ext0")).toEqual({ namespace: "router", device: "ext0" });
    expect(minimal?.get("router ext0")).toEqual({ namespace: "gateway-a", device: "ext0" });
    expect(bridged?.get("gateway-a ext0")).toEqual({ device: "gateway-a.ext0" });
    expect(vxlan?.get("gateway-a svc0")).toEqual({ namespace: "host-1", device: "gateway-a.svc0" });
  });

  it("asks for netem where links have delay or loss", () => {
    const text = `
name: t
nodes: { a: { role: host }, b: { role: host } }
networks: { n: { type: bridge, interface: eth0, ipv4: 10.0.0.0/24, link: { delayMs: 5, lossPercent: 1 }, members: [a, b] } }
`;
    expect(networkScript(loadTopology(text, "t")).nodes.get("a")).toContain(
      "tc qdisc add dev eth0 root netem delay 5ms loss 1%",
    );
  });

  it("keeps kernel names within 15 characters", () => {
    for (const name of ["default", "tenants", "routed", "vxlan"]) {
      for (const line of script(name).fabric) {
        for (const [, device = ""] of line.matchAll(/ name (\S+)/g)) expect(device.length).toBeLessThanOrEqual(15);
      }
    }
  });
});
