import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { writeSysctl } from "#shared/kernel/network-namespace.ts";
import type { MemoryStore } from "#shared/store/memory-store.ts";
import { scenario } from "../support/scenario.ts";
import { AgentBed } from "./agent-bed.ts";
import {
  addPod,
  addressPod,
  buildNetwork,
  cablePod,
  netnsOf,
  removeNetwork,
  run,
  snapshot,
  TARGET,
  VIP,
} from "./network.ts";
import { pod } from "./pods.ts";

const bed = new AgentBed();

function objects(): MemoryStore {
  const store = scenario({ targets: 1, vips: Object.values(VIP) });
  store.put(pod({ name: "pod-1", ips: Object.values(TARGET) }));
  for (const n of [1, 2])
    store.put(pod({ name: `gw-${n}`, ips: [`10.1.0.25${n}`, `fd00:1::25${n}`], gateway: "edge" }));
  return store;
}

const ip = (command: string) => (): void => void run("pod", ...command.split(" "));
const sysctl = (key: string, value: number) => (): void => writeSysctl(netnsOf("pod"), key, value);

/** What somebody with the rights, or a fault, does to a pod's network. */
const FAULTS: Readonly<Record<string, () => void>> = {
  "a rule is deleted": ip(`rule del pref 7701 from ${VIP[4]}`),
  "an IPv6 rule is deleted": ip(`-6 rule del pref 7701 from ${VIP[6]}`),
  "all rules are flushed": () => {
    run("pod", "rule", "flush");
    run("pod", "rule", "add", "pref", "32766", "lookup", "main");
    run("pod", "rule", "add", "pref", "32767", "lookup", "default");
  },
  "the routes are flushed": ip("route flush proto 201 table all"),
  "the IPv6 routes are flushed": ip("-6 route flush proto 201 table all"),
  "a route leads elsewhere": () => {
    const [route] = JSON.parse(run("pod", "-j", "route", "show", "table", "all", "proto", "201"));
    run("pod", "route", "replace", "default", "dev", "eth0", "table", String(route.table), "proto", "201");
  },
  "the VIP is taken off the loopback": ip(`addr del ${VIP[4]}/32 dev lo`),
  "the IPv6 VIP is taken off the loopback": ip(`addr del ${VIP[6]}/128 dev lo`),
  "the loopback goes down and up": () => {
    run("pod", "link", "set", "lo", "down");
    run("pod", "link", "set", "lo", "up");
  },
  "rp_filter becomes strict": sysctl("net/ipv4/conf/svc0/rp_filter", 1),
  "the pod answers ARP for the VIP": sysctl("net/ipv4/conf/svc0/arp_ignore", 0),
  "ARP requests name the VIP": sysctl("net/ipv4/conf/svc0/arp_announce", 0),
  "the interface goes down and up": () => {
    run("pod", "link", "set", "svc0", "down");
    run("pod", "link", "set", "svc0", "up");
  },
  "the interface goes and comes back as another one": () => {
    run("pod", "link", "del", "svc0");
    cablePod("pod");
    addressPod("pod", 1);
  },
};

describe("what somebody else changes in a pod's network is put back, and told", () => {
  let good: string[];
  beforeAll(async () => {
    buildNetwork();
    addPod("pod", 1);
    bed.place("pod-1", "pod");
    await bed.start(objects());
    good = state();
  });
  afterAll(async () => {
    await bed.close();
    removeNetwork();
  });

  /** Without what is new by nature, and in no order. */
  const state = (): string[] =>
    (JSON.stringify(snapshot("pod")).match(/\{[^{}]*\}/g) ?? [])
      .filter(
        (text) => !text.includes("link/ether") && !text.includes('"dst":"fe80') && !text.includes('"scope":"link"'),
      )
      .map((text) => text.replace(/"(ifindex|link_index|address|valid_life_time|preferred_life_time)":[^,}]*,?/g, ""))
      .sort();

  it.each(Object.entries(FAULTS))("%s", async (_, damage) => {
    const { repairs } = bed.status();
    const before = bed.warnings.length;
    damage();
    await vi.waitFor(
      () => {
        expect(bed.status().repairs).toBeGreaterThan(repairs);
        expect(state()).toEqual(good);
      },
      { interval: 10, timeout: 10_000 },
    );
    expect(bed.status().lastRepair).toMatchObject({ pod: "default/pod-1" });
    expect(bed.warnings.slice(before)).toContain("the pod's network was changed by somebody else; repaired");
  });

  it("control: without the agent nothing comes back", async () => {
    await bed.stop();
    for (const damage of Object.values(FAULTS).slice(0, 2)) damage();
    expect(state()).not.toEqual(good);
    await bed.start(objects());
    expect(state()).toEqual(good);
  });
});
