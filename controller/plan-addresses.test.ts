import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AddressPool, addressPoolSchema } from "#shared/api/address-pool.ts";
import { gatewaySchema } from "#shared/api/gateway.ts";
import { type GatewayParameters, gatewayParametersSchema } from "#shared/api/gateway-parameters.ts";
import { type Ip, ip } from "#shared/net/ip.ts";
import { type AddressDemand, type AddressPlan, planAddresses } from "./plan-addresses.ts";

function pool(name: string, addresses: string[], spec: Record<string, unknown> = {}, created?: string): AddressPool {
  return addressPoolSchema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "AddressPool",
    metadata: { name, creationTimestamp: created },
    spec: { addresses, ...spec },
  });
}
function parameters(spec: Record<string, unknown> = {}, name = "net"): GatewayParameters {
  return gatewayParametersSchema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "GatewayParameters",
    metadata: { name, namespace: "infra" },
    spec: {
      externalNetworks: [{ interface: "ext0" }],
      serviceNetworks: [{ network: "svc", interface: "svc0" }],
      ipFamilies: ["IPv4"],
      ...spec,
    },
  });
}
const V4 = parameters();
const DUAL = parameters({ ipFamilies: ["IPv4", "IPv6"] });

interface Wish {
  addresses?: unknown[];
  held?: string[];
  params?: GatewayParameters;
  accepted?: boolean;
  created?: string;
  labels?: Record<string, string>;
  namespace?: string;
  port?: number;
  protocol?: string;
}
function gw(name: string, wish: Wish = {}): AddressDemand {
  return {
    gateway: gatewaySchema.parse({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: {
        name,
        namespace: wish.namespace ?? "infra",
        creationTimestamp: wish.created,
        labels: wish.labels ?? {},
      },
      spec: {
        gatewayClassName: "causeway",
        addresses: wish.addresses ?? [],
        listeners: [{ name: "a", protocol: wish.protocol ?? "TCP", port: wish.port ?? 80 }],
      },
    }),
    parameters: wish.params ?? V4,
    accepted: wish.accepted ?? true,
    held: (wish.held ?? []).map(ip),
  };
}
const value = (address: string): unknown => ({ type: "IPAddress", value: address });
const fromPool = (name: string): unknown => ({ type: "causeway.dev/AddressPool", value: name });

function given(plan: AddressPlan): Record<string, readonly Ip[]> {
  return Object.fromEntries([...plan.gateways].map(([key, { addresses }]) => [key.replace("infra/", ""), addresses]));
}
function problemOf(plan: AddressPlan, name: string): string {
  return (plan.gateways.get(`infra/${name}`)?.problems ?? [])
    .map(({ reason, message }) => `${reason}: ${message}`)
    .join("\n");
}
const A = pool("a", ["192.0.2.0/30"]);

