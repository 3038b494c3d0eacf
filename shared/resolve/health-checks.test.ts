import { describe, expect, test } from "vitest";
import type { Service } from "../api/core.ts";
import type { HealthCheck } from "../api/health-check.ts";
import { askedPort, assignHealthChecks } from "./health-checks.ts";
import { type Manifest, viewOf } from "./objects.fixture.ts";

const service = (name: string, ports: readonly Record<string, unknown>[]): Manifest => ({
  kind: "Service",
  metadata: { name, namespace: "default", annotations: { "k8s.v1.cni.cncf.io/service-network": "svc-net" } },
  spec: { ports },
});
const check = (name: string, day: number, spec: Record<string, unknown>, namespace = "default"): Manifest => ({
  kind: "HealthCheck",
  metadata: { name, namespace, creationTimestamp: `2026-01-0${day}T00:00:00Z` },
  spec,
});

const WEB = service("web", [
  { name: "http", port: 80 },
  { name: "https", port: 443 },
]);
const DNS = service("dns", [
  { name: "datagrams", protocol: "UDP", port: 53 },
  { name: "streams", protocol: "TCP", port: 53 },
]);

/** Names of the checks of each port, and `name status reason message` of each check. */
function resolve(...manifests: Manifest[]): {
  readonly ports: Readonly<Record<string, string | undefined>>;
  readonly reports: readonly string[];
} {
  const view = viewOf(manifests);
  const { of, reports } = assignHealthChecks(view);
  const ports = view
    .list("Service")
    .flatMap((one) => one.spec.ports.map((port) => [`${one.metadata.name}/${port.name}`, of(one, port)] as const));
  return {
    ports: Object.fromEntries(ports.map(([name, found]) => [name, found?.metadata.name])),
    reports: reports.map(({ check: { metadata }, accepted }) =>
      [metadata.name, accepted.status, accepted.reason, accepted.message].join(" "),
    ),
  };
}

describe("which check is in force where", () => {
  test("an ordinary Service has none: the kubelet asks its pods", () => {
    const ordinary = { ...WEB, metadata: { name: "web", namespace: "default" } };
    const { ports, reports } = resolve(ordinary, check("all", 1, { targetRefs: [{ name: "web" }] }));
    expect(ports).toEqual({ "web/http": undefined, "web/https": undefined });
    expect(reports).toEqual([expect.stringMatching(/^all False Invalid Service web names no service network: /)]);
  });

  test("a Service's check holds for its ports, but for those that have their own", () => {
    const { ports, reports } = resolve(
      WEB,
      check("all", 1, { targetRefs: [{ name: "web" }] }),
      check("pages", 2, { targetRefs: [{ name: "web", sectionName: "http" }], type: "HTTP" }),
    );
    expect(ports).toEqual({ "web/http": "pages", "web/https": "all" });
    expect(reports.map((line) => line.split(" ")[1])).toEqual(["True", "True"]);
  });

  test("of two for the same the older is in force, and the newer is told so", () => {
    const { ports, reports } = resolve(
      WEB,
      check("a", 2, { targetRefs: [{ name: "web" }] }),
      check("b", 1, { targetRefs: [{ name: "web" }] }),
    );
    expect(ports).toEqual({ "web/http": "b", "web/https": "b" });
    expect(reports[1]).toBe(
      "a False Conflicted Service web is checked by HealthCheck b, which is older: delete one of the two",
    );
  });

  test("a reference that leads nowhere leaves the others in force", () => {
    const { ports, reports } = resolve(
      WEB,
      check("a", 1, { targetRefs: [{ name: "none" }, { name: "web", sectionName: "x" }, { name: "web" }] }),
      check("elsewhere", 2, { targetRefs: [{ name: "web" }] }, "other"),
    );
    expect(ports).toEqual({ "web/http": "a", "web/https": "a" });
    expect(reports).toEqual([
      "a False TargetNotFound there is no Service none in namespace default; Service web has no port named x",
      "elsewhere False TargetNotFound there is no Service web in namespace other",
    ]);
  });

  test("a check of UDP needs a port of UDP, or one of its own", () => {
    const { ports, reports } = resolve(
      WEB,
      check("none", 1, { targetRefs: [{ name: "web" }], type: "UDP" }),
      check("one", 2, { targetRefs: [{ name: "web" }], type: "UDP", port: 7 }),
    );
    expect(ports).toEqual({ "web/http": "one", "web/https": "one" });
    expect(reports[0]).toBe(
      "none False Invalid Service web has no port for a check of type UDP: name one in spec.port",
    );
  });
});

test("what a check asks", () => {
  const asked = (spec: Record<string, unknown>, of: Manifest, name: string) => {
    const view = viewOf([of, check("c", 1, { targetRefs: [{ name: "x" }], ...spec })]);
    const [one]: readonly (Service | undefined)[] = view.list("Service");
    const [policy]: readonly (HealthCheck | undefined)[] = view.list("HealthCheck");
    const port = one?.spec.ports.find((candidate) => candidate.name === name);
    if (one === undefined || policy === undefined || port === undefined) throw new Error("no such port");
    const found = askedPort(policy, one, port);
    return found && (found.number ?? found.port?.name ?? "no port");
  };
  expect(asked({}, WEB, "https")).toBe("https");
  expect(asked({}, DNS, "datagrams")).toBe("streams");
  expect(asked({ type: "UDP" }, DNS, "datagrams")).toBe("datagrams");
  expect(asked({ type: "HTTP", port: 8080 }, WEB, "https")).toBe(8080);
  expect(asked({ type: "ICMP" }, WEB, "http")).toBe("no port");
  expect(asked({ type: "UDP" }, WEB, "http")).toBeUndefined();
});
