import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ip, ip } from "#shared/net/ip.ts";
import { locate } from "#shared/resolve/locate.ts";
import { intentOf, scenario } from "../support/scenario.ts";
import { sh, Testbed } from "../support/testbed.ts";

interface Sent {
  readonly source: Ip;
  readonly sourcePort: number;
  readonly destination: Ip;
  readonly port: number;
  readonly bytes: number;
}

const TARGETS = 5;
const SENDER = join(import.meta.dirname, "../support/send-udp.ts");

/** A flow as a target's set shows it. */
const text = (flow: Sent): string => `${flow.source} ${flow.sourcePort} ${flow.destination} ${flow.port}`;

describe("explain agrees with the kernel", () => {
  let bed: Testbed;
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "cw-"));
    bed = new Testbed({
      prefix: "cw-x",
      targets: TARGETS,
      vips: ["198.51.100.10", "2001:db8:100::10"],
    });
    for (let t = 1; t <= TARGETS; t++) {
      // Conntrack in the target, for its defragmentation: the set must see whole datagrams.
      const rules = ["4", "6"].map((f) => {
        const name = f === "4" ? "ip" : "ip6";
        return `set seen${f} { typeof ${name} saddr . udp sport . ${name} daddr . udp dport; flags dynamic; size 65535; }
          chain in${f} { type filter hook prerouting priority 0; meta nfproto ipv${f} ct state invalid drop; meta nfproto ipv${f} meta l4proto udp add @seen${f} { ${name} saddr . udp sport . ${name} daddr . udp dport }; }\n`;
      });
      writeFileSync(join(folder, "seen.nft"), `table inet seen {\n${rules.join("\n")}\n}\n`);
      bed.exec(`t${t}`, `nft -f ${join(folder, "seen.nft")}`);
    }
    // Many source addresses as well as ports.
    for (let i = 2; i < 40; i++) {
      sh(
        `ip -n ${bed.name("c")} addr add 192.0.2.${i + 10}/24 dev eth0; ip -n ${bed.name("c")} addr add 2001:db8:2::${i + 10}/64 dev eth0 nodad`,
      );
    }
  });
  afterAll(() => {
    bed.close();
    rmSync(folder, { recursive: true });
  });

  function seen(): Map<string, string> {
    const found = new Map<string, string>();
    for (let t = 1; t <= TARGETS; t++) {
      for (const family of ["4", "6"]) {
        const listed: unknown = JSON.parse(bed.exec(`t${t}`, `nft -j list set inet seen seen${family}`));
        for (const concat of JSON.stringify(listed).matchAll(/\{"concat":\["([^"]+)",(\d+),"([^"]+)",(\d+)\]\}/g)) {
          const key = concat.slice(1).join(" ");
          expect(found.has(key), `${key} reached two targets`).toBe(false);
          found.set(key, `default/pod-${t}`);
        }
      }
    }
    return found;
  }

  async function send(flows: readonly Sent[]): Promise<void> {
    for (let t = 1; t <= TARGETS; t++) bed.exec(`t${t}`, "nft flush set inet seen seen4");
    for (let t = 1; t <= TARGETS; t++) bed.exec(`t${t}`, "nft flush set inet seen seen6");
    const file = join(folder, "flows");
    const lines = flows.map((f) => `${f.source} ${f.sourcePort} ${f.destination} ${f.port} ${f.bytes}`);
    writeFileSync(file, lines.join("\n"));
    expect(Number(await bed.run("c", process.execPath, SENDER, file))).toBe(flows.length);
  }

  function flows(count: number, bytes: number, ports: readonly number[] = [8080]): Sent[] {
    return Array.from({ length: count }, (_, i) => {
      const six = i % 2 === 1;
      const host = (i % 38) + 12;
      return {
        source: ip(six ? `2001:db8:2::${host}` : `192.0.2.${host}`),
        sourcePort: 10_000 + i * 7,
        destination: ip(six ? "2001:db8:100::10" : "198.51.100.10"),
        port: ports[i % ports.length] ?? 8080,
        bytes,
      };
    });
  }

  async function compare(sent: readonly Sent[], options: Parameters<typeof scenario>[0]): Promise<void> {
    const intent = await intentOf(scenario({ targets: TARGETS, ...options }));
    bed.program(intent);
    await send(sent);
    const actual = seen();
    for (const flow of sent) {
      const where = locate(intent, { ...flow, destinationPort: flow.port, protocol: "UDP" });
      expect(actual.get(text(flow)), text(flow)).toBe(where.kind === "target" ? where.leg.target : undefined);
    }
    expect(new Set(actual.values()).size).toBeGreaterThan(1);
  }

  it("for 1,000 flows, IPv4 and IPv6", () => compare(flows(1000, 64), {}));
  it("for fragmented datagrams, which take the slow path", () => compare(flows(200, 3000), {}));
  it("for flows that FlowRoutes of several priorities want", () =>
    compare(flows(400, 64, [8080, 5060, 5061, 7000, 9]), {
      flowRoutes: [
        {
          name: "sip",
          spec: {
            priority: 10,
            match: {
              protocols: ["UDP"],
              sources: ["192.0.2.16/28", "2001:db8:2::/122"],
              destinationPorts: [8080, "5060-5061"],
            },
            backendRefs: [{ name: "udp-8080", port: 8080, weight: 1 }],
          },
        },
        {
          name: "odd",
          spec: {
            priority: -1,
            match: { sourcePorts: ["10000-11000"] },
            backendRefs: [{ name: "udp-8080", port: 8080 }],
          },
        },
      ],
    }));
});
