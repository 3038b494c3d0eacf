import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { openRawIcmp, type RawIcmp } from "#shared/kernel/raw-icmp.ts";
import type { Family } from "#shared/net/ip.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { ANSWERS, CONNECTIONS, FRAGMENTS } from "../../proxy/nft/allowances.ts";
import { conntrackEntries } from "../support/conntrack.ts";
import { arpRequest, FrameSender } from "../support/frame-sender.ts";
import { icmpError, ipPacket, neighbourSolicitation, transportPacket } from "../support/icmp-packets.ts";
import { intentOf, scenario } from "../support/scenario.ts";
import { Testbed } from "../support/testbed.ts";

/*
 * What a hostile sender can ask of an instance: each bound is held together with a control, in which it is lifted and the
 * fault is there.
 */
const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const SERVICE_MTU = 1400;
/** The gateway's own addresses: where BGP would listen, and on the service network. */
const OWN = { 4: "192.0.2.2", 6: "2001:db8:2::2" } as const;
const INNER = { 4: "10.1.0.200", 6: "fd00:1::c8" } as const;
const SYN = 0x02;
/** Less than the machine's table of neighbours has room for: it is not the tests' alone. */
const QUESTIONS = 400;
const CLOSED = 9999;
const REFUSING = 7000;
/** Who floods, and who has done nothing. */
const HOSTILE = { 4: "203.0.113.66", 6: "2001:db8:bad::66" } as const;
const HONEST = { 4: "203.0.113.5", 6: "2001:db8:c::5" } as const;

/** nft at the client: how many answers of each kind each of the two was given. */
function listener(): string {
  const kinds = {
    echo: ["icmp type echo-reply", "icmpv6 type echo-reply"],
    reset: ["tcp flags & rst == rst", "tcp flags & rst == rst"],
    "too-big": ["icmp code frag-needed", "icmpv6 type packet-too-big"],
  };
  const who = { hostile: HOSTILE, honest: HONEST };
  const lines = Object.entries(kinds).flatMap(([kind, [four, six]]) =>
    Object.entries(who).map(([name, address]) => ({ name: `${kind}-${name}`, four, six, address })),
  );
  return `table inet heard {
    ${lines.map(({ name }) => `counter ${name} {}`).join("\n")}
    chain in {
      type filter hook prerouting priority 0
      ${lines.flatMap(({ name, four, six, address }) => [`ip daddr ${address[4]} ${four} counter name ${name} drop`, `ip6 daddr ${address[6]} ${six} counter name ${name} drop`]).join("\n")}
    }
  }`;
}

let bed: Testbed;
let intent: Intent;
const stop = new AbortController();
const raw = new Map<string, RawIcmp>();

beforeAll(async () => {
  // The third target is no target of ours: a pod on the service network, and hostile.
  bed = new Testbed({ prefix: "cw-o", targets: 3, vips: [VIP[4], VIP[6]], serviceMtu: SERVICE_MTU });
  bed.exec(
    "c",
    `sh -c 'for a in ${HONEST[4]}/32 ${HONEST[6]}/128 ${HOSTILE[4]}/32 ${HOSTILE[6]}/128; do ip addr add $a dev lo; done'`,
  );
  const nft = (node: string, rules: string): string => bed.exec(node, `nft '${rules}'`);
  nft("c", listener());
  // A flood begins while nobody is asked for the gateway's address.
  for (const [node, device, at, addresses] of [
    ["c", "eth0", "ext0", OWN],
    ["t3", "svc0", "svc0", INNER],
  ] as const) {
    const mac = bed.exec("g", `cat /sys/class/net/${at}/address`).trim();
    for (const a of Object.values(addresses))
      bed.exec(node, `ip neigh replace ${a} lladdr ${mac} dev ${device} nud permanent`);
  }
  for (const node of ["t1", "t2"]) {
    nft(
      node,
      `table inet seen { set datagrams { type inet_service; flags dynamic; size 65535; }; chain whole {
        type filter hook prerouting priority 0
        ct state invalid counter
        meta l4proto udp add @datagrams { udp sport }
        meta l4proto tcp drop
      }
      }`,
    );
  }
  intent = await intentOf(
    scenario({
      targets: 2,
      listeners: [
        { protocol: "TCP", port: 8080 },
        { protocol: "UDP", port: 8080 },
        { protocol: "TCP", port: REFUSING },
      ],
      flowRoutes: [
        {
          name: "refusing",
          spec: {
            priority: 1,
            match: { protocols: ["TCP"], destinationPorts: [REFUSING] },
            // As good as every slot belongs to a backend that is not there.
            backendRefs: [
              { name: `tcp-${REFUSING}`, port: REFUSING, weight: 1 },
              { name: "nobody", port: 1, weight: 1_000_000 },
            ],
          },
        },
      ],
    }),
  );
  bed.program(intent);
  for (const node of ["c", "t3"]) {
    for (const family of [4, 6] as const) {
      const options = { family, netns: `/run/netns/${bed.name(node)}`, signal: stop.signal };
      raw.set(`${node}${family}`, openRawIcmp({ ...options, onPacket: () => undefined, onError: () => undefined }));
    }
  }
});
afterEach(() => {
  // Senders are forgotten, and what was lifted is back.
  bed.exec("g", "nft flush ruleset");
  bed.kernel.forget();
  bed.program(intent);
});
afterAll(() => {
  stop.abort();
  for (const socket of raw.values()) socket.close();
  bed.close();
});

