import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runExplain } from "../../cli/run-explain.ts";
import { conntrackEntries } from "../support/conntrack.ts";
import { nftParts } from "../support/lab-snapshot.ts";
import { chiSquare } from "../support/shares.ts";
import { type AskedFlow, at, SystemLab, until } from "../support/system-lab.ts";
import { ECHO_PORT, TRACK_PORT, TWO_TRACKS } from "../support/two-tracks.ts";

const GATEWAYS = ["gateway-a", "gateway-b"];
const TARGETS = ["target-1", "target-2", "target-3", "target-4"];
const CLIENT = { 4: "203.0.113.2", 6: "2001:db8:c::2" } as const;
const GATEWAY_ADDRESSES = {
  "gateway-a": { 4: "192.0.2.2", 6: "2001:db8:e::2" },
  "gateway-b": { 4: "192.0.2.3", 6: "2001:db8:e::3" },
} as const;
const FAMILIES = [4, 6] as const;

/**
 * Pearson's statistic of four equal shares has three degrees of freedom; it exceeds this once in a million runs. The
 * table promises shares of slots that differ by one slot in 997 at most, and the flow hash spreads flows over slots at
 * random; so the shares of 800 flows are a multinomial sample of four quarters.
 */
const CHI_SQUARE_LIMIT = 30.7;

async function vipOf(lab: SystemLab): Promise<Record<4 | 6, string>> {
  const addresses = (await lab.status()).vips.map(({ address }) => address);
  const find = (v6: boolean): string => addresses.find((address) => address.includes(":") === v6) ?? "";
  return { 4: find(false), 6: find(true) };
}

/** Packets of the services' flows that each instance has carried. */
async function carried(lab: SystemLab): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const { node, packets } of (await lab.status()).services) sums[node] = (sums[node] ?? 0) + packets;
  return sums;
}

/** 400 TCP connections and 400 UDP exchanges to a VIP: none lost, every target and instance hit, even shares. */
async function expectEvenTraffic(lab: SystemLab, vip: string): Promise<void> {
  const before = await carried(lab);
  const counts = new Map(TARGETS.map((target) => [target, 0]));
  for (const protocol of ["tcp", "udp"] as const) {
    const report = await lab.traffic({
      to: at(vip, ECHO_PORT),
      protocol,
      more: ["--connections", "400", "--timeout", "2000"],
    });
    expect(report, `${protocol} to ${vip}`).toMatchObject({ sent: 400, answered: 400, lost: 0 });
    expect(Object.keys(report.targets)).toEqual(TARGETS);
    for (const [target, count] of Object.entries(report.targets)) counts.set(target, (counts.get(target) ?? 0) + count);
  }
  expect(
    chiSquare(
      [...counts.values()],
      TARGETS.map(() => 1),
    ),
    JSON.stringify([...counts]),
  ).toBeLessThan(CHI_SQUARE_LIMIT);
  const after = await carried(lab);
  // Of 800 flows ECMP gives each of two instances about half; each flow has a packet at least.
  for (const node of GATEWAYS) expect((after[node] ?? 0) - (before[node] ?? 0), node).toBeGreaterThan(200);
}

async function setMode(lab: SystemLab, mode: "DSR" | "NAT"): Promise<void> {
  lab.edit("gateway.yaml", (text) => text.replace(/mode: (DSR|NAT)/, `mode: ${mode}`));
  await lab.proxies(GATEWAYS, (status) => status.mode === mode);
  await lab.converged();
  // The node agent adds the VIP to the targets in DSR mode, and takes it away in NAT mode.
  const vips = Object.values(await vipOf(lab));
  await until(
    async () => {
      const loopbacks = await Promise.all(TARGETS.map((target) => lab.exec(target, "ip", "-o", "addr", "show", "lo")));
      return loopbacks.flatMap((text) => vips.map((vip) => text.includes(`${vip}/`)));
    },
    (present) => present.every((there) => there === (mode === "DSR")),
    10_000,
    (present) => `VIPs on the targets' loopbacks in mode ${mode}: ${present.join(", ")}`,
    100,
  );
}

describe("the bound on shares", () => {
  /** Negative control: the bound notices a target that gets twice, or half again, what the others get. */
  it("is exceeded by uneven shares, and not by even ones", () => {
    const even = [1, 1, 1, 1];
    expect(chiSquare([320, 160, 160, 160], even)).toBeGreaterThan(CHI_SQUARE_LIMIT);
    expect(chiSquare([267, 178, 178, 177], even)).toBeLessThan(CHI_SQUARE_LIMIT);
    expect(chiSquare([290, 170, 170, 170], even)).toBeGreaterThan(CHI_SQUARE_LIMIT);
    expect(chiSquare([720, 80], [90, 10])).toBe(0);
  });
});

