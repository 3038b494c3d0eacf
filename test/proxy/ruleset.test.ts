import { execFileSync } from "node:child_process";
import { Nftables } from "nftables-ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NetlinkSocket, openNetfilter } from "#shared/kernel/netlink-socket.ts";
import { changeElements } from "#shared/kernel/nftables-elements.ts";
import { rulesetGeneration } from "#shared/kernel/nftables-generation.ts";
import { ip } from "#shared/net/ip.ts";
import { plan } from "#shared/nft/plan.ts";
import { readTable } from "#shared/nft/read-table.ts";
import { slotKey } from "#shared/nft/slot-key.ts";
import { asListed, type ListedTable, type TableState } from "#shared/nft/table-state.ts";
import type { Environment } from "../../proxy/nft/environment.ts";
import { fastPath } from "../../proxy/nft/fast-path.ts";
import { slowPath } from "../../proxy/nft/slow-path.ts";
import { intentOf, type ScenarioOptions, scenario } from "../support/scenario.ts";

const environment: Environment = {
  interfaces: new Map([
    ["ext0", { mtu: 1500 }],
    ["svc0", { mtu: 1450 }],
  ]),
  nextHops: new Map([["10.1.0.2", ip("10.1.0.254")]]),
  own: [ip("10.1.0.200"), ip("fd00:1::c8")],
  returnVia: { 4: [{ interface: "ext0", nextHop: ip("192.0.2.1") }], 6: [] },
};

const flowRoutes = [
  {
    name: "voice",
    spec: {
      priority: 10,
      match: {
        protocols: ["UDP", "SCTP"],
        sources: ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"],
        destinationPorts: [5060, "16384-32767"],
        sourcePorts: ["1024-65535"],
        byteMatches: [{ offset: 8, width: 1, mask: "0xf0", value: "0x40" }],
      },
      backendRefs: [{ name: "udp-8080", port: 8080 }],
    },
  },
  { name: "rest", spec: { priority: -5, backendRefs: [{ name: "tcp-8080", port: 8080 }] } },
];

const cases: Record<string, ScenarioOptions> = {
  "DSR, dual stack": {},
  NAT: { mode: "NAT", targetPort: 80, listeners: [{ protocol: "TCP", port: 8080 }] },
  "DSR with FlowRoutes": { flowRoutes },
  "NAT with a range": {
    mode: "NAT",
    flowRoutes: [
      {
        name: "range",
        spec: {
          priority: 1,
          match: { protocols: ["TCP"], destinationPorts: ["9000-9010"] },
          backendRefs: [{ name: "tcp-8080", port: 8080 }],
        },
      },
    ],
  },
  "ranges and prefixes that overlap": {
    mode: "NAT",
    flowRoutes: [80, 90].map((port) => ({
      name: `overlap-${port}`,
      spec: {
        priority: port,
        match: {
          sources: ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "2001:db8:1::/48"],
          destinationPorts: [`${port}-200`, "100-300", 250, "301-400"],
          sourcePorts: ["0-65535", 53],
        },
        backendRefs: [
          { name: "tcp-8080", port: 8080 },
          { name: "udp-8080", port: 8080 },
        ],
      },
    })),
  },
  "any port": {
    mode: "NAT",
    listeners: [{ protocol: "TCP", port: 8080 }],
    flowRoutes: [{ name: "any", spec: { backendRefs: [{ name: "tcp-8080", port: 8080 }] } }],
  },
  "no target": { targets: 0 },
};

