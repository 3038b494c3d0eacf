import { afterAll, beforeAll, expect, it } from "vitest";
import { vendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
import { eventually, type RelayProcess } from "./support/dds-network.ts";
import { GroupsBed } from "./support/groups-bed.ts";
import type { Vendor } from "./support/vendors.ts";

/* Members whose pods let nobody's RTPS in but their own clients', and relays that come and go. */

const PUBLISHERS = 6;
/** Strangers are on the members' network, at addresses that the relay does not listen to. */
const WITHOUT_STRANGERS = { allowedSources: ["10.71.1.0/24", "10.71.2.0/28", "10.71.2.21/32", "10.71.2.22/32"] };
const vendorOf = (number: number): Vendor => (number % 2 === 0 ? "cyclone" : "fast");

let bed: GroupsBed;

beforeAll(async () => {
  bed = new GroupsBed("di", vendorPrograms());
  await bed.start({ isolation: "Enforce" }, WITHOUT_STRANGERS);
  for (const number of [1, 2]) await bed.addMember(`planner-${number}`, vendorOf(number), {});
  for (let number = 1; number <= PUBLISHERS; number++) bed.addPublisher(number, vendorOf(number));
}, 120_000);
afterAll(async () => {
  await bed.close();
});

/** Where each publisher's samples come from now on. */
async function places(): Promise<readonly string[]> {
  const since = await bed.more(3);
  return [...bed.places(since)].map(([publisher, members]) => `${publisher} at ${[...members].sort().join()}`).sort();
}

it("each publisher is at one member from the beginning, all samples come once", async () => {
  const start = bed.mark();
  for (const place of await places()) expect(place).toMatch(/^\d at planner-\d$/);
  expect(bed.duplicates(start)).toEqual([]);
});

it("a participant that no relay knows is kept out, though it finds members by multicast; the relay's observer is let in", async () => {
  const known = [...bed.members.values()];
  const before = bed.mark();
  await using stranger = bed.stranger(9, "fast");
  await stranger.printed("ready");
  await bed.more(12);
  // It hears them; they do not hear it.
  expect(stranger.lines.some((line) => line.startsWith("found"))).toBe(true);
  expect(bed.places(before).get(9)).toBeUndefined();
  await eventually("the observer knows the members' readers", async () => {
    const { topics } = await bed.graph();
    return (topics[0]?.readers.length ?? 0) === known.length;
  });
});

it("control: without isolation it is heard by all of them", async () => {
  bed.group({}, WITHOUT_STRANGERS);
  const before = bed.mark();
  await using _stranger = bed.stranger(10, "fast");
  await eventually("members have its samples", () => bed.places(before).get(10)?.size === bed.members.size);
});

it("the relay is killed and started again, then a sister comes, then it goes for good: nobody moves", async () => {
  await bed.addMember("planner-3", "cyclone", {});
  await bed.addMember("planner-4", "fast", {});
  await eventually("they are members", async () => {
    const { members } = await bed.served();
    return members.filter(({ participants, state }) => state === "Ready" && participants > 0).length === 4;
  });
  const before = await places();
  const knowsAll = async (relay: RelayProcess): Promise<boolean> => {
    const { clients } = await bed.served(relay);
    return clients.filter(({ gone }) => !gone).length >= PUBLISHERS;
  };
  await bed.relay.kill();
  await bed.relay.start();
  await eventually("all are known again", () => knowsAll(bed.relay));
  expect(await places()).toEqual(before);
  bed.group({}, { ...WITHOUT_STRANGERS, sisters: ["10.71.1.1", "10.71.2.1", "10.71.1.2", "10.71.2.2"] });
  const sister = await bed.network.addRelay("sister", 2);
  await eventually("the sister knows them", () => knowsAll(sister));
  const [one, other] = await Promise.all([bed.served(), bed.served(sister)]);
  const memberOf = ({ member, participant }: (typeof one.clients)[number]): string => `${participant} ${member}`;
  expect(other.clients.map(memberOf)).toEqual(one.clients.filter(({ gone }) => !gone).map(memberOf));
  await bed.relay.kill();
  expect(await places()).toEqual(before);
});
