import { expect, test } from "vitest";
import { cidr, FAMILIES, ip } from "#shared/net/ip.ts";
import type { Flow } from "#shared/resolve/intent-types.ts";
import { conditions, hashExpression, packetFields, quotedFields } from "./match.ts";

const flow = (more: Partial<Flow> = {}): Flow => ({
  key: "k",
  route: { kind: "FlowRoute", namespace: "default", name: "r" },
  family: 4,
  stage: "early",
  priority: 1,
  vips: [ip("198.51.100.10")],
  protocols: ["TCP"],
  destinationPorts: [],
  sources: [],
  sourcePorts: [],
  byteMatches: [],
  hash: "tuple",
  table: undefined,
  services: [],
  draining: [],
  readyTargets: 0,
  reachable: false,
  ...more,
});

test("a flow that asks for a protocol alone", () => {
  expect(conditions(packetFields(4), flow())).toBe("meta l4proto tcp");
  expect(conditions(packetFields(6), flow({ protocols: ["UDP", "SCTP"] }))).toBe("meta l4proto { udp, sctp }");
  expect(conditions(quotedFields(4), flow({ protocols: ["UDP", "SCTP"] }))).toBe("@th,136,8 { 17, 132 }");
});

test("sources, ports and bytes; in an ICMP error as plain integers at the quoted packet's places, without bytes", () => {
  const all = flow({
    sources: [cidr("10.0.0.0/8"), cidr("192.0.2.7/32")],
    sourcePorts: [{ from: 1024, to: 65_535 }],
    destinationPorts: [
      { from: 80, to: 80 },
      { from: 90, to: 99 },
    ],
    byteMatches: [
      { offset: 8, width: 2, mask: "0xff00", value: "0x4000" },
      { offset: 12, width: 1, value: "0x1" },
    ],
  });
  expect(conditions(packetFields(4), all)).toBe(
    "meta l4proto tcp ip saddr { 10.0.0.0/8, 192.0.2.7/32 } th sport 1024-65535 th dport { 80, 90-99 } " +
      "@th,64,16 & 0xff00 == 0x4000 @th,96,8 == 0x1",
  );
  expect(conditions(quotedFields(4), all)).toBe(
    "@th,136,8 6 @th,192,32 { 0xa000000-0xaffffff, 0xc0000207 } @th,240,16 1024-65535 @th,224,16 { 80, 90-99 }",
  );
});

test("the fields of a quoted packet lie within what every ICMP error quotes: its header and eight bytes", () => {
  for (const family of FAMILIES) {
    const fields = quotedFields(family);
    const limit = 8 + (family === 4 ? 20 : 40) + 8;
    for (const text of [
      fields.source,
      fields.destination,
      fields.sourcePort,
      fields.destinationPort,
      fields.protocol,
    ]) {
      const [, offset, width] = /^@th,(\d+),(\d+)$/.exec(text) ?? expect.fail(text);
      expect(Number(offset)).toBeGreaterThanOrEqual(64);
      expect(Number(offset) + Number(width)).toBeLessThanOrEqual(limit * 8);
    }
  }
});

test("the hash is of all four fields, or of the source alone", () => {
  expect(hashExpression(packetFields(4), flow(), 997, 0x1f)).toBe(
    "jhash @nh,96,64 . th sport . th dport mod 997 seed 0x1f",
  );
  expect(hashExpression(quotedFields(6), flow({ hash: "source" }), 997, 0)).toBe("jhash @th,256,128 mod 997 seed 0x0");
});
