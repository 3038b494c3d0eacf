import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { ip } from "#shared/net/ip.ts";
import { HealthThread } from "../../proxy/health/health-thread.ts";
import type { ProbeReport, WantedProbe } from "../../proxy/health/probe-spec.ts";

let server: Server;
let probe: WantedProbe;
beforeAll(async () => {
  server = createServer((socket) => socket.on("error", () => socket.destroy())).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  probe = {
    id: "one",
    address: ip("127.0.0.1"),
    interface: "lo",
    type: "TCP",
    port: address.port,
    intervalMs: 50,
    timeoutMs: 50,
    failureThreshold: 3,
    successThreshold: 1,
    payload: "",
    answer: "",
    leaving: false,
    initial: "pending",
  };
});
afterAll(() => server.close());

const LIMIT = { timeout: 10_000 };

it("is started anew after it failed, from what is wanted then", async () => {
  let probes = [probe];
  const states = new Map<string, ProbeReport["state"]>();
  const error = vi.fn();
  const thread = new HealthThread({
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error },
    probes: () => probes,
    onNews: ({ reports }) => {
      for (const { id, state } of reports) states.set(id, state);
    },
  });
  thread.tell();
  await vi.waitFor(() => expect(states.get("one")).toBe("up"), LIMIT);
  // No such message is ever sent: it stands for a bug.
  const broken: WantedProbe = JSON.parse(JSON.stringify({ ...probe, id: "broken", address: 5 }));
  probes = [probe, broken];
  states.clear();
  thread.tell();
  await vi.waitFor(() => expect(error).toHaveBeenCalled(), LIMIT);
  probes = [{ ...probe, id: "two" }];
  await vi.waitFor(() => expect([...states]).toEqual([["two", "up"]]), LIMIT);
  probes = [];
  thread.tell();
  await thread.close();
});

it("a process may end with its thread at work", () => {
  const module = fileURLToPath(new URL("../../proxy/health/health-thread.ts", import.meta.url));
  const script = `
    const { HealthThread } = await import(${JSON.stringify(module)});
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const probes = () => [${JSON.stringify(probe)}];
    new HealthThread({ log, probes, onNews: () => process.exit(7) }).tell();`;
  const args = ["--input-type=module", "-e", script];
  for (let round = 0; round < 5; round++) {
    expect(spawnSync(process.execPath, args, { timeout: 10_000 })).toMatchObject({ status: 7, signal: null });
  }
});
