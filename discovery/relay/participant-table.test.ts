import fc from "fast-check";
import { DURATION_INFINITE } from "rtps-wire";
import { describe, expect, it } from "vitest";
import { cidr, type Ip, ip } from "#shared/net/ip.ts";
import { ParticipantTable, type PodOwners, type Served } from "./participant-table.ts";
import { SourceBook } from "./source-book.ts";
import { announcementOf, disposeOf, left, locatorOf, prefixOf, type SaidOptions, said } from "./wire.fixture.ts";

const SERVED: Served = {
  domains: new Set([0, 1]),
  tags: undefined,
  participants: 10,
  participantsPerAddress: 3,
  announcementOctets: 2_000,
};
const NETWORKS = [
  { network: "default/a", interface: "net1", prefixes: [cidr("192.0.2.0/24"), cidr("fe80::/64")] },
  { network: "default/b", interface: "net2", prefixes: [cidr("198.51.100.0/24"), cidr("fe80::/64")] },
];
const NOBODY: PodOwners = { ownerOf: () => undefined };

class Bed {
  readonly sources = new SourceBook(NETWORKS, undefined);
  readonly table: ParticipantTable;
  nowMs = 0;
  allowsNews = true;

  constructor({ served = SERVED, owners = NOBODY }: { readonly served?: Served; readonly owners?: PodOwners } = {}) {
    this.table = new ParticipantTable(served, this.sources, owners, () => this.allowsNews);
  }

  arrival(from: string, domainId = 0) {
    const source = this.sources.find(from);
    if (source === undefined) throw new Error(from);
    return { source, domainId, isSister: false };
  }

  hear(number: number, options: SaidOptions & { readonly from?: string; readonly at?: number } = {}) {
    const { from, at, ...about } = options;
    const datagram = announcementOf(number, about);
    return this.table.announce(said(datagram), this.arrival(from ?? `192.0.2.${number}`, at), this.nowMs);
  }

  leave(
    number: number,
    { from = `192.0.2.${number}`, sn = 2n }: { readonly from?: string; readonly sn?: bigint } = {},
  ) {
    return this.table.depart(left(disposeOf(number, sn)), this.arrival(from), this.nowMs);
  }
}

describe("participants that were heard", () => {
  it("one is seen, renewed, changed, and departs", () => {
    const bed = new Bed();
    expect(bed.hear(1)).toMatchObject({ type: "seen", participant: { domainId: 0, network: "default/a" } });
    expect(bed.hear(1, { sn: 7n })).toMatchObject({ type: "renewed" });
    expect(bed.hear(1, { sn: 8n, entityName: "x" })).toMatchObject({ type: "changed" });
    expect([...bed.table.participants()].map(({ data }) => data.entityName)).toEqual(["x"]);
    expect(bed.leave(1, { sn: 3n })).toMatchObject({ type: "gone", participant: { writerSn: 8n } });
    expect(bed.table.size).toBe(0);
    expect(bed.table.knows(ip("192.0.2.1"))).toBe(false);
  });

  it("its lease is renewed by every announcement, and runs out", () => {
    const bed = new Bed();
    bed.hear(1);
    bed.nowMs = 9_000;
    bed.hear(1);
    bed.nowMs = 18_000;
    expect(bed.table.expire(bed.nowMs)).toEqual([]);
    bed.nowMs = 19_001;
    expect(bed.table.expire(bed.nowMs)).toHaveLength(1);
  });

  it("an endless lease ends after ten minutes without a word", () => {
    const bed = new Bed();
    bed.hear(1, { leaseDuration: DURATION_INFINITE });
    expect(bed.table.expire(600_000)).toEqual([]);
    expect(bed.table.expire(600_001)).toHaveLength(1);
  });

  it("without a domain id it is in the domain of the port", () => {
    const bed = new Bed();
    expect(bed.hear(1, { withoutDomainId: true, at: 1 })).toMatchObject({ participant: { domainId: 1 } });
    expect(bed.hear(2, { at: 1 })).toMatchObject({ participant: { domainId: 0 } });
  });

  it("of a link-local address, the interface is kept", () => {
    const bed = new Bed();
    expect(bed.hear(1, { address: "fe80::1", from: "fe80::1%net2" })).toMatchObject({
      participant: { network: "default/b", endpoints: [{ address: "fe80::1%net2", port: 7410 }] },
    });
    expect(bed.hear(2, { address: "fe80::2", from: "fe80::2%eth0" })).toEqual({
      type: "refused",
      reason: "not-allowed",
    });
  });
});

