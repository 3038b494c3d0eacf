import { afterAll, afterEach, describe, expect, it } from "vitest";
import { FanOutBed, type Gateway, sh, until, type Wanted } from "./fan-out-bed.ts";

const running: Gateway[] = [];
afterEach(async () => {
  for (const gateway of running.splice(0)) await gateway.end("SIGKILL");
});

function start(bed: FanOutBed, number: number, wanted: Wanted): Gateway {
  const gateway = bed.start(number);
  gateway.want(wanted);
  running.push(gateway);
  return gateway;
}

const copiesOf = async (gateway: Gateway): Promise<string[]> => {
  const { copies } = await gateway.status();
  return copies.flatMap(({ from, to, isOurs }) => (isOurs ? [`${from} ${to}`] : [])).sort();
};

/** Networks 1 and 2 have participants that hear; network 3 has one of another domain. */
const WANTED: Wanted = {
  networks: [1, 2, 3],
  participants: [{ network: 1 }, { network: 2 }, { network: 3, domainId: 1 }],
  domainIds: [0, 1],
};
const BOTH = ["default/net-1 default/net-2", "default/net-2 default/net-1"];

describe("one gateway", () => {
  const bed = new FanOutBed("fo1", 3, { 3: 1400 });
  bed.gateway(1, [1, 2, 3], { 3: 1400 });
  const gate = bed.name("g1");
  let kept: Gateway | undefined;
  afterAll(async () => {
    await kept?.end("SIGKILL");
    bed.close();
  });

  async function copying(wanted: Wanted = WANTED, gateway = kept ?? bed.start(1)): Promise<Gateway> {
    kept = gateway;
    gateway.want(wanted);
    // Answered: a pass with what is wanted now comes before the next answer.
    await gateway.status();
    await until("it copies", async () => (await copiesOf(gateway)).length >= BOTH.length);
    for (const pod of ["p11", "p12", "p21", "p22", "p31"]) bed.seen(pod);
    return gateway;
  }
  /** How many packets had the outcome meanwhile: the kernel's counters outlive processes. */
  async function hits(gateway: Gateway, outcome: string, from: string, meanwhile: () => void): Promise<number> {
    const count = async (): Promise<number> =>
      (await gateway.status()).packets
        .filter((one) => one.outcome === outcome && one.from === from)
        .reduce((sum, { packets }) => sum + packets, 0);
    const before = await count();
    meanwhile();
    return (await count()) - before;
  }

  it("copies to networks where somebody hears, with the publisher's address, its own MAC and a lower TTL", async () => {
    const gateway = await copying();
    expect(await copiesOf(gateway)).toEqual(BOTH);
    bed.send("p11", { count: 20 });
    expect(bed.macs("p21")).toEqual([bed.macOf(1, 2)]);
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 20 });
    expect(bed.seen("p22")).toEqual({ "10.71.1.11 7401": 20 });
    // Once in its own network.
    expect(bed.seen("p12")).toEqual({ "10.71.1.11 7401": 20 });
    expect(bed.seen("p31")).toEqual({});
    expect(bed.ttls("p21")).toEqual([31]);
    // Discovery and other domains are not copied.
    bed.send("p11", { port: 7400 });
    bed.send("p11", { port: 7651 });
    expect(bed.seen("p21")).toEqual({});
    // What has a TTL of 1 stays, and what has 2 goes one network further.
    expect(await hits(gateway, "stayed", "net1", () => bed.send("p11", { ttl: 1 }))).toBe(10);
    expect(bed.seen("p21")).toEqual({});
    bed.send("p11", { ttl: 2, count: 3 });
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 3 });
    expect(bed.ttls("p21").sort()).toEqual([1, 31]);
    // Control: keeps it when it is told to, and then 1 passes.
    gateway.want({ ...WANTED, policy: { ttl: "Keep" } });
    await until("what has 1 passes", () => {
      bed.send("p11", { ttl: 1, count: 1 });
      return bed.seen("p21")["10.71.1.11 7401"] === 1;
    });
  });

  it("copies fragments of what it copies, and no others", async () => {
    await copying();
    bed.send("p11", { octets: 5_000, count: 3 });
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 3, "10.71.1.11 1": 9 });
    bed.send("p11", { octets: 5_000, count: 3, port: 7651 });
    expect(bed.seen("p21")).toEqual({});
  });

  it("follows who hears", async () => {
    const gateway = await copying();
    gateway.want({ ...WANTED, participants: [{ network: 1, hears: false }, { network: 2 }] });
    await until("one way only", async () => (await copiesOf(gateway)).join() === "default/net-1 default/net-2");
    bed.send("p21");
    expect(bed.seen("p11")).toEqual({});
    bed.send("p11");
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 10 });
    gateway.want({ ...WANTED, networks: [], participants: [] });
    await until("nothing", async () => (await copiesOf(gateway)).length === 0);
    expect(sh(`ip netns exec ${gate} nft list table netdev causeway-fan-out`)).not.toContain("chain");
  });

  it("limits each publisher by itself", async () => {
    const gateway = await copying({ ...WANTED, policy: { packetsPerSecondPerPublisher: 100 } });
    const startMs = performance.now();
    const limited = await hits(gateway, "limited", "net1", () => bed.send("p11", { count: 2_000, perMs: 100 }));
    const seconds = (performance.now() - startMs) / 1_000;
    const passed = bed.seen("p21")["10.71.1.11 7401"] ?? 0;
    expect(passed + limited).toBe(2_000);
    // A burst of 25, and 100 a second for as long as it took.
    expect(passed).toBeGreaterThanOrEqual(25);
    expect(passed).toBeLessThanOrEqual(26 + 100 * seconds);
    expect(bed.seen("p12")).toEqual({ "10.71.1.11 7401": 2_000 });
    bed.send("p12", { count: 20 });
    expect(bed.seen("p21")["10.71.1.12 7401"]).toBe(20);
  });

  it("limits what goes from a network", async () => {
    const gateway = await copying({ ...WANTED, policy: { octetsPerSecond: 40_000 } });
    const startMs = performance.now();
    const limited = await hits(gateway, "limited", "net1", () =>
      bed.send("p11", { count: 200, octets: 1_000, perMs: 50 }),
    );
    const seconds = (performance.now() - startMs) / 1_000;
    const passed = bed.seen("p21")["10.71.1.11 7401"] ?? 0;
    expect(passed + limited).toBe(200);
    // 1,028 octets each, a second's worth at once.
    expect(passed).toBeGreaterThanOrEqual(38);
    expect(passed).toBeLessThanOrEqual(40 + 39 * seconds);
  });

  it("counts what does not fit into the other network", async () => {
    const gateway = await copying({ ...WANTED, participants: [{ network: 1 }, { network: 3 }] });
    await until("not to 2", async () => (await copiesOf(gateway)).every((pair) => !pair.includes("net-2")));
    const tooBig = await hits(gateway, "too-big", "net1", () => {
      bed.send("p11", { octets: 1_400 });
      bed.send("p11", { octets: 1_300 });
    });
    expect(tooBig).toBe(10);
    expect(bed.seen("p31")).toEqual({ "10.71.1.11 7401": 10 });
  });

  it("copies nothing of an address that is not of the network: so no copy is copied", async () => {
    await copying();
    sh(`ip -n ${bed.name("p11")} address add 10.71.2.77/32 dev eth0`);
    const route = `ip -n ${bed.name("p11")} route replace 239.255.0.1/32 dev eth0 src`;
    sh(`${route} 10.71.2.77`);
    bed.send("p11");
    expect(bed.seen("p12")).toEqual({ "10.71.2.77 7401": 10 });
    expect(bed.seen("p21")).toEqual({});
    sh(`${route} 10.71.1.11`);
    bed.send("p11");
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 10 });
  });

  it("does not storm where both networks are one", async () => {
    await copying();
    const switches = bed.name("sw");
    sh(
      `ip -n ${switches} link add x1 type veth peer name x2; ip -n ${switches} link set x1 master br1 up; ip -n ${switches} link set x2 master br2 up`,
    );
    bed.send("p11", { count: 5 });
    sh(`ip -n ${switches} link delete x1`);
    // Once as it was sent, and once as the copy.
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 10 });
  });

  it("repairs its table, also when an interface went and came back", async () => {
    const gateway = await copying();
    const copies = (): boolean => {
      bed.send("p11", { count: 1 });
      return bed.seen("p21")["10.71.1.11 7401"] === 1;
    };
    const chain = (prefix: string): string => {
      const text = sh(`ip netns exec ${gate} nft list table netdev causeway-fan-out`);
      return new RegExp(`chain (${prefix}-[0-9a-f]{12}) `).exec(text)?.[1] ?? "";
    };
    const broken = [
      "nft delete table netdev causeway-fan-out",
      `nft flush chain netdev causeway-fan-out ${chain("from")}`,
      `nft insert rule netdev causeway-fan-out ${chain("send")} accept`,
      "nft flush map netdev causeway-fan-out groups-net1",
    ];
    for (const command of broken) {
      sh(`ip netns exec ${gate} ${command}`);
      await until(`repaired after ${command}`, copies);
    }
    sh(`ip -n ${gate} link delete net2`);
    await until("without the network", async () => (await copiesOf(gateway)).length === 0);
    expect((await gateway.status()).problems).toEqual(["network default/net-2: there is no interface net2"]);
    bed.plug("g1", "net2", 2, "10.71.2.1/24");
    await until("copied again", copies);
  });

  it("goes on while its process is dead, and after its end", async () => {
    const first = await copying();
    await first.end("SIGKILL");
    bed.send("p11");
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 10 });
    // The next one goes on with them before it knows who hears.
    const second = await copying({ ...WANTED, participants: [] }, bed.start(1));
    bed.send("p11");
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 10 });
    await second.end("SIGTERM");
    bed.send("p11");
    expect(bed.seen("p21")).toEqual({ "10.71.1.11 7401": 10 });
    // One that finds that nothing is asked for any more takes the copies away.
    kept = bed.start(1);
    kept.want({ networks: [], participants: [] });
    await until(
      "nothing",
      async () => !sh(`ip netns exec ${gate} nft list table netdev causeway-fan-out`).includes("chain"),
    );
    bed.send("p11");
    expect(bed.seen("p21")).toEqual({});
  });

  it("receives groups from a switch that sends them to members only", async () => {
    const bridge = `ip -n ${bed.name("sw")} link set br1 type bridge`;
    // It begins when answers to a first question could have come.
    sh(`${bridge} mcast_query_response_interval 10; ${bridge} mcast_querier 1`);
    const gateway = await copying({ ...WANTED, participants: [{ network: 1 }, { network: 2 }] });
    await until("the switch has learnt it", () => {
      bed.seen("p12");
      bed.send("p11", { count: 1 });
      // Who has not joined gets nothing.
      return bed.seen("p21")["10.71.1.11 7401"] === 1 && bed.seen("p12")["10.71.1.11 7401"] === undefined;
    });
    sh(`${bridge} mcast_querier 0`);
    await gateway.end("SIGTERM");
  });
});

