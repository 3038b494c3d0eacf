import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { unixRequest } from "../../lab/unix-http.ts";
import { DdsPerf, packetsSent } from "./cyclone-fleet.ts";
import { FanOutBed, sh, until } from "./fan-out-bed.ts";

/*
 * Cyclone DDS with its default settings: a publisher on network 1, subscribers on network 2, and `causeway discovery` between them.
 */

const CAUSEWAY = join(import.meta.dirname, "../../bin/causeway");
const SUBSCRIBERS = 12;
const SAMPLES_PER_SECOND = 500;
const WINDOW_MS = 2_000;
const manifest = (fanOut: string): string => `apiVersion: causeway.dev/v1alpha1
kind: DiscoveryDomain
metadata: { name: robots }
spec:
  networks:
    - { network: net-1, interface: net1 }
    - { network: net-2, interface: net2 }
${fanOut}`;

let bed: FanOutBed;
let folder = "";
const fleet: { end(): Promise<void> }[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fan-out-"));
  bed = new FanOutBed("fov", 2);
  for (let number = 3; number <= SUBSCRIBERS; number++) bed.pod(2, number);
  bed.gateway(1, [1, 2]);
});
afterAll(async () => {
  for (const one of fleet) await one.end();
  bed.close();
  rmSync(folder, { recursive: true, force: true });
});

it("12 subscribers on another network get all, and cost the publisher a packet for each sample", async () => {
  const manifests = join(folder, "manifests");
  mkdirSync(manifests);
  writeFileSync(join(manifests, "domain.yaml"), manifest(""));
  const run = join(folder, "run");
  const args = ["discovery", "--manifests", manifests, "--state", join(folder, "state"), "--run-dir", run];
  const relay = spawn("ip", ["netns", "exec", bed.name("g1"), CAUSEWAY, ...args, "--pod", "default/relay"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  fleet.push({
    end: async () => {
      if (relay.exitCode !== null) return;
      relay.kill("SIGKILL");
      await once(relay, "exit");
    },
  });
  const copies = async (): Promise<number> => {
    const { body } = await unixRequest(join(run, "discovery.sock"), "GET", "/status", 5_000);
    return JSON.parse(body).fanOut.copies.length;
  };
  const peers = Array.from({ length: SUBSCRIBERS }, (_, at) => `<Peer address="10.71.2.${11 + at}"/>`).join("");
  const settings = `<Discovery><ParticipantIndex>auto</ParticipantIndex><Peers>${peers}</Peers></Discovery>`;
  const publisher = new DdsPerf(bed.name("p11"), settings, "pub", `${SAMPLES_PER_SECOND}Hz`, "size", "100");
  fleet.push(publisher);
  const subscribers: DdsPerf[] = [];
  const subscribe = (number: number): void => {
    const one = new DdsPerf(
      bed.name(`p2${number}`),
      "<Discovery><ParticipantIndex>auto</ParticipantIndex></Discovery>",
      "sub",
    );
    subscribers.push(one);
    fleet.push(one);
  };
  const packetsPerSecond = async (): Promise<number> => {
    const before = packetsSent(publisher.namespace);
    await setTimeout(WINDOW_MS);
    return ((packetsSent(publisher.namespace) - before) / WINDOW_MS) * 1_000;
  };
  subscribe(1);
  await until("one subscriber hears", () => subscribers.every(({ kiloSamples }) => kiloSamples > 0.4), 20_000);
  for (let number = 2; number <= SUBSCRIBERS; number++) subscribe(number);
  // Control: matched, and deaf.
  await until("they have matched", () => subscribers.every(({ total }) => total > 0), 20_000);
  await setTimeout(WINDOW_MS);
  expect(Math.max(...subscribers.map(({ kiloSamples }) => kiloSamples))).toBeLessThan(0.2);
  writeFileSync(join(manifests, "domain.yaml"), manifest("  fanOut: {}\n"));
  await until("it copies", async () => (await copies()) === 2);
  await until("all hear", () => subscribers.every(({ kiloSamples }) => kiloSamples > 0.4), 20_000);
  // A packet for each sample and some besides; by unicast it would be one for each sample and subscriber.
  expect(await packetsPerSecond()).toBeLessThan(SAMPLES_PER_SECOND * 1.5);
  expect(subscribers.every(({ kiloSamples }) => kiloSamples > 0.4)).toBe(true);
  // The publisher's addresses are what they were: nothing but the source MAC is the gateway's.
  expect(sh(`ip netns exec ${bed.name("p21")} nft list set netdev seen seen`)).toContain(
    `10.71.1.11 . 7401 . ${bed.macOf(1, 2)}`,
  );
});
