import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openNetlink } from "#shared/kernel/netlink-socket.ts";
import { withNetns } from "#shared/kernel/network-namespace.ts";
import { planRoutes } from "#shared/kernel/plan-routes.ts";
import { applyRoutes, listRoutes, type Route } from "#shared/kernel/routes.ts";
import { makeTestbed, type Testbed } from "./testbed.ts";

/** How long the negative control leaves the destination without a route. */
const GAP_MS = 3;

let bed: Testbed;
beforeAll(() => {
  bed = makeTestbed("swap");
  bed.peerIp("link", "set", "lo", "up");
  bed.peerIp("route", "add", "local", "10.60.0.0/24", "dev", "lo");
  bed.peerIp("-6", "route", "add", "local", "fd60::/64", "dev", "lo");
  for (const index of [0, 1]) {
    bed.peerIp("addr", "add", `10.9.${index}.3/24`, "dev", `b${index}`);
    bed.peerIp("-6", "addr", "add", `fd09:${index}::3/64`, "dev", `b${index}`, "nodad");
  }
});
afterAll(() => bed.remove());

/** Datagrams that reached the peer: nobody listens, so each counts as one without a port. */
function arrived(family: 4 | 6): number {
  return withNetns(bed.peer, () => {
    if (family === 6)
      return Number(/^Udp6NoPorts\s+(\d+)/m.exec(readFileSync("/proc/thread-self/net/snmp6", "utf8"))?.[1]);
    const [names, values] = readFileSync("/proc/thread-self/net/snmp", "utf8").match(/^Udp: .*$/gm) ?? [];
    return Number(values?.split(" ")[names?.split(" ").indexOf("NoPorts") ?? -1]);
  });
}

/** Changes an ECMP route 300 times while traffic flows. */
async function changeUnderTraffic(family: 4 | 6, method: "plan" | "delete, then add") {
  const gateways = ["0", "1"].flatMap((net) =>
    ["2", "3"].map((host) => (family === 4 ? `10.9.${net}.${host}` : `fd09:${net}::${host}`)),
  );
  const destination = family === 4 ? "10.60.0.0/24" : "fd60::/64";
  // The kernel's own names, so that a plan of a set that is in force is empty: devices are given.
  const socket = openNetlink({ netns: bed.netns });
  const devices = new Map(
    bed.ipJson("link").flatMap((link) => {
      const { ifname, ifindex } = Object(link);
      return [[String(ifname), Number(ifindex)]];
    }),
  );
  const hop = (gateway: string) => ({
    gateway,
    ifindex: devices.get(/^(10\.9\.0|fd09:0:)/.test(gateway) ? "a0" : "a1"),
  });
  const sets = [[0, 1], [2, 3], [0, 1, 2, 3], [3], [1, 2], [0]].map((members) =>
    members.map((index) => hop(gateways[index] ?? "")),
  );
  const apply = async (nextHops: Route["nextHops"]) => {
    const actual = listRoutes(socket, { table: 254, protocol: 77 }).filter(
      (route) => route.destination === destination,
    );
    const desired: Route[] = [{ destination, table: 254, protocol: 77, nextHops }];
    if (method === "plan") expect(applyRoutes(socket, planRoutes(desired, actual))).toEqual([]);
    else {
      applyRoutes(socket, planRoutes([], actual));
      // Long enough for the sender to meet the gap, on a busy machine too.
      await new Promise((resolve) => setTimeout(resolve, GAP_MS));
      applyRoutes(socket, planRoutes(desired, []));
    }
    const after = listRoutes(socket, { table: 254, protocol: 77 }).filter((route) => route.destination === destination);
    expect(planRoutes(desired, after)).toEqual({ add: [], replace: [], delete: [] });
  };
  await apply(gateways.map(hop));
  const targets = Array.from({ length: 32 }, (_, index) =>
    family === 4 ? `10.60.0.${index + 1}` : `fd60::${index + 1}`,
  );
  const before = arrived(family);
  const sender = withNetns(bed.netns, () =>
    spawn(process.execPath, [new URL("udp-stream.ts", import.meta.url).pathname, "9", ...targets], {
      stdio: ["pipe", "pipe", "inherit"],
    }),
  );
  let output = "";
  sender.stdout.on("data", (chunk) => {
    output += chunk;
  });
  await once(sender.stdout, "data");
  for (let round = 0; round < 300; round++) {
    await apply(sets[round % sets.length] ?? []);
    await new Promise((resolve) => setImmediate(resolve));
  }
  sender.stdin.end("stop");
  await once(sender, "close");
  applyRoutes(socket, planRoutes([], listRoutes(socket, { protocol: 77 })));
  socket.close();
  const { sent, failed } = JSON.parse(output);
  expect(sent).toBeGreaterThan(100);
  return { failed, lost: sent - (arrived(family) - before) };
}

test.each([4, 6] as const)("IPv%i: 300 replacements of an ECMP route under traffic lose nothing", async (family) => {
  expect(await changeUnderTraffic(family, "plan")).toEqual({ failed: 0, lost: 0 });
});

test("the traffic notices a gap, where there is one", async () => {
  expect((await changeUnderTraffic(6, "delete, then add")).failed).toBeGreaterThan(0);
});
