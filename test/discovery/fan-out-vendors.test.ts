import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { UnixHttpError, unixRequest } from "../../lab/unix-http.ts";
import { VendorProgram, vendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
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
let manifests = "";
let socket = "";
const fleet: { end(): Promise<void> }[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fan-out-"));
  manifests = join(folder, "manifests");
  mkdirSync(manifests);
  const run = join(folder, "run");
  socket = join(run, "discovery.sock");
  bed = new FanOutBed("fov", 2);
  for (let number = 3; number <= SUBSCRIBERS; number++) bed.pod(2, number);
  bed.gateway(1, [1, 2]);
  writeFileSync(join(manifests, "domain.yaml"), manifest(""));
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
});
afterAll(async () => {
  for (const one of fleet) await one.end();
  bed.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Nothing before the process answers. */
async function status(): Promise<{
  fanOut: { copies: { from: string; to: string }[] };
  domains: { participants: unknown[] }[];
}> {
  try {
    return JSON.parse((await unixRequest(socket, "GET", "/status", 5_000)).body);
  } catch (error) {
    if (!(error instanceof UnixHttpError)) throw error;
    return { fanOut: { copies: [] }, domains: [] };
  }
}

const participants = async (): Promise<number> => (await status()).domains[0]?.participants.length ?? 0;

async function copies(): Promise<string[]> {
  const { fanOut } = await status();
  return fanOut.copies.map(({ from, to }) => `${from} ${to}`).sort();
}

it("12 subscribers on another network get all, and cost the publisher a packet for each sample", async () => {
  const subscribers = Array.from({ length: SUBSCRIBERS }, (_, at) => new DdsPerf(bed.name(`p2${at + 1}`), "", "sub"));
  fleet.push(...subscribers);
  await until("subscribers are heard", async () => (await participants()) === SUBSCRIBERS, 20_000);
  const publisher = new DdsPerf(bed.name("p11"), "", "pub", `${SAMPLES_PER_SECOND}Hz`, "size", "100");
  fleet.push(publisher);
  const packetsPerSecond = async (): Promise<number> => {
    const before = packetsSent(publisher.namespace);
    await setTimeout(WINDOW_MS);
    return ((packetsSent(publisher.namespace) - before) / WINDOW_MS) * 1_000;
  };
  // Control: matched, and deaf.
  await until("they have matched", () => subscribers.every(({ total }) => total > 0), 20_000);
  await setTimeout(WINDOW_MS);
  expect(Math.max(...subscribers.map(({ kiloSamples }) => kiloSamples))).toBeLessThan(0.2);
  writeFileSync(join(manifests, "domain.yaml"), manifest("  fanOut: {}\n"));
  await until("it copies", async () => (await copies()).includes("default/net-1 default/net-2"));
  await until("all hear", () => subscribers.every(({ kiloSamples }) => kiloSamples > 0.4), 20_000);
  // A packet for each sample and some besides; by unicast it would be one for each sample and subscriber.
  expect(await packetsPerSecond()).toBeLessThan(SAMPLES_PER_SECOND * 1.5);
  expect(subscribers.every(({ kiloSamples }) => kiloSamples > 0.3)).toBe(true);
  // The publisher's addresses are what they were: nothing but the source MAC is the gateway's.
  expect(sh(`ip netns exec ${bed.name("p21")} nft list set netdev seen seen`)).toContain(
    `10.71.1.11 . 7401 . ${bed.macOf(1, 2)}`,
  );
  for (const one of fleet.splice(1)) await one.end();
});

it("a network without a reader of the topic gets nothing", async () => {
  const { cyclone } = vendorPrograms();
  writeFileSync(join(manifests, "domain.yaml"), manifest("  domains: [1]\n  fanOut: {}\n"));
  await using _writer = new VendorProgram(bed.name("p11"), [cyclone, "1", "pub", "60", "0", "16"]);
  await using _reader = new VendorProgram(bed.name("p21"), [cyclone, "1", "sub", "60", "0", "16"]);
  // Both hear multicast; the only reader is on network 2.
  await until("one way only", async () => (await copies()).join() === "default/net-1 default/net-2", 20_000);
  await using _other = new VendorProgram(bed.name("p12"), [cyclone, "1", "sub", "60", "0", "16"]);
  await using _another = new VendorProgram(bed.name("p22"), [cyclone, "1", "pub", "60", "0", "16"]);
  await until("both ways", async () => (await copies()).length === 2, 20_000);
});
