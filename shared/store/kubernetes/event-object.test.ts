import { expect, test } from "vitest";
import type { ClusterEvent } from "../event-sink.ts";
import { eventObject } from "./event-object.ts";

const event: ClusterEvent = {
  regarding: { apiVersion: "v1", kind: "Service", namespace: "apps", name: "web", uid: "u1" },
  type: "Warning",
  reason: "PodsLeftOut",
  action: "Reconcile",
  note: "Pod apps/web-1 has no address",
  atMs: Date.parse("2026-01-01T00:00:00.123Z"),
};

test("an Event is about its object, in the object's namespace", () => {
  expect(eventObject(event, "controller-1", 7)).toMatchObject({
    metadata: { name: expect.stringMatching(/^web\.[0-9a-f]+$/), namespace: "apps" },
    eventTime: "2026-01-01T00:00:00.123000Z",
    reportingInstance: "controller-1",
    regarding: event.regarding,
    note: event.note,
  });
});

test("one about what has no namespace is in default, and names none", () => {
  const pool = { kind: "AddressPool", namespace: "", name: "vips" };
  const { metadata, regarding } = eventObject({ ...event, regarding: pool }, "controller-1", 0);
  expect([metadata.namespace, regarding]).toEqual(["default", { kind: "AddressPool", name: "vips" }]);
});

test("two of one millisecond have two names", () => {
  expect(eventObject(event, "c", 1).metadata.name).not.toBe(eventObject(event, "c", 2).metadata.name);
});

test("what is too long for the API is cut, and the name stays one", () => {
  const regarding = { kind: "Gateway", namespace: "a", name: `${"x".repeat(219)}.${"y".repeat(33)}` };
  const long = { ...event, regarding, note: "n".repeat(5_000), reason: "R".repeat(500), action: "A".repeat(500) };
  const { metadata, note, reason, action, reportingInstance } = eventObject(long, "p".repeat(500), 1_000_000);
  expect(note).toHaveLength(1024);
  expect([reason, action, reportingInstance].map(({ length }) => length)).toEqual([128, 128, 128]);
  expect(metadata.name.length).toBeLessThanOrEqual(253);
  expect(metadata.name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
});
