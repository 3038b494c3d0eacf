import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { birdConfig, routerPeers } from "./bird-config.ts";
import { loadTopology } from "./resolve-topology.ts";

function config(text: string, router = "router"): string {
  const topology = loadTopology(text, "t");
  const node = topology.nodes.find(({ name }) => name === router);
  if (node === undefined) throw new Error(`no ${router}`);
  return birdConfig(topology, node);
}

const example = (name: string) =>
  readFileSync(new URL(`../examples/lab/${name}/topology.yaml`, import.meta.url), "utf8");

describe("BIRD's configuration", () => {
  it("is this for the minimal topology", () => {
    expect(config(example("minimal"))).toMatchInlineSnapshot(`
      "log stderr { info, remote, warning, error, auth, fatal, bug };
      router id 203.0.113.1;
      protocol device {
        scan time 10;
      }
      filter vips4 {
        if net ~ [ 198.51.100.0/24+ ] then accept;
        reject;
      }
      protocol static default4 {
        ipv4;
        route 0.0.0.0/0 unreachable;
      }
      protocol kernel kernel4 {
        merge paths on;
        ipv4 {
          import none;
          export where source = RTS_BGP;
        };
      }
      filter vips6 {
        reject;
      }
      protocol static default6 {
        ipv6;
        route ::/0 unreachable;
      }
      protocol kernel kernel6 {
        merge paths on;
        ipv6 {
          import none;
          export where source = RTS_BGP;
        };
      }
      protocol bgp gateway_a_ipv4 {
        description "gateway-a";
        local 192.0.2.1 as 65000;
        neighbor 192.0.2.2 as 64512;
        direct;
        hold time 9;
        connect delay time 1;
        connect retry time 1;
        error wait time 1, 2;
        ipv4 {
          import filter vips4;
          export where proto = "default4";
          next hop self;
        };
      }
      "
    `);
  });

  it("has a session per instance and family", () => {
    const peers = routerPeers(loadTopology(example("tenants"), "t"), "router");
    expect(peers.map(({ name, neighbor, asn }) => `${name} ${neighbor} ${asn}`)).toEqual([
      "red_gateway_a_ipv4 192.0.2.2 64512",
      "red_gateway_a_ipv6 2001:db8:e::2 64512",
      "red_gateway_b_ipv4 192.0.2.3 64512",
      "red_gateway_b_ipv6 2001:db8:e::3 64512",
      "blue_gateway_a_ipv4 192.0.2.4 64513",
      "blue_gateway_a_ipv6 2001:db8:e::4 64513",
      "blue_gateway_b_ipv4 192.0.2.5 64513",
      "blue_gateway_b_ipv6 2001:db8:e::5 64513",
    ]);
  });

  it("adds what `bgp` asks for to every session", () => {
    const text = example("default").replace(
      "bgp:",
      "bgp:\n  password: s3cret\n  ttlSecurity: true\n  bfd: { intervalMs: 50 }\n  holdTimeS: 30\n  gracefulRestart: true",
    );
    const all = config(text);
    for (const line of ['password "s3cret";', "ttl security on;", "bfd on;", "hold time 30;"])
      expect(all.split(line)).toHaveLength(5);
    // Of the four sessions, and of the kernel's two families.
    expect(all.split("graceful restart on;")).toHaveLength(7);
    expect(all).toContain('protocol bfd {\n  interface "ext0" {\n    interval 50 ms;\n    multiplier 3;\n  };\n}');
  });

  it("accepts nothing of a family without a pool", () => {
    expect(config(example("minimal"))).toContain("filter vips6 {\n  reject;\n}");
  });
});
