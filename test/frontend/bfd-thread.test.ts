import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pino from "pino";
import { expect, it } from "vitest";
import type { BfdConfig } from "#shared/bfd/bfd-messages.ts";
import { BfdThread } from "#shared/bfd/bfd-thread.ts";
import { ip } from "#shared/net/ip.ts";
import { sh, until } from "./router-network.ts";

const silent = pino({ level: "silent" });
const config: BfdConfig = {
  neighbour: ip("127.0.0.2"),
  local: ip("127.0.0.1"),
  interface: "lo",
  intervalMs: 100,
  multiplier: 3,
};

it("the thread is started anew after it failed, and says why it cannot have a session", async () => {
  const thread = new BfdThread(silent, () => undefined);
  const known = (neighbour = config.neighbour) => thread.reports().get(neighbour);
  thread.want([config]);
  await until("it runs", () => known()?.state === "Down" && known()?.problem === undefined);
  // No such message is ever sent: it stands for a bug.
  const broken: BfdConfig = JSON.parse(JSON.stringify({ ...config, neighbour: "127.0.0.3", local: 5 }));
  thread.want([config, broken]);
  await until("it is gone with all it knew", () => known() === undefined);
  thread.want([config]);
  await until("it runs again", () => known()?.state === "Down" && known()?.problem === undefined);
  const absent = ip("127.0.0.4");
  thread.want([config, { ...config, neighbour: absent, interface: "cw-none" }]);
  await until("the missing interface is named", () => known(absent)?.problem?.includes("cw-none"));
  expect(known()?.problem).toBeUndefined();
  sh("ip link add cw-none type bridge; ip link set cw-none up; ip addr add 127.0.0.9/32 dev cw-none");
  await until("it is taken when it comes", () => known(absent)?.problem === undefined);
  await thread.close();
  expect(thread.reports().size).toBe(0);
  sh("ip link del cw-none");
});

it("says whether it is served before what is not real-time, and is", async () => {
  const said: unknown[] = [];
  const thread = new BfdThread({ ...silent, info: (facts: object) => void said.push(facts) }, () => undefined);
  thread.want([config]);
  await until("it runs", () => thread.reports().size > 0 && said.length > 0);
  // proc_pid_stat(5): the policy is the 41st field, two before which the name may hold spaces.
  const policies = readdirSync("/proc/self/task").map(
    (task) => readFileSync(`/proc/self/task/${task}/stat`, "utf8").split(") ")[1]?.split(" ")[38],
  );
  expect(said[0]).toEqual({ realTime: policies.includes("2") });
  await thread.close();
});

it("a process may end with its thread at work", () => {
  const module = fileURLToPath(new URL("../../shared/bfd/bfd-thread.ts", import.meta.url));
  const script = `
    const { BfdThread } = await import(${JSON.stringify(module)});
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const thread = new BfdThread(log, () => { if (thread.reports().size > 0) process.exit(7); });
    thread.want([${JSON.stringify(config)}]);`;
  const args = ["--input-type=module", "-e", script];
  for (let round = 0; round < 5; round++) {
    expect(spawnSync(process.execPath, args, { timeout: 10_000 })).toMatchObject({ status: 7, signal: null });
  }
});
