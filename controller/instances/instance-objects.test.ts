import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { z } from "zod";
import { gatewaySchema } from "#shared/api/gateway.ts";
import { gatewayParametersSchema } from "#shared/api/gateway-parameters.ts";
import {
  gatewayAccount,
  gatewayBinding,
  gatewayBudget,
  gatewayDeployment,
  instancesBinding,
  instancesName,
} from "./instance-objects.ts";

const gateway = (name = "edge", spec: object = {}) =>
  gatewaySchema.parse({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name, namespace: "tenant", uid: "uid-1" },
    spec: {
      gatewayClassName: "causeway",
      listeners: [{ name: "web", protocol: "TCP", port: 80 }],
      infrastructure: {
        labels: { team: "net", "gateway.networking.k8s.io/gateway-name": "another" },
        annotations: { "example.com/note": "x", "k8s.v1.cni.cncf.io/networks": "[]" },
        parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "edge" },
      },
      ...spec,
    },
  });
const parameters = (spec: object = {}) =>
  gatewayParametersSchema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "GatewayParameters",
    metadata: { name: "edge", namespace: "networks" },
    spec: {
      externalNetworks: [{ network: "external", interface: "ext0" }, { interface: "eth0" }],
      serviceNetworks: [{ network: "blue/service-net", interface: "svc0" }],
      replicas: 3,
      ...spec,
    },
  });
const options = { image: "registry.example/causeway:1", families: [4, 6] } as const;

describe("a Gateway's instances", () => {
  test("are made as the golden file says", async () => {
    const objects = [
      instancesBinding([
        { namespace: "tenant", name: "edge-causeway" },
        { namespace: "a", name: "z" },
      ]),
      gatewayAccount(gateway()),
      gatewayBinding(gateway()),
      gatewayBudget(gateway()),
      gatewayDeployment(gateway(), parameters(), options),
    ];
    const text = objects
      .map((object) => stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 }))
      .join("---\n");
    await expect(text).toMatchFileSnapshot("goldens/instances.yaml");
  });

  test("resources are those of the parameters, as quantities", () => {
    const { spec } = gatewayDeployment(
      gateway(),
      parameters({ resources: { limits: { cpu: 2, memory: "1Gi" } } }),
      options,
    );
    const limits = { limits: { cpu: "2", memory: "1Gi" } };
    expect(spec).toMatchObject({
      template: {
        spec: {
          containers: [
            { name: "proxy", resources: limits },
            { name: "frontend", resources: limits },
          ],
        },
      },
    });
  });

  test("Pods run where the parameters say, and keep the labels and annotations by which they work", () => {
    const pods = {
      labels: { team: "edge", tier: "1", "gateway.networking.k8s.io/gateway-name": "another" },
      annotations: { "example.com/note": "y", "k8s.v1.cni.cncf.io/networks": "[]" },
      nodeSelector: { role: "edge" },
      tolerations: [{ key: "edge", operator: "Exists" }],
      priorityClassName: "critical",
      topologySpread: [{ topologyKey: "rack", whenUnsatisfiable: "DoNotSchedule" }],
    };
    const template = z
      .looseObject({
        metadata: z.looseObject({ labels: z.unknown(), annotations: z.record(z.string(), z.string()) }),
        spec: z.looseObject({ topologySpreadConstraints: z.array(z.unknown()) }),
      })
      .parse(gatewayDeployment(gateway(), parameters({ pods }), options).spec.template);
    expect(template.metadata.labels).toMatchObject({
      team: "edge",
      tier: "1",
      "gateway.networking.k8s.io/gateway-name": "edge",
    });
    expect(template.metadata.annotations).toMatchObject({ "example.com/note": "y" });
    expect(template.metadata.annotations["k8s.v1.cni.cncf.io/networks"]).not.toBe("[]");
    const { nodeSelector, tolerations, priorityClassName } = pods;
    expect(template.spec).toMatchObject({ nodeSelector, tolerations, priorityClassName });
    expect(template.spec.topologySpreadConstraints).toMatchObject([
      { topologyKey: "rack", maxSkew: 1, whenUnsatisfiable: "DoNotSchedule", labelSelector: { matchLabels: {} } },
    ]);
    const nowhere = gatewayDeployment(gateway(), parameters({ pods: { topologySpread: [] } }), options);
    expect(nowhere.spec).toMatchObject({ template: { spec: { topologySpreadConstraints: [] } } });
    // By default the fields are left to the cluster.
    expect(JSON.stringify(gatewayDeployment(gateway(), parameters(), options))).not.toMatch(
      /nodeSelector|toler|priorityC/,
    );
  });

  test("no container but the one that makes settings is privileged, and none is on the host's network", () => {
    const text = JSON.stringify(gatewayDeployment(gateway(), parameters(), options));
    expect(text.match(/"privileged":true/g)).toHaveLength(1);
    expect(text).not.toMatch(/hostNetwork|hostPID|hostPath|SYS_ADMIN/);
  });

  test("names are those of Deployments, whatever the Gateway's", () => {
    expect(instancesName(gateway("a-b"))).toBe("a-b-causeway");
    const ambiguous = [
      gateway("a.b"),
      gateway("a-b", { gatewayClassName: "c" }),
      gateway("a", { gatewayClassName: "b-c" }),
    ];
    expect(new Set([...ambiguous, gateway("a-b")].map(instancesName)).size).toBe(4);
    const long = instancesName(gateway("g".repeat(63)));
    expect(long).toMatch(/^g{43}-[0-9a-f]{8}$/);
    expect(instancesName(gateway(`${"g".repeat(62)}h`))).not.toBe(long);
  });

  test("what it was made of is told apart: parameters, image, class, labels", () => {
    const content = (object: { metadata: { annotations: Record<string, string> } }): string | undefined =>
      object.metadata.annotations["causeway.dev/content"];
    const base = content(gatewayDeployment(gateway(), parameters(), options));
    expect(content(gatewayDeployment(gateway(), parameters(), options))).toBe(base);
    const others = [
      gatewayDeployment(gateway(), parameters({ replicas: 4 }), options),
      gatewayDeployment(gateway(), parameters({ pods: { nodeSelector: { role: "edge" } } }), options),
      gatewayDeployment(gateway(), parameters(), { ...options, image: "other" }),
      gatewayDeployment(gateway(), parameters(), { ...options, families: [4] }),
      gatewayDeployment(gateway("edge", { gatewayClassName: "other" }), parameters(), options),
      gatewayDeployment(gateway("edge", { infrastructure: { labels: { team: "other" } } }), parameters(), options),
    ].map(content);
    expect(new Set([base, ...others]).size).toBe(others.length + 1);
  });
});
