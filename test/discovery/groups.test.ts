import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { vendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
import { eventually } from "./support/dds-network.ts";
import { GroupsBed, type Member } from "./support/groups-bed.ts";
import type { Vendor } from "./support/vendors.ts";

/* Eight publishers of two vendors, and the pods of one Service, whose subscribers are of both. */

const PUBLISHERS = 8;
const vendorOf = (number: number): Vendor => (number % 2 === 0 ? "cyclone" : "fast");

let bed: GroupsBed;

beforeAll(async () => {
  bed = new GroupsBed("dg", vendorPrograms());
  await bed.start(undefined);
  for (const number of [1, 2, 3]) await bed.addMember(`planner-${number}`, vendorOf(number));
  for (let number = 1; number <= PUBLISHERS; number++) bed.addPublisher(number, vendorOf(number));
}, 120_000);
afterAll(async () => {
  await bed.close();
});

/** Where each publisher's samples come, one place each. */
async function placesOf(): Promise<ReadonlyMap<number, string>> {
  const since = await bed.more(3);
  return new Map(
    [...bed.places(since)].map(([publisher, members]) => {
      expect(members.size, `publisher ${publisher} is at ${[...members].join()}`).toBe(1);
      return [publisher, [...members].join()];
    }),
  );
}

it("negative control: without a group each publisher is at every member", async () => {
  await eventually("each is everywhere", () => {
    const places = [...bed.places(new Map()).values()];
    return places.length === PUBLISHERS && places.every((members) => members.size === bed.members.size);
  });
});

it("with the group each publisher is at one member, and all samples come once", async () => {
  bed.group({});
  await eventually("the members know whom they have left", async () => {
    const { clients } = await bed.served();
    return clients.length === PUBLISHERS && clients.every(({ away }) => away.length === bed.members.size - 1);
  });
  await eventually("each is at one", async () => {
    const since = await bed.more(3);
    return [...bed.places(since).values()].every((members) => members.size === 1);
  });
  const start = bed.mark();
  expect((await placesOf()).size).toBe(PUBLISHERS);
  expect(bed.duplicates(start)).toEqual([]);
});

it("a member is added: nobody moves", async () => {
  const before = await placesOf();
  await bed.addMember("planner-4", "fast");
  await eventually("it is a member", async () => {
    const { members } = await bed.served();
    return members.some(
      ({ participants, pod, state }) => pod === "default/planner-4" && state === "Ready" && participants === 1,
    );
  });
  const after = await placesOf();
  expect([...after].sort()).toEqual([...before].sort());
});

/** Publishers at a member, when each is at one. */
async function clientsOf({ name }: Member): Promise<readonly number[]> {
  return [...(await placesOf())].filter(([, place]) => place === name).map(([publisher]) => publisher);
}

/** Does what takes a member away, and waits until its clients are elsewhere. @returns those, and when it began. */
async function takeAway(member: Member, how: () => Promise<void> | void) {
  const its = await clientsOf(member);
  expect(its.length).toBeGreaterThan(0);
  const since = bed.mark();
  await how();
  await eventually(`clients of ${member.name} are elsewhere`, () => {
    const places = bed.places(since);
    return its.every((publisher) => [...(places.get(publisher) ?? [])].some((place) => place !== member.name));
  });
  return { its, since, gaps: its.map((publisher) => bed.gapMs(publisher, member.name, since)) };
}

describe.each<[string, (member: Member) => Promise<void> | void, (member: Member) => void]>([
  ["is not ready", (member) => bed.setReady(member, false), (member) => bed.setReady(member, true)],
  ["drains", (member) => bed.drain(member), () => undefined],
  ["is killed", (member) => bed.killMember(member), () => undefined],
])("a member %s", (what, how, after) => {
  it("its clients are at others soon, no sample comes twice, and they stay away from it", async () => {
    const member = await bed.busiest();
    const { gaps, its, since } = await takeAway(member, () => how(member));
    console.info(
      `${member.name} ${what}: ${its.length} clients, from the last sample to the next ${gaps.join(", ")} ms`,
    );
    // 1 s on a machine with time for it.
    for (const gap of gaps) expect(gap).toBeLessThan(4_000);
    const moved = bed.mark();
    await bed.more(12, moved);
    expect(bed.duplicates(since)).toEqual([]);
    for (const publisher of its) expect(bed.places(moved).get(publisher)).not.toContain(member.name);
    after(member);
  });
});

describe("a member that does not hear that its clients have been moved", () => {
  it("gets nothing of them: its pod drops what they send", async () => {
    const member = await bed.busiest();
    bed.deafen(member);
    const { its } = await takeAway(member, () => bed.setReady(member, false));
    const moved = bed.mark();
    await bed.more(12, moved);
    expect(bed.duplicates(moved)).toEqual([]);
    for (const publisher of its) expect(bed.places(moved).get(publisher)).not.toContain(member.name);
    bed.hearAgain(member);
    bed.setReady(member, true);
  });

  it("negative control: without the node agent it gets their samples, and so does another one", async () => {
    const member = await bed.busiest();
    expect((await clientsOf(member)).length).toBeGreaterThan(0);
    await bed.withoutAgent();
    bed.deafen(member);
    bed.setReady(member, false);
    await eventually("its clients are others'", async () => {
      const { clients } = await bed.served();
      return clients.length === PUBLISHERS && clients.every((client) => client.member !== `default/${member.name}`);
    });
    const since = bed.mark();
    await eventually("duplicates", () => bed.duplicates(since).some((sample) => sample.includes(member.name)));
    bed.hearAgain(member);
    bed.setReady(member, true);
    await bed.startAgent();
  });
});