describe("automatic", () => {
  test("the lowest free address, oldest Gateway first; first and last of a prefix are given out", () => {
    const plan = planAddresses(
      [
        gw("young", { created: "2026-02-01T00:00:00Z" }),
        gw("old", { created: "2026-01-01T00:00:00Z" }),
        gw("x"),
        gw("y"),
      ],
      [A],
    );
    expect(given(plan)).toEqual({ x: ["192.0.2.0"], y: ["192.0.2.1"], old: ["192.0.2.2"], young: ["192.0.2.3"] });
  });

  test("one of each family, from ranges and prefixes", () => {
    const plan = planAddresses(
      [gw("g", { params: DUAL })],
      [pool("p", ["198.51.100.7-198.51.100.9", "2001:db8::/64"])],
    );
    expect(given(plan)).toEqual({ g: ["198.51.100.7", "2001:db8::1"] });
  });

  test("priority, then name; autoAssign false is left alone unless parameters name the pool", () => {
    const pools = [
      pool("b", ["198.51.100.0/24"], { priority: 5 }),
      pool("c", ["203.0.113.0/24"], { priority: 9, autoAssign: false }),
      A,
    ];
    expect(given(planAddresses([gw("g")], pools))).toEqual({ g: ["198.51.100.0"] });
    const named = parameters({ addressPools: ["c", "a"] });
    expect(given(planAddresses([gw("g", { params: named })], pools))).toEqual({ g: ["203.0.113.0"] });
  });

  test("namespaces and gatewaySelector", () => {
    const pools = [
      pool("b", ["198.51.100.0/24"], { namespaces: ["apps"] }),
      pool("c", ["203.0.113.0/24"], { gatewaySelector: { matchLabels: { tier: "edge" } } }),
    ];
    const plan = planAddresses([gw("x", { labels: { tier: "edge" } }), gw("y")], pools);
    expect(given(plan)).toEqual({ x: ["203.0.113.0"], y: [] });
    expect(problemOf(plan, "y")).toContain("AddressNotAssigned");
    expect(given(planAddresses([gw("z", { namespace: "apps" })], pools))).toEqual({ "apps/z": ["198.51.100.0"] });
  });

  test("avoidBuggyIPs leaves out .0 and .255, and does not count them as free", () => {
    const plan = planAddresses(
      [gw("x"), gw("y")],
      [pool("b", ["198.51.99.254-198.51.100.1"], { avoidBuggyIPs: true })],
    );
    expect(given(plan)).toEqual({ x: ["198.51.99.254"], y: ["198.51.100.1"] });
    expect(plan.pools[0]?.families).toEqual([{ family: 4, used: 2n, free: 0n }]);
  });

  test("an exhausted pool is named with its size; the next pool is tried first", () => {
    const full = ["w", "x", "y", "z"].map((name) => gw(name));
    const plan = planAddresses([...full, gw("zz")], [A]);
    expect(given(plan).zz).toEqual([]);
    expect(problemOf(plan, "zz")).toMatch(/^AddressNotAssigned: .*AddressPool a \(all of its 4 IPv4 addresses/);
    const spill = planAddresses([...full, gw("zz")], [A, pool("b", ["198.51.100.9/32"])]);
    expect(given(spill).zz).toEqual(["198.51.100.9"]);
  });
});

describe("by name or value", () => {
  test("a pool by name, also one that is not assigned automatically; both families in turn", () => {
    const b = pool("b", ["198.51.100.0/24", "2001:db8::/64"], { autoAssign: false });
    const plan = planAddresses([gw("g", { addresses: [fromPool("b"), fromPool("b")], params: DUAL })], [A, b]);
    expect(given(plan)).toEqual({ g: ["198.51.100.0", "2001:db8::1"] });
  });

  test.each([
    ["in no pool", value("203.0.113.9"), "is in no AddressPool"],
    ["in a pool that is not for this Gateway", value("198.51.100.1"), "does not allow this Gateway"],
    ["left out by avoidBuggyIPs", value("203.0.113.255"), "avoidBuggyIPs"],
    ["unknown pool", fromPool("nope"), "AddressPool nope does not exist"],
    ["forbidden pool", fromPool("b"), "does not allow this Gateway"],
  ])("%s: AddressNotUsable", (_name, wish, mention) => {
    const pools = [
      pool("b", ["198.51.100.0/24"], { namespaces: ["apps"] }),
      pool("c", ["203.0.113.128-203.0.113.255"], { avoidBuggyIPs: true }),
    ];
    const plan = planAddresses([gw("g", { addresses: [wish] })], pools);
    expect(given(plan)).toEqual({ g: [] });
    expect(problemOf(plan, "g")).toMatch(/^AddressNotUsable: /);
    expect(problemOf(plan, "g")).toContain(mention);
  });

  test("what is asked for by value is reserved before automatic addresses are given", () => {
    const plan = planAddresses([gw("a"), gw("b", { addresses: [value("192.0.2.0")] })], [A]);
    expect(given(plan)).toEqual({ a: ["192.0.2.1"], b: ["192.0.2.0"] });
  });

  test("two Gateways, one address: shared only with the same parameters and other ports; else the later is refused", () => {
    const wish = { addresses: [value("192.0.2.2")] };
    const shared = planAddresses([gw("a", wish), gw("b", { ...wish, port: 81 })], [A]);
    expect(given(shared)).toEqual({ a: ["192.0.2.2"], b: ["192.0.2.2"] });
    expect(shared.pools[0]?.families[0]).toMatchObject({ used: 1n, free: 3n });
    const cases: [Wish, string][] = [
      [wish, "port 80/TCP"],
      [{ ...wish, port: 81, params: parameters({}, "other") }, "same GatewayParameters"],
      [{ ...wish, port: 81, protocol: "causeway.dev/Flow" }, "every port"],
    ];
    for (const [other, mention] of cases) {
      const plan = planAddresses([gw("b", other), gw("a", wish)], [A]);
      expect(given(plan)).toEqual({ a: ["192.0.2.2"], b: [] });
      expect(problemOf(plan, "b")).toContain("belongs to Gateway infra/a");
      expect(problemOf(plan, "b")).toContain(mention);
    }
  });

  test("wishes for several addresses; a repeated one counts once", () => {
    const addresses = [value("192.0.2.3"), { type: "IPAddress" }, value("192.0.2.3")];
    expect(given(planAddresses([gw("g", { addresses })], [A]))).toEqual({ g: ["192.0.2.3", "192.0.2.0"] });
  });
});

describe("sticky", () => {
  test("what is held stays, also when an older Gateway arrives, wants it, or autoAssign is switched off", () => {
    const held = gw("z", { held: ["192.0.2.0"], created: "2026-01-01T00:00:00Z" });
    const plan = planAddresses([gw("a", { addresses: [value("192.0.2.0")] }), held], [pool("a", ["192.0.2.0/30"])]);
    expect(given(plan)).toEqual({ a: [], z: ["192.0.2.0"] });
    expect(given(planAddresses([held], [pool("a", ["192.0.2.0/30"], { autoAssign: false })]))).toEqual({
      z: ["192.0.2.0"],
    });
  });

  test("a pool removed, shrunk or closed: the address is given back with the cause, another one allocated", () => {
    const b = pool("b", ["198.51.100.0/24"]);
    for (const [first, cause] of [
      [undefined, "no AddressPool covers it"],
      [pool("a", ["192.0.2.1/32"], { priority: -1 }), "no AddressPool covers it"],
      [pool("a", ["192.0.2.0/30"], { namespaces: ["apps"] }), "does not allow"],
    ] as const) {
      const plan = planAddresses([gw("g", { held: ["192.0.2.0"] })], first === undefined ? [b] : [first, b]);
      expect(given(plan)).toEqual({ g: ["198.51.100.0"] });
      expect(plan.gateways.get("infra/g")?.released[0]?.cause).toContain(cause);
    }
  });

  test("a Gateway that is not accepted keeps what it has and gets nothing new", () => {
    const plan = planAddresses(
      [gw("g", { accepted: false, held: ["192.0.2.1"] }), gw("h", { accepted: false }), gw("i")],
      [A],
    );
    expect(given(plan)).toEqual({ g: ["192.0.2.1"], h: [], i: ["192.0.2.0"] });
  });

  test("a pool named after an automatic wish: its last address goes to the pool's wish, and a plan fed back is itself", () => {
    const pools = [pool("a", ["192.0.2.0/32"]), pool("b", ["198.51.100.0/32"])];
    const wish = { addresses: [{ type: "IPAddress" }, fromPool("a")] };
    const plan = planAddresses([gw("g", wish)], pools);
    expect(given(plan)).toEqual({ g: ["198.51.100.0", "192.0.2.0"] });
    const held = ["198.51.100.0", "192.0.2.0"];
    expect(given(planAddresses([gw("g", { ...wish, held })], pools))).toEqual(given(plan));
    const single = planAddresses([gw("g", wish)], pools.slice(0, 1));
    expect(given(single)).toEqual({ g: ["192.0.2.0"] });
    expect(problemOf(single, "g")).toMatch(/^AddressNotAssigned: /);
  });

  test("two Gateways that hold one address (edited statuses): the younger one moves", () => {
    const plan = planAddresses([gw("b", { held: ["192.0.2.1"] }), gw("a", { held: ["192.0.2.1"] })], [A]);
    expect(given(plan)).toEqual({ a: ["192.0.2.1"], b: ["192.0.2.0"] });
  });
});

describe("pools", () => {
  test("the overlapping block of the later pool is left out and says so", () => {
    const later = pool("a", ["192.0.2.128/25", "198.51.100.0/24"], {}, "2026-02-01T00:00:00Z");
    const plan = planAddresses([gw("g")], [later, pool("z", ["192.0.2.0/24"], { priority: -5 })]);
    expect(given(plan)).toEqual({ g: ["198.51.100.0"] });
    const [first, second] = plan.pools;
    expect(first?.unusable).toEqual(["192.0.2.128/25 is not used: it overlaps 192.0.2.0/24 of AddressPool z"]);
    expect(second?.unusable).toEqual([]);
    expect(first?.families).toEqual([{ family: 4, used: 1n, free: 255n }]);
  });

  test.each(["0.0.0.0/0", "127.0.0.0/30", "224.0.0.5-224.0.0.9", "255.255.255.255/32", "::/0", "::1/128", "ff02::/64"])(
    "%s cannot hold VIPs",
    (block) => {
      const plan = planAddresses([gw("g", { params: DUAL })], [pool("a", [block])]);
      expect(given(plan)).toEqual({ g: [] });
      expect(plan.pools[0]?.unusable[0]).toContain("cannot hold VIPs");
    },
  );

  test("a /64 counts 2^64 addresses; 10,000 Gateways are served at once", () => {
    const demands = Array.from({ length: 10_000 }, (_, index) => gw(`g${index}`, { params: DUAL }));
    const pools = [pool("p", ["10.0.0.0/8", "2001:db8::/64"])];
    const plan = planAddresses(demands, pools);
    expect(new Set([...plan.gateways.values()].flatMap(({ addresses }) => addresses)).size).toBe(20_000);
    expect(plan.pools[0]?.families[1]).toEqual({ family: 6, used: 10_000n, free: 2n ** 64n - 10_001n });
  });
});

describe("properties", () => {
  const PARAMS = [V4, DUAL, parameters({ addressPools: ["p1", "p0"] }, "named")];
  // Small ones run out, which is where wishes compete.
  const BLOCKS = [
    "192.0.2.0/31",
    "192.0.2.0/29",
    "198.51.101.0/32",
    "192.0.2.4-192.0.2.12",
    "198.51.100.254-198.51.101.1",
    "2001:db8::/126",
    "2001:db8::2/127",
  ];
  const address = fc.constantFrom("192.0.2.0", "192.0.2.5", "192.0.2.9", "198.51.101.0", "2001:db8::1", "2001:db8::2");
  const wish = fc.oneof(address.map(value), fc.constantFrom("p0", "p1", "p2").map(fromPool), fc.constant({}));
  const demand = fc.record({
    addresses: fc.array(wish, { maxLength: 3 }),
    held: fc.array(address, { maxLength: 3 }),
    params: fc.constantFrom(...PARAMS),
    accepted: fc.boolean(),
    created: fc.constantFrom("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
    port: fc.constantFrom(80, 81),
    labels: fc.constantFrom({ tier: "edge" }, {}),
  });
  const demands = fc.array(demand, { maxLength: 8 }).map((wishes) => wishes.map((one, index) => gw(`g${index}`, one)));
  const poolSpec = fc.record({
    addresses: fc.constantFrom(...BLOCKS).map((block) => [block]),
    avoidBuggyIPs: fc.boolean(),
    autoAssign: fc.boolean(),
    priority: fc.constantFrom(0, 5),
    gatewaySelector: fc.option(fc.constant({ matchLabels: { tier: "edge" } }), { nil: undefined }),
  });
  const pools = fc
    .array(poolSpec, { maxLength: 4 })
    .map((specs) => specs.map(({ addresses, ...spec }, index) => pool(`p${index}`, addresses, spec)));

  test("never two owners unless they may share; the order of the input is nothing; a plan fed back is itself", () => {
    fc.assert(
      fc.property(demands, pools, fc.integer({ min: 0, max: 7 }), (all, some, turn) => {
        const plan = planAddresses(all, some);
        const owners = new Map<Ip, AddressDemand[]>();
        for (const one of all) {
          const { addresses } = plan.gateways.get(`infra/${one.gateway.metadata.name}`) ?? { addresses: [] };
          expect(new Set(addresses).size).toBe(addresses.length);
          for (const taken of addresses) owners.set(taken, [...(owners.get(taken) ?? []), one]);
        }
        for (const group of owners.values()) {
          const ports = group.map(({ gateway }) => gateway.spec.listeners[0]?.port);
          expect(new Set(ports).size).toBe(group.length);
          expect(new Set(group.map(({ parameters: used }) => used?.metadata.name)).size).toBe(1);
        }
        const rotated = [...all.slice(turn), ...all.slice(0, turn)];
        expect(planAddresses(rotated, [...some].reverse()).gateways).toEqual(plan.gateways);
        const again = planAddresses(
          all.map((one) => ({
            ...one,
            held: plan.gateways.get(`infra/${one.gateway.metadata.name}`)?.addresses ?? [],
          })),
          some,
        );
        expect(given(again)).toEqual(given(plan));
      }),
      { numRuns: 500 },
    );
  }, 60_000);

  test("restarts and newcomers move nobody", () => {
    fc.assert(
      fc.property(demands, demands, pools, (all, more, some) => {
        const before = planAddresses(all, some);
        const held = all.map((one) => ({
          ...one,
          held: before.gateways.get(`infra/${one.gateway.metadata.name}`)?.addresses ?? [],
        }));
        const newcomers = more.map((one, index) => ({
          ...one,
          held: [],
          gateway: { ...one.gateway, metadata: { ...one.gateway.metadata, name: `a${index}` } },
        }));
        const after = planAddresses([...newcomers, ...held], some);
        for (const [key, { addresses }] of before.gateways) {
          expect(after.gateways.get(key)?.addresses).toEqual(expect.arrayContaining([...addresses]));
        }
      }),
      { numRuns: 300 },
    );
  }, 60_000);
});
