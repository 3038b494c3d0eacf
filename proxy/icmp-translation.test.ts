import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { RETURN_MARK } from "#shared/instance/marks.ts";
import { ip } from "#shared/net/ip.ts";
import type { Intent, Leg } from "#shared/resolve/intent-types.ts";
import { locate } from "#shared/resolve/locate.ts";
import { type Endpoints, icmpError, internetSum, transportPacket } from "../test/support/icmp-packets.ts";
import { intentOf, scenario } from "../test/support/scenario.ts";
import { translateIcmpError as translate } from "./icmp-translation.ts";
import { NO_MOVES } from "./moves/moves.ts";
import { whereabouts } from "./moves/whereabouts.ts";

const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const CLIENT = { 4: "203.0.113.7", 6: "2001:db8:c::7" } as const;
const ROUTER = { 4: "192.0.2.99", 6: "2001:db8:e::99" } as const;
const INSIDE = { 4: "10.1.9.9", 6: "fd00:9::9" } as const;
const ERROR = { 4: { type: 3, code: 4, rest: [0, 0, 5, 0] }, 6: { type: 2, rest: [0, 0, 5, 0] } } as const;
const MOST = { 4: 28, 6: 48 } as const;

let intent: Intent;
beforeAll(async () => {
  intent = await intentOf(scenario({ mode: "NAT", targetPort: 80 }));
});

const nowhere = () => undefined;
const translateIcmpError = (intent: Intent, packet: Uint8Array) =>
  translate(intent, packet, (about) => whereabouts(intent, NO_MOVES, about, nowhere, nowhere).leg);

type Family = 4 | 6;
const PROTOCOL = { 6: "TCP", 17: "UDP" } as const;

function legOf(family: Family, protocol: 6 | 17, clientPort: number): Leg {
  const location = locate(intent, {
    source: ip(CLIENT[family]),
    destination: ip(VIP[family]),
    sourcePort: clientPort,
    destinationPort: 8080,
    protocol: PROTOCOL[protocol],
  });
  return location.kind === "target" ? location.leg : expect.fail(location.kind);
}

const reply = (family: Family, protocol: 6 | 17, clientPort: number, more: Partial<Endpoints>): Endpoints => ({
  protocol,
  source: VIP[family],
  sourcePort: 8080,
  destination: CLIENT[family],
  destinationPort: clientPort,
  ...more,
});

const flow = fc.record({
  family: fc.constantFrom<Family>(4, 6),
  protocol: fc.constantFrom<6 | 17>(6, 17),
  clientPort: fc.integer({ min: 0, max: 65535 }),
  payload: fc.uint8Array({ maxLength: 64 }),
  withoutChecksum: fc.boolean(),
  /** Bytes of the transport header and payload that are quoted; half a checksum (UDP's at 6, TCP's at 16) says nothing. */
  kept: fc.integer({ min: 4, max: 80 }).filter((kept) => kept !== 7 && kept !== 17),
  words: fc.integer({ min: 0, max: 10 }),
});

/** IPv4 options of no operations; IPv6: a destination options header that is padded, before the protocol. */
function optionsOf(family: Family, words: number, protocol: number): Uint8Array {
  if (words === 0) return new Uint8Array(0);
  if (family === 4) return new Uint8Array(words * 4).fill(1);
  const bytes = new Uint8Array(words * 8);
  bytes.set([protocol, words - 1, 1, words * 8 - 4]);
  return bytes;
}

function isWhole(packet: Uint8Array, family: Family): void {
  const view = new DataView(packet.buffer);
  if (family === 4) {
    expect(view.getUint16(2)).toBe(packet.length);
    expect(internetSum(packet.subarray(0, 20))).toBe(0xffff);
    expect(internetSum(packet.subarray(20))).toBe(0xffff);
    return;
  }
  expect(view.getUint16(4) + 40).toBe(packet.length);
  const pseudo = [...packet.subarray(8, 40), 0, 0, ...packet.subarray(4, 6), 0, 0, 0, 58];
  expect(internetSum([...pseudo, ...packet.subarray(40)])).toBe(0xffff);
}

describe("errors are what the other side would have got without translation, byte for byte", () => {
  test("from outside, to the target of the flow", () => {
    fc.assert(
      fc.property(flow, ({ family, protocol, clientPort, payload, withoutChecksum, kept, words }) => {
        const leg = legOf(family, protocol, clientPort);
        const target = leg.addresses[family] ?? expect.fail();
        const options = optionsOf(family, words, protocol);
        const more = { payload, options, withoutChecksum: withoutChecksum && protocol === 17 };
        const quoted = reply(family, protocol, clientPort, more);
        const length = MOST[family] - 8 + options.length + kept;
        const quote = transportPacket(quoted, 61).subarray(0, length);
        const result = translateIcmpError(intent, icmpError(ROUTER[family], VIP[family], quote, ERROR[family]));
        const inner = transportPacket({ ...quoted, source: target, sourcePort: 80 }, 61).subarray(0, length);
        const packet = icmpError(ROUTER[family], target, inner, { ...ERROR[family], hops: 63 });
        expect(result).toEqual({ kind: "to-target", packet, mark: 0 });
        isWhole(packet, family);
      }),
      { numRuns: 400 },
    );
  });

  test("from inside, to the client, with the VIP as its source whoever has sent it", () => {
    fc.assert(
      fc.property(flow, fc.boolean(), ({ family, protocol, clientPort, payload, kept }, byRouter) => {
        const target = legOf(family, protocol, clientPort).addresses[family] ?? expect.fail();
        const request: Endpoints = {
          protocol,
          source: CLIENT[family],
          sourcePort: clientPort,
          destination: target,
          destinationPort: 80,
          payload,
        };
        const length = MOST[family] - 8 + kept;
        const quote = transportPacket(request).subarray(0, length);
        const from = byRouter ? INSIDE[family] : target;
        const result = translateIcmpError(intent, icmpError(from, CLIENT[family], quote, ERROR[family]));
        const back = { ...request, destination: VIP[family], destinationPort: 8080 };
        const inner = transportPacket(back).subarray(0, length);
        const packet = icmpError(VIP[family], CLIENT[family], inner, { ...ERROR[family], hops: 63 });
        expect(result).toEqual({ kind: "to-client", packet, mark: RETURN_MARK });
      }),
      { numRuns: 300 },
    );
  });
});

