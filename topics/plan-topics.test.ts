import { expect, it } from "vitest";
import { podSchema } from "#shared/api/core.ts";
import { type Manifest, viewOf } from "#shared/resolve/objects.fixture.ts";
import { planTopics } from "./plan-topics.ts";

const pod = podSchema.parse({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "topics-1", namespace: "plant", labels: { app: "topics", tier: "edge" } },
  spec: { containers: [{ name: "topics", ports: [{ name: "lines", containerPort: 7501 }] }] },
});
const topic = (name: string, more: Readonly<Record<string, unknown>> = {}, metadata: object = {}): Manifest => ({
  kind: "Topic",
  metadata: { name, namespace: "plant", ...metadata },
  spec: { topic: name, type: "T", types: { file: "/t.xml" }, service: { name: "topics", port: 7500 }, ...more },
});
const service = (name: string, spec: Readonly<Record<string, unknown>>): Manifest => ({
  kind: "Service",
  metadata: { name, namespace: "plant" },
  spec: { selector: { app: "topics" }, ports: [{ port: 7500 }], ...spec },
});
const planned = (...manifests: Manifest[]) =>
  planTopics(viewOf(manifests), pod).map(({ key, ...plan }) => [key, "port" in plan ? plan.port : plan.problem]);

it("serves the Topics of its namespace whose Service selects the pod, at the Service's target port", () => {
  const own = service("topics", { ports: [{ port: 7500, targetPort: "lines" }] });
  expect(planned(topic("a"), own)).toEqual([["plant/a", 7501]]);
  expect(planned(topic("a"), service("topics", { ports: [{ port: 7500, targetPort: 9 }] }))).toEqual([["plant/a", 9]]);
  expect(planned(topic("a"), service("topics", {}))).toEqual([["plant/a", 7500]]);
});

it.each<[string, Manifest[]]>([
  ["another pod's", [service("topics", { selector: { app: "other" } })]],
  ["nobody's: no selector", [service("topics", { selector: undefined })]],
  ["no Service", []],
  ["another namespace's", [{ ...service("topics", {}), metadata: { name: "topics", namespace: "other" } }]],
])("does not serve %s", (_, services) => {
  expect(planned(topic("a"), ...services)).toEqual([]);
  const elsewhere = topic("b", {}, { namespace: "other" });
  expect(planned(elsewhere, ...services)).toEqual([]);
});

it("says which field is wrong with a port, and serves the others", () => {
  const all = planned(
    topic("a"),
    topic("b", { service: { name: "topics", port: 80 } }),
    topic("c", { service: { name: "named", port: 7500 } }),
    service("topics", {}),
    service("named", { ports: [{ port: 7500, targetPort: "nope" }] }),
  );
  expect(all).toEqual([
    ["plant/a", 7500],
    ["plant/b", "spec.service.port: Service plant/topics has no TCP port 80; it has 7500/TCP"],
    [
      "plant/c",
      "spec.service.port: no container of the pod has a TCP port named nope, the targetPort of Service plant/named",
    ],
  ]);
});

it("of two at one port the older is served", () => {
  const older = topic("z", {}, { creationTimestamp: "2026-01-01T00:00:00Z" });
  const younger = topic("a", {}, { creationTimestamp: "2026-01-02T00:00:00Z" });
  expect(planned(younger, older, service("topics", {}))).toEqual([
    ["plant/z", 7500],
    ["plant/a", expect.stringMatching(/Topic plant\/z listens at port 7500 of this pod already/)],
  ]);
});
