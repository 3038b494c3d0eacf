import { availableParallelism, loadavg } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChangeWatch } from "../support/change-watch.ts";
import { at, type Background, SystemLab, until } from "../support/system-lab.ts";
import {
  documents,
  ECHO_PORT,
  SPARE_PORT,
  TRACK_PORT,
  TWO_TRACKS,
  tracks,
  withListeners,
} from "../support/two-tracks.ts";

const GATEWAYS = ["gateway-a", "gateway-b"];
const VIP4 = "198.51.100.1";
const VIP6 = "2001:db8:100::1";
/** Within the pool only when that is wide. */
const MORE_VIP4 = "198.51.100.200";
const MORE_VIP6 = "2001:db8:100::200";

const KERNEL_LIMIT_MS = 200;
const ROUTER_LIMIT_MS = 1000;
const ROUNDS = 3;
/** On a machine that has too much to do, more edits are tried; the promise is what the system needs, not what others take. */
const MOST_ROUNDS = 8;
/** What all those rounds must meet at last: the limit, stretched by as much as the machine has more to run than processors. */
const stretched = (limitMs: number): number => limitMs * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());

type Proxy = NonNullable<Awaited<ReturnType<SystemLab["proxy"]>>>;

const withAddresses = (text: string, addresses: readonly string[]): string =>
  text.replace(
    /gatewayClassName: causeway\n( {2}addresses: .*\n)?/,
    `gatewayClassName: causeway\n  addresses: ${JSON.stringify(addresses.map((value) => ({ type: "IPAddress", value })))}\n`,
  );

