import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { intentOf, scenario } from "../../test/support/scenario.ts";
import { flowSlot } from "../balance/flow-hash.ts";
import { cidrContains, familyOf, ip } from "../net/ip.ts";
import { type Intent, REFUSED } from "./intent-types.ts";
import { type Location, locate, type Packet } from "./locate.ts";

const tcp = [{ name: "tcp-8080", port: 8080 }];
const udp = [{ name: "udp-8080", port: 8080 }];
const flowRoutes = [
  {
    name: "early",
    spec: {
      priority: 5,
      match: { protocols: ["TCP"], sources: ["10.0.0.0/8", "2001:db8:c::/64"], destinationPorts: ["8000-8100"] },
      backendRefs: tcp,
    },
  },
  {
    name: "earlier",
    spec: { priority: 9, match: { protocols: ["TCP"], sourcePorts: ["1-99"] }, backendRefs: tcp },
  },
  {
    name: "bytes",
    spec: {
      priority: 7,
      match: { protocols: ["UDP"], byteMatches: [{ offset: 8, width: 2, mask: "0xff0f", value: "0x4002" }] },
      backendRefs: udp,
    },
  },
  { name: "nobody", spec: { priority: 3, match: { protocols: ["UDP"], destinationPorts: [7] }, backendRefs: tcp } },
  { name: "late", spec: { priority: 0, match: { protocols: ["UDP"] }, backendRefs: udp } },
];

const intent = await intentOf(scenario({ flowRoutes, targets: 3, tableSize: 251 }));

const packets = fc
  .record({
    family: fc.constantFrom(4, 6),
    inside: fc.boolean(),
    vip: fc.integer({ min: 0, max: 4 }),
    sourcePort: fc.oneof(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 65_535 })),
    destinationPort: fc.oneof(fc.constantFrom(7, 7999, 8000, 8080, 8100, 8101), fc.integer({ min: 1, max: 65_535 })),
    protocol: fc.constantFrom("TCP", "UDP", "SCTP"),
    payload: fc.constantFrom([0x40, 0x02], [0x40, 0xf2], [0x41, 0x02], [0x40], []),
  })
  .map(({ family, inside, vip, payload, ...rest }): Packet => {
    const sources = family === 4 ? ["203.0.113.9", "10.200.0.1"] : ["2001:db8:f::1", "2001:db8:c::77"];
    const others = family === 4 ? ["198.51.100.11"] : ["2001:db8:100::11"];
    const vips = family === 4 ? ["198.51.100.10"] : ["2001:db8:100::10"];
    return {
      ...rest,
      source: ip(sources[inside ? 1 : 0] ?? ""),
      destination: ip((vip === 0 ? others : vips)[0] ?? ""),
      transport: Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, ...payload]),
    };
  });

/** What the scenario says in words, without the intent's flows. */
function expectedRoute({ source, sourcePort, destinationPort, protocol, transport }: Packet): string | undefined {
  const internal = source.startsWith("10.") || source.startsWith("2001:db8:c:");
  if (protocol === "TCP") {
    if (sourcePort < 100) return "earlier";
    if (internal && destinationPort >= 8000 && destinationPort <= 8100) return "early";
    return destinationPort === 8080 ? "tcp-8080" : undefined;
  }
  if (protocol !== "UDP") return undefined;
  const [first, second] = transport?.subarray(8) ?? [];
  if (first === 0x40 && second !== undefined && (second & 0x0f) === 2) return "bytes";
  if (destinationPort === 7) return "nobody";
  return destinationPort === 8080 ? "udp-8080" : "late";
}

describe("locate", () => {
  it("agrees with the routes as they are written", () => {
    fc.assert(
      fc.property(packets, (packet) => {
        const found = locate(intent, packet);
        const isVip = intent.vips.includes(packet.destination);
        const route = isVip ? expectedRoute(packet) : undefined;
        if (route === undefined) {
          expect(found).toEqual({ kind: isVip ? "unmatched" : "not-a-vip" });
          return;
        }
        if (found.kind === "not-a-vip" || found.kind === "unmatched") return expect.fail(`${found.kind}, not ${route}`);
        expect(found.flow.route.name).toBe(route);
        expect(found.kind).toBe(route === "nobody" ? "no-target" : "target");
        if (found.kind !== "target") return;
        const { hash, slot } = flowSlot(packet, "tuple", 251, intent.hashSeed);
        expect(found).toMatchObject({ hash, slot });
        expect(found.leg.addresses[familyOf(packet.destination)]).toBeDefined();
        expect(found.leg.id).toBe(found.table.slots[slot]);
      }),
      { numRuns: 500 },
    );
  });

  it("takes the first flow, in order, of which nothing speaks against", () => {
    const naive = ({ flows }: Intent, packet: Packet) =>
      flows.findIndex((flow) => {
        const within = (ranges: readonly { from: number; to: number }[], port: number) =>
          ranges.length === 0 || ranges.some(({ from, to }) => port >= from && port <= to);
        const word = (offset: number, width: number) =>
          Number.parseInt(Buffer.from(packet.transport ?? []).toString("hex", offset, offset + width) || "x", 16);
        return [
          flow.vips.includes(packet.destination),
          flow.protocols.includes(packet.protocol),
          within(flow.sourcePorts, packet.sourcePort),
          within(flow.destinationPorts, packet.destinationPort),
          flow.sources.length === 0 || flow.sources.some((source) => cidrContains(source, packet.source)),
          ...flow.byteMatches.map(({ offset, width, mask = "0xffff", value }) => {
            const enough = (packet.transport?.length ?? 0) >= offset + width;
            return enough && (word(offset, width) & Number(mask)) === Number(value);
          }),
        ].every(Boolean);
      });
    fc.assert(
      fc.property(packets, (packet) => {
        const found = locate(intent, packet);
        const at = "flow" in found ? intent.flows.indexOf(found.flow) : -1;
        expect(at).toBe(naive(intent, packet));
      }),
      { numRuns: 300 },
    );
  });

  it("leaves flows that match bytes out where the payload is not known", () => {
    const packet: Packet = {
      source: ip("203.0.113.9"),
      destination: ip("198.51.100.10"),
      sourcePort: 1000,
      destinationPort: 5,
      protocol: "UDP",
    };
    const routeOf = (found: Location) => ("flow" in found ? found.flow.route.name : found.kind);
    expect(routeOf(locate(intent, packet))).toBe("late");
    const transport = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0x40, 2]);
    expect(routeOf(locate(intent, { ...packet, transport }))).toBe("bytes");
  });

  it("refuses what falls to a backend that does not resolve, and takes no packet of mixed families", async () => {
    const [flow] = intent.flows.filter(({ key }) => key.startsWith("TCPRoute") && key.endsWith("IPv4"));
    const table = flow?.table === undefined ? undefined : intent.tables.get(flow.table);
    if (table === undefined) return expect.fail("the scenario has no TCP table");
    const refusing = { ...table, slots: new Uint32Array(table.size).fill(REFUSED) };
    const packet: Packet = {
      source: ip("203.0.113.9"),
      destination: ip("198.51.100.10"),
      sourcePort: 1000,
      destinationPort: 8080,
      protocol: "TCP",
    };
    const other = { ...intent, tables: new Map(intent.tables).set(table.name, refusing) };
    expect(locate(other, packet).kind).toBe("refused");
    expect(locate(intent, { ...packet, source: ip("2001:db8:f::1") })).toEqual({ kind: "not-a-vip" });
  });
});
