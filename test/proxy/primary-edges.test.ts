import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { openRawIcmp, type RawIcmp } from "#shared/kernel/raw-icmp.ts";
import { FAMILIES, type Family } from "#shared/net/ip.ts";
import { transportPacket } from "../support/icmp-packets.ts";
import { BUILT_IN, intentOf, scenario, slice } from "../support/scenario.ts";
import { until } from "../support/system-lab.ts";
import { Testbed } from "../support/testbed.ts";

const PORT = 8080;
const OTHER_PORT = 8081;
const POD_MTU = 1300;
const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const CLIENT = { 4: "192.0.2.1", 6: "2001:db8:2::1" } as const;
const ASK = join(import.meta.dirname, "../support/ask-flows.ts");
const COMMAND = join(import.meta.dirname, "../../bin/causeway");
const LISTENERS = [
  { protocol: "TCP", port: PORT },
  { protocol: "UDP", port: PORT },
  { protocol: "TCP", port: OTHER_PORT },
  { protocol: "UDP", port: OTHER_PORT },
] as const;

/** SYNs whose segments fit the pod's network, and all of them. */
const OBSERVER = `table inet seen {
  counter syns {}
  counter fitting {}
  chain in {
    type filter hook prerouting priority 0
    tcp flags & (syn | ack) == syn counter name syns
    meta nfproto ipv4 tcp flags & (syn | ack) == syn tcp option maxseg size ${POD_MTU - 40} counter name fitting
    meta nfproto ipv6 tcp flags & (syn | ack) == syn tcp option maxseg size ${POD_MTU - 60} counter name fitting
  }
}
`;

describe("a primary network with a smaller MTU, and targets by way of the external one", () => {
  let bed: Testbed;
  let folder: string;
  let heard: Uint8Array[] = [];
  const raw: Partial<Record<Family, RawIcmp>> = {};
  const servers: ChildProcess[] = [];
  const stop = new AbortController();

  async function serve(node: string, name: string, port: number): Promise<void> {
    const args = ["echo", "--name", name, "--tcp", String(port), "--udp", String(port)];
    const server = spawn("ip", ["netns", "exec", bed.name(node), "sh", COMMAND, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    servers.push(server);
    await once(server.stdout, "data");
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "cw-"));
    writeFileSync(join(folder, "observer.nft"), OBSERVER);
    bed = new Testbed({ prefix: "cw-e", targets: 0, pods: 1, podMtu: POD_MTU });
    bed.exec("p1", `nft -f ${join(folder, "observer.nft")}`);
    await Promise.all([serve("p1", "pod-1", PORT), serve("c", "neighbour", OTHER_PORT)]);
    for (const family of FAMILIES) {
      raw[family] = openRawIcmp({
        family,
        netns: `/run/netns/${bed.name("c")}`,
        signal: stop.signal,
        onPacket: (packet) => heard.push(packet),
        onError: (error) => expect.fail(error.message),
      });
    }
    const store = scenario({ listeners: LISTENERS, ordinary: () => true, targets: 1 });
    // A neighbour on the external network: the instance's own interface there is the way to it, and back.
    for (const protocol of ["TCP", "UDP"] as const) {
      for (const family of FAMILIES) {
        const neighbour = new Map([["neighbour", CLIENT[family]]]);
        const name = `${protocol.toLowerCase()}-${OTHER_PORT}`;
        store.put(slice(name, family, OTHER_PORT, protocol, neighbour, new Set(), BUILT_IN));
      }
    }
    const { unreachable, primary } = bed.program(await intentOf(store));
    expect([[...unreachable], primary]).toEqual([[], true]);
  });
  afterAll(() => {
    stop.abort();
    for (const socket of Object.values(raw)) socket.close();
    for (const server of servers) server.kill("SIGKILL");
    bed.close();
    rmSync(folder, { recursive: true });
  });

  async function ask(protocol: "tcp" | "udp", family: Family, destinationPort: number): Promise<readonly string[]> {
    const file = join(folder, "flows.json");
    const asked = Array.from({ length: 5 }, (_, index) => ({
      protocol,
      source: CLIENT[family],
      sourcePort: 33_000 + index,
      destination: VIP[family],
      destinationPort,
    }));
    writeFileSync(file, JSON.stringify(asked));
    return z.array(z.string()).parse(JSON.parse(await bed.run("c", process.execPath, ASK, file)));
  }
  const seen = (name: string): number =>
    Number(/packets (\d+)/.exec(bed.exec("p1", `nft list counter inet seen ${name}`))?.[1]);

  describe.each(FAMILIES)("IPv%i", (family) => {
    it("a packet over the primary network's MTU is answered with that MTU, as an error about what was sent", async () => {
      const packet = transportPacket({
        protocol: 17,
        source: CLIENT[family],
        sourcePort: 34_000,
        destination: VIP[family],
        destinationPort: PORT,
        payload: new Uint8Array(1400),
      });
      // Don't fragment.
      if (family === 4) packet[6] = 0x40;
      heard = [];
      raw[family]?.sendRaw(packet);
      await until(
        () => heard.length,
        (length) => length > 0,
        10_000,
        () => "no error",
      );
      const [header, addresses] = family === 4 ? [20, 12] : [40, 8];
      const error = heard[0] ?? new Uint8Array();
      expect(error[header]).toBe(family === 4 ? 3 : 2);
      expect(new DataView(error.buffer, error.byteOffset).getUint16(header + 6)).toBe(POD_MTU);
      expect(error.subarray(header + 8 + addresses, header + 8 + header + 4)).toEqual(
        packet.subarray(addresses, header + 4),
      );
    });

    it("TCP segments are made to fit both ways", async () => {
      const [syns, fitting] = [seen("syns"), seen("fitting")];
      expect(new Set(await ask("tcp", family, PORT))).toEqual(new Set(["pod-1"]));
      expect(seen("syns")).toBe(syns + 5);
      expect(seen("fitting")).toBe(fitting + 5);
    });

    it.each(["tcp", "udp"] as const)("targets by the external interface answer: %s", async (protocol) => {
      expect(new Set(await ask(protocol, family, OTHER_PORT))).toEqual(new Set(["neighbour"]));
    });
  });
});
