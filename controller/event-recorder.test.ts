import pino from "pino";
import { expect, test } from "vitest";
import { viewOf } from "#shared/resolve/objects.fixture.ts";
import type { ClusterEvent } from "#shared/store/event-sink.ts";
import { EventRecorder, type Note } from "./event-recorder.ts";
import { gateway } from "./run-controller.fixture.ts";

const note = (reason: string, name = "gw", message = "m"): Note => ({
  ref: { kind: "Gateway", namespace: "infra", name },
  type: "Warning",
  reason,
  message,
});

function world() {
  const events: ClusterEvent[] = [];
  const clock = { timeMs: 0, nowMs: () => clock.timeMs };
  const sink = {
    post: async (event: ClusterEvent): Promise<void> => {
      events.push(event);
      throw new Error("the API server is away: nobody minds");
    },
  };
  const view = viewOf([{ ...gateway("gw"), metadata: { name: "gw", namespace: "infra", uid: "u" } }]);
  const recorder = new EventRecorder(view, sink, clock, pino({ level: "silent" }));
  const said = () => events.splice(0).map(({ regarding, reason }) => `${regarding.name} ${reason}`);
  return { events, clock, recorder, said };
}

test("what begins to be so is said once, with the object's identity", () => {
  const { events, recorder, said } = world();
  recorder.standing("gateways", [note("A"), note("A", "gw", "another message")]);
  expect(events).toMatchObject([
    {
      regarding: { apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", uid: "u" },
      type: "Warning",
      note: "m",
    },
  ]);
  recorder.standing("gateways", [note("A", "gw", "third"), note("B")]);
  expect(said()).toEqual(["gw A", "gw B"]);
  recorder.standing("gateways", [note("A"), note("B")]);
  expect(said()).toEqual([]);
});

test("what comes and goes is said at most every five minutes", () => {
  const { clock, recorder, said } = world();
  for (let at = 0; at < 600; at++) {
    clock.timeMs = at * 1_000;
    recorder.standing("gateways", at % 2 === 0 ? [note("A")] : []);
  }
  expect(said()).toEqual(["gw A", "gw A"]);
});

test("many at once are said bit by bit, none is lost", () => {
  const { clock, recorder, said } = world();
  const many = Array.from({ length: 200 }, (_, at) => note("A", `gw-${at}`));
  recorder.standing("gateways", many);
  expect(said()).toHaveLength(50);
  recorder.standing("gateways", many);
  expect(said()).toEqual([]);
  clock.timeMs = 10_500;
  recorder.standing("gateways", many);
  expect(said()).toEqual(Array.from({ length: 10 }, (_, at) => `gw-${50 + at} A`));
  for (let at = 1; at <= 20; at++) {
    clock.timeMs = at * 20_000;
    recorder.standing("gateways", many);
  }
  expect(new Set(said()).size).toBe(140);
});
