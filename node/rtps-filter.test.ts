import { describe, expect, it } from "vitest";
import { type Manifest, viewOf } from "#shared/resolve/objects.fixture.ts";
import { rtpsFilters } from "./rtps-filter.ts";
import { rtpsRuleset } from "./rtps-ruleset.ts";

const guid = (digit: string): string => digit.repeat(24);

interface Said {
  readonly relay: string;
  readonly clients: readonly object[];
}

function domain(said: readonly Said[], group: object = {}): Manifest {
  return {
    kind: "DiscoveryDomain",
    metadata: { name: "cell" },
    spec: {
      networks: [{ network: "cell", interface: "net1" }],
      serviceGroups: [{ service: "planner", ...group }],
    },
    status: {
      instances: said.map(({ clients, relay }) => ({
        name: relay,
        state: "Listening",
        participants: 0,
        addresses: ["10.0.0.1"],
        groups: [
          {
            service: "planner",
            members: [
              { pod: "p-1", state: "Ready", weight: 1, clients: 0, addresses: ["10.0.0.11"] },
              { pod: "p-2", state: "Ready", weight: 1, clients: 0, addresses: ["10.0.0.12", "fd00::12"] },
            ],
            clients,
          },
        ],
      })),
    },
  };
}

const rules = (manifests: readonly Manifest[], pod: string) =>
  rtpsFilters(viewOf(manifests).list("DiscoveryDomain")).get(`default/${pod}`)?.rules;

const moved = { participant: guid("a"), addresses: ["10.0.0.21"], member: "p-2", moves: 1, away: ["p-1"] };

describe("the filter of a pod", () => {
  it("keeps out who was moved away from it, and nobody else", () => {
    const stays = { participant: guid("b"), addresses: ["10.0.0.22"], member: "p-1", moves: 0, away: [] };
    const manifests = [domain([{ relay: "relay", clients: [moved, stays] }])];
    expect(rules(manifests, "p-1")).toEqual({
      kind: "block",
      senders: [{ address: "10.0.0.21", guidPrefix: guid("a") }],
    });
    expect(rules(manifests, "p-2")).toBeUndefined();
    expect(rtpsFilters(viewOf(manifests).list("DiscoveryDomain"), () => false).size).toBe(0);
  });

  it("goes by the latest move; a relay that has gone and knows less is not believed", () => {
    const back = { ...moved, member: "p-1", moves: 2, away: ["p-2"] };
    const manifests = [
      domain([
        { relay: "relay-a", clients: [moved] },
        { relay: "relay-b", clients: [back] },
      ]),
    ];
    expect(rules(manifests, "p-1")).toBeUndefined();
    expect(rules(manifests, "p-2")?.senders).toHaveLength(1);
  });

  it("isolated, lets in its own clients, the relays and the other members; where these are apart, not them", () => {
    const clients = [{ ...moved, addresses: ["10.0.0.21", "fd00::21"] }];
    const said = [{ relay: "relay", clients }];
    expect(rules([domain(said, { isolation: "Enforce" })], "p-2")).toEqual({
      kind: "allow",
      senders: [
        { address: "10.0.0.21", guidPrefix: guid("a") },
        { address: "fd00::21", guidPrefix: guid("a") },
      ],
      hosts: ["10.0.0.1", "10.0.0.11", "10.0.0.12", "fd00::12"],
    });
    expect(rules([domain(said, { isolation: "Enforce", members: "Apart" })], "p-1")).toEqual({
      kind: "allow",
      senders: [],
      hosts: ["10.0.0.1", "10.0.0.11"],
    });
  });

  it("isolated, lets in the members of other groups whose clients run in the pod", () => {
    const first: Manifest = domain([{ relay: "relay", clients: [] }], { isolation: "Enforce" });
    const other = domain([
      {
        relay: "relay",
        clients: [{ participant: guid("c"), addresses: ["10.0.0.11"], member: "q-1", moves: 0, away: [] }],
      },
    ]);
    const named = JSON.parse(
      JSON.stringify(other).replaceAll('"planner"', '"second"').replaceAll("p-1", "q-1").replaceAll('"p-2"', '"q-2"'),
    );
    named.metadata.name = "other";
    named.status.instances[0].groups[0].members[0].addresses = ["10.0.0.31"];
    expect(rules([first, named], "p-1")).toMatchObject({ hosts: expect.arrayContaining(["10.0.0.31"]) });
  });

  it("takes nothing for an address or a GUID that is none: no text of a status comes into a ruleset", () => {
    const hostile = [
      { ...moved, addresses: ["10.0.0.21 } ; flush ruleset ; #", "", "10.0.0.22"] },
      { ...moved, participant: "} ; flush ruleset" },
    ];
    const filter = rules([domain([{ relay: "relay", clients: hostile }])], "p-1");
    expect(filter?.senders).toEqual([{ address: "10.0.0.22", guidPrefix: guid("a") }]);
    expect(
      filter && JSON.stringify([...rtpsRuleset(filter).maps.values()].map(({ elements }) => [...elements.keys()])),
    ).toBe('[["10.0.0.22 . 2863311530 . 2863311530 . 2863311530"],[]]');
  });

  it("ends with the group", () => {
    const without = {
      ...domain([{ relay: "relay", clients: [moved] }]),
      spec: { networks: [{ network: "cell", interface: "net1" }] },
    };
    expect(rules([without], "p-1")).toBeUndefined();
  });
});
