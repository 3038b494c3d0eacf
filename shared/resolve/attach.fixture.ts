import { expect } from "vitest";
import type { Condition } from "../api/meta.ts";
import { attach } from "./attach.ts";
import type { Attachments } from "./attachment-types.ts";
import { type Manifest, viewOf } from "./objects.fixture.ts";

/* Manifests around one Gateway `infra/gw`, and short forms of what attach() says of them. */

export const CLASS: Manifest = {
  kind: "GatewayClass",
  metadata: { name: "causeway" },
  spec: { controllerName: "causeway.dev/gateway-controller" },
};
export const PARAMETERS: Manifest = {
  kind: "GatewayParameters",
  metadata: { name: "net", namespace: "infra" },
  spec: { externalNetworks: [{ interface: "ext0" }], serviceNetworks: [{ network: "svc", interface: "svc0" }] },
};

export function gateway(spec: Record<string, unknown>, extra: Record<string, unknown> = {}): Manifest {
  return {
    kind: "Gateway",
    metadata: { name: "gw", namespace: "infra", generation: 7 },
    spec: {
      gatewayClassName: "causeway",
      infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "net" } },
      ...spec,
    },
    ...extra,
  };
}
export const tcp = (name: string, port: number, allowedRoutes: unknown = { namespaces: { from: "All" } }): unknown => ({
  name,
  protocol: "TCP",
  port,
  allowedRoutes,
});

export function service(name: string, namespace = "infra", ports: unknown[] = [{ port: 80 }]): Manifest {
  return { kind: "Service", metadata: { name, namespace }, spec: { ports } };
}

export function route(
  kind: "TCPRoute" | "UDPRoute",
  name: string,
  parentRefs: unknown[],
  backendRefs: unknown[] = [{ name: "web", port: 80 }],
  metadata: Record<string, unknown> = {},
): Manifest {
  return {
    kind,
    metadata: { name, namespace: "infra", generation: 3, ...metadata },
    spec: { parentRefs, rules: [{ backendRefs }] },
  };
}
export function flow(
  name: string,
  parentRefs: unknown[],
  spec: Record<string, unknown> = {},
  namespace = "infra",
): Manifest {
  return {
    kind: "FlowRoute",
    metadata: { name, namespace },
    spec: { parentRefs, backendRefs: [{ name: "web", port: 80 }], ...spec },
  };
}

export function attachAll(...manifests: Manifest[]): Attachments {
  return attach(viewOf([CLASS, PARAMETERS, ...manifests]));
}

export function brief(conditions: readonly Condition[]): Record<string, string> {
  return Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
}
export const ACCEPTED = { Accepted: "True Accepted", ResolvedRefs: "True ResolvedRefs" };

export function onlyReport(result: Attachments): Record<string, string> {
  expect(result.routes).toHaveLength(1);
  return brief(result.routes[0]?.conditions ?? []);
}
export function listenerOf(result: Attachments, name: string) {
  const found = result.gateways[0]?.listeners.find(({ listener }) => listener.name === name);
  if (found === undefined) throw new Error(`no listener ${name}`);
  return found;
}
export const attachedNames = (result: Attachments): string[] =>
  (result.gateways[0]?.routes ?? []).map(
    ({ route, listeners }) => `${route.metadata.name}:${listeners.map(({ name }) => name).join(",")}`,
  );
