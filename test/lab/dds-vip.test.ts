import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { unixRequest } from "../../lab/unix-http.ts";
import { type VendorProgram, vendorPrograms } from "../../packages/rtps-wire/test/vendor-program.ts";
import { type Programs, participant, type Vendor } from "../discovery/support/vendors.ts";
import { CAUSEWAY, SystemLab, until } from "../support/system-lab.ts";

/*
 * Two relays behind one VIP, in examples/lab/dds-vip: participants of two vendors outside and inside, whose only peer is
 * the VIP. The relays have no routes but those of the node agent.
 */

const VIP = "198.51.100.1";
const RELAYS = ["relay-a", "relay-b"] as const;

let programs: Programs = { cyclone: "", fast: "" };
let lab: SystemLab | undefined;

beforeAll(() => {
  programs = vendorPrograms();
});
afterEach(async () => {
  await lab?.close();
  lab = undefined;
});

const statusSchema = z.object({
  domains: z.array(
    z.object({
      participants: z.array(z.object({ source: z.string(), heardFrom: z.string() })),
      problems: z.array(z.string()),
    }),
  ),
});

async function relayStatus(of: SystemLab, relay: string) {
  const { body } = await unixRequest(join(of.folder, "run", relay, "discovery.sock"), "GET", "/status", 1_000);
  const [domain] = statusSchema.parse(JSON.parse(body)).domains;
  if (domain === undefined) throw new Error(`${relay} serves no domain`);
  return domain;
}

it.each(["DSR", "NAT"])(
  "%s: all meet by the VIP; a relay is killed: no match is lost, newcomers are served",
  async (mode) => {
    const here = await SystemLab.start(`vip-${mode.toLowerCase()}`, {
      example: "dds-vip",
      manifests: { "gateway.yaml": (text) => text.replace("mode: DSR", `mode: ${mode}`) },
    });
    lab = here;
    await using stack = new AsyncDisposableStack();
    const start = (vendor: Vendor, node: string, role: "pub" | "sub"): VendorProgram => {
      const enter = [
        `CAUSEWAY_STATE=${join(here.folder, "../..")}`,
        "sh",
        CAUSEWAY,
        "lab",
        "exec",
        "--name",
        here.name,
      ];
      return stack.use(participant(programs, vendor, { namespace: [...enter, node, "--"] }, { role, peer: VIP }));
    };
    start("cyclone", "client-a", "pub");
    start("fast", "robot-a", "pub");
    const subscribers = [start("fast", "client-b", "sub"), start("cyclone", "robot-b", "sub")];
    for (const subscriber of subscribers) {
      await subscriber.printed("matched 2");
      await subscriber.printed("sample");
    }

    const known = await until(
      () => Promise.all(RELAYS.map((relay) => relayStatus(here, relay))),
      (all) => all.every(({ participants }) => participants.length === 4),
      15_000,
      (all) => `the relays do not know all: ${JSON.stringify(all)}`,
    );
    expect(known.flatMap(({ problems }) => problems)).toEqual([]);
    const heardBy = known.map(({ participants }) =>
      participants.flatMap(({ source, heardFrom }) => (heardFrom === "participant" ? [source] : [])),
    );
    // Each of the four has spoken to one relay, and to no other.
    expect(heardBy.flat().sort()).toEqual(known[0]?.participants.map(({ source }) => source).sort());

    const victim = heardBy[0]?.length === 0 ? "relay-b" : "relay-a";
    await here.lab("stop", victim);
    await here.proxies(["gateway-a", "gateway-b"], ({ services }) =>
      services.every(({ readyTargets }) => readyTargets === 1),
    );
    const newcomers = [start("fast", "robot-b", "sub"), start("cyclone", "client-b", "sub")];
    for (const newcomer of newcomers) {
      await newcomer.printed("matched 2");
      await newcomer.printed("sample");
    }
    for (const { lines } of subscribers) {
      expect(lines.filter((line) => line.startsWith("matched")).at(-1)).toBe("matched 2");
      expect(lines.some((line) => line.startsWith("lost"))).toBe(false);
    }

    if (mode === "NAT") return;
    // The control: without relays nobody is met by anybody.
    await here.lab("stop", victim === "relay-a" ? "relay-b" : "relay-a");
    const stranger = start("fast", "client-a", "sub");
    await stranger.printed("ready");
    await delay(1_500);
    expect(stranger.lines.filter((line) => line.startsWith("found"))).toEqual([]);
  },
);
