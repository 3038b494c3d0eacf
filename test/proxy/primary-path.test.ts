import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type FlowTuple, flowSlot } from "#shared/balance/flow-hash.ts";
import { openRawIcmp, type RawIcmp } from "#shared/kernel/raw-icmp.ts";
import { FAMILIES, type Family, ip } from "#shared/net/ip.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { locate } from "#shared/resolve/locate.ts";
import { NO_MOVES } from "../../proxy/moves/moves.ts";
import { whereabouts } from "../../proxy/moves/whereabouts.ts";
import { TRACKED_PARTS } from "../../proxy/nft/primary-path.ts";
import { conntrackEntries } from "../support/conntrack.ts";
import { icmpError, transportPacket } from "../support/icmp-packets.ts";
import { BUILT_IN, intentOf, object, scenario, service, slice } from "../support/scenario.ts";
import { until } from "../support/system-lab.ts";
import { Testbed } from "../support/testbed.ts";

const PODS = 3;
const TARGETS = 2;
const PORT = 8080;
/** Where the pods listen; the Service's port is another one. */
const POD_PORT = 8081;
const SERVICE_I_PORT = 9090;
const MIXED_PORT = 7070;
const CLOSED_PORT = 6060;
const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const CLIENT = { 4: "192.0.2.1", 6: "2001:db8:2::1" } as const;
/** Beyond the router, where nobody answers. */
const FAR = { 4: "203.0.113.5", 6: "2001:db8:c::5" } as const;
const INSTANCE = { 4: "10.244.0.200", 6: "fd00:244::c8" } as const;
const SYN = 0x02;
const ASK = join(import.meta.dirname, "../support/ask-flows.ts");
const SEND = join(import.meta.dirname, "../support/send-udp.ts");
const COMMAND = join(import.meta.dirname, "../../bin/causeway");
const LISTENERS = [
  { protocol: "TCP", port: PORT },
  { protocol: "UDP", port: PORT },
  { protocol: "UDP", port: CLOSED_PORT },
  { protocol: "TCP", port: SERVICE_I_PORT },
  { protocol: "TCP", port: MIXED_PORT },
] as const;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

