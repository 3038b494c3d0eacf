import { expect, test } from "vitest";
import { podSchema } from "../api/core.ts";
import { isInstanceUp } from "./instance-up.ts";

const pod = (conditions: readonly object[], metadata: object = {}) =>
  podSchema.parse({ apiVersion: "v1", kind: "Pod", metadata: { name: "p", ...metadata }, status: { conditions } });
const condition = (type: string, status: string, reason = "") => ({ type, status, reason });
const containers = condition("ContainersReady", "True");
const gated = condition("Ready", "False", "ReadinessGatesNotReady");

test("an instance is up when its Pod is Ready, or lacks nothing but traffic", () => {
  expect(isInstanceUp(pod([condition("Ready", "True")]))).toBe(true);
  expect(isInstanceUp(pod([gated, containers]))).toBe(true);
  expect(isInstanceUp(pod([gated]))).toBe(false);
  expect(isInstanceUp(pod([condition("Ready", "False", "ContainersNotReady"), containers]))).toBe(false);
  // What a node's controller writes when the node is gone.
  expect(isInstanceUp(pod([condition("Ready", "False"), containers]))).toBe(false);
  expect(isInstanceUp(pod([condition("Ready", "Unknown", "NodeStatusUnknown"), containers]))).toBe(false);
  expect(isInstanceUp(pod([]))).toBe(false);
  expect(isInstanceUp(pod([condition("Ready", "True")], { deletionTimestamp: "2026-01-01T00:00:00Z" }))).toBe(false);
});
