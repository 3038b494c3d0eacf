import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { KernelError } from "#shared/kernel/kernel-error.ts";
import { getLink } from "#shared/kernel/links.ts";
import { type KernelObjectKind, watchKernel } from "#shared/kernel/netlink-events.ts";
import { openNetlink } from "#shared/kernel/netlink-socket.ts";
import { readSysctl, writeSysctl } from "#shared/kernel/network-namespace.ts";
import { applyRoutes, type Route } from "#shared/kernel/routes.ts";
import { makeTestbed, type Testbed } from "./testbed.ts";

let bed: Testbed;
beforeAll(() => {
  bed = makeTestbed("events");
});
afterAll(() => bed.remove());

const ALL: KernelObjectKind[] = ["link", "address", "route", "rule", "neighbour", "setting"];

test("each kind of change is reported, and nothing after close", async () => {
  const seen: KernelObjectKind[][] = [];
  const stop = new AbortController();
  const errors: KernelError[] = [];
  watchKernel({
    netns: bed.netns,
    groups: ALL,
    signal: stop.signal,
    onChange: (kinds) => seen.push([...kinds]),
    onError: (error) => errors.push(error),
  });
  const changes: [KernelObjectKind, string[]][] = [
    ["link", ["link", "set", "a1", "mtu", "1400"]],
    ["address", ["addr", "add", "192.0.2.9/32", "dev", "a0"]],
    ["address", ["-6", "addr", "add", "2001:db8::9/128", "dev", "a0", "nodad"]],
    ["route", ["route", "add", "10.80.0.0/24", "via", "10.9.0.2"]],
    ["route", ["-6", "route", "add", "fd80::/64", "via", "fd09:0::2"]],
    ["rule", ["rule", "add", "pref", "400", "table", "9"]],
    ["rule", ["-6", "rule", "add", "pref", "400", "table", "9"]],
    ["neighbour", ["neigh", "add", "10.9.0.77", "lladdr", "02:00:00:00:00:01", "dev", "a0"]],
  ];
  const settings = ["net/ipv4/conf/a0/rp_filter", "net/ipv4/conf/all/rp_filter", "net/ipv4/ip_forward"];
  const steps: (readonly [KernelObjectKind, () => void])[] = [
    ...changes.map(([kind, args]) => [kind, () => void bed.ip(...args)] as const),
    ...settings.map((key) => {
      const other = readSysctl(bed.netns, key) === "0" ? 1 : 0;
      return ["setting", () => writeSysctl(bed.netns, key, other)] as const;
    }),
    ["setting", () => writeSysctl(bed.netns, "net/ipv6/conf/all/forwarding", 1)],
  ];
  for (const [kind, change] of steps) {
    seen.length = 0;
    change();
    await vi.waitFor(() => expect(seen.flat()).toContain(kind), { interval: 2, timeout: 20_000 });
  }
  stop.abort();
  seen.length = 0;
  bed.ip("link", "set", "a1", "mtu", "1500");
  await new Promise((resolve) => setImmediate(resolve));
  expect(seen).toEqual([]);
  expect(errors).toEqual([]);
});

test("a storm is reported a few times only, and as everything when events were lost", async () => {
  const stop = new AbortController();
  const seen: KernelObjectKind[][] = [];
  watchKernel({
    netns: bed.netns,
    groups: ["route", "rule"],
    signal: stop.signal,
    onChange: (kinds) => seen.push([...kinds].sort()),
    onError: (error) => {
      throw error;
    },
  });
  const socket = openNetlink({ netns: bed.netns });
  const ifindex = getLink(socket, "a0").ifindex;
  const routes = Array.from({ length: 3000 }, (_, index): Route => {
    return { destination: `10.100.${index >> 8}.${index & 255}/32`, table: 500, nextHops: [{ ifindex }] };
  });
  expect(applyRoutes(socket, { add: routes, replace: [], delete: [] })).toEqual([]);
  // 3,000 events do not fit the socket's buffer, and a rule never changed.
  await vi.waitFor(() => expect(seen.flat()).toEqual(expect.arrayContaining(["route", "rule"])), {
    interval: 2,
    timeout: 20_000,
  });
  expect(seen.length).toBeLessThan(10);
  socket.close();
  stop.abort();
});