const withPool = (text: string, size: "narrow" | "wide"): string =>
  text.replace(
    /addresses: \[ ?198.*\n/,
    size === "wide"
      ? `addresses: [198.51.100.0/24, "2001:db8:100::1-2001:db8:100::ffff"]\n`
      : `addresses: [198.51.100.0/25, "2001:db8:100::1-2001:db8:100::ff"]\n`,
  );

/** Two FlowRoutes over one port; the one that comes first takes everything. */
const flowRoutes = (stable: number, canary: number): string =>
  documents(
    Object.entries({ stable, canary }).map(([name, priority]) => ({
      apiVersion: "causeway.dev/v1alpha1",
      kind: "FlowRoute",
      metadata: { name },
      spec: {
        parentRefs: [{ name: "edge", sectionName: "flows" }],
        priority,
        match: { protocols: ["UDP"], destinationPorts: [SPARE_PORT] },
        backendRefs: [{ name, port: SPARE_PORT }],
      },
    })),
  );

const spareRoute = documents([
  {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "TCPRoute",
    metadata: { name: "spare" },
    spec: {
      parentRefs: [{ name: "edge", sectionName: "spare" }],
      rules: [{ backendRefs: [{ name: "stable", port: SPARE_PORT }] }],
    },
  },
]);

describe("an edit of a manifest", () => {
  let lab: SystemLab;
  let watches: readonly ChangeWatch[];
  let router: ChangeWatch;
  let steady: readonly Background[];
  const figures: string[] = [];

  beforeAll(async () => {
    const { manifests, ...rest } = TWO_TRACKS;
    lab = await SystemLab.start("edits", {
      ...rest,
      manifests: {
        ...manifests,
        "gateway.yaml": (text) => withAddresses(manifests?.["gateway.yaml"]?.(text) ?? "", [VIP4, VIP6]),
        "flows.yaml": () => flowRoutes(10, 20),
      },
    });
    watches = await Promise.all(GATEWAYS.map((node) => ChangeWatch.nftables(lab, node)));
    router = await ChangeWatch.routes(lab, "router");
    const load = ["--rate", "100", "--timeout", "3000"];
    steady = [
      lab.background({ to: at(VIP4, ECHO_PORT), protocol: "udp", more: load }),
      lab.background({ to: at(VIP6, ECHO_PORT), protocol: "udp", more: load }),
      lab.background({ to: at(VIP4, ECHO_PORT), protocol: "tcp", more: load }),
    ];
    // Under load from here on: both instances count packets of the steady service.
    const carried = (status: Proxy): number => status.services.reduce((sum, { packets }) => sum + packets, 0);
    await lab.proxies(GATEWAYS, (status) => carried(status) > 100);
  });

  afterAll(async () => {
    if (figures.length > 0) console.log(["from a manifest's rename, ms:", ...figures].join("\n"));
    for (const watch of [...(watches ?? []), router]) watch?.close();
    await lab?.close();
  });

  /** Makes one edit and waits for its end. @returns ms until the last transaction on the slower gateway. */
  async function timed(edit: () => number, done: (status: Proxy, before: Proxy) => boolean): Promise<number> {
    const before = new Map(await Promise.all(GATEWAYS.map(async (node) => [node, await lab.proxy(node)] as const)));
    const since = edit();
    for (const node of GATEWAYS) {
      const old = before.get(node);
      await lab.proxies([node], (status) => old !== undefined && done(status, old));
    }
    for (const watch of watches) await watch.quiet(150);
    const ends = watches.map((watch) => watch.last("changed", since) ?? Number.NaN);
    return Math.max(...ends) - since;
  }

  /** Does two opposite edits in turn, and checks each once; the best of each kind must be in time, and all are printed. */
  async function rounds(
    forth: readonly [string, () => number, (status: Proxy, before: Proxy) => boolean],
    back: readonly [string, () => number, (status: Proxy, before: Proxy) => boolean],
    after: (now: "forth" | "back", since: number, round: number) => Promise<void> = async () => undefined,
  ): Promise<void> {
    const times: Record<"forth" | "back", number[]> = { forth: [], back: [] };
    const edits = { forth, back };
    const inTime = (): boolean => Object.values(times).every((list) => Math.min(...list) < KERNEL_LIMIT_MS);
    for (let round = 0; round < MOST_ROUNDS && (round < ROUNDS || !inTime()); round++) {
      for (const key of ["forth", "back"] as const) {
        const [, edit, done] = edits[key];
        const since = performance.now();
        times[key].push(await timed(edit, done));
        await after(key, since, round);
      }
    }
    for (const key of ["forth", "back"] as const) {
      const title = edits[key][0];
      figures.push(`  ${title.padEnd(24)} kernel ${times[key].map((ms) => ms.toFixed(0)).join(", ")}`);
      expect(Math.min(...times[key]), `${title}: ${times[key].join(", ")}`).toBeLessThan(stretched(KERNEL_LIMIT_MS));
    }
  }

  const generation = (status: Proxy, before: Proxy): boolean => status.generation > before.generation;
  const ready = (status: Proxy, part: string): number | undefined =>
    status.services.find(({ name }) => name.includes(part))?.readyTargets;
  const has = (status: Proxy, ...vips: string[]): boolean =>
    vips.every((vip) => status.vips.some(({ address, ready: isReady }) => address === vip && isReady));
  const lacks = (status: Proxy, ...vips: string[]): boolean =>
    vips.every((vip) => !status.vips.some(({ address }) => address === vip));

  /** Waits until the router's kernel has the VIPs by both instances, or not at all; notes how long it took. */
  function atRouter(title: string, times: number[]): (now: "forth" | "back", since: number) => Promise<void> {
    return async (now, since) => {
      const wanted = now === "forth" ? GATEWAYS.join() : "";
      await lab.converged((status) =>
        [MORE_VIP4, MORE_VIP6].every((vip) => {
          const hops = status.vips.find(({ address }) => address === vip)?.nextHops ?? [];
          return [...hops].sort().join() === wanted;
        }),
      );
      await router.quiet(150);
      const ends = [MORE_VIP4, MORE_VIP6].map((vip) => router.last(vip, since) ?? Number.NaN);
      times.push(Math.max(...ends) - since);
      figures.push(`  ${title} ${now}: router ${times.at(-1)?.toFixed(0)}`);
    };
  }

  /** Promise: a VIP that a Gateway newly asks for, or gives up, is in the kernel in 200 ms, at the router in 1 s. */
  it("adds and removes VIPs", async () => {
    const times: number[] = [];
    const set = (vips: readonly string[]) => () => lab.edit("gateway.yaml", (text) => withAddresses(text, vips));
    await rounds(
      ["VIPs added", set([VIP4, VIP6, MORE_VIP4, MORE_VIP6]), (status) => has(status, MORE_VIP4, MORE_VIP6)],
      ["VIPs removed", set([VIP4, VIP6]), (status) => lacks(status, MORE_VIP4, MORE_VIP6)],
      atRouter("VIPs", times),
    );
    for (const parity of [0, 1])
      expect(Math.min(...times.filter((_, i) => i % 2 === parity)), times.join()).toBeLessThan(
        stretched(ROUTER_LIMIT_MS),
      );
  });

  /** Promise: a pool that grows gives a waiting Gateway its VIP; one that shrinks takes it: 200 ms, 1 s. */
  it("follows an AddressPool", async () => {
    const times: number[] = [];
    const pool = (size: "narrow" | "wide") => () => lab.edit("gateway.yaml", (text) => withPool(text, size));
    pool("narrow")();
    lab.edit("gateway.yaml", (text) => withAddresses(text, [VIP4, VIP6, MORE_VIP4, MORE_VIP6]));
    await rounds(
      ["pool widened", pool("wide"), (status) => has(status, MORE_VIP4, MORE_VIP6)],
      ["pool narrowed", pool("narrow"), (status) => lacks(status, MORE_VIP4, MORE_VIP6)],
      atRouter("pool", times),
    );
    for (const parity of [0, 1])
      expect(Math.min(...times.filter((_, i) => i % 2 === parity)), times.join()).toBeLessThan(
        stretched(ROUTER_LIMIT_MS),
      );
    lab.edit("gateway.yaml", (text) => withPool(withAddresses(text, [VIP4, VIP6]), "wide"));
    await lab.converged();
  });

  /** Promise: a new listener with its route carries traffic, and goes as fast as it came. */
  it("adds and removes a port", async () => {
    lab.write("spare.yaml", spareRoute);
    let plain = "";
    await rounds(
      [
        "port added",
        () =>
          lab.edit("gateway.yaml", (text) => {
            plain = text;
            return withListeners(text, [{ name: "spare", protocol: "TCP", port: SPARE_PORT }]);
          }),
        (status) => ready(status, `TCP/${SPARE_PORT} IPv4`) === 2 && ready(status, `TCP/${SPARE_PORT} IPv6`) === 2,
      ],
      [
        "port removed",
        () => lab.write("gateway.yaml", plain),
        (status) => ready(status, `TCP/${SPARE_PORT}`) === undefined,
      ],
      async (now, _, round) => {
        if (round > 0) return;
        const options = ["--connections", "20", "--timeout", now === "forth" ? "2000" : "300"];
        const report = await lab.traffic({ to: at(VIP4, SPARE_PORT), protocol: "tcp", more: options });
        if (now === "forth") expect(report).toMatchObject({ answered: 20, lost: 0 });
        else expect(report).toMatchObject({ answered: 0, lost: 20 });
      },
    );
  });

  /** Promise: a target that leaves a Service or joins it is out of the lookup table, or in it, at once. */
  it("adds and removes a target", async () => {
    let all = "";
    const counts = (status: Proxy, count: number): boolean =>
      [4, 6].every((family) => ready(status, `TCP/${TRACK_PORT} IPv${family}`) === count);
    await rounds(
      [
        "target removed",
        () =>
          lab.edit("pods.yaml", (text) => {
            all = text;
            return text.replace("track: canary", "track: none");
          }),
        (status) => counts(status, 3),
      ],
      ["target added", () => lab.write("pods.yaml", all), (status) => counts(status, 4)],
    );
  });

  /** Promise: new weights are in force at once, and the shares follow. */
  it("changes weights", async () => {
    const shares = async (): Promise<number> => {
      const options = ["--connections", "200"];
      const { targets, lost } = await lab.traffic({ to: at(VIP6, TRACK_PORT), protocol: "udp", more: options });
      expect(lost).toBe(0);
      return (targets["target-1"] ?? 0) + (targets["target-2"] ?? 0);
    };
    await rounds(
      ["weights to 10/90", () => lab.write("tracks.yaml", tracks(10, 90)), generation],
      ["weights to 90/10", () => lab.write("tracks.yaml", tracks(90, 10)), generation],
      async (now, _, round) => {
        if (round > 0) return;
        // 180 or 20 of 200 are expected; the standard deviation is 4.3. New UDP flows follow when the old ones are learned.
        const right = (stable: number): boolean => (now === "forth" ? stable < 60 : stable > 140);
        await until(shares, right, 15_000, (stable) => `${stable} of 200 are stable, ${now}`);
      },
    );
  });

  /** Promise: FlowRoutes that swap their priorities swap their traffic, at once. */
  it("swaps priorities", async () => {
    const winners = async (): Promise<string[]> => {
      const options = ["--connections", "60"];
      const { targets, lost } = await lab.traffic({ to: at(VIP4, SPARE_PORT), protocol: "udp", more: options });
      expect(lost).toBe(0);
      return Object.keys(targets);
    };
    const first = await winners();
    expect([
      ["target-1", "target-2"],
      ["target-3", "target-4"],
    ]).toContainEqual(first);
    await rounds(
      ["priorities swapped", () => lab.write("flows.yaml", flowRoutes(20, 10)), generation],
      ["priorities swapped back", () => lab.write("flows.yaml", flowRoutes(10, 20)), generation],
      async (now, _, round) => {
        if (round > 0) return;
        if (now === "back") expect(await winners()).toEqual(first);
        else expect(await winners()).not.toContain(first[0]);
      },
    );
  });

  /** Promise: none of all these edits costs another service a packet: every datagram and connection was answered. */
  it("lost nothing of the other service", async () => {
    for (const report of await Promise.all(steady.map((background) => background.stop()))) {
      figures.push(`  ${report.protocol} ${report.to}: ${report.answered} of ${report.sent} answered`);
      expect(report.sent).toBeGreaterThan(100);
      expect(report).toMatchObject({ lost: 0 });
    }
  });
});