describe("the kernel holds what the plan says", () => {
  let nft: Nftables;
  let netfilter: NetlinkSocket;
  beforeAll(() => {
    for (const name of ["ext0", "svc0"])
      execFileSync("ip", ["link", "add", name, "type", "veth", "peer", "name", `${name}p`]);
    nft = new Nftables();
    netfilter = openNetfilter();
  });
  afterAll(() => {
    nft.close();
    netfilter.close();
    for (const name of ["ext0", "svc0"]) execFileSync("ip", ["link", "delete", name]);
  });

  const listed = (table: TableState): ListedTable =>
    readTable({ nftables: nft.list({ table: { family: table.family, name: table.name } }) });
  const apply = (table: TableState, actual: ListedTable | undefined): void => {
    for (const transaction of plan([{ table, listed: actual }])) {
      const { changes } = transaction;
      if (changes === undefined) nft.run(transaction.text);
      else changeElements(netfilter, rulesetGeneration(netfilter), changes);
    }
  };

  it.each(Object.entries(cases))("%s: applied from nothing, listed, and nothing is left to do", async (_, options) => {
    const intent = await intentOf(scenario(options));
    expect(intent.problems).toEqual([]);
    for (const table of [fastPath(intent, environment), slowPath(intent)]) {
      apply(table, undefined);
      const actual = listed(table);
      expect(plan([{ table, listed: actual }])).toEqual([]);
      expect(actual.chains).toEqual(asListed(table).chains);
      nft.run(`delete table ${table.family} ${table.name}`);
    }
  });

  it("goes from any state to any other, and back to nothing left to do", async () => {
    const states = await Promise.all(
      [...Object.values(cases), { targets: 3 }, { targets: 5, vips: ["198.51.100.11"] }].map(async (options) => {
        const intent = await intentOf(scenario(options));
        return [fastPath(intent, environment), slowPath(intent)] as const;
      }),
    );
    for (const index of [0, 1] as const) {
      let actual: ListedTable | undefined;
      for (const from of states) {
        for (const to of states) {
          for (const table of [from[index], to[index]]) {
            apply(table, actual);
            actual = listed(table);
            expect(plan([{ table, listed: actual }])).toEqual([]);
          }
        }
      }
      nft.run(`delete table ${states[0]?.[index].family} causeway`);
    }
  });

  it("repairs what somebody took away", async () => {
    const intent = await intentOf(scenario());
    const table = fastPath(intent, environment);
    apply(table, undefined);
    const chain = [...table.chains.keys()].find((name) => name.startsWith("external4")) ?? expect.fail();
    const lut = [...table.luts.keys()][0] ?? expect.fail();
    for (const damage of [
      `flush chain netdev causeway ${chain}`,
      `delete element netdev causeway ${lut} { ${slotKey(5)} }`,
      "flush chain netdev causeway ingress-ext0",
      "flush table netdev causeway",
      "delete chain netdev causeway ingress-svc0",
    ]) {
      nft.run(damage);
      const broken = listed(table);
      expect(plan([{ table, listed: broken }]), damage).not.toEqual([]);
      apply(table, broken);
      expect(plan([{ table, listed: listed(table) }]), damage).toEqual([]);
    }
    nft.run("delete table netdev causeway");
  });

  it("changes only the slots that change owner", async () => {
    const store = scenario({ targets: 3 });
    const before = fastPath(await intentOf(store), environment);
    const after = fastPath(await intentOf(scenario({ targets: 4 })), environment);
    const [{ text } = { text: "" }] = plan([{ table: after, listed: asListed(before) }]);
    const verbs = text
      .trim()
      .split("\n")
      .map((line) => line.split(" ").slice(0, 2).join(" "));
    // One counter; for each family a chain, an element and the slots that move.
    expect(verbs).toEqual([
      "add counter",
      ...["add chain", "add rule", "add rule", "add rule"],
      ...["add chain", "add rule", "add rule", "add rule"],
      ...["add element", "add element"],
      ...["delete element", "add element"],
      ...["delete element", "add element"],
    ]);
    const moved = /delete element netdev causeway lut-\S+ \{ (.*) \}/.exec(text)?.[1]?.split(", ").length ?? 0;
    expect(moved / 997).toBeGreaterThan(0.2);
    expect(moved / 997).toBeLessThan(0.35);
  });
});
