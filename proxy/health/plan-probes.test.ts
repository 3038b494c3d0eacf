import { describe, expect, test } from "vitest";
import { attach } from "#shared/resolve/attach.ts";
import { assignHealthChecks } from "#shared/resolve/health-checks.ts";
import { servedGateways } from "#shared/resolve/intent.ts";
import type { MemoryStore } from "#shared/store/memory-store.ts";
import { object, type ScenarioOptions, scenario, viewOf } from "../../test/support/scenario.ts";
import { type PlannedProbe, planProbes } from "./plan-probes.ts";

function put(store: MemoryStore, name: string, service: string, spec: Record<string, unknown> = {}): void {
  store.put(
    object({
      apiVersion: "causeway.dev/v1alpha1",
      kind: "HealthCheck",
      metadata: { name, namespace: "default" },
      spec: { targetRefs: [{ name: service }], ...spec },
    }),
  );
}

async function plan(
  spec: Record<string, unknown> = {},
  { more = () => undefined, ...options }: ScenarioOptions & { more?: (store: MemoryStore) => void } = {},
): Promise<readonly PlannedProbe[]> {
  const store = scenario({ targets: 2, ...options });
  put(store, "one", "tcp-8080", spec);
  more(store);
  const view = await viewOf(store);
  const gateways = servedGateways(attach(view), { namespace: "default", name: "edge" });
  return planProbes(gateways, view.list("EndpointSlice"), assignHealthChecks(view));
}

describe("what is asked", () => {
  test("each address of each target of the Service, by its own port and the network's interface", async () => {
    const probes = await plan();
    expect(probes.map(({ address, uses }) => [address, uses])).toEqual([
      ["10.1.0.1", ["default/tcp-8080:TCP/8080 10.1.0.1"]],
      ["10.1.0.2", ["default/tcp-8080:TCP/8080 10.1.0.2"]],
      ["fd00:1::1", ["default/tcp-8080:TCP/8080 fd00:1::1"]],
      ["fd00:1::2", ["default/tcp-8080:TCP/8080 fd00:1::2"]],
    ]);
    expect(probes[0]).toMatchObject({
      target: "default/pod-1",
      network: "default/svc-net",
      interface: "svc0",
      type: "TCP",
      port: 8080,
      intervalMs: 200,
      timeoutMs: 150,
      checks: ["default/one"],
      leaving: false,
    });
  });

  test("the targets' own port where it is translated, or the one that the check names", async () => {
    expect((await plan({}, { mode: "NAT", targetPort: 80 }))[0]?.port).toBe(80);
    expect((await plan({ port: 9 }, { mode: "NAT", targetPort: 80 }))[0]?.port).toBe(9);
    expect((await plan({ type: "ICMP" }))[0]?.port).toBe(0);
  });

  test("a time limit is three quarters of the interval, a second at the most", async () => {
    expect((await plan({ intervalMs: 1_001 }))[0]?.timeoutMs).toBe(750);
    expect((await plan({ intervalMs: 10_000 }))[0]?.timeoutMs).toBe(1_000);
    expect((await plan({ intervalMs: 1_000, timeoutMs: 1_000 }))[0]?.timeoutMs).toBe(1_000);
  });

  test("an HTTP request names the target, or the host of the check", async () => {
    const requestOf = async (http: object, index: number) =>
      (await plan({ type: "HTTP", http }))[index]?.payload.split("\r\n").slice(0, 2);
    expect(await requestOf({}, 0)).toEqual(["GET / HTTP/1.1", "Host: 10.1.0.1:8080"]);
    expect(await requestOf({ path: "/z?a=1" }, 2)).toEqual(["GET /z?a=1 HTTP/1.1", "Host: [fd00:1::1]:8080"]);
    expect(await requestOf({ host: "web.example" }, 0)).toEqual(["GET / HTTP/1.1", "Host: web.example"]);
  });

  test("nothing without a check, of another Service, or of a Service that no route leads to", async () => {
    const store = scenario({ targets: 2 });
    const view = await viewOf(store);
    const gateways = servedGateways(attach(view), { namespace: "default", name: "edge" });
    expect(planProbes(gateways, view.list("EndpointSlice"), assignHealthChecks(view))).toEqual([]);
    expect(await plan({ targetRefs: [{ name: "none" }] })).toEqual([]);
    const routeless = await plan(
      {},
      { more: (s) => s.remove({ kind: "TCPRoute", namespace: "default", name: "tcp-8080" }) },
    );
    expect(routeless).toEqual([]);
  });

  test("the same question once, whoever wants to know; another question apart", async () => {
    const both = await plan({ type: "ICMP" }, { more: (store) => put(store, "two", "udp-8080", { type: "ICMP" }) });
    expect(both).toHaveLength(4);
    expect(both[0]).toMatchObject({
      checks: ["default/one", "default/two"],
      uses: ["default/tcp-8080:TCP/8080 10.1.0.1", "default/udp-8080:UDP/8080 10.1.0.1"],
    });
    const apart = await plan(
      {},
      { more: (store) => put(store, "two", "udp-8080", { type: "UDP", udp: { payload: "x" } }) },
    );
    expect(apart).toHaveLength(8);
    expect(new Set(apart.map(({ id }) => id)).size).toBe(8);
  });
});
