import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VENDORS_FOLDER, type VendorProgram, vendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
import { DdsNetwork, type DdsPod, eventually, type RelayProcess } from "./support/dds-network.ts";
import {
  HAS_CONNEXT,
  type ParticipantOptions,
  type Programs,
  participant,
  VENDORS,
  type Vendor,
} from "./support/vendors.ts";

/*
 * Publishers of all vendors on one subnet, subscribers on another, no multicast between them: they meet by the relay alone,
 * and their samples go directly.
 */

let folder = "";
let programs: Programs = { cyclone: "", fast: "" };
let network: DdsNetwork;
let relay: RelayProcess;
const publishers = new Map<Vendor, DdsPod>();
const subscribers = new Map<Vendor, DdsPod>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "causeway-vendors-"));
  programs = vendorPrograms();
  network = new DdsNetwork("dv");
  for (const vendor of VENDORS) {
    publishers.set(vendor, network.addPod(`pub-${vendor}`, "a"));
    subscribers.set(vendor, network.addPod(`sub-${vendor}`, "b"));
  }
  network.writeDomain({ domains: ["0-3"] });
  relay = await network.addRelay("relay", 1);
});
afterAll(async () => {
  await network.close();
  rmSync(folder, { recursive: true, force: true });
});

function podOf(pods: ReadonlyMap<Vendor, DdsPod>, vendor: Vendor): DdsPod {
  const pod = pods.get(vendor);
  if (pod === undefined) throw new Error(`no pod for ${vendor}`);
  return pod;
}

/** The relay's address on a subnet. */
const relayOn = (subnet: 1 | 2, family: 4 | 6): string => (family === 4 ? `10.71.${subnet}.1` : `fd71:${subnet}::1`);

describe.each<[string, { readonly family: 4 | 6; readonly hasPeer: boolean }]>([
  ["the relay is the only peer, IPv4", { family: 4, hasPeer: true }],
  ["no configuration, multicast, IPv4", { family: 4, hasPeer: false }],
  ["the relay is the only peer, IPv6", { family: 6, hasPeer: true }],
  ["no configuration but the transport, multicast, IPv6", { family: 6, hasPeer: false }],
])("%s", (_, { family, hasPeer }) => {
  const options = (role: "pub" | "sub", subnet: 1 | 2): ParticipantOptions => ({
    role,
    family,
    ...(hasPeer ? { peer: relayOn(subnet, family) } : {}),
  });

  it("every subscriber matches every publisher, and has samples", async () => {
    await using stack = new AsyncDisposableStack();
    // Connext over IPv6 was not tried.
    const vendors = VENDORS.filter((vendor) => vendor !== "connext" || family === 4);
    for (const [index, vendor] of vendors.entries()) {
      const publisher = { ...options("pub", 1), id: index + 1 };
      stack.use(participant(programs, vendor, podOf(publishers, vendor), publisher));
    }
    const subs = vendors.map((vendor) =>
      stack.use(participant(programs, vendor, podOf(subscribers, vendor), options("sub", 2))),
    );
    await Promise.all(
      subs.map(async (sub) => {
        await sub.printed(`matched ${vendors.length}`);
        for (const index of vendors.keys()) await sub.printed(`sample of ${index + 1}`);
      }),
    );
    await allGone();
  });
});

it("Fast DDS with authentication and encryption: secured ones match and have samples, one without keys gets nothing", async () => {
  const keys = join(folder, "keys");
  execFileSync("sh", [join(VENDORS_FOLDER, "certificates.sh"), keys], { stdio: "ignore" });
  await using _pub = participant(programs, "fast", podOf(publishers, "fast"), { role: "pub", keys });
  await using sub = participant(programs, "fast", podOf(subscribers, "fast"), { keys });
  await using open = participant(programs, "fast", podOf(subscribers, "cyclone"));
  await sub.printed("matched 1");
  await sub.printed("sample");
  await eventually(
    "the one without keys was introduced, too",
    async () => (await relay.domain()).participants.length === 3,
  );
  expect(open.lines).not.toContain("matched 1");
  await allGone();
});

it("Fast DDS by an XML profile, as ROS 2's rmw_fastrtps has it; with another peer in it, nobody hears of the participant", async () => {
  const profile = (peer: string): string => {
    const file = join(folder, `${peer}.xml`);
    const locator = `<locator><udpv4><address>${peer}</address><port>7400</port></udpv4></locator>`;
    const builtin = `<builtin><initialPeersList>${locator}</initialPeersList></builtin>`;
    const described = `<participant profile_name="peer" is_default_profile="true"><rtps>${builtin}</rtps></participant>`;
    const namespace = "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles";
    writeFileSync(file, `<?xml version="1.0"?><profiles xmlns="${namespace}">${described}</profiles>`);
    return file;
  };
  const publisher = (id: number, peer: string): VendorProgram =>
    participant(programs, "fast", podOf(publishers, "fast"), { role: "pub", id, profile: profile(peer) });
  await using _lost = publisher(2, "10.71.1.99");
  await using _pub = publisher(1, relayOn(1, 4));
  await using sub = participant(programs, "cyclone", podOf(subscribers, "cyclone"), { peer: relayOn(2, 4) });
  await sub.printed("sample of 1");
  expect(sub.lines).not.toContain("matched 2");
  expect((await relay.domain()).participants).toHaveLength(2);
  await allGone();
});

/** They were killed, or will be; their leases last up to 100 s. */
async function allGone(): Promise<void> {
  network.writePods([...publishers.values(), ...subscribers.values()].map(({ name }) => name));
  await eventually("all have gone", async () => (await relay.domain()).participants.length === 0);
  network.writePods();
}

it.skipIf(HAS_CONNEXT)("RTI Connext takes no part: CONNEXT_FOLDER names no folder with rticonnextdds-connector", () => {
  expect(VENDORS).toEqual(["cyclone", "fast"]);
});
