import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cidr, ip } from "#shared/net/ip.ts";
import { allows, desiredRoutes, holding, planRoutes, type ReturnRoute } from "./return-routes.ts";
import { learned, session, state } from "./routers.fixture.ts";

const PREFIXES = ["0.0.0.0/0", "::/0", "10.0.0.0/8"].map(cidr);
const HOPS = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ip);
const route = fc.record({
  prefix: fc.constantFrom(...PREFIXES),
  nextHops: fc
    .uniqueArray(fc.constantFrom(...HOPS), { minLength: 1 })
    .map((vias) => vias.toSorted().map((via) => ({ via, device: "ext" }))),
});
const table = fc
  .uniqueArray(route, { selector: (r) => r.prefix })
  .map((routes) => routes.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)));

function applied(present: readonly ReturnRoute[], changes: ReturnType<typeof planRoutes>): ReturnRoute[] {
  const routes = new Map(present.map((r) => [r.prefix, r]));
  for (const change of changes) {
    if (change.type === "replace") routes.set(change.route.prefix, change.route);
    else routes.delete(change.prefix);
  }
  return [...routes.values()].toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1));
}

describe("planRoutes", () => {
  it("makes what is present what is wanted, touches nothing else, and adds before it removes", () => {
    fc.assert(
      fc.property(table, table, (wanted, present) => {
        const changes = planRoutes(wanted, present);
        expect(applied(present, changes)).toEqual(wanted);
        expect(planRoutes(wanted, wanted)).toEqual([]);
        const types = changes.map((change) => change.type);
        expect(types.indexOf("replace", Math.max(0, types.indexOf("remove")))).toBe(
          types.includes("remove") ? -1 : types.indexOf("replace"),
        );
      }),
    );
  });
});

describe("holding", () => {
  it("takes nothing away while no router has spoken, and nothing but the known is left when all have", () => {
    fc.assert(
      fc.property(table, table, (wanted, present) => {
        const held = holding(wanted, present, () => false);
        for (const old of [...present, ...wanted]) {
          expect(held.find((r) => r.prefix === old.prefix)?.nextHops).toEqual(
            expect.arrayContaining([...old.nextHops]),
          );
        }
        expect(holding(wanted, present, () => true)).toEqual(wanted);
      }),
    );
  });
});

describe("desiredRoutes", () => {
  const interfaces = [{ name: "ext", addresses: [{ address: ip("192.0.2.10"), prefixLength: 24 }] }];
  it("spreads a prefix over all routers that announced it, static ones included", () => {
    const peers = state([
      session("192.0.2.1"),
      session("192.0.2.2"),
      {
        type: "static",
        name: "s",
        address: ip("192.0.2.3"),
        families: [4],
        interface: "ext",
        localAddress: ip("192.0.2.10"),
      },
    ]);
    const routes = desiredRoutes(peers, interfaces, [
      learned("192.0.2.2", "0.0.0.0/0"),
      learned("192.0.2.1", "0.0.0.0/0"),
    ]);
    expect(routes).toEqual([{ prefix: "0.0.0.0/0", nextHops: HOPS.map((via) => ({ via, device: "ext" })) }]);
  });

  it.each([
    ["a prefix that the rules do not name", learned("192.0.2.1", "10.0.0.0/8")],
    ["a router that is not ours", learned("192.0.2.9", "0.0.0.0/0")],
    ["a next hop off the link", learned("192.0.2.1", "0.0.0.0/0", "10.9.9.9")],
    ["ourselves as next hop", learned("192.0.2.1", "0.0.0.0/0", "192.0.2.10")],
  ])("refuses %s", (_name, path) => {
    expect(desiredRoutes(state([session("192.0.2.1")]), interfaces, [path])).toEqual([]);
  });
});

describe("allows", () => {
  it("keeps to the bounds of length", () => {
    const rules = [{ prefix: cidr("10.0.0.0/8"), minLength: 16, maxLength: 24 }];
    const verdicts = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "11.0.0.0/16", "::/0"].map((p) =>
      allows(rules, cidr(p)),
    );
    expect(verdicts).toEqual([false, true, true, false, false, false]);
  });
});