describe("two gateways", () => {
  const bed = new FanOutBed("fo2", 3);
  bed.gateway(1, [1, 2, 3]);
  bed.gateway(2, [1, 2, 3]);
  afterAll(() => bed.close());
  const wanted: Wanted = { networks: [1, 2, 3], participants: [{ network: 1 }, { network: 2 }, { network: 3 }] };
  const PAIRS = 6;

  const shared = (one: Gateway, other: Gateway): Promise<void> =>
    until("each copy is one gateway's", async () => {
      const [first, second] = [await one.status(), await other.status()];
      const made = [...first.copies, ...second.copies]
        .filter(({ isOurs }) => isOurs)
        .map(({ from, to }) => `${from} ${to}`);
      const known = [first.copies.length, second.copies.length, made.length, new Set(made).size];
      return known.every((count) => count === PAIRS);
    });
  async function both(): Promise<readonly [Gateway, Gateway]> {
    const gateways = [start(bed, 1, wanted), start(bed, 2, wanted)] as const;
    await shared(...gateways);
    for (const pod of ["p12", "p22", "p31"]) bed.seen(pod);
    return gateways;
  }
  function expectOnce(): void {
    bed.send("p11", { count: 100 });
    bed.send("p21", { count: 50 });
    expect([bed.seen("p31"), bed.seen("p22"), bed.seen("p12")]).toEqual([
      { "10.71.1.11 7401": 100, "10.71.2.11 7401": 50 },
      { "10.71.1.11 7401": 100, "10.71.2.11 7401": 50 },
      { "10.71.2.11 7401": 50, "10.71.1.11 7401": 100 },
    ]);
  }

  it("copy everything once, and share it", async () => {
    const [first, second] = await both();
    expectOnce();
    // The ids of this test share six pairs so; any split would do.
    expect((await copiesOf(first)).length).toBeGreaterThan(0);
    expect((await copiesOf(second)).length).toBeGreaterThan(0);
    expect((await first.status()).sisters).toMatchObject([
      { networks: ["default/net-1", "default/net-2", "default/net-3"] },
    ]);
  });

  it("one is killed: the other takes over, and the dead one's kernel has stopped", async () => {
    const [first, second] = await both();
    const killedMs = performance.now();
    await first.end("SIGKILL");
    await until("all taken over", async () => (await copiesOf(second)).length === PAIRS);
    expect(performance.now() - killedMs).toBeLessThan(6_000);
    expectOnce();
    // Back again, it shares.
    const again = start(bed, 1, wanted);
    await shared(again, second);
    expectOnce();
  });

  it("one is ended under load: nothing is lost", async () => {
    const [first, second] = await both();
    const sending = bed.stream("p11", 1_500);
    await until("it is under way", () => bed.count("p22", "10.71.1.11 7401") > 50);
    await first.end("SIGTERM");
    await until("all taken over", async () => (await copiesOf(second)).length === PAIRS);
    const sent = await sending;
    const [there, elsewhere] = [bed.seen("p22"), bed.seen("p31")].map((seen) => seen["10.71.1.11 7401"] ?? 0);
    bed.seen("p12");
    for (const arrived of [there ?? 0, elsewhere ?? 0]) {
      expect(arrived).toBeGreaterThanOrEqual(sent);
      // While both copy, readers have duplicates to drop.
      expect(arrived).toBeLessThan(sent * 1.3);
    }
    expectOnce();
  });

  it("one is cut off from a network: the other takes over what it cannot do", async () => {
    const [first, second] = await both();
    const port = `ip -n ${bed.name("sw")} link set g1-1`;
    sh(`${port} down`);
    await until(
      "taken over",
      async () => (await copiesOf(second)).filter((pair) => pair.includes("net-1")).length === 4,
    );
    expectOnce();
    sh(`${port} up`);
    await shared(first, second);
    expectOnce();
  });
});

