import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { at, SystemLab, until } from "../support/system-lab.ts";

const TENANTS = ["red", "blue"] as const;
type Tenant = (typeof TENANTS)[number];
const PORT = 8080;

/** Connects or sends from a node, from an address of its own. Prints `open`, `refused`, or `silent` after 700 ms. */
const REACH = `
const [protocol, source, destination, port] = process.argv.slice(1);
const end = (how) => { console.log(how); process.exit(); };
setTimeout(() => end("silent"), 700);
const fail = (error) => end(error.code === "ECONNREFUSED" ? "refused" : "silent");
if (protocol === "tcp") require("node:net").connect({ host: destination, port: Number(port), localAddress: source }).on("connect", () => end("open")).on("error", fail);
else {
  const socket = require("node:dgram").createSocket(destination.includes(":") ? "udp6" : "udp4");
  socket.on("message", () => end("open")).on("error", fail).bind(0, source, () => socket.send("who\\n", Number(port), destination));
}`;

describe("two tenants with the same target addresses", () => {
  let lab: SystemLab;
  const vips: Record<Tenant, string[]> = { red: [], blue: [] };
  beforeAll(async () => {
    lab = await SystemLab.start("tenants", { example: "tenants" });
    for (const { address, gateway } of (await lab.status()).vips) {
      const tenant = TENANTS.find((name) => gateway === `${name}/edge`);
      if (tenant !== undefined) vips[tenant].push(address);
    }
  });
  afterAll(() => lab?.close());

  const gateways = (tenant: Tenant): string[] => [`${tenant}-gateway-a`, `${tenant}-gateway-b`];
  const targets = (tenant: Tenant): string[] => [`${tenant}-target-1`, `${tenant}-target-2`];

  async function stray(tenant: Tenant): Promise<number> {
    const statuses = await Promise.all(gateways(tenant).map((node) => lab.proxy(node)));
    return statuses.reduce((sum, status) => sum + (status?.counters.stray?.packets ?? 0), 0);
  }

  /** Promise: VIPs of one tenant are answered by its own targets only, though both have targets at 10.1.0.x. */
  it("answers each VIP by its own tenant's targets", async () => {
    const addresses = await Promise.all(
      [...targets("red"), ...targets("blue")].map((node) =>
        lab.exec(node, "ip", "-o", "-4", "address", "show", "svc0"),
      ),
    );
    const [red1, red2, blue1, blue2] = addresses.map((text) => /inet ([0-9.]+)/.exec(text)?.[1]);
    expect(red1).toMatch(/^10\.1\.0\./);
    expect([red1, red2]).toEqual([blue1, blue2]);
    for (const tenant of TENANTS) {
      expect(vips[tenant]).toHaveLength(2);
      for (const vip of vips[tenant]) {
        for (const protocol of ["tcp", "udp"] as const) {
          const report = await lab.traffic({ to: at(vip, PORT), protocol, more: ["--connections", "200"] });
          expect(report).toMatchObject({ answered: 200, lost: 0 });
          expect(Object.keys(report.targets)).toEqual(targets(tenant));
        }
      }
    }
  });

  /** Promise: a gateway forwards nothing but flows: its targets reach nothing by it, be it theirs or another tenant's. */
  it.each(["tcp", "udp"])("lets no target out through a gateway, %s", async (protocol) => {
    const gateway = /inet ([0-9.]+)/.exec(
      await lab.exec("red-gateway-a", "ip", "-o", "-4", "address", "show", "svc0"),
    )?.[1];
    const source = /inet ([0-9.]+)/.exec(
      await lab.exec("red-target-1", "ip", "-o", "-4", "address", "show", "svc0"),
    )?.[1];
    if (gateway === undefined || source === undefined) throw new Error("no addresses");
    const [blueVip = ""] = vips.blue;
    // By red's gateway, as a target could try. To blue's VIP and the client the gateway has no route for targets' own
    // packets; for blue's gateways, which are its neighbours, it has one, and drops what is no flow as stray.
    const neighbours = ["192.0.2.4", "192.0.2.5"];
    const goals = [blueVip, "203.0.113.2", ...neighbours];
    await lab.sh("red-target-1", goals.map((goal) => `ip route replace ${goal} via ${gateway}`).join("\n"));
    const before = await stray("red");
    const blueBefore = await carried("blue");
    try {
      for (const goal of goals) {
        const reached = await lab.exec(
          "red-target-1",
          process.execPath,
          "-e",
          REACH,
          protocol,
          source,
          goal,
          String(PORT),
        );
        expect(reached.trim(), goal).toBe("silent");
      }
    } finally {
      await lab.sh("red-target-1", goals.map((goal) => `ip route del ${goal}`).join("\n"));
    }
    expect(await stray("red")).toBeGreaterThanOrEqual(before + neighbours.length);
    expect(await carried("blue")).toBe(blueBefore);
  });

  async function carried(tenant: Tenant): Promise<number> {
    const statuses = await Promise.all(gateways(tenant).map((node) => lab.proxy(node)));
    return statuses.flatMap((status) => status?.services ?? []).reduce((sum, { packets }) => sum + packets, 0);
  }

  /** Promise: what befalls one tenant, the other does not feel. All of red dies; its VIPs go, and blue loses nothing. */
  it("leaves blue untouched when red dies", async () => {
    const running = vips.blue.map((vip) =>
      lab.background({ to: at(vip, PORT), protocol: "udp", more: ["--rate", "100", "--timeout", "3000"] }),
    );
    const generations = async (): Promise<unknown[]> =>
      await Promise.all(gateways("blue").map(async (node) => (await lab.proxy(node))?.generation));
    const before = await carried("blue");
    await until(
      () => carried("blue"),
      (packets) => packets > before + 100,
      20_000,
      () => "no traffic",
    );
    const generation = await generations();
    for (const node of [...targets("red"), ...gateways("red")]) await lab.lab("stop", node);
    await until(
      () => lab.exec("router", "ip", "route", "show", "proto", "bird"),
      (routes) => !routes.split("\n").some((line) => line.split(" ")[0] === vips.red.find((vip) => !vip.includes(":"))),
      10_000,
      (routes) => `red's VIP is still at the router: ${routes}`,
      100,
    );
    const [redVip = ""] = vips.red;
    const more = ["--connections", "10", "--timeout", "300"];
    expect(await lab.traffic({ to: at(redVip, PORT), protocol: "udp", more })).toMatchObject({ answered: 0, lost: 10 });
    for (const vip of vips.blue)
      expect(await lab.traffic({ to: at(vip, PORT), protocol: "tcp", more: ["--connections", "100"] })).toMatchObject({
        answered: 100,
        lost: 0,
      });
    for (const report of await Promise.all(running.map((background) => background.stop()))) {
      expect(report.answered).toBeGreaterThan(30);
      expect(report).toMatchObject({ lost: 0 });
      expect(Object.keys(report.targets)).toEqual(targets("blue"));
    }
    expect(await generations()).toEqual(generation);
  });
});