describe("a flat service network", () => {
  let lab: SystemLab;
  let vip: Record<4 | 6, string>;
  beforeAll(async () => {
    lab = await SystemLab.start("flat", TWO_TRACKS);
    vip = await vipOf(lab);
  });
  afterAll(() => lab?.close());

  /** Promise: 400 TCP and 400 UDP, both families, DSR: none lost, all targets and both instances hit, even shares. */
  it.each(FAMILIES)("carries IPv%i in DSR mode", async (family) => {
    await expectEvenTraffic(lab, vip[family]);
  });

  /** Ports of 1,000 flows: half TCP and half UDP, half IPv4 and half IPv6. */
  function thousandFlows(destinationPort: number, firstPort: number): AskedFlow[] {
    return Array.from({ length: 1000 }, (_, i): AskedFlow => {
      const family = i % 2 === 0 ? 4 : 6;
      return {
        protocol: i % 4 < 2 ? "tcp" : "udp",
        source: CLIENT[family],
        sourcePort: firstPort + i,
        destination: vip[family],
        destinationPort,
      };
    });
  }

  /** Makes the router send everything for the VIPs to one instance, past what BIRD has installed (metric 32). */
  async function pin(gateway: keyof typeof GATEWAY_ADDRESSES): Promise<void> {
    const via = GATEWAY_ADDRESSES[gateway];
    await lab.sh(
      "router",
      `ip route replace ${vip[4]} via ${via[4]} metric 1; ip -6 route replace ${vip[6]} via ${via[6]} metric 1`,
    );
  }

  async function unpin(): Promise<void> {
    await lab.sh("router", `ip route del ${vip[4]} metric 1; ip -6 route del ${vip[6]} metric 1`);
  }

  /** Promise: any instance sends a flow to the same target; 1,000 flows through each, plain and weighted. */
  it.each([
    ["equal targets", ECHO_PORT, 2000],
    ["weights of 90 to 10", TRACK_PORT, 3000],
  ])("sends a flow to the same target through either instance: %s", async (_, port, firstPort) => {
    const flows = thousandFlows(port, firstPort);
    const answers: Record<string, readonly string[]> = {};
    try {
      for (const gateway of ["gateway-a", "gateway-b"] as const) {
        await pin(gateway);
        const before = await carried(lab);
        answers[gateway] = await lab.ask(flows);
        const after = await carried(lab);
        // What comes through the other is nothing: the pin works.
        for (const node of GATEWAYS) {
          const packets = (after[node] ?? 0) - (before[node] ?? 0);
          if (node === gateway) expect(packets, node).toBeGreaterThanOrEqual(1000);
          else expect(packets, node).toBe(0);
        }
      }
    } finally {
      await unpin();
    }
    expect(answers["gateway-a"]).not.toContain("");
    expect(answers["gateway-a"]).toEqual(answers["gateway-b"]);
    const shares = TARGETS.map((target) => answers["gateway-a"]?.filter((name) => name === target).length ?? 0);
    const weights = port === ECHO_PORT ? [1, 1, 1, 1] : [45, 45, 5, 5];
    expect(chiSquare(shares, weights), shares.join(" ")).toBeLessThan(CHI_SQUARE_LIMIT);
  });

  /**
   * Promise: two instances that see the same objects build the same tables. Counts and handles differ, and the order in
   * which the kernel lists chains, sets and counters is that of their creation.
   */
  it("has the same tables on both instances", async () => {
    const [a, b] = await Promise.all(
      GATEWAYS.map(async (node) => {
        const text = await lab.exec(node, "nft", "-s", "list", "ruleset");
        expect(text.length).toBeGreaterThan(50_000);
        // Which addresses are an instance's own differs, of course.
        return nftParts(text).filter((part) => !/ set own[46] \{/.test(part));
      }),
    );
    expect(a).toEqual(b);
  });

  /** Promise: `causeway explain` names the target that answers, for real flows of both families. */
  it("explains where real TCP flows went", async () => {
    const flows = thousandFlows(ECHO_PORT, 4000)
      .concat(thousandFlows(TRACK_PORT, 5000))
      .filter(({ protocol }, i) => protocol === "tcp" && i % 5 < 2);
    expect(flows.filter(({ source }) => source === CLIENT[4]).length).toBeGreaterThanOrEqual(200);
    expect(flows.filter(({ source }) => source === CLIENT[6]).length).toBeGreaterThanOrEqual(200);
    const answers = await lab.ask(flows);
    const explained: string[] = [];
    for (const { source, sourcePort, destination, destinationPort } of flows) {
      const options = {
        from: at(source, sourcePort),
        to: at(destination, destinationPort),
        protocol: "tcp" as const,
        lab: lab.name,
        manifests: lab.manifest("."),
        state: `${lab.folder}/state`,
        json: true,
      };
      let text = "";
      expect(
        await runExplain(options, (part) => {
          text += part;
        }),
      ).toBe(0);
      explained.push(JSON.parse(text).target);
    }
    expect(explained).toEqual(answers.map((name) => `default/${name}`));
    // The command itself says the same.
    for (const [index, { source, sourcePort, destination, destinationPort }] of flows.slice(0, 3).entries()) {
      const from = at(source, sourcePort);
      const { code, stdout } = await lab.run(
        ...["explain", "--lab", lab.name, "--from", from, "--to", at(destination, destinationPort), "--json"],
      );
      expect(code).toBe(0);
      expect(JSON.parse(stdout).target).toBe(`default/${answers[index]}`);
    }
  });

  /** Negative control of every test that finds nothing lost: a target that dies unseen does lose traffic. */
  it("counts losses when a target dies and nobody has noticed", async () => {
    // Its readiness is asked over a Unix socket, which goes on answering.
    await lab.exec("target-4", "ip", "link", "set", "svc0", "down");
    try {
      const report = await lab.traffic({
        to: at(vip[4], ECHO_PORT),
        protocol: "udp",
        more: ["--connections", "200", "--timeout", "500"],
      });
      expect(report.lost).toBeGreaterThan(20);
      expect(report.lost).toBeLessThan(90);
      expect(Object.keys(report.targets)).toEqual(TARGETS.slice(0, 3));
    } finally {
      await lab.sh("target-4", "ip link set svc0 up; ip -6 addr replace fd00:1::14/64 dev svc0 nodad");
    }
    // The node agent puts back the routes that went with the interface.
    await until(
      () =>
        lab.traffic({ to: at(vip[6], ECHO_PORT), protocol: "tcp", more: ["--connections", "40", "--timeout", "500"] }),
      ({ lost, targets }) => lost === 0 && Object.keys(targets).length === 4,
      20_000,
      (report) => `target-4 did not come back: ${JSON.stringify(report)}`,
    );
  });

  /** Promise: the mode of a Gateway can be changed where it stands, and NAT keeps what DSR promises. */
  it("carries both families in NAT mode", async () => {
    await setMode(lab, "NAT");
    for (const family of FAMILIES) await expectEvenTraffic(lab, vip[family]);
  });

  /** Promise: the gateways keep no connections: after all of the above, not one conntrack entry. */
  it("has left no conntrack entry on a gateway", async () => {
    for (const node of GATEWAYS) {
      expect((await carried(lab))[node]).toBeGreaterThan(1000);
      expect(await conntrackEntries((script) => lab.sh(node, script))).toBe(0);
    }
  });
});

describe("a routed service network", () => {
  let lab: SystemLab;
  beforeAll(async () => {
    lab = await SystemLab.start("routed", { example: "routed" });
  });
  afterAll(() => lab?.close());

  /** Promise: as on a flat network, with targets behind a router of the service network; NAT, ports translated. */
  it("carries both families in NAT mode", async () => {
    const vip = await vipOf(lab);
    for (const family of FAMILIES) await expectEvenTraffic(lab, vip[family]);
    for (const node of GATEWAYS) expect(await conntrackEntries((script) => lab.sh(node, script))).toBe(0);
  });
});

describe("a service network over VXLAN", () => {
  let lab: SystemLab;
  beforeAll(async () => {
    lab = await SystemLab.start("vxlan", { example: "vxlan" });
  });
  afterAll(() => lab?.close());

  /** Promise: as on a flat network, with targets on another host than the instance, at a smaller MTU. */
  it.each(["DSR", "NAT"] as const)("carries both families in %s mode", async (mode) => {
    await setMode(lab, mode);
    const vip = await vipOf(lab);
    for (const family of FAMILIES) await expectEvenTraffic(lab, vip[family]);
    for (const node of GATEWAYS) expect(await conntrackEntries((script) => lab.sh(node, script))).toBe(0);
  });
});