test("a vector: port unreachable for UDP 10.1.0.1:80 becomes one for 198.51.100.10:8080", async () => {
  const one = await intentOf(scenario({ mode: "NAT", targetPort: 80, targets: 1 }));
  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
  const before = hex(`
    4500 0038 0000 0000 4001 34bc 0a01 0001 cb00 7107   0303 bb21 0000 0000
    4500 001d 0000 4000 3f11 f5c6 cb00 7107 0a01 0001   1234 0050 0009 2f4e`);
  const after = hex(`
    4500 0038 0000 0000 3f01 1580 c633 640a cb00 7107   0303 db5d 0000 0000
    4500 001d 0000 4000 3f11 d58a cb00 7107 c633 640a   1234 1f90 0009 efd1`);
  expect(translateIcmpError(one, before)).toEqual({ kind: "to-client", packet: after, mark: RETURN_MARK });
});

describe("what is not to be translated", () => {
  const quoteOf = (more: Partial<Endpoints> = {}): Uint8Array => transportPacket(reply(4, 17, 5000, more));
  const reasonOf = (packet: Uint8Array): unknown => {
    const result = translateIcmpError(intent, packet);
    return result.kind === "dropped" ? result.reason : result.kind;
  };
  const outside = (quote: Uint8Array, more: object = {}): Uint8Array =>
    icmpError(ROUTER[4], VIP[4], quote, { ...ERROR[4], ...more });

  test("each has its reason", () => {
    expect(reasonOf(outside(quoteOf()))).toBe("to-target");
    expect(reasonOf(outside(quoteOf(), { type: 8 }))).toBe("not-an-error");
    expect(reasonOf(outside(quoteOf(), { type: 5 }))).toBe("not-an-error");
    expect(reasonOf(outside(quoteOf(), { hops: 1 }))).toBe("hops-exceeded");
    expect(reasonOf(outside(quoteOf({ sourcePort: 9999 })))).toBe("no-flow");
    expect(reasonOf(outside(quoteOf({ source: "198.51.100.77" })))).toBe("wrong-receiver");
    expect(reasonOf(outside(quoteOf({ protocol: 132 })))).toBe("no-flow");
    expect(reasonOf(outside(quoteOf().subarray(0, 23)))).toBe("quote-too-short");
    expect(reasonOf(outside(quoteOf({ payload: new Uint8Array(1300) })))).toBe("too-long");
    expect(reasonOf(outside(transportPacket(reply(6, 17, 5000, {}))))).toBe("malformed");
    const fragment = quoteOf();
    fragment[7] = 1;
    expect(reasonOf(outside(fragment))).toBe("quote-too-short");
    const gre = quoteOf();
    gre[9] = 47;
    expect(reasonOf(outside(gre))).toBe("other-protocol");
    const flipped = outside(quoteOf());
    flipped[30] = 0xff ^ (flipped[30] ?? 0);
    expect(reasonOf(flipped)).toBe("bad-checksum");
    expect(reasonOf(icmpError(INSIDE[4], CLIENT[4], quoteOf(), ERROR[4]))).toBe("wrong-receiver");
  });

  test("options of the outer header are left behind: a source route is nobody's to extend", () => {
    const result = translateIcmpError(intent, outside(quoteOf(), { options: Uint8Array.of(131, 7, 4, 1, 2, 3, 4, 0) }));
    expect(result.kind === "dropped" ? 0 : result.packet[0]).toBe(0x45);
  });
});

test("any bytes give an answer, and what is sent on is never longer than what came", () => {
  const mutation = fc.tuple(fc.nat({ max: 200 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(flow, fc.array(mutation, { maxLength: 6 }), fc.nat({ max: 220 }), (f, mutations, cut) => {
      const quoted = transportPacket(reply(f.family, f.protocol, f.clientPort, { payload: f.payload }));
      const packet = icmpError(ROUTER[f.family], VIP[f.family], quoted, ERROR[f.family]).slice(0, cut);
      for (const [at, value] of mutations) if (at < packet.length) packet[at] = value;
      // The message's checksum is made right again, so that the parser behind it is reached.
      const at = f.family === 4 ? 20 : 40;
      if (f.family === 4 && packet.length > at + 4) {
        packet.set([0, 0], at + 2);
        const sum = ~internetSum(packet.subarray(at)) & 0xffff;
        packet.set([sum >> 8, sum & 0xff], at + 2);
        packet.set([packet.length >> 8, packet.length & 0xff], 2);
      }
      const before = packet.slice();
      const result = translateIcmpError(intent, packet);
      expect(packet).toEqual(before);
      if (result.kind !== "dropped") expect(result.packet.length).toBeLessThanOrEqual(packet.length);
    }),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(translateIcmpError(intent, bytes).kind).toBe("dropped");
    }),
  );
});
