import { describe, expect, it } from "vitest";
import { type AnyObject, KINDS } from "#shared/api/kinds.ts";
import { ip } from "#shared/net/ip.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { type DesiredState, desiredState, importRules, routerId } from "./desired-state.ts";
import type { ExternalInterface } from "./external-interface.ts";

const EXTERNAL: ExternalInterface = {
  name: "ext",
  addresses: [
    { address: ip("192.0.2.10"), prefixLength: 24 },
    { address: ip("2001:db8:1::10"), prefixLength: 64 },
  ],
};
const OTHER: ExternalInterface = { name: "ext2", addresses: [{ address: ip("203.0.113.5"), prefixLength: 24 }] };

const gateway = KINDS.Gateway.schema.parse({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: { namespace: "edge", name: "front", labels: { tier: "front" } },
  spec: { gatewayClassName: "causeway", listeners: [{ name: "web", protocol: "TCP", port: 80 }] },
});

function peer(name: string, spec: Record<string, unknown>, namespace = "edge"): AnyObject {
  return KINDS.BgpPeer.schema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "BgpPeer",
    metadata: { name, namespace },
    spec: { asn: 64512, localAsn: 64513, ...spec },
  });
}

async function desire(
  objects: AnyObject[],
  options: { interfaces?: ExternalInterface[]; vips?: [string, boolean][] } = {},
): Promise<DesiredState> {
  const view = await new MemoryStore(objects).watch(
    [{ kind: "BgpPeer" }, { kind: "Secret" }],
    () => {},
    new AbortController().signal,
  );
  return desiredState({
    view,
    gateway,
    podName: "gateway-a",
    interfaces: options.interfaces ?? [EXTERNAL],
    programmed: {
      state: "serving" as const,
      generation: 1,
      vips: (options.vips ?? []).map(([address, ready]) => ({ address: ip(address), ready, services: [] })),
    },
    listenPort: 179,
  });
}

const problem = async (spec: Record<string, unknown>, objects: AnyObject[] = []): Promise<string> => {
  const [found] = (await desire([peer("router", spec), ...objects])).peers;
  return found?.type === "refused" ? found.problem : `not refused: ${found?.type}`;
};

