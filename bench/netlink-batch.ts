/*
 * 1,000 routes and 1,000 rules: the netlink batch of shared/kernel against `ip -batch`, interleaved, medians of 15 runs.
 *
 *   sh scripts/sandbox.sh node_modules/.bin/node bench/netlink-batch.ts
 *
 * Linux 6.18, 2 cores shared with other work: add 15.7 ms, list 4.7 ms, delete 12.5 ms; `ip -batch` add 25.5 ms
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { openNetlink } from "#shared/kernel/netlink-socket.ts";
import { planRoutes } from "#shared/kernel/plan-routes.ts";
import { planRules } from "#shared/kernel/plan-rules.ts";
import { applyRoutes, listRoutes, type Route } from "#shared/kernel/routes.ts";
import { applyRules, listRules, type Rule } from "#shared/kernel/rules.ts";

const COUNT = 1000;
const RUNS = 15;
const PROTOCOL = 77;
const destinations = Array.from({ length: COUNT }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`);
const routes = destinations.map((destination): Route => {
  return { destination, table: 1000, protocol: PROTOCOL, nextHops: [{ ifindex: 1 }] };
});
const rules = destinations.map((from, index): Rule => {
  return { family: 4, priority: 1000 + index, from, action: { kind: "lookup", table: 1000 }, protocol: PROTOCOL };
});
const batch = "/run/netlink-batch.txt"; // a tmpfs of the sandbox
writeFileSync(
  batch,
  [
    ...destinations.map((destination) => `route add ${destination} dev lo table 1000 proto ${PROTOCOL}`),
    ...destinations.map((from, index) => `rule add pref ${1000 + index} from ${from} lookup 1000 protocol ${PROTOCOL}`),
  ].join("\n"),
);

const socket = openNetlink();
const times: Record<"add" | "list" | "delete" | "ip -batch add", number[]> = {
  add: [],
  list: [],
  delete: [],
  "ip -batch add": [],
};

function timed<T>(name: keyof typeof times, work: () => T): T {
  const startMs = performance.now();
  const result = work();
  times[name].push(performance.now() - startMs);
  return result;
}

function clear(name?: "list" | "delete"): void {
  const list = () => ({
    routes: listRoutes(socket, { table: 1000 }),
    rules: listRules(socket, { protocol: PROTOCOL }),
  });
  const actual = name ? timed("list", list) : list();
  if (actual.routes.length !== COUNT || actual.rules.length !== COUNT) throw new Error("not everything was added");
  const remove = () => [
    ...applyRules(socket, planRules([], actual.rules)),
    ...applyRoutes(socket, planRoutes([], actual.routes)),
  ];
  if ((name ? timed("delete", remove) : remove()).length > 0) throw new Error("not everything was deleted");
}

for (let run = 0; run < RUNS; run++) {
  const failures = timed("add", () => [
    ...applyRoutes(socket, planRoutes(routes, [])),
    ...applyRules(socket, planRules(rules, [])),
  ]);
  if (failures[0]) throw failures[0].error;
  clear("delete");
  timed("ip -batch add", () => execFileSync("ip", ["-batch", batch]));
  clear();
}
socket.close();

for (const [name, values] of Object.entries(times)) {
  const sorted = values.toSorted((a, b) => a - b);
  console.log(`${name.padEnd(14)} ${sorted[RUNS >> 1]?.toFixed(1).padStart(6)} ms (best ${sorted[0]?.toFixed(1)})`);
}