interface Flow {
  readonly protocol: "tcp" | "udp";
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

/** What a pod has seen: whole datagrams over 2000 bytes, and ICMP errors. */
const OBSERVER = `table inet seen {
  counter large {}
  counter errors {}
  chain whole {
    type filter hook prerouting priority 0
    ct state invalid counter
    meta l4proto udp meta length > 2000 counter name large
    icmp type { destination-unreachable, time-exceeded } counter name errors
    icmpv6 type { packet-too-big, time-exceeded } counter name errors
  }
}
`;
/** What the client has heard: resets. */
const LISTENER = `table inet heard {
  counter resets {}
  chain in { type filter hook prerouting priority 0; ip daddr ${FAR[4]} tcp flags & rst == rst counter name resets; ip6 daddr ${FAR[6]} tcp flags & rst == rst counter name resets; }
}
`;

describe("ordinary Services on the primary network", () => {
  let bed: Testbed;
  let folder: string;
  let intent: Intent;
  let heard: Uint8Array[] = [];
  const raw: Partial<Record<Family, RawIcmp>> = {};
  const servers: ChildProcess[] = [];
  const stop = new AbortController();

  async function serve(node: string, name: string, ...ports: number[]): Promise<void> {
    const args = ["echo", "--name", name, ...ports.flatMap((port) => ["--tcp", String(port), "--udp", String(port)])];
    const server = spawn("ip", ["netns", "exec", bed.name(node), "sh", COMMAND, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    servers.push(server);
    await once(server.stdout, "data");
  }

  /** Ordinary Services and a service-i on one Gateway, in DSR mode, and one rule with a backend of each kind. */
  function objects() {
    const store = scenario({
      listeners: LISTENERS,
      ordinary: (index) => index < 3,
      targetsOf: (index) => numbers(index < 3 ? PODS : TARGETS),
    });
    const pods = (prefix: string) => new Map(numbers(PODS).map((n) => [`pod-${n}`, `${prefix}${n}`]));
    for (const protocol of ["TCP", "UDP"] as const) {
      for (const family of FAMILIES) {
        const addresses = pods(family === 4 ? "10.244.0." : "fd00:244::");
        const name = `${protocol.toLowerCase()}-${PORT}`;
        store.put(slice(name, family, POD_PORT, protocol, addresses, new Set(), BUILT_IN));
        if (protocol === "TCP") store.put(slice("plain", family, POD_PORT, "TCP", addresses, new Set(), BUILT_IN));
      }
    }
    store.put(service("plain", 80, "TCP", { annotations: {} }));
    const backendRefs = [
      { name: `tcp-${MIXED_PORT}`, port: MIXED_PORT, weight: 1 },
      { name: "plain", port: 80, weight: 3 },
    ];
    store.put(
      object({
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "TCPRoute",
        metadata: { name: `tcp-${MIXED_PORT}`, namespace: "default" },
        spec: { parentRefs: [{ name: "edge", sectionName: `tcp-${MIXED_PORT}` }], rules: [{ backendRefs }] },
      }),
    );
    return store;
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "cw-"));
    writeFileSync(join(folder, "observer.nft"), OBSERVER);
    writeFileSync(join(folder, "listener.nft"), LISTENER);
    bed = new Testbed({ prefix: "cw-n", targets: TARGETS, pods: PODS, vips: Object.values(VIP) });
    for (const n of numbers(PODS)) bed.exec(`p${n}`, `nft -f ${join(folder, "observer.nft")}`);
    bed.exec("c", `nft -f ${join(folder, "listener.nft")}`);
    for (const address of [`${FAR[4]}/32`, `${FAR[6]}/128`]) bed.exec("c", `ip addr add ${address} dev lo`);
    for (const family of FAMILIES) {
      raw[family] = openRawIcmp({
        family,
        netns: `/run/netns/${bed.name("c")}`,
        signal: stop.signal,
        onPacket: (packet) => heard.push(packet),
        onError: (error) => expect.fail(error.message),
      });
    }
    await Promise.all([
      ...numbers(PODS).map((n) => serve(`p${n}`, `pod-${n}`, POD_PORT)),
      ...numbers(TARGETS).map((n) => serve(`t${n}`, `target-${n}`, SERVICE_I_PORT, MIXED_PORT)),
      // What listens in the instance itself.
      serve("g", "instance", POD_PORT),
    ]);
    intent = await intentOf(objects());
    bed.program(intent);
  });
  afterEach(() => {
    // What a test has lifted is back, and senders are forgotten.
    bed.exec("g", "nft flush ruleset");
    bed.kernel.forget();
    bed.program(intent);
  });
  afterAll(() => {
    stop.abort();
    for (const socket of Object.values(raw)) socket.close();
    for (const server of servers) server.kill("SIGKILL");
    bed.close();
    rmSync(folder, { recursive: true });
  });

  const flows = (protocol: "tcp" | "udp", family: Family, port: number, from: number, count = 40): Flow[] =>
    Array.from({ length: count }, (_, index) => ({
      protocol,
      source: CLIENT[family],
      sourcePort: from + index * 7,
      destination: VIP[family],
      destinationPort: port,
    }));
  const packetOf = ({ protocol, source, sourcePort, destination, destinationPort }: Flow) => ({
    protocol: protocol === "tcp" ? ("TCP" as const) : ("UDP" as const),
    source: ip(source),
    sourcePort,
    destination: ip(destination),
    destinationPort,
  });

  /** Who answers each flow; "" for nobody. */
  async function ask(asked: readonly Flow[]): Promise<readonly string[]> {
    const file = join(folder, "flows.json");
    writeFileSync(file, JSON.stringify(asked));
    return z.array(z.string()).parse(JSON.parse(await bed.run("c", process.execPath, ASK, file)));
  }
  /** Who should: a pod by its name, on a service network as `target`. */
  function chosen(flow: Flow): string {
    const where = locate(intent, packetOf(flow));
    if (where.kind !== "target") return where.kind;
    const name = where.leg.target.replace("default/", "");
    return where.leg.interface === "svc0" ? name.replace("pod", "target") : name;
  }
  const entries = (): Promise<number> => conntrackEntries((script) => bed.exec("g", `sh -ec '${script}'`));
  const counted = (node: string, table: string, name: string): number =>
    Number(/packets (\d+)/.exec(bed.exec(node, `nft list counter inet ${table} ${name}`))?.[1]);
  const seenByPods = (name: string): number =>
    numbers(PODS).reduce((sum, n) => sum + counted(`p${n}`, "seen", name), 0);
  const counter = (name: string): number => bed.kernel.counters().get(name)?.packets ?? 0;
  const reach = <T>(look: () => T, wanted: T): Promise<unknown> =>
    until(
      look,
      (now) => now === wanted,
      10_000,
      () => `${look()} instead of ${wanted}`,
    );
  const send = (family: Family, packet: Uint8Array): void => raw[family]?.sendRaw(packet);

  describe.each(FAMILIES)("IPv%i", (family) => {
    const of = (flow: Pick<Flow, "sourcePort" | "destinationPort">, protocol: 6 | 17, more: object = {}, hops = 64) =>
      transportPacket({ ...flow, protocol, source: FAR[family], destination: VIP[family], ...more }, hops);

    it("TCP and UDP reach the target of their slot at its port, and are answered", async () => {
      for (const protocol of ["tcp", "udp"] as const) {
        const asked = flows(protocol, family, PORT, 20_000);
        const answers = await ask(asked);
        expect(answers).toEqual(asked.map(chosen));
        expect(new Set(answers).size).toBe(PODS);
      }
    });

    it("control: without the masquerade no reply comes back", async () => {
      bed.exec("g", "nft flush chain inet causeway draw-replies");
      expect(await ask(flows("udp", family, PORT, 21_000, 5))).toEqual(["", "", "", "", ""]);
    });

    it("service-is beside them are not tracked; one rule can have backends of both kinds, by weight", async () => {
      const before = await entries();
      const stateless = flows("tcp", family, SERVICE_I_PORT, 22_000);
      expect(await ask(stateless)).toEqual(stateless.map(chosen));
      expect(await entries()).toBeLessThanOrEqual(before);
      const mixed = flows("tcp", family, MIXED_PORT, 22_000, 120);
      const answers = await ask(mixed);
      expect(answers).toEqual(mixed.map(chosen));
      const share = answers.filter((name) => name.startsWith("pod")).length / mixed.length;
      expect(share).toBeGreaterThan(0.6);
      expect(share).toBeLessThan(0.9);
    });

    it("what is said of a connection is what the kernel does", async () => {
      const [known, unknown] = [flows("tcp", family, PORT, 23_000, 1), flows("tcp", family, PORT, 23_001, 1)];
      const told = ([flow]: Flow[]) => {
        if (flow === undefined) throw new TypeError("no flow");
        return whereabouts(
          intent,
          NO_MOVES,
          packetOf(flow),
          () => undefined,
          (packet) => bed.kernel.trackedAt(packet),
        );
      };
      const [answer] = await ask(known);
      // It was reset, and is remembered for some seconds.
      expect(told(known).tracked?.target).toBe(`default/${answer}`);
      expect(told(unknown)).not.toHaveProperty("tracked");
      expect(told(unknown)).not.toHaveProperty("leg");
      const marks = bed.kernel.trackedLegs(intent);
      expect([...marks.keys()].every((mark) => intent.legs.has(mark))).toBe(true);
    });

    it("a packet of a TCP connection that nobody knows is answered by a reset, and not remembered", async () => {
      const [before, resets] = [await entries(), counted("c", "heard", "resets")];
      for (let port = 0; port < 20; port++) send(family, of({ sourcePort: 24_000 + port, destinationPort: PORT }, 6));
      await reach(() => counted("c", "heard", "resets"), resets + 20);
      expect(await entries()).toBeLessThanOrEqual(before);
    });

    it("fragments reach the flow's target, whole", async () => {
      const before = seenByPods("large");
      const lines = numbers(10).map((n) => `${CLIENT[family]} ${25_000 + n} ${VIP[family]} ${PORT} 3000`);
      writeFileSync(join(folder, "large"), lines.join("\n"));
      await bed.run("c", process.execPath, SEND, join(folder, "large"));
      await reach(() => seenByPods("large"), before + 10);
    });

    it("a closed port, and hops that are used up, are told to the client as errors about what it sent", async () => {
      for (const [packet, type] of [
        [of({ sourcePort: 26_000, destinationPort: CLOSED_PORT }, 17), family === 4 ? 3 : 1],
        [of({ sourcePort: 26_001, destinationPort: PORT }, 17, {}, 1), family === 4 ? 11 : 3],
      ] as const) {
        heard = [];
        send(family, packet);
        await until(
          () => heard.length,
          (length) => length > 0,
          10_000,
          () => `no error of type ${type}`,
        );
        const [header, addresses] = family === 4 ? [20, 12] : [40, 8];
        const error = heard[0] ?? new Uint8Array();
        expect(error[header]).toBe(type);
        // Source, destination and ports of the quote.
        const quote = error.subarray(header + 8);
        expect(quote.subarray(addresses, header + 4)).toEqual(packet.subarray(addresses, header + 4));
      }
    });

    it("an error from beyond about a reply reaches the target", async () => {
      const [flow] = flows("udp", family, PORT, 27_000, 1);
      if (flow === undefined) throw new TypeError("no flow");
      await ask([flow]);
      const before = seenByPods("errors");
      const reply = transportPacket({
        protocol: 17,
        source: VIP[family],
        sourcePort: PORT,
        destination: CLIENT[family],
        destinationPort: flow.sourcePort,
        payload: new Uint8Array(64),
      });
      send(family, icmpError(FAR[family], VIP[family], reply, { type: family === 4 ? 11 : 3 }));
      await reach(() => seenByPods("errors"), before + 1);
    });

    it("an EndpointSlice does not open what listens in the instance", async () => {
      const store = objects();
      const own = new Map([["pod-1", INSTANCE[family]]]);
      store.put(slice(`udp-${PORT}`, family, POD_PORT, "UDP", own, new Set(), BUILT_IN));
      const { unreachable } = bed.program(await intentOf(store));
      expect(unreachable.get(ip(INSTANCE[family]))).toMatch(/^no route to /);
      const before = counter("tracked-local");
      expect(await ask(flows("udp", family, PORT, 28_000, 3))).toEqual(["", "", ""]);
      expect(counter("tracked-local")).toBe(before + 3);
      // Control: without the guard it would.
      bed.exec("g", "nft flush chain inet causeway own-ports");
      expect(await ask(flows("udp", family, PORT, 28_100, 1))).not.toEqual([""]);
    });

    it("a flood of SYNs takes the room of its part, is counted, and leaves the others theirs", async () => {
      const each = 8;
      const lowered = { ...intent, maxConnections: TRACKED_PARTS.count * each };
      bed.program(lowered);
      const partOf = (packet: FlowTuple): number =>
        flowSlot(packet, "tuple", TRACKED_PARTS.count, TRACKED_PARTS.seed).slot;
      const victim = flows("tcp", family, PORT, 29_000, 1)[0] ?? expect.fail("no flow");
      const full = partOf(packetOf(victim));
      const apart = flows("tcp", family, PORT, 29_001, 20).filter((flow) => partOf(packetOf(flow)) !== full);
      const flood: Uint8Array[] = [];
      const source = family === 4 ? "203.0.113.66" : "2001:db8:bad::66";
      const syn = packetOf({ ...victim, source });
      for (let sourcePort = 1024; flood.length < each + 12; sourcePort++) {
        const flow = { ...syn, sourcePort };
        if (partOf(flow) === full) flood.push(transportPacket({ ...flow, protocol: 6, tcpFlags: SYN }));
      }
      const [before, refused] = [await entries(), counter("tracked-full")];
      for (const packet of flood) send(family, packet);
      expect(await entries()).toBeLessThanOrEqual(before + each);
      expect(counter("tracked-full") - refused).toBeGreaterThanOrEqual(12);
      expect(await ask(apart)).toEqual(apart.map(chosen));
      // Control: without the bound all of them are remembered.
      bed.program(intent);
      const bounded = await entries();
      for (const packet of flood) send(family, packet);
      expect(await entries()).toBeGreaterThanOrEqual(bounded + flood.length - each);
    });
  });
});
