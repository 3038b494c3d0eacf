import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { ip } from "#shared/net/ip.ts";
import type { WantedProbe } from "../../proxy/health/probe-spec.ts";
import { fastPath } from "../../proxy/nft/fast-path.ts";
import { slowPath } from "../../proxy/nft/slow-path.ts";
import { intentOf, scenario } from "../support/scenario.ts";
import { Testbed } from "../support/testbed.ts";

/*
 * Probes from an instance to real targets, through the instance's own ruleset:
 *
 *   client ── gw (ruleset; prober) ──┬── t1
 *                                    └── t2
 */

const VIPS = ["198.51.100.10", "2001:db8:100::10"];
const ADDRESS = { 1: { 4: "10.1.0.1", 6: "fd00:1::1" }, 2: { 4: "10.1.0.2", 6: "fd00:1::2" } } as const;
const FAMILIES = [4, 6] as const;
const file = (name: string): string => fileURLToPath(new URL(`./${name}`, import.meta.url));

const newsSchema = z.object({
  reports: z.array(z.object({ id: z.string(), state: z.string(), message: z.string() })),
  partitioned: z.array(z.string()),
});

function probe(target: 1 | 2, family: 4 | 6, more: Partial<WantedProbe>): WantedProbe {
  const { type = "TCP", port = type === "ICMP" ? 0 : type === "HTTP" ? 8081 : 8080, payload = "" } = more;
  return {
    id: `t${target} ${type} IPv${family} ${payload}`.trim(),
    address: ip(ADDRESS[target][family]),
    interface: "svc0",
    type,
    port,
    intervalMs: 100,
    timeoutMs: 100,
    failureThreshold: 3,
    successThreshold: 2,
    answer: "",
    leaving: false,
    initial: "pending",
    ...more,
    payload: type === "HTTP" ? `GET ${payload} HTTP/1.1\r\nHost: x\r\n\r\n` : payload,
  };
}

const every = (family: 4 | 6): WantedProbe[] =>
  ([1, 2] as const).flatMap((target) => [
    probe(target, family, { type: "TCP" }),
    probe(target, family, { type: "HTTP", payload: "/good" }),
    probe(target, family, { type: "UDP", payload: "ping", answer: "pi" }),
    probe(target, family, { type: "ICMP" }),
  ]);