const send = (node: "c" | "t3", family: Family, packet: Uint8Array): void =>
  raw.get(`${node}${family}`)?.sendRaw(packet);
const counter = (name: string): number => bed.kernel.counters().get(name)?.packets ?? 0;

function heard(name: string): number {
  return Number(/packets (\d+)/.exec(bed.exec("c", `nft list counter inet heard ${name}`))?.[1]);
}

/** Lets every packet of a kind through, as if there were no bound. */
function lift(chain: string, verdict = "accept"): void {
  for (const table of ["netdev", "inet"]) {
    for (const [, name] of bed.exec("g", `nft list chains ${table}`).matchAll(/chain (\S+) \{/g)) {
      if (name?.startsWith(`${chain}-`)) bed.exec("g", `nft insert rule ${table} causeway ${name} ${verdict}`);
    }
  }
}

const udp = (family: Family, source: string, sourcePort: number, bytes: number, destinationPort = 8080): Uint8Array =>
  transportPacket({
    protocol: 17,
    source,
    sourcePort,
    destination: VIP[family],
    destinationPort,
    payload: new Uint8Array(bytes),
  });

/** A SYN. */
const tcp = (
  family: Family,
  source: string,
  sourcePort: number,
  destinationPort: number,
  to: Readonly<Record<Family, string>> = VIP,
): Uint8Array =>
  transportPacket({ protocol: 6, tcpFlags: SYN, source, sourcePort, destination: to[family], destinationPort });

/** A source of its own for each number; in IPv6, a network of its own. */
const source = (family: Family, n: number): string =>
  family === 4 ? `198.18.${n >> 8}.${n & 0xff}` : `2001:2:0:${n.toString(16)}::1`;

/** The fragments of a packet: of `size` bytes (a multiple of eight), the last one shorter. */
function fragments(family: Family, packet: Uint8Array, size: number, id: number): Uint8Array[] {
  const header = family === 4 ? 20 : 40;
  const body = packet.subarray(header);
  const text = (from: number): string =>
    family === 4
      ? packet.subarray(from, from + 4).join(".")
      : Buffer.from(packet.subarray(from, from + 16))
          .toString("hex")
          .replace(/(....)(?!$)/g, "$1:");
  const [from, to] = family === 4 ? [text(12), text(16)] : [text(8), text(24)];
  return Array.from({ length: Math.ceil(body.length / size) }, (_, i) => {
    const at = i * size;
    const part = body.subarray(at, at + size);
    const more = at + size < body.length ? 1 : 0;
    if (family === 6) {
      const extension = [17, 0, at >> 8, (at & 0xf8) | more, id >>> 24, (id >> 16) & 0xff, (id >> 8) & 0xff, id & 0xff];
      return ipPacket(from, to, 44, [...extension, ...part]);
    }
    const fragment = ipPacket(from, to, 17, part);
    fragment.set([(id >> 8) & 0xff, id & 0xff, ((at / 8) >> 8) | (more * 0x20), (at / 8) & 0xff], 4);
    return fragment;
  });
}

describe.each([4, 6] as const)("IPv%i", (family) => {
  describe("packets that cost nothing", () => {
    it("a SYN flood is forwarded and a scan dropped: both are counted, and neither leaves state", async () => {
      const counts = { unmatched: counter("unmatched"), fragments: room(), tracked: await tracked() };
      const legs = (): number =>
        [...bed.kernel.counters()].reduce(
          (sum, [name, { packets }]) => sum + (name.startsWith("leg-") ? packets : 0),
          0,
        );
      const before = legs();
      for (let n = 0; n < 2000; n++) {
        send("c", family, tcp(family, source(family, n), 1024 + n, 8080));
        send("c", family, tcp(family, source(family, n), 1024 + n, CLOSED));
      }
      expect(legs() - before).toBe(2000);
      expect(counter("unmatched") - counts.unmatched).toBe(2000);
      expect(await tracked()).toBeLessThanOrEqual(counts.tracked);
      expect(room()).toBeLessThanOrEqual(counts.fragments);
      for (const name of ["answers-limited", "connections-limited"]) expect(counter(name)).toBe(0);
    });

    it("control: connections that are tracked would be seen", async () => {
      bed.exec("g", "nft delete table netdev causeway");
      bed.exec(
        "g",
        "nft 'table inet track { chain in { type filter hook prerouting priority 0; ct state new counter; }; }'",
      );
      const before = await tracked();
      for (let n = 0; n < 100; n++) send("c", family, tcp(family, source(family, n), 1024 + n, 8080));
      expect(await tracked()).toBeGreaterThan(before);
    });
  });

  const FLOOD = 1000;
  const asked = {
    echo: (from: string) => icmpError(from, VIP[family], Uint8Array.of(1, 2), { type: family === 4 ? 8 : 128 }),
    reset: (from: string) => tcp(family, from, 1024, REFUSING),
    connection: (from: string) => tcp(family, from, 1024, 179, OWN),
    "too-big": (from: string) => {
      const packet = udp(family, from, 1024, SERVICE_MTU);
      if (family === 4) packet[6] = 0x40; // not to be fragmented
      return packet;
    },
  };

  describe.each([
    { kind: "echo", answer: "echo", chain: "answers", verdict: "accept", burst: ANSWERS.burst },
    { kind: "reset", answer: "reset", chain: "answers", verdict: "reject with tcp reset", burst: ANSWERS.burst },
    { kind: "too-big", answer: "too-big", chain: "too-big", verdict: "return", burst: ANSWERS.burst },
    { kind: "connection", answer: "reset", chain: "connections", verdict: "accept", burst: CONNECTIONS.burst },
  ] as const)("$kind", ({ kind, answer, chain, verdict, burst }) => {
    /** @returns how many of a flood were answered; what one other sender asks is. */
    const flood = async (): Promise<number> => {
      const before = { hostile: heard(`${answer}-hostile`), honest: heard(`${answer}-honest`) };
      const packet = asked[kind](HOSTILE[family]);
      for (let n = 0; n < FLOOD; n++) send("c", family, packet);
      send("c", family, asked[kind](HONEST[family]));
      await vi.waitFor(() => expect(heard(`${answer}-honest`) - before.honest).toBe(1));
      return heard(`${answer}-hostile`) - before.hostile;
    };

    it("one sender is answered so often, another one still; the rest is counted", async () => {
      const answered = await flood();
      expect(answered).toBeGreaterThanOrEqual(burst);
      expect(answered).toBeLessThan(FLOOD);
      expect(counter("answers-limited") + counter("connections-limited")).toBe(FLOOD - answered);
    });

    it("control: without the bound all are answered", async () => {
      lift(chain, verdict);
      expect(await flood()).toBe(FLOOD);
    });
  });

  describe("questions for the link-layer address", () => {
    const known = (): number => bed.exec("g", `ip -${family} neigh show dev svc0`).split("\n").length;
    const read = (node: string, what: string): string => bed.exec(node, `cat /sys/class/net/svc0/${what}`).trim();
    const flood = (): void => {
      const [mac, gateway] = [read("t3", "address"), read("g", "address")];
      using sender = new FrameSender(`/run/netns/${bed.name("t3")}`, Number(read("t3", "ifindex")));
      for (let n = 0; n < QUESTIONS; n++) {
        const address = `10.1.${100 + (n >> 8)}.${n & 0xff}`;
        if (family === 4) sender.send(arpRequest({ mac, address }, { mac: gateway, address: INNER[4] }));
        else send("t3", 6, neighbourSolicitation(`fd00:1::5:${n.toString(16)}`, mac, INNER[6]));
      }
    };
    afterEach(() => void bed.exec("g", `ip -${family} neigh flush dev svc0`));

    it("one asker fills no table of neighbours", () => {
      flood();
      expect(known()).toBeLessThan(QUESTIONS / 2);
      expect(counter("neighbours-limited")).toBeGreaterThan(0);
    });

    it("control: without the bound every question makes an entry", () => {
      lift("neighbours");
      flood();
      expect(known()).toBeGreaterThanOrEqual(QUESTIONS);
    });
  });

  it("more senders than are known share an allowance; who was known keeps its own", async () => {
    const ask = (from: string): void => send("c", family, asked.echo(from));
    const before = { honest: heard("echo-honest"), hostile: heard("echo-hostile") };
    ask(HONEST[family]);
    for (let n = 0; n < ANSWERS.senders + 2 * ANSWERS.othersPerSecond; n++) ask(source(family, n));
    ask(HONEST[family]);
    await vi.waitFor(() => expect(heard("echo-honest") - before.honest).toBe(2));
    expect(counter("answers-limited")).toBeGreaterThan(0);
    // A stranger has its share of what comes in anew.
    await vi.waitFor(() => {
      ask(HOSTILE[family]);
      expect(heard("echo-hostile")).toBeGreaterThan(before.hostile);
    });
  });

  describe.each(["c", "t3"] as const)("fragments without their rest, from %s", (node) => {
    /** More than there is room for when every packet may wait. */
    const FLOOD = 12_000;

    const [first = new Uint8Array(0)] = fragments(
      family,
      transportPacket({
        protocol: 17,
        source: HOSTILE[family],
        sourcePort: 1024,
        // A pod has the VIP itself.
        destination: node === "c" ? VIP[family] : INNER[family],
        destinationPort: 8080,
        payload: new Uint8Array(1600),
      }),
      1200,
      0,
    );
    const flood = (): void => {
      const id = new DataView(first.buffer);
      for (let n = 1; n <= FLOOD; n++) {
        id.setUint16(family === 4 ? 4 : 46, n);
        send(node, family, first);
      }
    };
    /** @returns how many of twenty whole packets, in fragments, come through. */
    const through = (): number => {
      const ports = Array.from({ length: 20 }, (_, i) => 40_000 + i);
      for (const port of ports) {
        for (const part of fragments(family, udp(family, HONEST[family], port, 2600), 1200, port)) {
          send("c", family, part);
        }
      }
      const seen = ["t1", "t2"].map((target) => bed.exec(target, "nft -n list set inet seen datagrams")).join();
      for (const target of ["t1", "t2"]) bed.exec(target, "nft flush set inet seen datagrams");
      return ports.filter((port) => new RegExp(`\\b${port}\\b`).test(seen)).length;
    };
    // What an earlier flood has left behind is given up.
    beforeEach(() => vi.waitFor(() => expect(through()).toBe(20), { timeout: 20_000 }));

    it("one sender cannot fill the room for them; the rest is counted", () => {
      flood();
      expect(through()).toBe(20);
      const limited = counter("fragments-limited");
      expect(limited).toBeGreaterThan(0);
      expect(limited).toBeLessThanOrEqual(FLOOD - FRAGMENTS.burst);
    });

    it("control: with the kernel's own room and no bound it can", async () => {
      lift("fragments");
      const settings = ["net.ipv4.ipfrag_high_thresh", "net.netfilter.nf_conntrack_frag6_high_thresh"];
      const sysctl = (bytes: number): void =>
        settings.forEach((key) => {
          bed.exec("g", `sysctl -qw ${key}=${bytes}`);
        });
      sysctl(4 << 20);
      await vi.waitFor(() => {
        flood();
        expect(through()).toBe(0);
      });
      sysctl(32 << 20);
    });
  });
});

const tracked = (): Promise<number> => conntrackEntries((script) => bed.exec("g", script));

/** Bytes that fragments wait in, as far as the kernel tells: IPv4's. */
function room(): number {
  return Number(/FRAG: inuse \d+ memory (\d+)/.exec(bed.exec("g", "cat /proc/net/sockstat"))?.[1]);
}
