import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openRawIcmp, type RawIcmp } from "#shared/kernel/raw-icmp.ts";
import type { Family } from "#shared/net/ip.ts";
import { ICMP_ERRORS } from "../../proxy/nft/allowances.ts";
import { icmpError, transportPacket } from "../support/icmp-packets.ts";
import { Testbed } from "../support/testbed.ts";

/*
 * NAT mode translates ICMP errors in user space, which has room for so many a second: one sender, outside or inside, must
 * not use it up.
 */
const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const CLIENT = { 4: "203.0.113.5", 6: "2001:db8:c::5" } as const;
const TARGET = { 4: "10.1.0.1", 6: "fd00:1::1" } as const;
const HOSTILE = { c: { 4: "203.0.113.66", 6: "2001:db8:bad::66" }, t2: { 4: "10.1.0.2", 6: "fd00:1::2" } } as const;
const FLOOD = 5000;
const PORTS = Array.from({ length: 20 }, (_, i) => 40_000 + i);

let bed: Testbed;
let gateway: ChildProcess;
const stop = new AbortController();
const raw = new Map<string, RawIcmp>();

beforeAll(() => {
  bed = new Testbed({ prefix: "cw-oi", targets: 2 });
  bed.exec(
    "t1",
    `nft 'table inet seen {
      set errors4 { typeof @th,240,16; flags dynamic; size 65535; }
      set errors6 { typeof @th,400,16; flags dynamic; size 65535; }
      chain in {
        type filter hook prerouting priority 0
        icmp type destination-unreachable add @errors4 { @th,240,16 }
        icmpv6 type destination-unreachable add @errors6 { @th,400,16 }
      }
    }'`,
  );
  for (const [node, device, at, addresses] of [
    ["c", "eth0", "ext0", ["192.0.2.2", "2001:db8:2::2"]],
    ["t2", "svc0", "svc0", ["10.1.0.200", "fd00:1::c8"]],
  ] as const) {
    const mac = bed.exec("g", `cat /sys/class/net/${at}/address`).trim();
    for (const a of addresses) bed.exec(node, `ip neigh replace ${a} lladdr ${mac} dev ${device} nud permanent`);
    for (const family of [4, 6] as const) {
      const options = { family, netns: `/run/netns/${bed.name(node)}`, signal: stop.signal };
      raw.set(`${node}${family}`, openRawIcmp({ ...options, onPacket: () => undefined, onError: () => undefined }));
    }
  }
});
afterEach(async () => {
  gateway.stdin?.end();
  await once(gateway, "exit");
  bed.exec("g", "nft flush ruleset");
});
afterAll(() => {
  stop.abort();
  bed.close();
});

async function start(): Promise<void> {
  const script = join(import.meta.dirname, "icmp-gateway.ts");
  const command = ["netns", "exec", bed.name("g"), process.execPath, script, "NAT"];
  gateway = spawn("ip", command, { stdio: ["pipe", "pipe", "inherit"] });
  if (gateway.stdout) await once(gateway.stdout, "data");
}

/** An error about a reply of the VIP's, from a router beyond; or, from inside, about a request to a target. */
function unreachable(family: Family, node: "c" | "t2", from: string, clientPort: number): Uint8Array {
  const [client, vip] = [
    { address: CLIENT[family], port: clientPort },
    { address: VIP[family], port: 8080 },
  ];
  const [source, destination] = node === "c" ? [vip, client] : [client, { address: TARGET[family], port: 80 }];
  const quote = transportPacket({
    protocol: 17,
    source: source.address,
    sourcePort: source.port,
    destination: destination.address,
    destinationPort: destination.port,
    payload: new Uint8Array(8),
  });
  return icmpError(from, source.address, quote, { type: family === 4 ? 3 : 1 });
}

/** @returns how many errors of an honest router reach the target through a flood from one hostile sender. */
async function through(family: Family, node: "c" | "t2"): Promise<number> {
  bed.exec("t1", `nft flush set inet seen errors${family}`);
  const hostile = unreachable(family, node, HOSTILE[node][family], 1);
  for (const port of PORTS) {
    for (let n = 0; n < FLOOD / PORTS.length; n++) raw.get(`${node}${family}`)?.sendRaw(hostile);
    raw.get(`c${family}`)?.sendRaw(unreachable(family, "c", CLIENT[family], port));
  }
  const seen = (): number => {
    const listed = bed.exec("t1", `nft -n list set inet seen errors${family}`);
    const ports = new Set([...listed.matchAll(/0x[0-9a-f]+/g)].map(([hex]) => Number(hex)));
    return PORTS.filter((port) => ports.has(port)).length;
  };
  // What is not there when the room for a second is there anew has been lost.
  await vi.waitFor(() => expect(seen()).toBe(PORTS.length), { timeout: 2000, interval: 50 }).catch(() => undefined);
  return seen();
}

describe.each([4, 6] as const)("IPv%i", (family) => {
  describe.each(["c", "t2"] as const)("ICMP errors from %s", (node) => {
    it("one sender leaves room for others", async () => {
      await start();
      expect(await through(family, node)).toBe(PORTS.length);
      const limited = bed.kernel.counters().get(ICMP_ERRORS.counter)?.packets ?? 0;
      expect(limited).toBeGreaterThan(0);
      expect(limited).toBeLessThanOrEqual(FLOOD - ICMP_ERRORS.burst);
    });

    it("control: without the bound it takes all of it", async () => {
      await start();
      for (const [, chain] of bed.exec("g", "nft list chains netdev").matchAll(/chain (icmp-errors-\S+) \{/g)) {
        const rule = /update \S+ \{[^}]*\} (.*)/.exec(bed.exec("g", `nft list chain netdev causeway ${chain}`))?.[1];
        bed.exec("g", `nft insert rule netdev causeway ${chain} ${rule}`);
      }
      // Once more while the machine is too busy to send a flood.
      const lost = async (): Promise<void> => expect(await through(family, node)).toBeLessThan(PORTS.length);
      await vi.waitFor(lost, { timeout: 20_000 });
    });
  });
});