describe.each(["DSR", "NAT"] as const)("probes, %s", (mode) => {
  let bed: Testbed;
  const servers: ChildProcess[] = [];

  /** The ruleset of a Gateway whose targets' ports are those that are asked. */
  async function program(own = true): Promise<void> {
    const listeners = [
      { protocol: "TCP" as const, port: 8080 },
      { protocol: "TCP" as const, port: 8081 },
      { protocol: "UDP" as const, port: 8080 },
    ];
    const intent = await intentOf(scenario({ targets: 2, mode, listeners }));
    const { environment } = bed.program(intent);
    expect(environment.own).toEqual(["10.1.0.200", "fd00:1::c8"]);
    if (own) return;
    const tables = [slowPath(intent), fastPath(intent, { ...environment, own: [] })];
    bed.kernel.applyTables(tables);
  }

  beforeAll(async () => {
    bed = new Testbed({ prefix: `cw-h${mode[0]?.toLowerCase()}`, targets: 2, vips: mode === "DSR" ? VIPS : [] });
    for (const target of ["t1", "t2"]) {
      const server = spawn("ip", ["netns", "exec", bed.name(target), process.execPath, file("answering-target.ts")]);
      servers.push(server);
      await once(server.stdout, "data");
    }
    await program();
  });
  afterAll(() => {
    for (const server of servers) server.kill();
    bed.close();
  });

  /** The last that is told of each probe, and who was cut off meanwhile. */
  async function ask(
    probes: readonly WantedProbe[],
    lastsMs = 600,
    pauseMs = 0,
  ): Promise<{ readonly states: Record<string, string>; readonly partitioned: readonly string[] }> {
    const command = [process.execPath, file("prober-process.ts"), JSON.stringify(probes), `${lastsMs}`, `${pauseMs}`];
    const lines = (await bed.run("g", ...command)).trim().split("\n");
    const news = lines.filter((line) => line !== "").map((line) => newsSchema.parse(JSON.parse(line)));
    const states = news.flatMap(({ reports }) => reports.map(({ id, state, message }) => [id, `${state} ${message}`]));
    return { states: Object.fromEntries(states), partitioned: news.at(-1)?.partitioned ?? [] };
  }

  const statesOf = (probes: readonly WantedProbe[], state: string): Record<string, string> =>
    Object.fromEntries(probes.map(({ id }) => [id, state]));

  it.each(FAMILIES)("are answered over IPv%i, by each type", async (family) => {
    const probes = every(family);
    expect((await ask(probes)).states).toEqual(statesOf(probes, "up "));
  });

  it.runIf(mode === "NAT")("would not be, were answers to the instance taken for replies to clients", async () => {
    await program(false);
    const probes = FAMILIES.flatMap((family) => every(family)).filter(({ id }) => id.startsWith("t1"));
    const { states } = await ask(probes, 900);
    await program();
    const answered = probes.filter(({ id }) => states[id] === "up ").map(({ type }) => type);
    // No port, so no flow that it could be taken for.
    expect(answered).toEqual(["ICMP", "ICMP"]);
  });

  it.each(FAMILIES)("find out who is silent over IPv%i, and who says no", async (family) => {
    const probes = [
      ...every(family),
      probe(1, family, { type: "HTTP", payload: "/bad" }),
      probe(1, family, { type: "HTTP", payload: "/bad", id: "leaving", leaving: true }),
      probe(1, family, { type: "UDP", payload: "ping", answer: "pong", id: "other" }),
      probe(1, family, { type: "TCP", port: 7, id: "closed" }),
    ];
    bed.exec("s", "ip link set t2 down");
    const { states, partitioned } = await ask(probes, 1_500);
    bed.exec("s", "ip link set t2 up");
    const silent = every(family).filter(({ id }) => id.startsWith("t2"));
    expect(partitioned).toEqual([]);
    for (const { id } of silent) expect(states[id], id).toMatch(/^down (no answer in 100 ms|EHOSTUNREACH)$/);
    expect(states).toMatchObject({
      ...statesOf(every(family).slice(0, 4), "up "),
      [`t1 HTTP IPv${family} /bad`]: "down HTTP status 503",
      other: "down another answer than spec.udp.answer",
      closed: "down ECONNREFUSED",
      leaving: "up ",
    });
  });

  it("tell a cut of the instance's own link from the targets' death", async () => {
    const probes = [...every(4), ...every(6)].map((one): WantedProbe => ({ ...one, initial: "up" }));
    bed.exec("s", "ip link set gw down");
    const { states, partitioned } = await ask(probes, 1_500);
    bed.exec("s", "ip link set gw up");
    expect([...partitioned].sort()).toEqual(["IPv4 by svc0", "IPv6 by svc0"]);
    for (const { id } of probes) expect(states[id], id).toMatch(/^down /);
  });

  it("are not misled by pauses of the process that are longer than all time limits", async () => {
    const probes = [...every(4), ...every(6)];
    expect((await ask(probes, 3_000, 500)).states).toEqual(statesOf(probes, "up "));
  });
});

it("a TCP question is over before the target's application is told", async () => {
  const bed = new Testbed({ prefix: "cw-hq", targets: 2, vips: VIPS });
  const server = spawn("ip", ["netns", "exec", bed.name("t1"), process.execPath, file("answering-target.ts")]);
  try {
    await once(server.stdout, "data");
    const command = [process.execPath, file("prober-process.ts"), JSON.stringify([probe(1, 4, {})]), "1000"];
    expect(await bed.run("g", ...command)).toContain('"up"');
    server.stdin.write("\n");
    expect(String((await once(server.stdout, "data"))[0]).trim()).toBe("0");
  } finally {
    server.kill();
    bed.close();
  }
});
