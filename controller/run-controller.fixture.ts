import { NETWORK_STATUS_ANNOTATION, SERVICE_NETWORK_ANNOTATION, SERVICE_PROXY_LABEL } from "#shared/api/names.ts";
import type { Manifest } from "#shared/resolve/objects.fixture.ts";

/* Manifests around Gateway `infra/gw`, Service `infra/web` and network `infra/blue`. */

export const BASE: Manifest[] = [
  { kind: "GatewayClass", metadata: { name: "causeway" }, spec: { controllerName: "causeway.dev/gateway-controller" } },
  {
    kind: "GatewayParameters",
    metadata: { name: "net", namespace: "infra" },
    spec: {
      externalNetworks: [{ interface: "ext0" }],
      serviceNetworks: [{ network: "blue", interface: "svc0" }],
      ipFamilies: ["IPv4"],
    },
  },
  { kind: "AddressPool", metadata: { name: "pool" }, spec: { addresses: ["192.0.2.0/28"] } },
];
export const gateway = (name: string, spec: Record<string, unknown> = {}): Manifest => ({
  kind: "Gateway",
  metadata: { name, namespace: "infra" },
  spec: {
    gatewayClassName: "causeway",
    infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "net" } },
    listeners: [{ name: "a", protocol: "TCP", port: 80 }],
    ...spec,
  },
});
export const instance = (gatewayName: string, ready: boolean, name = `${gatewayName}-1`): Manifest => ({
  kind: "Pod",
  metadata: { name, namespace: "infra", labels: { "gateway.networking.k8s.io/gateway-name": gatewayName } },
  status: { conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
});
export const service = (name = "web", annotation = "blue"): Manifest => ({
  kind: "Service",
  metadata: {
    name,
    namespace: "infra",
    labels: { [SERVICE_PROXY_LABEL]: "causeway" },
    annotations: { [SERVICE_NETWORK_ANNOTATION]: annotation },
  },
  spec: { selector: { app: name }, ports: [{ port: 80 }] },
});
export const target = (name: string, address: string, app = "web", annotation?: string): Manifest => ({
  kind: "Pod",
  metadata: {
    name,
    namespace: "infra",
    labels: { app },
    annotations: {
      [NETWORK_STATUS_ANNOTATION]: annotation ?? JSON.stringify([{ name: "infra/blue", ips: [address] }]),
    },
  },
  status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
});
export const route = (name: string, creationTimestamp: string): Manifest => ({
  kind: "TCPRoute",
  metadata: { name, namespace: "infra", creationTimestamp },
  spec: { parentRefs: [{ name: "gw" }], rules: [{ backendRefs: [{ name: "web", port: 80 }] }] },
});
