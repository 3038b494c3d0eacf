import type { ChildProcess } from "node:child_process";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { writeSysctl } from "#shared/kernel/network-namespace.ts";
import type { MemoryStore } from "#shared/store/memory-store.ts";
import { scenario } from "../support/scenario.ts";
import { AgentBed } from "./agent-bed.ts";
import { addPod, ask, buildNetwork, netnsOf, removeNetwork, run, startServer, TARGET, VIP } from "./network.ts";
import { pod } from "./pods.ts";

const bed = new AgentBed();
let server: ChildProcess;

function objects(): MemoryStore {
  const store = scenario({ targets: 2, vips: Object.values(VIP) });
  store.put(pod({ name: "pod-1", ips: Object.values(TARGET) }));
  store.put(pod({ name: "pod-2", ips: ["10.1.0.2", "fd00:1::2"] }));
  for (const n of [1, 2])
    store.put(pod({ name: `gw-${n}`, ips: [`10.1.0.25${n}`, `fd00:1::25${n}`], gateway: "edge" }));
  return store;
}

beforeAll(async () => {
  buildNetwork();
  addPod("pod", 1);
  addPod("other", 2);
  bed.place("pod-1", "pod");
  bed.place("pod-2", "other");
  // Each connection chooses for itself.
  for (const family of ["ipv4", "ipv6"]) writeSysctl(netnsOf("pod"), `net/${family}/fib_multipath_hash_policy`, 1);
  server = await startServer("pod");
  // Requests come by the instance that stays.
  run("client", "route", "replace", `${VIP[4]}/32`, "via", "192.0.2.21", "src", "203.0.113.2");
  run("client", "route", "replace", `${VIP[6]}/128`, "via", "2001:db8:e:2::1", "src", "2001:db8:c::2");
  await bed.start(objects());
});
afterAll(async () => {
  server.kill("SIGKILL");
  await bed.close();
  removeNetwork();
});

/** What is lost on the link, is lost without a sign: nobody's carrier falls. */
const cut = (name: string): void => void run("lan", "link", "set", name, "nomaster");
const mend = (name: string): void => void run("lan", "link", "set", name, "master", "br0");

const hops = (name = "pod-1"): string[] =>
  bed
    .status()
    .pods.filter((one) => one.pod === `default/${name}`)
    .flatMap(({ returnVia }) => returnVia.flatMap(({ nextHops }) => nextHops));
const inKernel = (name: string): string =>
  run(name, "route", "show", "table", "all", "proto", "201") +
  run(name, "-6", "route", "show", "table", "all", "proto", "201");
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { interval: 10, timeout: 20_000 });
const BOTH = ["10.1.0.251", "10.1.0.252", "fd00:1::251", "fd00:1::252"];

/** How many of so many connections, each with a port of its own, are answered. */
const answered = (family: 4 | 6, count = 8): number =>
  Array.from({ length: count }, () => ask(family, 500)).filter((text) => text === "hello").length;

test("an instance whose link drops everything gets no more replies, in all pods; then it does again", async () => {
  await until(() => expect(bed.status().instances).toHaveLength(4));
  expect(hops()).toEqual(BOTH);
  cut("gw1");
  await until(() =>
    expect([...hops("pod-1"), ...hops("pod-2")]).toEqual(["10.1.0.252", "fd00:1::252", "10.1.0.252", "fd00:1::252"]),
  );
  for (const name of ["pod", "other"]) expect(inKernel(name)).not.toContain("251");
  for (const family of [4, 6] as const) expect(answered(family)).toBe(8);
  expect(bed.status().pods[0]?.returnVia[0]).toMatchObject({ silent: ["10.1.0.251"] });
  expect(bed.status().instances).toContainEqual({ instance: "10.1.0.251%default/svc-net", answers: false, falls: 1 });
  expect(bed.warnings).toContain("gateway instance does not answer: replies take the others");
  mend("gw1");
  await until(() => expect(hops()).toEqual(BOTH));
  expect(inKernel("pod")).toContain("251");
});

test("a pod whose own link drops everything is believed by nobody", async () => {
  cut("pod");
  const turns = bed.warnings.length;
  await until(() => expect(JSON.stringify(bed.status().instances)).toContain('"answers":true'));
  cut("gw1");
  await until(() => expect(hops("pod-2")).toEqual(["10.1.0.252", "fd00:1::252"]));
  // The last one is never taken away.
  cut("gw2");
  mend("gw1");
  await until(() => expect(hops("pod-2")).toEqual(["10.1.0.251", "fd00:1::251"]));
  cut("gw1");
  for (const name of ["pod", "gw1", "gw2"]) mend(name);
  await until(() => expect(hops("pod-1")).toEqual(BOTH));
  expect(bed.warnings.length).toBeGreaterThan(turns);
});

test("control: with nobody to ask, replies go on to the instance that drops them", async () => {
  await bed.stop();
  expect(answered(4)).toBe(8);
  cut("gw1");
  // Each of 16 finds the other one by chance: one case in 65,536.
  expect(answered(4, 16)).toBeLessThan(16);
  mend("gw1");
});