describe("desiredState", () => {
  it("takes the peers of its namespace whose selector meets the Gateway, in order of name", async () => {
    const { peers } = await desire([
      peer("b", { address: "192.0.2.2", gatewaySelector: { matchLabels: { tier: "front" } } }),
      peer("a", { address: "192.0.2.1" }),
      peer("c", { address: "192.0.2.3", gatewaySelector: { matchLabels: { tier: "back" } } }),
      peer("d", { address: "192.0.2.4" }, "elsewhere"),
    ]);
    expect(peers.map((p) => p.name)).toEqual(["a", "b"]);
  });

  it("speaks from its own address on the router's link, on external addresses only", async () => {
    const desired = await desire([peer("a", { address: "203.0.113.1" })], { interfaces: [EXTERNAL, OTHER] });
    expect(desired.peers[0]).toMatchObject({
      type: "session",
      interface: "ext2",
      session: { localAddress: "203.0.113.5" },
    });
    expect(desired.global).toEqual({
      asn: 64513,
      routerId: "192.0.2.10",
      listenAddresses: ["192.0.2.10", "2001:db8:1::10", "203.0.113.5"],
      listenPort: 179,
    });
  });

  it("wants no BGP at all without a session", async () => {
    expect((await desire([peer("a", { address: "192.0.2.1", type: "Static" })])).global).toBeUndefined();
  });

  it("announces ready VIPs only, by the one own address of their family", async () => {
    const { paths, readyFamilies } = await desire([], {
      vips: [
        ["198.51.100.1", true],
        ["198.51.100.2", false],
        ["2001:db8:f::1", true],
      ],
    });
    expect(paths).toEqual([
      { prefix: "198.51.100.1/32", nextHop: "192.0.2.10" },
      { prefix: "2001:db8:f::1/128", nextHop: "2001:db8:1::10" },
    ]);
    expect(readyFamilies).toEqual([4, 6]);
  });

  it("leaves the next hop to each session where several external networks carry the family", async () => {
    const { paths } = await desire([], { interfaces: [EXTERNAL, OTHER], vips: [["198.51.100.1", true]] });
    expect(paths).toEqual([{ prefix: "198.51.100.1/32", nextHop: undefined }]);
  });

  it("announces nothing of a family in which it has no address", async () => {
    const { paths } = await desire([], { interfaces: [OTHER], vips: [["2001:db8:f::1", true]] });
    expect(paths).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      "an address on no link",
      { address: "10.0.0.1" },
      /spec\.address: no external interface .* 10\.0\.0\.1.*multihopTtl/,
    ],
    [
      "an unknown interface",
      { address: "192.0.2.1", interface: "eth9" },
      /spec\.interface: eth9 is no external interface.*\(ext\)/,
    ],
    [
      "a missing Secret",
      { address: "192.0.2.1", password: { secretRef: { name: "pw" } } },
      /no Secret pw; create it with the key password/,
    ],
    [
      "a host route",
      { address: "192.0.2.1", import: { prefixes: ["10.0.0.1/32"] } },
      /10\.0\.0\.1\/32 is a host route/,
    ],
    [
      "BFD with a router beyond the link",
      { address: "10.0.0.1", multihopTtl: 3, bfd: { enabled: true } },
      /spec\.bfd: watches routers on the link/,
    ],
    [
      "a static router of both families",
      { address: "192.0.2.1", type: "Static", families: ["IPv4", "IPv6"] },
      /spec\.families/,
    ],
  ])("refuses %s with field and fix", async (_name, spec, message) => {
    expect(await problem(spec)).toMatch(message);
  });

  it("refuses a Secret without the key, or with a key that TCP MD5 cannot take", async () => {
    const secret = (stringData: Record<string, string>) =>
      KINDS.Secret.schema.parse({
        apiVersion: "v1",
        kind: "Secret",
        metadata: { namespace: "edge", name: "pw" },
        stringData,
      });
    const spec = { address: "192.0.2.1", password: { secretRef: { name: "pw" } } };
    expect(await problem(spec, [secret({ other: "x" })])).toMatch(/Secret pw has no key password/);
    expect(await problem(spec, [secret({ password: "x".repeat(81) })])).toMatch(/81 bytes/);
    expect(await problem(spec, [secret({ password: "fine" })])).toBe("not refused: session");
  });

  it("refuses the second of two peers with one address", async () => {
    const { peers } = await desire([peer("a", { address: "192.0.2.1" }), peer("b", { address: "192.0.2.1" })]);
    expect(peers.map((p) => p.type)).toEqual(["session", "refused"]);
  });

  it("reaches a router beyond the link from the first address of its family", async () => {
    const { peers } = await desire([peer("far", { address: "10.0.0.1", multihopTtl: 3 })]);
    expect(peers[0]).toMatchObject({ type: "session", interface: "ext", session: { localAddress: "192.0.2.10" } });
  });
});

describe("importRules", () => {
  const rules = (spec: Record<string, unknown>) => {
    const parsed = KINDS.BgpPeer.schema.parse(peer("x", { address: "192.0.2.1", import: spec }));
    return importRules(parsed.spec.import, [4]);
  };
  it("lets in the default route alone when nothing is named, even with orLonger", () => {
    const only = [{ prefix: "0.0.0.0/0", minLength: 0, maxLength: 0 }];
    expect(rules({})).toEqual(only);
    expect(rules({ orLonger: true })).toEqual(only);
  });
  it("never lets in host routes", () => {
    expect(rules({ prefixes: ["10.0.0.0/8", "2001:db8::/32"], orLonger: true })).toEqual([
      { prefix: "10.0.0.0/8", minLength: 8, maxLength: 31 },
    ]);
  });
});

describe("routerId", () => {
  it("is the external IPv4 address, or the same hash of the pod's name each time", () => {
    expect(routerId([EXTERNAL], "gateway-a")).toBe("192.0.2.10");
    const hashed = routerId([], "gateway-a");
    expect(hashed).toBe(routerId([], "gateway-a"));
    expect(hashed).not.toBe(routerId([], "gateway-b"));
  });
});
