import { describe, expect, test } from "vitest";
import { deploymentSchema } from "#shared/api/workloads.ts";
import { ip } from "#shared/net/ip.ts";
import { attach } from "#shared/resolve/attach.ts";
import { type Manifest, object } from "#shared/resolve/objects.fixture.ts";
import { ObjectIndex } from "#shared/store/object-index.ts";
import { BASE, gateway } from "../run-controller.fixture.ts";
import { type InstancePlan, planInstances } from "./plan-instances.ts";

const spec = {
  externalNetworks: [{ network: "ext", interface: "ext0" }],
  serviceNetworks: [{ network: "blue", interface: "svc0" }],
  resources: { requests: { cpu: "1000m" } },
};
const NETWORKED: Manifest = { kind: "GatewayParameters", metadata: { name: "net", namespace: "infra" }, spec };
const OTHER_CLASS: Manifest = {
  kind: "GatewayClass",
  metadata: { name: "other" },
  spec: { controllerName: "example.com/other" },
};
const base = BASE.map((manifest) => (manifest.kind === "GatewayParameters" ? NETWORKED : manifest));

/** A cluster: what is wanted is applied as an API server would. */
class World {
  readonly view = new ObjectIndex();
  readonly #addresses = new Map([["infra/gw", { addresses: [ip("192.0.2.1")], problems: [], released: [] }]]);

  constructor(...manifests: Manifest[]) {
    for (const manifest of [...base, OTHER_CLASS, ...manifests]) this.put(manifest);
  }

  put(one: Manifest): void {
    const parsed = object(one);
    const uid = `uid of ${one.kind} ${parsed.metadata.name}`;
    const stored = object({ ...one, metadata: { ...parsed.metadata, uid } });
    this.view.set(stored.kind, stored);
  }

  plan(image = "image:1"): InstancePlan {
    return planInstances(this.view, attach(this.view).gateways, this.#addresses, { image });
  }

  /** Carries a plan out. */
  run(image?: string): InstancePlan {
    const plan = this.plan(image);
    for (const one of plan.apply) this.put(one);
    for (const ref of plan.delete) this.view.delete(ref);
    return plan;
  }

  deployment() {
    const [first] = this.view.list("Deployment");
    if (first === undefined) throw new Error("there is no Deployment");
    return first;
  }
}

const names = (objects: readonly { kind: string }[]): string[] => objects.map(({ kind }) => kind);
const brief = (plan: InstancePlan, key = "infra/gw"): string => {
  const found = plan.conditions.get(key);
  return found === undefined ? "" : `${found.status} ${found.reason}: ${found.message}`;
};

describe("instances", () => {
  test("an accepted Gateway gets all that they need, once", () => {
    const world = new World(gateway("gw"));
    const plan = world.run();
    expect(names(plan.apply)).toEqual([
      "ClusterRoleBinding",
      "ServiceAccount",
      "RoleBinding",
      "PodDisruptionBudget",
      "Deployment",
    ]);
    expect(brief(plan)).toBe("True Deployed: Deployment gw-causeway holds 2 instances.");
    expect(world.plan()).toMatchObject({ apply: [], delete: [] });
  });

  test("defaults and quantities that the API server writes anew are no change; edits are put right", () => {
    const world = new World(gateway("gw"));
    world.run();
    const made = world.deployment();
    const text = JSON.stringify(made).replace('"1000m"', '"1"');
    const defaulted = deploymentSchema.parse(JSON.parse(text));
    world.put({
      ...defaulted,
      metadata: { ...made.metadata, annotations: { ...made.metadata.annotations, revision: "1" } },
    });
    expect(world.plan().apply).toEqual([]);
    world.put({ ...made, spec: { ...made.spec, replicas: 5 } });
    expect(names(world.run().apply)).toEqual(["Deployment"]);
    expect(world.deployment().spec.replicas).toBe(2);
  });

  test("another image or other parameters are rolled out", () => {
    const world = new World(gateway("gw"));
    world.run();
    expect(names(world.run("image:2").apply)).toEqual(["Deployment"]);
    expect(world.run("image:2").apply).toEqual([]);
  });

  test("a Gateway of another class has none, nor keeps what it had", () => {
    const world = new World(gateway("gw"));
    world.run();
    world.put(gateway("gw", { gatewayClassName: "other" }));
    const plan = world.run();
    expect(names(plan.delete).sort()).toEqual(["Deployment", "PodDisruptionBudget", "RoleBinding", "ServiceAccount"]);
    expect(plan.apply).toMatchObject([{ kind: "ClusterRoleBinding", subjects: [] }]);
    expect(world.plan()).toMatchObject({ apply: [], delete: [] });
  });

  test("what runs goes on while parameters are missing, or the Gateway or its class cannot be read", () => {
    const world = new World(gateway("gw"));
    world.run();
    world.view.delete({ kind: "GatewayParameters", namespace: "infra", name: "net" });
    expect(world.plan()).toMatchObject({ apply: [], delete: [] });
    world.view.delete({ kind: "GatewayClass", namespace: "", name: "causeway" });
    expect(world.plan()).toMatchObject({ apply: [], delete: [] });
    world.view.delete({ kind: "Gateway", namespace: "infra", name: "gw" });
    expect(world.plan()).toMatchObject({ apply: [], delete: [] });
  });

  test("a Gateway without parameters, or that goes, gets none", () => {
    const missing = {
      infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "no" } },
    };
    expect(new World(gateway("gw", missing)).plan().apply).toEqual([]);
    const going = gateway("gw");
    const metadata = { name: "gw", namespace: "infra", deletionTimestamp: "2026-01-01T00:00:00Z" };
    expect(new World({ ...going, metadata }).plan().apply).toEqual([]);
  });

  test("what cannot be made is said with field and fix", () => {
    const long = "g".repeat(64);
    expect(brief(new World(gateway(long)).plan(), `infra/${long}`)).toMatch(/^False NameTooLong: metadata.name has 64/);
    const bare = new World(gateway("gw"));
    bare.put({ ...NETWORKED, spec: BASE[1]?.spec });
    expect(brief(bare.plan())).toBe(
      "False NetworkMissing: externalNetworks[0].network of GatewayParameters infra/net is missing: name the " +
        "NetworkAttachmentDefinition by which Multus makes ext0",
    );
    expect(bare.plan().apply).toEqual([]);
    const greedy = new World(gateway("gw"));
    greedy.put({ ...NETWORKED, spec: { ...spec, resources: { limits: { cpu: "many" } } } });
    expect(brief(greedy.plan())).toBe(
      'False InvalidResources: resources.limits.cpu of GatewayParameters infra/net is "many"; write a quantity such as 500m or 1Gi',
    );
    greedy.put({ ...NETWORKED, spec: { ...spec, resources: { limit: { cpu: "1" } } } });
    expect(brief(greedy.plan())).toMatch(/^False InvalidResources: resources.limit of .* write requests and limits$/);
  });

  test("what the Deployment complains of is told", () => {
    const world = new World(gateway("gw"));
    world.run();
    const failure = {
      type: "ReplicaFailure",
      status: "True",
      reason: "FailedCreate",
      message: "exceeded quota",
    } as const;
    world.put({ ...world.deployment(), status: { conditions: [failure] } });
    expect(brief(world.plan())).toBe("False ReplicaFailure: Deployment gw-causeway: exceeded quota");
  });
});
