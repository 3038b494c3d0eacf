import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { networkStatusSchema, podSchema } from "#shared/api/core.ts";
import { NETWORK_STATUS_ANNOTATION } from "#shared/api/names.ts";
import { labPods, podManifests } from "./pods.ts";
import { loadTopology } from "./resolve-topology.ts";

function pods(name: string) {
  const file = new URL(`../examples/lab/${name}/topology.yaml`, import.meta.url);
  const documents = parseAllDocuments(podManifests(loadTopology(readFileSync(file, "utf8"), name)));
  return [...documents].map((document) => podSchema.parse(document.toJS()));
}

describe("Pods", () => {
  it("are what Multus would have made of targets and gateway instances", () => {
    const all = pods("default");
    expect(all.map(({ metadata }) => metadata.name)).toEqual([
      "gateway-a",
      "gateway-b",
      "target-1",
      "target-2",
      "target-3",
      "target-4",
    ]);
    const [gateway, , target] = all;
    expect(gateway?.metadata.labels).toEqual({ "gateway.networking.k8s.io/gateway-name": "edge" });
    expect(target?.metadata.labels).toEqual({ app: "echo" });
    expect(
      networkStatusSchema.parse(JSON.parse(target?.metadata.annotations[NETWORK_STATUS_ANNOTATION] ?? "")),
    ).toEqual([
      { name: "default/service-net", interface: "svc0", ips: ["10.1.0.11", "fd00:1::11"], mac: "02:c0:00:02:00:03" },
    ]);
  });

  it("have the primary network as their own, not as one of Multus' attachments", () => {
    const all = pods("ordinary");
    const [first] = all.filter(({ metadata }) => metadata.name === "pod-1");
    const listed: unknown = JSON.parse(first?.metadata.annotations[NETWORK_STATUS_ANNOTATION] ?? "");
    expect(networkStatusSchema.parse(listed)).toEqual([
      expect.objectContaining({ name: "pods", interface: "eth0", ips: ["10.244.0.11", "fd00:244::11"], default: true }),
    ]);
    expect(first?.metadata.annotations["k8s.v1.cni.cncf.io/networks"]).toBe("[]");
    const ordinary = loadTopology(
      readFileSync(new URL("../examples/lab/ordinary/topology.yaml", import.meta.url), "utf8"),
      "o",
    );
    const ips = new Map(labPods(ordinary).map(({ name, ips: own }) => [name, own]));
    expect(ips.get("pod-1")).toEqual(["10.244.0.11", "fd00:244::11"]);
    expect(ips.get("gateway-a")).toEqual(["10.244.0.1", "fd00:244::1"]);
    expect(ips.get("target-1")).toEqual(["10.1.0.11", "fd00:1::11"]);
  });

  it("live in their tenants' namespaces, and on the VXLAN host that holds them", () => {
    expect(pods("tenants").map(({ metadata }) => metadata.namespace)).toEqual([
      "red",
      "red",
      "blue",
      "blue",
      "red",
      "red",
      "blue",
      "blue",
    ]);
    expect(pods("vxlan").map(({ spec }) => spec.nodeName)).toEqual([
      "host-1",
      "host-2",
      "host-1",
      "host-1",
      "host-2",
      "host-2",
    ]);
  });
});
