import pino from "pino";
import { expect, test } from "vitest";
import { MANAGED_BY_LABEL, MANAGED_BY_VALUE } from "#shared/api/names.ts";
import { type Manifest, object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { BASE, gateway } from "../run-controller.fixture.ts";
import { runController } from "../run-controller.ts";

const account = (labels: Readonly<Record<string, string>>): Manifest => ({
  kind: "ServiceAccount",
  apiVersion: "v1",
  metadata: { name: "gw-causeway", namespace: "infra", labels },
});

/** With a network for the external interface, without which no instance can be made. */
const attached: Manifest = {
  kind: "GatewayParameters",
  metadata: { name: "net", namespace: "infra" },
  spec: {
    externalNetworks: [{ network: "outside", interface: "ext0" }],
    serviceNetworks: [{ network: "blue", interface: "svc0" }],
    ipFamilies: ["IPv4"],
  },
};

async function deployments(...more: readonly Manifest[]) {
  const stop = new AbortController();
  const store = new MemoryStore([...BASE, attached, gateway("gw"), gateway("other"), ...more].map(object));
  const controller = await runController({
    store,
    log: pino({ level: "silent" }),
    clock: { nowMs: () => Date.parse("2026-01-01T00:00:00Z") },
    signal: stop.signal,
    instances: { image: "causeway:test" },
  });
  await controller.settled();
  stop.abort();
  await controller.done;
  const conditions = store.get("Gateway", "infra", "gw")?.status?.conditions ?? [];
  const deployed = conditions.find(({ type }) => type === "causeway.dev/InstancesDeployed");
  return {
    names: store.list("Deployment").map(({ metadata }) => metadata.name),
    deployed: `${deployed?.status} ${deployed?.reason}: ${deployed?.message}`,
  };
}

test("a Gateway whose account is somebody else's gets no Deployment, and says so; another gets its own", async () => {
  expect(await deployments()).toMatchObject({ names: ["gw-causeway", "other-causeway"] });
  for (const labels of [{}, { [MANAGED_BY_LABEL]: MANAGED_BY_VALUE }]) {
    const { names, deployed } = await deployments(account(labels));
    expect(names).toEqual(["other-causeway"]);
    expect(deployed).toContain("False NameTaken: ServiceAccount infra/gw-causeway");
  }
});
