import fc from "fast-check";
import type { Locator } from "rtps-wire";
import { describe, expect, it } from "vitest";
import { cidr, ip } from "#shared/net/ip.ts";
import {
  type Allowed,
  audience,
  copyKey,
  type EndpointsOf,
  type FanOutEndpoints,
  type FanOutParticipant,
  mayCopy,
} from "./audience.ts";

const ALLOWED: Allowed = { domains: new Set([0, 1]), groups: [cidr("239.255.0.0/16")] };
const at = (address: string, port: number): Locator => ({ kind: "udpv4", address, port });
const HERE = at("239.255.0.1", 7401);
const nothingKnown: EndpointsOf = () => undefined;

let made = 0;
function participant(network: string | undefined, more: Partial<FanOutParticipant> = {}): FanOutParticipant {
  const guidPrefix = (made++).toString(16).padStart(24, "0");
  return { guidPrefix, domainId: 0, domainTag: "", network, defaultMulticast: [HERE], ...more };
}
const keys = (participants: readonly FanOutParticipant[], endpointsOf = nothingKnown, allowed = ALLOWED): string[] =>
  audience(participants, endpointsOf, allowed).copies.map(copyKey);

describe("which multicast goes where", () => {
  it("goes to networks where somebody hears it, from those where somebody else of the domain is", () => {
    expect(keys([participant("a"), participant("b"), participant("c", { defaultMulticast: [] })])).toEqual([
      "239.255.0.1:7401 a b",
      "239.255.0.1:7401 b a",
      "239.255.0.1:7401 c a",
      "239.255.0.1:7401 c b",
    ]);
    expect(keys([participant("a"), participant("a")])).toEqual([]);
    expect(keys([participant("a"), participant(undefined)])).toEqual([]);
  });

  it("does not cross domains and tags", () => {
    expect(keys([participant("a"), participant("b", { domainId: 1 })])).toEqual([]);
    expect(keys([participant("a"), participant("b", { domainTag: "x" })])).toEqual([]);
    expect(keys([participant("a", { domainId: 2 }), participant("b", { domainId: 2 })])).toEqual([]);
  });

  it.each([
    ["discovery of the domain", at("239.255.0.1", 7400)],
    ["discovery of another domain", at("239.255.0.1", 7650)],
    ["a port of another domain", at("239.255.0.1", 7651)],
    ["mDNS", at("224.0.0.251", 5353)],
    ["SSDP", at("239.255.255.250", 1900)],
    ["a group that is not allowed", at("239.1.0.1", 7401)],
    ["an address of one host", at("10.0.0.1", 7401)],
    ["shared memory", { kind: "other", id: 16, port: 7401, address: new Uint8Array(16) }],
    ["IPv6", { kind: "udpv6", address: "ff02::1", port: 7401 }],
  ] satisfies [string, Locator][])("%s is never copied, whoever announces it", (_what, locator) => {
    const defaultMulticast = [locator];
    expect(keys([participant("a", { defaultMulticast }), participant("b", { defaultMulticast })])).toEqual([]);
  });

  it("takes groups that readers announce, where topics are known, and only those that are written", () => {
    const own = at("239.255.3.3", 7420);
    const endpoints = new Map<string, FanOutEndpoints>();
    const knows = (network: string, writers: string[], readers: [string, Locator[]][]): FanOutParticipant => {
      const one = participant(network);
      endpoints.set(one.guidPrefix, {
        writers: writers.map((topic) => ({ topic })),
        readers: readers.map(([topic, multicast]) => ({ topic, multicast })),
      });
      return one;
    };
    const endpointsOf: EndpointsOf = (guidPrefix) => endpoints.get(guidPrefix);
    const writer = knows("a", ["Pose"], []);
    expect(keys([writer, knows("b", [], [["Pose", []]])], endpointsOf)).toEqual(["239.255.0.1:7401 a b"]);
    expect(keys([writer, knows("b", [], [["Pose", [own]]])], endpointsOf)).toEqual(["239.255.3.3:7420 a b"]);
    expect(keys([writer, knows("b", ["Pose"], [["Scan", []]])], endpointsOf)).toEqual([]);
    // Who is not known to the observer may write and hear anything.
    expect(keys([writer, participant("b")], endpointsOf)).toEqual(["239.255.0.1:7401 a b"]);
    expect(keys([participant("a"), knows("b", [], [["Scan", []]])], endpointsOf)).toEqual(["239.255.0.1:7401 a b"]);
  });

  it("is bounded, whatever is announced", () => {
    const defaultMulticast = Array.from({ length: 200 }, (_, index) => at(`239.255.1.${index}`, 7402));
    const { copies, left } = audience(
      [participant("a", { defaultMulticast }), participant("b", { defaultMulticast: [] })],
      nothingKnown,
      ALLOWED,
    );
    expect([copies.length, left]).toEqual([64, 136]);
  });

  it("does not depend on the order in which participants are known", () => {
    const one = fc.record({
      guidPrefix: fc.stringMatching(/^[0-9a-f]{24}$/),
      domainId: fc.integer({ min: 0, max: 2 }),
      domainTag: fc.constantFrom("", "x"),
      network: fc.constantFrom("a", "b", "c", undefined),
      defaultMulticast: fc.subarray([HERE, at("239.255.0.2", 7401), at("239.255.0.1", 7651), at("239.255.0.1", 7400)]),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 12 }), (participants) => {
        const copies = keys(participants);
        expect(keys(participants.toReversed())).toEqual(copies);
        expect(new Set(copies).size).toBe(copies.length);
        for (const { group, port, from, to } of audience(participants, nothingKnown, ALLOWED).copies) {
          expect(from).not.toBe(to);
          expect(port % 250).not.toBe(7400 % 250);
          expect(participants.some((p) => p.network === to && p.defaultMulticast.some((l) => l.port === port))).toBe(
            true,
          );
          expect(mayCopy({ group, port, from, to }, ALLOWED)).toBe(true);
        }
      }),
    );
  });
});

it("a copy of before goes on only where it may still be made", () => {
  const copy = { group: ip("239.255.0.1"), port: 7401, from: "a", to: "b" };
  expect(mayCopy(copy, ALLOWED)).toBe(true);
  expect(mayCopy({ ...copy, port: 7400 }, ALLOWED)).toBe(false);
  expect(mayCopy({ ...copy, port: 7901 }, ALLOWED)).toBe(false);
  expect(mayCopy({ ...copy, port: 80 }, ALLOWED)).toBe(false);
  expect(mayCopy({ ...copy, group: ip("239.1.0.1") }, ALLOWED)).toBe(false);
});
