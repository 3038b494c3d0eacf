import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { object } from "../support/scenario.ts";
import { AgentBed } from "./agent-bed.ts";
import { addPod, buildNetwork, removeNetwork } from "./network.ts";

/* The pod is a member of a service group; RTPS comes from another one, in the names of several participants. */

const [MOVED, STAYS, UNKNOWN] = ["a", "b", "c"].map((digit) => digit.repeat(24));
const RECEIVER = `for (const type of ["udp4", "udp6"]) {
  const socket = require("dgram").createSocket({ type, ipv6Only: type === "udp6" });
  socket.on("message", (m) => console.log(type, m.toString("latin1", 0, 4), m.toString("hex", 8, 20), m.length)).bind(7411, () => console.log("up"));
}`;
const SENDER = `const [, ...all] = process.argv;

for (const one of all) {
  const [to, magic, guid, length] = one.split(",");
  const message = Buffer.alloc(Number(length));
  message.write(magic);
  message.write(guid, 8, "hex");
  const socket = require("dgram").createSocket(to.includes(":") ? "udp6" : "udp4");
  socket.send(message, 7411, to, () => { socket.close(); });
}`;

const bed = new AgentBed();
const store = new MemoryStore();
const lines: string[] = [];
let receiver: ChildProcess;

beforeAll(async () => {
  buildNetwork();
  addPod("pod", 1);
  addPod("other", 2);
  bed.place("planner-1", "pod");
  receiver = spawn("ip", ["netns", "exec", "cw-na-pod", process.execPath, "-e", RECEIVER], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (receiver.stdout !== null) createInterface({ input: receiver.stdout }).on("line", (line) => lines.push(line));
  await vi.waitFor(() => expect(lines).toHaveLength(2), { timeout: 10_000 });
});
afterAll(async () => {
  receiver.kill("SIGKILL");
  await bed.close();
  removeNetwork();
});

function domain(group: object, clients: readonly object[]) {
  return object({
    kind: "DiscoveryDomain",
    apiVersion: "causeway.dev/v1alpha1",
    metadata: { name: "cell" },
    spec: {
      networks: [{ network: "cell", interface: "net1" }],
      serviceGroups: [{ service: "planner", ...group }],
    },
    status: {
      instances: [
        {
          name: "relay",
          state: "Listening",
          participants: 2,
          addresses: ["10.1.0.251"],
          groups: [
            {
              service: "planner",
              members: [
                { pod: "planner-1", state: "Ready", weight: 1, clients: 1, addresses: ["10.1.0.1", "fd00:1::1"] },
              ],
              clients,
            },
          ],
        },
      ],
    },
  });
}

const addresses = ["10.1.0.2", "fd00:1::2"];
const moved = { participant: MOVED, addresses, member: "planner-2", moves: 1, away: ["planner-1"] };
const stays = { participant: STAYS, addresses, member: "planner-1", moves: 0, away: [] };

const table = (): string =>
  execFileSync("ip", ["netns", "exec", "cw-na-pod", "nft", "list", "tables"], { encoding: "utf8" });

/** Sends all of these and a last word; answers what came before that. */
async function send(...datagrams: readonly string[]): Promise<readonly string[]> {
  const before = lines.length;
  const last = ["10.1.0.1,last,,20", "fd00:1::1,last,,20"];
  for (const part of [datagrams, last]) {
    execFileSync("ip", ["netns", "exec", "cw-na-other", process.execPath, "-e", SENDER, "--", ...part]);
  }
  await vi.waitFor(() => expect(lines.slice(before).filter((line) => line.includes("last"))).toHaveLength(2), {
    timeout: 10_000,
  });
  return lines
    .slice(before)
    .filter((line) => !line.includes("last"))
    .sort();
}

const everything = ["10.1.0.1", "fd00:1::1"].flatMap((to) => [
  ...[MOVED, STAYS, UNKNOWN].map((guid) => `${to},RTPS,${guid},100`),
  `${to},RTPS,${MOVED},4000`,
  `${to},RTPS,${STAYS},4000`,
  `${to},DATA,${MOVED},100`,
]);
const heard = (...what: readonly string[]): string[] =>
  ["udp4", "udp6"].flatMap((type) => what.map((one) => `${type} ${one}`)).sort();

test("control: without an agent all of it comes", async () => {
  expect(await send(...everything)).toHaveLength(everything.length);
});

test("who was moved away is kept out, also in fragments; others, and what is no RTPS, are not", async () => {
  store.put(domain({}, [moved, stays]));
  await bed.start(store);
  await vi.waitFor(() => expect(table()).toContain("causeway-groups"), { timeout: 10_000 });
  expect(await send(...everything)).toEqual(
    heard(`RTPS ${STAYS} 100`, `RTPS ${UNKNOWN} 100`, `RTPS ${STAYS} 4000`, `DATA ${MOVED} 100`),
  );
  const [status] = bed.status().pods;
  expect(status?.filter).toEqual({ kind: "block", senders: 2, keptOut: expect.any(Number) });
  expect(status?.filter?.keptOut).toBeGreaterThanOrEqual(4);
});

test("what somebody takes away comes back; the agent's end leaves it in place, and its next beginning", async () => {
  execFileSync("ip", ["netns", "exec", "cw-na-pod", "nft", "flush", "ruleset"]);
  await vi.waitFor(() => expect(table()).toContain("causeway-groups"), { timeout: 10_000 });
  await bed.stop();
  const blocked = `10.1.0.1,RTPS,${MOVED},100`;
  expect(await send(blocked)).toEqual([]);
  await bed.start(store);
  expect(await send(blocked)).toEqual([]);
});

test("isolated: only clients, relays and members are let in", async () => {
  store.put(domain({ isolation: "Enforce" }, [moved, stays]));
  await vi.waitFor(() => expect(bed.status().pods[0]?.filter?.kind).toBe("allow"), { timeout: 10_000 });
  expect(await send(...everything)).toEqual(heard(`RTPS ${STAYS} 100`, `RTPS ${STAYS} 4000`, `DATA ${MOVED} 100`));
});

test("the group ends: all comes in, and nothing is left, also when the agent was away meanwhile", async () => {
  await bed.stop();
  store.remove({ kind: "DiscoveryDomain", namespace: "default", name: "cell" });
  await bed.start(store);
  await vi.waitFor(() => expect(table()).toBe(""), { timeout: 10_000 });
  expect(await send(...everything)).toHaveLength(everything.length);
  expect(bed.status().pods).toEqual([]);
  expect(bed.warnings.filter((text) => !text.includes("changed by somebody else"))).toEqual([]);
});
