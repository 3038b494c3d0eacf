import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Ip, ip } from "#shared/net/ip.ts";
import type { PodNetwork } from "./desired-pod-network.ts";
import {
  chooseEars,
  type Ear,
  earsOf,
  type Hearing,
  type InstanceHealth,
  instanceKey,
  judge,
  withoutSilent,
} from "./instance-health.ts";

const A = ip("10.1.0.251");
const B = ip("10.1.0.252");
const C = ip("10.1.0.253");
const NET = "default/net";

const ear = (pod: string, instances: readonly Ip[] = [A, B], network = NET): Ear => ({
  pod,
  netns: `of ${pod}`,
  interface: "net1",
  network,
  family: 4,
  instances,
});
const hearing = (unanswered: Readonly<Record<string, number>>, answered = true): Hearing => ({
  ear: ear("x", Object.keys(unanswered).map(ip)),
  instances: new Map(
    Object.entries(unanswered).map(([address, count]) => [ip(address), { unanswered: count, answered }]),
  ),
});
const answering = (health: InstanceHealth, network = NET): Ip[] =>
  [A, B, C].filter((address) => health.get(instanceKey(network, address))?.reported === true);

function network(hops: readonly Ip[], device = "net1"): PodNetwork {
  const nextHops = hops.map((address) => ({ network: NET, address, interface: device }));
  const path = { key: "default/a", gateway: "default/a", mode: "DSR" as const, interfaces: [device] };
  return { vips: [], problems: [], paths: [{ ...path, families: { 4: { sources: [ip("198.51.100.1")], nextHops } } }] };
}

describe("ears", () => {
  test("a pod with one instance only, or that cannot be entered, hears nothing", () => {
    const desired = new Map([
      ["default/one", network([A])],
      ["default/two", network([B, A])],
      ["default/gone", network([A, B])],
    ]);
    const ears = earsOf(desired, (pod) => (pod === "default/gone" ? undefined : "4:1"));
    expect([...ears.values()]).toEqual([
      { pod: "default/two", netns: "4:1", interface: "net1", network: NET, family: 4, instances: [A, B] },
    ]);
  });

  test("two for each instance, those in use first, deaf ones last; never more than needed", () => {
    const all = new Map(["a", "b", "c", "d"].map((name) => [name, ear(name)]));
    const chosen = (inUse: string[], deaf: string[]): string[] => [
      ...chooseEars(all, new Set(inUse), new Set(deaf)).keys(),
    ];
    expect(chosen([], [])).toEqual(["a", "b"]);
    expect(chosen(["d", "b"], [])).toEqual(["b", "d"]);
    expect(chosen(["d", "b"], ["d"])).toEqual(["b", "a"]);
    expect(chosen([], ["a", "b", "c", "d"])).toEqual(["a", "b"]);
  });

  test("every instance is heard by two ears where there are two", () => {
    const instances = fc.subarray([A, B, C], { minLength: 2 });
    fc.assert(
      fc.property(fc.array(fc.tuple(instances, fc.boolean(), fc.boolean()), { maxLength: 12 }), (made) => {
        const all = new Map(made.map(([list], index) => [`${index}`, ear(`${index}`, list)]));
        const keys = (which: 1 | 2): Set<string> =>
          new Set(made.flatMap((one, index) => (one[which] ? [`${index}`] : [])));
        const chosen = [...chooseEars(all, keys(1), keys(2)).values()];
        for (const address of [A, B, C]) {
          const there = [...all.values()].filter((one) => one.instances.includes(address)).length;
          const heard = chosen.filter((one) => one.instances.includes(address)).length;
          expect(heard).toBeGreaterThanOrEqual(Math.min(2, there));
        }
        expect(chosen.length).toBeLessThanOrEqual(6);
      }),
    );
  });
});