describe("what is refused", () => {
  it.each<[string, Parameters<Bed["hear"]>[1]]>([
    ["not-allowed", { from: "203.0.113.1", address: "203.0.113.1" }],
    ["not-its-address", { from: "192.0.2.9" }],
    ["other-domain", { domainId: 2 }],
    ["too-long", { userData: new Uint8Array(2_000) }],
    ["contradictory", { guid: { prefix: prefixOf(2), entityId: 0x1c1 } }],
    ["contradictory", { guid: { prefix: prefixOf(1), entityId: 0x3c2 } }],
  ])("%s", (reason, options) => {
    expect(new Bed().hear(1, options)).toEqual({ type: "refused", reason });
  });

  it("a tag that is not served", () => {
    const bed = new Bed({ served: { ...SERVED, tags: new Set(["", "x"]) } });
    expect(bed.hear(1, { domainTag: "y" })).toEqual({ type: "refused", reason: "other-tag" });
    expect(bed.hear(1, { domainTag: "x" })).toMatchObject({ type: "seen" });
    expect(bed.hear(2)).toMatchObject({ type: "seen" });
  });

  it("another's announcement or departure in a participant's name", () => {
    const bed = new Bed();
    bed.hear(1);
    expect(bed.hear(1, { from: "192.0.2.9", address: "192.0.2.9" })).toEqual({ type: "refused", reason: "taken" });
    expect(bed.leave(1, { from: "192.0.2.9" })).toEqual({ type: "refused", reason: "taken" });
    expect(bed.leave(2)).toEqual({ type: "refused", reason: "unknown-participant" });
    expect(bed.hear(1)).toMatchObject({ type: "renewed" });
  });

  it("more participants than there is room for, of one address and of all", () => {
    const bed = new Bed();
    const of = (number: number, address: string) => bed.hear(number, { from: address, address }).type;
    expect([1, 2, 3, 4].map((number) => of(number, "192.0.2.1"))).toEqual(["seen", "seen", "seen", "refused"]);
    expect([5, 6, 7, 8, 9, 10, 11, 12].map((number) => of(number, `192.0.2.${number}`)).sort()).toEqual([
      "refused",
      ...Array.from({ length: 7 }, () => "seen"),
    ]);
    expect(of(1, "192.0.2.1")).toBe("renewed");
  });

  it("announcements from before the end, after it", () => {
    const bed = new Bed();
    bed.hear(1, { sn: 5n });
    bed.leave(1, { sn: 6n });
    expect(bed.hear(1, { sn: 5n })).toEqual({ type: "refused", reason: "resting" });
    expect(bed.hear(1, { sn: 7n })).toMatchObject({ type: "seen" });
    bed.leave(1, { sn: 8n });
    bed.nowMs = 10_001;
    bed.table.expire(bed.nowMs);
    expect(bed.hear(1, { sn: 5n })).toMatchObject({ type: "seen" });
  });
});

