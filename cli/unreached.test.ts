import { expect, test } from "vitest";
import { KINDS } from "#shared/api/kinds.ts";
import { ip } from "#shared/net/ip.ts";
import { unreachedBy } from "./unreached.ts";

const instance = (name: string, healthy: number, ...addresses: string[]) => ({
  name,
  healthy,
  unhealthy: addresses.length,
  targets: addresses.map((address) => ({ name: "default/pod", address, message: "no answer in 150 ms" })),
});
const check = (service: string, ...instances: object[]) =>
  KINDS.HealthCheck.schema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "HealthCheck",
    metadata: { name: service },
    spec: { targetRefs: [{ name: service }] },
    status: { instances },
  });

test("names the instances that do not reach a target of the Service, but not one that reaches nobody", () => {
  const checks = [
    check("web", instance("a", 3, "10.1.0.1"), instance("b", 3, "10.1.0.2"), instance("c", 0, "10.1.0.1")),
    check("other", instance("d", 3, "10.1.0.1")),
  ];
  const names = (services: readonly string[], address: string) =>
    unreachedBy(checks, services, ip(address)).map(({ instance: name }) => name);
  expect(names(["default/web"], "10.1.0.1")).toEqual(["a"]);
  expect(names(["default/web", "default/other"], "10.1.0.1")).toEqual(["a", "d"]);
  expect(names(["default/none"], "10.1.0.1")).toEqual([]);
  expect(names(["default/web"], "10.1.0.3")).toEqual([]);
});