describe("judging", () => {
  test("silent: not answering three times, while another is heard from the same place", () => {
    let health = judge(new Map(), [hearing({ [A]: 2, [B]: 0 })], 0);
    expect(answering(health)).toEqual([A, B]);
    health = judge(health, [hearing({ [A]: 3, [B]: 0 })], 100);
    expect(answering(health)).toEqual([B]);
  });

  test("one ear that hears it is enough", () => {
    expect(answering(judge(new Map(), [hearing({ [A]: 9, [B]: 0 }), hearing({ [A]: 0, [B]: 0 })], 0))).toEqual([A, B]);
  });

  test("a place that hears nobody, or did not lately, says nothing", () => {
    expect(answering(judge(new Map(), [hearing({ [A]: 9, [B]: 9 })], 0))).toEqual([A, B]);
    expect(answering(judge(new Map(), [hearing({ [A]: 3, [B]: 2 })], 0))).toEqual([A, B]);
  });

  test("where nothing was ever answered nothing is judged: echo may be forbidden there", () => {
    expect(answering(judge(new Map(), [hearing({ [A]: 50, [B]: 50 }, false)], 0))).toEqual([A, B]);
  });

  test("comes back when it has been heard for a second; twice as long after another fall", () => {
    const gone = [hearing({ [A]: 3, [B]: 0 })];
    const back = [hearing({ [A]: 0, [B]: 0 })];
    let health = judge(new Map(), back, 0);
    health = judge(health, gone, 1_000);
    health = judge(health, back, 2_000);
    expect(answering(health)).toEqual([B]);
    expect(answering(judge(health, back, 2_999))).toEqual([B]);
    health = judge(health, back, 3_000);
    expect(answering(health)).toEqual([A, B]);
    health = judge(judge(health, gone, 4_000), back, 5_000);
    expect(answering(judge(health, back, 6_999))).toEqual([B]);
    expect(answering(judge(health, back, 7_000))).toEqual([A, B]);
  });

  test("an ear that has just begun does not bring a silent instance back", () => {
    const health = judge(new Map(), [hearing({ [A]: 3, [B]: 0 })], 0);
    const fresh: Hearing = {
      ear: ear("y"),
      instances: new Map([
        [A, { unanswered: 0, answered: false }],
        [B, { unanswered: 0, answered: true }],
      ]),
    };
    expect(answering(judge(health, [fresh], 60_000))).toEqual([B]);
  });

  test("networks with the same addresses are told apart", () => {
    const other = { ...hearing({ [A]: 0, [B]: 0 }), ear: ear("z", [A, B], "default/other") };
    const health = judge(new Map(), [hearing({ [A]: 3, [B]: 0 }), other], 0);
    expect(answering(health)).toEqual([B]);
    expect(answering(health, "default/other")).toEqual([A, B]);
  });

  test("whatever is heard: what an ear with a voice hears is never called silent; somebody always answers", () => {
    const heard = fc.record({ unanswered: fc.nat(5), answered: fc.boolean() });
    const hearings = fc.array(
      fc.record({ [A]: heard, [B]: heard, [C]: heard }).map(
        (of): Hearing => ({
          ear: ear("x", [A, B, C]),
          instances: new Map(Object.entries(of).map(([address, one]) => [ip(address), one])),
        }),
      ),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(fc.array(hearings, { maxLength: 20 }), (rounds) => {
        let health: InstanceHealth = new Map();
        for (const [round, said] of rounds.entries()) {
          const before = health;
          health = judge(health, said, round * 100);
          for (const address of [A, B, C]) {
            const key = instanceKey(NET, address);
            const fell = before.get(key)?.readySinceMs !== undefined && health.get(key)?.readySinceMs === undefined;
            if (!fell || !health.has(key)) continue;
            const witnesses = said.filter(({ instances }) =>
              [...instances.values()].some((h) => h.answered && h.unanswered <= 1),
            );
            expect(witnesses.length).toBeGreaterThan(0);
            expect(
              witnesses.some(({ instances }) => {
                const one = instances.get(address);
                return one?.answered === true && one.unanswered < 3;
              }),
            ).toBe(false);
          }
        }
      }),
    );
  });
});

describe("next hops", () => {
  const hops = (of: PodNetwork): unknown => of.paths[0]?.families[4];

  test("those that do not answer are left out and named", () => {
    expect(hops(withoutSilent(network([A, B]), ({ address }) => address !== A))).toMatchObject({
      nextHops: [{ address: B }],
      silent: [{ address: A }],
    });
  });

  test("where none answers, or all do, all is as the objects say", () => {
    for (const answers of [true, false]) {
      expect(withoutSilent(network([A, B]), () => answers)).toEqual(network([A, B]));
    }
  });
});
