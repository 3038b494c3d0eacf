import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { EchoSocket } from "#shared/kernel/echo-socket.ts";
import { withNetns } from "#shared/kernel/network-namespace.ts";
import { makeTestbed, type Testbed } from "./testbed.ts";

let bed: Testbed;
beforeAll(() => {
  bed = makeTestbed("echo");
});
afterAll(() => bed.remove());

const open = (family: 4 | 6, identifier: number, device = "a0"): EchoSocket =>
  withNetns(bed.netns, () => new EchoSocket({ family, device, identifier }));

test.each([
  [4, "10.9.0.2"],
  [6, "fd09::2"],
] as const)("IPv%i: hears the reply to its own request and to nobody else's", async (family, peer) => {
  const [ours, others] = [open(family, 0xbeef), open(family, 0x1234)];
  const heard: [string, number][] = [];
  const heardByOthers: [string, number][] = [];
  const hear = (): void => {
    ours.drain((from, sequence) => heard.push([from, sequence]));
    others.drain((from, sequence) => heardByOthers.push([from, sequence]));
  };
  const answered = (sequence: number, expected = sequence): Promise<void> =>
    // Neighbour discovery waits for the interface's own address to be verified.
    vi.waitFor(
      () => {
        ours.send(peer, sequence);
        hear();
        expect(heard.at(-1)).toEqual([peer, expected]);
      },
      { interval: 20, timeout: 20_000 },
    );
  await answered(65_535);
  await answered(65_536, 0);
  expect(heardByOthers).toEqual([]);
  // Nobody is there: the socket goes on hearing.
  ours.send(peer.replace(/2$/, "77"), 1);
  bed.ip("link", "set", "a0", "down");
  expect(() => ours.send(peer, 2)).toThrow(/echo request to/);
  bed.ip("link", "set", "a0", "up");
  bed.ip("addr", "replace", "fd09::1/64", "dev", "a0", "nodad");
  await answered(3);
  ours.close();
  others.close();
});

test("an interface that is not there", () => {
  expect(() => open(4, 1, "none")).toThrow(/echo socket for IPv4 on none/);
});
