import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { vendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
import { DdsNetwork, eventually, type RelayProcess } from "./support/dds-network.ts";
import { type Programs, participant } from "./support/vendors.ts";

/*
 * spec.listenAddresses: the relay is there for those who speak to such an address, and for nobody else.
 */

let programs: Programs = { cyclone: "", fast: "" };
let network: DdsNetwork;
let relay: RelayProcess;

beforeAll(async () => {
  programs = vendorPrograms();
  network = new DdsNetwork("dl");
  writeDomain(["10.71.1.1"]);
  relay = await network.addRelay("relay", 1);
});
afterAll(async () => {
  await network.close();
});

function writeDomain(listenAddresses: readonly string[], multicast = "Off"): void {
  const networks = [
    { network: "cell-a", interface: "net1", multicast },
    { network: "cell-b", interface: "net2", multicast },
  ];
  network.writeDomain({ networks, listenAddresses, observer: { mode: "Off" } });
}

/** Addresses of the relay's UDP sockets. */
function bound(): string[] {
  const text = execFileSync("ip", ["netns", "exec", "dl-relay", "ss", "-Hlun"], { encoding: "utf8" });
  return text.split("\n").flatMap((line) => /\s(\S+):7400\s/.exec(line)?.[1] ?? []);
}

/** All that is in the state folder, as text. */
function state(): string {
  const files = readdirSync(join(network.folder, "state"), { recursive: true, withFileTypes: true });
  return files
    .filter((file) => file.isFile())
    .map((file) => readFileSync(join(file.parentPath, file.name), "utf8"))
    .join("\n");
}

it("is heard there and nowhere else; participants of the other subnet are introduced as well", async () => {
  expect(bound()).toEqual(["10.71.1.1"]);
  const [a, b] = [network.addPod("pod-a", "a"), network.addPod("pod-b", "b")];
  await using _pub = participant(programs, "cyclone", a, { role: "pub", peer: "10.71.1.1" });
  // The control: the same relay, at an address of its own that is not named.
  await using astray = participant(programs, "cyclone", b, { peer: "10.71.2.1" });
  await using sub = participant(programs, "fast", b, { peer: "10.71.1.1" });
  await sub.printed("matched 1");
  await sub.printed("sample");
  expect((await relay.domain()).participants.map(({ source }) => source).sort()).toEqual([a.ipv4, b.ipv4]);
  expect(astray.lines).not.toContain("matched 1");
});

it("an address that the relay does not have: it says which, in the status of the object, and listens at the others", async () => {
  writeDomain(["10.71.1.1", "10.71.9.9"]);
  const fault = "spec.listenAddresses: the relay has no address 10.71.9.9; name addresses of its own, or none";
  await eventually("the process says so", async () =>
    (await relay.domain()).problems.some((problem) => problem.startsWith(fault)),
  );
  await eventually("the status says so", () => state().includes("Partial") && state().includes(fault));
  expect(bound()).toEqual(["10.71.1.1"]);
  writeDomain(["10.71.2.1"]);
  await eventually("the status is good again", () => state().includes("Listening") && !state().includes(fault));
  expect(bound()).toEqual(["10.71.2.1"]);
});

it.each([
  ["IPv4", 4, ["10.71.1.1", "10.71.2.1"]],
  ["IPv6", 6, ["fd71:1::1", "fd71:2::1"]],
] as const)(
  "with multicast, %s: the groups are heard as well, with no configuration in the application",
  async (_, family, addresses) => {
    writeDomain(addresses, "Join");
    await eventually("it listens there", async () => (await relay.domain()).sockets >= 3);
    expect((await relay.domain()).problems).toEqual([]);
    const [a, b] = [network.addPod(`pod-${family}a`, "a"), network.addPod(`pod-${family}b`, "b")];
    await using _pub = participant(programs, "cyclone", a, { role: "pub", family });
    await using sub = participant(programs, "fast", b, { family });
    await sub.printed("matched 1");
    await sub.printed("sample");
  },
);
