import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRawIcmp, type RawIcmp } from "#shared/kernel/raw-icmp.ts";
import { type Family, type Ip, ip } from "#shared/net/ip.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { locate } from "#shared/resolve/locate.ts";
import { icmpError, ipPacket, transportPacket } from "../support/icmp-packets.ts";
import { intentOf, scenario } from "../support/scenario.ts";
import { Testbed } from "../support/testbed.ts";

const TARGETS = 4;
const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
/** Beyond the router, from the gateway's point of view: only the routes that routers announced lead there. */
const CLIENT = { 4: "203.0.113.5", 6: "2001:db8:c::5" } as const;
/** A router somewhere beyond the client. */
const BEYOND = { 4: "203.0.113.77", 6: "2001:db8:77::1" } as const;
const SERVICE_MTU = 1400;
const FLOWS = 60;

/** nft in a target: which client ports it saw, of whole datagrams and of ICMP errors. */
const OBSERVER = `table inet seen {
  set datagrams { type inet_service; flags dynamic; size 65535; }
  set errors { typeof @th,240,16; flags dynamic; size 65535; }
  set errors6 { typeof @th,400,16; flags dynamic; size 65535; }
  chain whole {
    type filter hook prerouting priority 0
    ct state invalid counter
    meta l4proto udp add @datagrams { udp sport }
    icmp type { time-exceeded, destination-unreachable } add @errors { @th,240,16 }
    icmpv6 type { time-exceeded, packet-too-big } add @errors6 { @th,400,16 }
  }
}
`;