it("without the right to change nftables it says so, and does nothing", async () => {
  const bed = new FanOutBed("fo4", 2);
  try {
    bed.gateway(1, [1, 2]);
    const gateway = bed.start(1, ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]);
    running.push(gateway);
    gateway.want({ networks: [1, 2], participants: [{ network: 1 }, { network: 2 }] });
    await until("a problem", async () => (await gateway.status()).problems.length > 0);
    expect(await gateway.status()).toEqual({
      copies: [],
      sisters: [],
      packets: [],
      problems: ["spec.fanOut: the relay may not change nftables; give its container CAP_NET_ADMIN"],
    });
  } finally {
    bed.close();
  }
});

it("networks with the same addresses are left out, and it is said why", async () => {
  const bed = new FanOutBed("fo3", 2);
  try {
    bed.gateway(1, [1, 2]);
    sh(`ip -n ${bed.name("g1")} address add 10.71.1.200/25 dev net2`);
    const gateway = start(bed, 1, { networks: [1, 2], participants: [{ network: 1 }, { network: 2 }] });
    await until("a problem", async () => (await gateway.status()).problems.length > 0);
    expect((await gateway.status()).problems).toEqual([
      "networks default/net-1 and default/net-2 have addresses in common (10.71.1.0/24; 10.71.1.128/25, 10.71.2.0/24): " +
        "multicast of neither is copied; give each network its own prefix",
    ]);
  } finally {
    bed.close();
  }
});
