import { afterAll, beforeAll, expect, it } from "vitest";
import { Fleet } from "./support/fleet.ts";
import { FleetBed } from "./support/fleet-bed.ts";

const SIZE = 200;
let bed: FleetBed;

beforeAll(async () => {
  bed = new FleetBed(SIZE);
  await bed.relay.start();
});
afterAll(() => bed.close());

it("200 participants on the wire, all at once, know each other; nothing is dropped, and nothing sent without need", async () => {
  using fleet = new Fleet(bed.relay.address);
  await fleet.open(SIZE);
  const before = await bed.cpuMs();
  const tookMs = await fleet.mesh(15_000);
  const cpuMs = (await bed.cpuMs()) - before;
  console.info(
    `${SIZE} participants: ${tookMs.toFixed(0)} ms, ${cpuMs} ms of the relay's CPU, ${fleet.heard} datagrams`,
  );
  // 2 s on a machine with time for it.
  expect(tookMs).toBeLessThan(6_000);
  // 0.2 to 0.3 s; 0.7 s when each datagram is sent by itself.
  expect(cpuMs).toBeLessThan(650);
  const { participants, sent } = await bed.relay.domain();
  expect(participants).toHaveLength(SIZE);
  expect(sent.dropped + sent.failed).toBe(0);
  expect(sent.participants).toBeLessThanOrEqual(3 * SIZE * (SIZE - 1));
});
