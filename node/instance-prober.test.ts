import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { EchoPort } from "#shared/kernel/echo-turns.ts";
import { KernelInvalidError, KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { type Ip, ip } from "#shared/net/ip.ts";
import type { Ear } from "./instance-health.ts";
import { InstanceProber, PROBE_MS } from "./instance-prober.ts";

const A = ip("10.1.0.251");
const B = ip("10.1.0.252");
const NET = "default/net";

/** A network of pods that hear instances, by pod. */
class FakeNetwork {
  readonly hears = new Map<string, Set<Ip>>();
  readonly open: string[] = [];
  /** Pods whose interface went: their sockets fail. */
  readonly broken = new Set<string>();

  socket(pod: string): EchoPort {
    if (this.broken.has(pod)) throw new KernelNotFoundError("echo socket", "ENODEV", "no such device");
    const waiting: [string, number][] = [];
    this.open.push(pod);
    return {
      send: (to, sequence) => {
        if (this.broken.has(pod)) throw new KernelInvalidError("echo request", "ENETUNREACH", "unreachable");
        if (this.hears.get(pod)?.has(ip(to))) waiting.push([to, sequence]);
      },
      drain: (onReply) => {
        for (const [from, sequence] of waiting.splice(0)) onReply(from, sequence);
      },
      close: () => this.open.splice(this.open.indexOf(pod), 1),
    };
  }
}

let network: FakeNetwork;
let prober: InstanceProber;
let changes = 0;
const said: string[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  network = new FakeNetwork();
  changes = 0;
  said.length = 0;
  const say = (_: unknown, text?: string): void => void said.push(String(text));
  prober = new InstanceProber({
    open: ({ pod }) => network.socket(pod),
    nowMs: () => performance.now(),
    random: () => 0.5,
    log: { debug: say, info: say, warn: say, error: say },
    onChange: () => {
      changes++;
    },
  });
});
afterEach(() => {
  prober.close();
  expect(network.open).toEqual([]);
  vi.useRealTimers();
});

function want(...pods: string[]): void {
  const ears = pods.map((pod): [string, Ear] => [
    pod,
    { pod, netns: pod, interface: "net1", network: NET, family: 4, instances: [A, B] },
  ]);
  prober.want(new Map(ears));
}
const hears = (pod: string, ...instances: Ip[]): void => void network.hears.set(pod, new Set(instances));
const answering = (): Ip[] => [A, B].filter((address) => prober.answers(NET, address));
const turns = (count: number): void => void vi.advanceTimersByTime(count * PROBE_MS);

test("an instance that falls silent is left after three requests, and comes back after a second", () => {
  for (const pod of ["a", "b", "c"]) hears(pod, A, B);
  want("a", "b", "c");
  turns(10);
  expect(network.open).toEqual(["a", "b"]);
  expect(answering()).toEqual([A, B]);
  expect(changes).toBe(0);
  for (const pod of ["a", "b", "c"]) hears(pod, B);
  turns(4);
  expect(answering()).toEqual([B]);
  expect(changes).toBe(1);
  for (const pod of ["a", "b", "c"]) hears(pod, A, B);
  turns(9);
  expect(answering()).toEqual([B]);
  turns(4);
  expect(answering()).toEqual([A, B]);
  expect(changes).toBe(2);
  expect(said).toEqual([
    "gateway instance does not answer: replies take the others",
    "gateway instance answers again: replies may go there",
  ]);
});

test("a pod that hears nobody is no witness: another one takes its place", () => {
  for (const pod of ["a", "b", "c"]) hears(pod, A, B);
  want("a", "b", "c");
  turns(5);
  hears("a");
  turns(5);
  expect(network.open).toEqual(["b", "c"]);
  for (const pod of ["b", "c"]) hears(pod);
  turns(20);
  expect(answering()).toEqual([A, B]);
  expect(changes).toBe(0);
  // What one of them hears again counts.
  hears("b", A);
  turns(10);
  expect(answering()).toEqual([A]);
});

test("a pod whose interface goes is passed over, and taken again when it is the only one", () => {
  hears("a", A, B);
  hears("b", A, B);
  want("a", "b");
  turns(5);
  network.broken.add("a");
  turns(5);
  expect(network.open).toEqual(["b"]);
  expect(said).toEqual(["cannot ask the instances from a pod"]);
  network.broken.add("b");
  turns(20);
  expect(network.open).toEqual([]);
  expect(answering()).toEqual([A, B]);
  network.broken.clear();
  turns(10);
  expect(network.open.toSorted()).toEqual(["a", "b"]);
  hears("a", B);
  hears("b", B);
  turns(5);
  expect(answering()).toEqual([B]);
});

test("a pod that is made anew has a socket anew; without pods nothing is asked", () => {
  hears("a", A, B);
  want("a");
  const ear = { pod: "a", netns: "another", interface: "net1", network: NET, family: 4, instances: [A, B] } as const;
  const opened = vi.spyOn(network, "socket");
  want("a");
  expect(opened).not.toHaveBeenCalled();
  prober.want(new Map([["a", ear]]));
  expect(opened).toHaveBeenCalledTimes(1);
  expect(network.open).toEqual(["a"]);
  want();
  expect(vi.getTimerCount()).toBe(0);
});

test("a turn that comes late is no loss", () => {
  hears("a", A, B);
  want("a");
  turns(3);
  for (let late = 0; late < 10; late++) {
    vi.advanceTimersByTime(0);
    prober.turn();
  }
  expect(answering()).toEqual([A, B]);
});