describe("where a participant may be sent to", () => {
  it("only at addresses that it has sent from", () => {
    const bed = new Bed();
    const metatrafficUnicast = [locatorOf("192.0.2.1"), locatorOf("198.51.100.1"), locatorOf("203.0.113.9")];
    expect(bed.hear(1, { metatrafficUnicast })).toMatchObject({
      participant: { endpoints: [{ address: "192.0.2.1", port: 7410 }] },
    });
    expect(bed.hear(1, { metatrafficUnicast, from: "198.51.100.1" })).toMatchObject({
      type: "changed",
      participant: { endpoints: [{ address: "192.0.2.1" }, { address: "198.51.100.1" }] },
    });
  });

  it("and at those of its pod", () => {
    const pods: Readonly<Record<string, string>> = { "192.0.2.1": "default/p", "198.51.100.1": "default/p" };
    const bed = new Bed({ owners: { ownerOf: (address) => pods[address] } });
    const metatrafficUnicast = [locatorOf("198.51.100.1"), locatorOf("198.51.100.2")];
    expect(bed.hear(1, { metatrafficUnicast })).toMatchObject({
      participant: { pod: "default/p", endpoints: [{ address: "198.51.100.1" }] },
    });
    expect(bed.leave(1, { from: "198.51.100.1" })).toMatchObject({ type: "gone" });
  });

  it("whatever is announced from wherever: no endpoint but the sender's", () => {
    const address = fc.nat(255).map((last) => `192.0.2.${last}`);
    fc.assert(
      fc.property(
        fc.array(fc.record({ number: fc.nat(5), from: address, locators: fc.array(address, { maxLength: 4 }) })),
        (announcements) => {
          const bed = new Bed();
          const senders = new Map<string, Set<string>>();
          for (const { number, from, locators } of announcements) {
            const metatrafficUnicast = locators.map((one) => locatorOf(one));
            const heard = bed.hear(number, { from, metatrafficUnicast });
            if (heard.type === "refused") continue;
            const known = senders.get(prefixOf(number)) ?? new Set();
            senders.set(prefixOf(number), known.add(from));
          }
          for (const { endpoints, guidPrefix } of bed.table.participants()) {
            for (const endpoint of endpoints) expect(senders.get(guidPrefix)).toContain(endpoint.address);
          }
        },
      ),
    );
  });
});

describe("pods", () => {
  it("a pod's end takes its participants, and what is on the way does not bring them back", () => {
    const bed = new Bed({ owners: { ownerOf: (address) => (address === "192.0.2.1" ? "default/p" : undefined) } });
    bed.hear(1, { sn: 4n });
    bed.hear(2);
    expect(bed.table.podGone("default/p", bed.nowMs)).toMatchObject([{ guidPrefix: prefixOf(1), writerSn: 4n }]);
    expect(bed.hear(1, { sn: 9n })).toEqual({ type: "refused", reason: "resting" });
    expect(bed.table.size).toBe(1);
  });

  it("a pod that is known later gets the participants that are its own", () => {
    const pods = new Map<Ip, string>();
    const bed = new Bed({ owners: { ownerOf: (address) => pods.get(address) } });
    bed.hear(1);
    pods.set(ip("192.0.2.1"), "default/p");
    expect(bed.table.findOwners()).toMatchObject([{ pod: "default/p" }]);
    expect(bed.table.findOwners()).toEqual([]);
    expect(bed.table.podGone("default/p", 0)).toHaveLength(1);
  });

  it("one that speaks from a link-local address ends with the pod whose address it announces, and gets nothing there", () => {
    const bed = new Bed({ owners: { ownerOf: (address) => (address === "198.51.100.7" ? "default/p" : undefined) } });
    const metatrafficUnicast = [locatorOf("fe80::1"), locatorOf("198.51.100.7")];
    expect(bed.hear(1, { metatrafficUnicast, from: "fe80::1%net2" })).toMatchObject({
      participant: { pod: "default/p", endpoints: [{ address: "fe80::1%net2" }] },
    });
    expect(bed.hear(1, { metatrafficUnicast, from: "192.0.2.9", sn: 2n })).toEqual({
      type: "refused",
      reason: "taken",
    });
    expect(bed.table.podGone("default/p", 0)).toHaveLength(1);
  });

  it("other limits end what is served no longer", () => {
    const bed = new Bed();
    bed.hear(1);
    bed.hear(2, { domainTag: "x" });
    bed.hear(3, { address: "198.51.100.3", from: "198.51.100.3" });
    const narrower = new SourceBook(NETWORKS, [cidr("192.0.2.0/24")]);
    expect(bed.table.serve({ ...SERVED, tags: new Set([""]) }, narrower)).toHaveLength(2);
    expect([...bed.table.participants()].map(({ guidPrefix }) => guidPrefix)).toEqual([prefixOf(1)]);
  });
});
