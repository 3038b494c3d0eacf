/*
 * What a change of targets costs flows that routers move to another instance after it: a model (no packets, no kernel)
 * with the proxy's own code. Two instances; a fifth target joins four; some time later one instance dies, and its flows
 * go to the other. Printed: the part of all live flows that break.
 *
 *   node bench/instances.ts
 */
import { Instance, ownersOf, WINDOW_MS } from "../proxy/moves/instances.fixture.ts";

const FLOWS = 4000;
const SIZE = 997;
const SEND_MS = 5_000;
const LIFETIMES_S = [10, 300, 3600];
const DEATHS_S = [1, 60, 290, 310, 900];

/** A sequence of its own, so that each run prints the same (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface LiveFlow {
  readonly id: number;
  readonly home: number | undefined;
  readonly instance: number;
  readonly endMs: number;
}

/** @returns the part of live flows that break when the second instance dies `deathMs` after the change. */
function brokenPart(lifetimeMs: number, deathMs: number): number {
  const next = random(1);
  const serving = (): boolean => true;
  const before = ownersOf(["ready", "ready", "ready", "ready", "gone"], SIZE);
  const after = ownersOf(["ready", "ready", "ready", "ready", "ready"], SIZE);
  const instances = [new Instance(1e9), new Instance(1e9)] as const;
  const flows = new Map<number, LiveFlow>();
  const begin = (nowMs: number): void => {
    const id = Math.floor(next() * 2 ** 31);
    const instance = next() < 0.5 ? 0 : 1;
    const home = instances[instance].packet(id, true, serving, nowMs);
    flows.set(id, { id, home, instance, endMs: nowMs - lifetimeMs * Math.log(1 - next()) });
  };
  for (const instance of instances) instance.pass(before, serving, 0);
  for (let count = 0; count < FLOWS; count++) begin(0);
  for (const instance of instances) instance.pass(after, serving, 0);
  for (let nowMs = 0; nowMs < deathMs; nowMs += SEND_MS) {
    for (const instance of instances) instance.pass(after, serving, nowMs);
    for (const { id, instance, endMs } of flows.values()) {
      if (endMs <= nowMs) {
        flows.delete(id);
        begin(nowMs);
      } else instances[instance as 0 | 1].packet(id, false, serving, nowMs);
    }
  }
  instances[0].pass(after, serving, deathMs);
  const broken = [...flows.values()].filter(
    ({ id, home, instance }) => instance === 1 && instances[0].packet(id, false, serving, deathMs) !== home,
  );
  return broken.length / flows.size;
}

console.log("flows that break, of all, when one of two instances dies after a fifth target has joined four");
console.log(
  `(flows are learned for ${WINDOW_MS / 1000} s; ${FLOWS} flows at any time, each sends every ${SEND_MS / 1000} s)`,
);
console.log(["mean lifetime", ...DEATHS_S.map((s) => `after ${s} s`)].map((text) => text.padEnd(14)).join(""));
for (const lifetimeS of LIFETIMES_S) {
  const parts = DEATHS_S.map((s) => `${(100 * brokenPart(lifetimeS * 1000, s * 1000)).toFixed(2)} %`);
  console.log([`${lifetimeS} s`, ...parts].map((text) => text.padEnd(14)).join(""));
}