describe("packets that the fast path cannot treat alone", () => {
  let bed: Testbed;
  let folder: string;
  let intent: Intent;
  let heard: Uint8Array[] = [];
  const raw: Partial<Record<Family, RawIcmp>> = {};
  const stop = new AbortController();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "cw-"));
    writeFileSync(join(folder, "observer.nft"), OBSERVER);
    bed = new Testbed({ prefix: "cw-p", targets: TARGETS, vips: [VIP[4], VIP[6]], serviceMtu: SERVICE_MTU });
    for (let t = 1; t <= TARGETS; t++) bed.exec(`t${t}`, `nft -f ${join(folder, "observer.nft")}`);
    for (const address of [`${CLIENT[4]}/32`, `${CLIENT[6]}/128`]) bed.exec("c", `ip addr add ${address} dev lo`);
    intent = await intentOf(scenario({ targets: TARGETS }));
    bed.program(intent);
    for (const family of [4, 6] as const) {
      raw[family] = openRawIcmp({
        family,
        netns: `/run/netns/${bed.name("c")}`,
        signal: stop.signal,
        onPacket: (packet) => heard.push(packet),
        onError: (error) => expect.fail(error.message),
      });
    }
  });
  afterAll(() => {
    stop.abort();
    for (const socket of Object.values(raw)) socket.close();
    bed.close();
    rmSync(folder, { recursive: true });
  });

  const send = (family: Family, packet: Uint8Array): void => raw[family]?.sendRaw(packet);

  /** Client ports that each target has seen. */
  function seen(set: "datagrams" | "errors" | "errors6"): Map<number, string[]> {
    const found = new Map<number, string[]>();
    for (let t = 1; t <= TARGETS; t++) {
      const text = bed.exec(`t${t}`, `nft -nn list set inet seen ${set}`);
      const elements = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? "";
      for (const element of elements.split(",").filter((e) => e.trim() !== "")) {
        const port = Number(element.trim());
        found.set(port, [...(found.get(port) ?? []), `default/pod-${t}`]);
      }
      bed.exec(`t${t}`, `nft flush set inet seen ${set}`);
    }
    return found;
  }

  const ports = (from: number): number[] => Array.from({ length: FLOWS }, (_, i) => from + i * 13);

  function targetOf(family: Family, sourcePort: number): string {
    const flow = { source: ip(CLIENT[family]), destination: ip(VIP[family]), sourcePort, destinationPort: 8080 };
    const where = locate(intent, { ...flow, protocol: "UDP" });
    return where.kind === "target" ? where.leg.target : expect.fail(where.kind);
  }

  async function until<T>(look: () => T, good: (value: T) => boolean): Promise<T> {
    for (let tries = 0; ; tries++) {
      const value = look();
      if (good(value) || tries === 200) return value;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Splits a packet's body into fragments of at most `size` bytes (a multiple of eight). */
  function fragments(family: Family, packet: Uint8Array, size: number, id: number): Uint8Array[] {
    const header = family === 4 ? 20 : 40;
    const body = packet.subarray(header);
    const parts: Uint8Array[] = [];
    for (let at = 0; at < body.length; at += size) {
      const part = body.subarray(at, at + size);
      const more = at + size < body.length;
      if (family === 6) {
        const extension = [
          17,
          0,
          ...[(at >> 8) & 0xff, (at & 0xf8) | (more ? 1 : 0)],
          0,
          0,
          (id >> 8) & 0xff,
          id & 0xff,
        ];
        parts.push(ipPacket(CLIENT[6], VIP[6], 44, [...extension, ...part]));
        continue;
      }
      const fragment = ipPacket(CLIENT[4], VIP[4], 17, part);
      // The kernel computes the checksum of a header that a raw socket brings.
      fragment.set([(id >> 8) & 0xff, id & 0xff, ((at / 8) >> 8) | (more ? 0x20 : 0), (at / 8) & 0xff], 4);
      parts.push(fragment);
    }
    return parts;
  }

  describe.each([4, 6] as const)("IPv%i", (family) => {
    const transport = (sourcePort: number, bytes: number, hops = 64): Uint8Array =>
      transportPacket(
        {
          protocol: 17,
          source: CLIENT[family],
          sourcePort,
          destination: VIP[family],
          destinationPort: 8080,
          payload: new Uint8Array(bytes).fill(0x61),
        },
        hops,
      );

    it.each(["in order", "reversed"])("fragments %s reach the flow's own target, whole", (order) => {
      const all = ports(order === "reversed" ? 20_000 : 10_000);
      all.forEach((port, i) => {
        const parts = fragments(family, transport(port, 2600), 1200, i + 1);
        expect(parts.length).toBe(3);
        for (const part of order === "reversed" ? parts.reverse() : parts) send(family, part);
      });
      const found = seen("datagrams");
      for (const port of all) expect(found.get(port), `port ${port}`).toEqual([targetOf(family, port)]);
    });

    it("errors from beyond the router reach the target of the flow that they quote", () => {
      const all = ports(30_000);
      for (const port of all) {
        const reply = transportPacket({
          protocol: 17,
          source: VIP[family],
          sourcePort: 8080,
          destination: CLIENT[family],
          destinationPort: port,
          payload: new Uint8Array(64),
        });
        send(family, icmpError(BEYOND[family], VIP[family], reply, { type: family === 4 ? 11 : 3 }));
      }
      const found = seen(family === 4 ? "errors" : "errors6");
      for (const port of all) expect(found.get(port), `port ${port}`).toEqual([targetOf(family, port)]);
    });

    /** Errors that the client has heard since the last call: type, code, source, 16 bits of MTU, quoted destination. */
    async function errors(): Promise<{ type: number; source: Ip; mtu: number; quoted: Ip }[]> {
      const packets = await until(
        () => heard,
        (list) => list.length > 0,
      );
      heard = [];
      const text = (bytes: Uint8Array): Ip =>
        ip(
          family === 4
            ? bytes.join(".")
            : Buffer.from(bytes)
                .toString("hex")
                .replace(/(....)(?!$)/g, "$1:"),
        );
      return packets.map((packet) => {
        const at = family === 4 ? 20 : 40;
        const length = family === 4 ? 4 : 16;
        const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
        const source = family === 4 ? 12 : 8;
        return {
          type: packet[at] ?? -1,
          source: text(packet.subarray(source, source + length)),
          mtu: view.getUint16(at + 6),
          quoted: text(packet.subarray(at + 8 + source + length, at + 8 + source + 2 * length)),
        };
      });
    }

    it("a packet over the service network's MTU is answered from the VIP with that MTU", async () => {
      heard = [];
      const packet = transport(40_001, 1450);
      // Don't fragment.
      if (family === 4) packet[6] = 0x40;
      send(family, packet);
      expect(await errors()).toContainEqual({
        type: family === 4 ? 3 : 2,
        source: VIP[family],
        mtu: SERVICE_MTU,
        quoted: VIP[family],
      });
    });

    it("a packet at the end of its hops is answered from the VIP", async () => {
      heard = [];
      send(family, transport(40_002, 64, 1));
      expect(await errors()).toContainEqual({
        type: family === 4 ? 11 : 3,
        source: VIP[family],
        mtu: 0,
        quoted: VIP[family],
      });
    });

    it("the VIP answers echo requests", async () => {
      const [name, request, reply] = family === 4 ? (["icmp", 8, 0] as const) : (["icmpv6", 128, 129] as const);
      const own = family === 4 ? "ip" : "ip6";
      const rule = `${name} type ${reply} ${own} saddr ${VIP[family]} ${own} daddr ${CLIENT[family]} counter name answers`;
      const table = `table inet echo${family} { counter answers { }; chain c { type filter hook input priority 0; ${rule}; }; }`;
      bed.exec("c", `nft '${table}'`);
      send(family, icmpError(CLIENT[family], VIP[family], new Uint8Array(32), { type: request, rest: [0, 7, 0, 1] }));
      const answers = (): string => bed.exec("c", `nft list counter inet echo${family} answers`);
      expect(await until(answers, (text) => text.includes("packets 1"))).toContain("packets 1");
    });

    it("packets to a port that no flow wants are dropped and counted, not answered", () => {
      heard = [];
      const unmatched = (): number => bed.kernel.counters().get("unmatched")?.packets ?? -1;
      const before = unmatched();
      const packet = transportPacket({
        protocol: 17,
        source: CLIENT[family],
        sourcePort: 5,
        destination: VIP[family],
        destinationPort: 9,
        payload: new Uint8Array(8),
      });
      for (let i = 0; i < 10; i++) send(family, packet);
      expect(unmatched()).toBe(before + 10);
      expect(heard).toEqual([]);
    });

    it("nothing but flows passes between the networks", () => {
      const stray = (): number => bed.kernel.counters().get("stray")?.packets ?? -1;
      const before = stray();
      const target = family === 4 ? "10.1.0.1" : "fd00:1::1";
      bed.exec("c", `ip route add ${target} via ${family === 4 ? "192.0.2.2" : "2001:db8:2::2"}`);
      const direct = transportPacket({
        protocol: 17,
        source: CLIENT[family],
        sourcePort: 6,
        destination: target,
        destinationPort: 8080,
        payload: new Uint8Array(8),
      });
      send(family, direct);
      expect(stray()).toBe(before + 1);
      expect(seen("datagrams").get(6)).toBeUndefined();
    });
  });

  it("an instance tracks no connection", () => {
    expect(bed.exec("g", "sh -c 'cat /proc/net/nf_conntrack 2>/dev/null | wc -l'").trim()).toBe("0");
    // The observer's rules track in the targets: the count can be other than zero.
    expect(Number(bed.exec("t1", "sysctl -n net.netfilter.nf_conntrack_count"))).toBeGreaterThan(0);
    expect(bed.exec("g", "sysctl -n net.netfilter.nf_conntrack_count").trim()).toBe("0");
  });
});
