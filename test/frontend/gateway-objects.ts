import { type AnyObject, KINDS } from "#shared/api/kinds.ts";
import { EXTERNAL, GATEWAY_ASN, ROUTER_ASN } from "./router-network.ts";

export const POD = { namespace: "edge", name: "gateway-a" } as const;
export const GATEWAY = { namespace: "edge", name: "front" } as const;

/** What an instance needs before any peer: its Gateway, the parameters with the external interface, its Pod. */
export function baseObjects(): AnyObject[] {
  return [
    KINDS.GatewayClass.schema.parse({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "GatewayClass",
      metadata: { name: "causeway" },
      spec: {
        controllerName: "causeway.dev/gateway-controller",
        parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "edge", namespace: "edge" },
      },
    }),
    KINDS.GatewayParameters.schema.parse({
      apiVersion: "causeway.dev/v1alpha1",
      kind: "GatewayParameters",
      metadata: { name: "edge", namespace: "edge" },
      spec: {
        externalNetworks: [{ interface: EXTERNAL.interface }],
        serviceNetworks: [{ network: "edge/service", interface: "cw-int" }],
      },
    }),
    KINDS.Gateway.schema.parse({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { ...GATEWAY, labels: { tier: "front" } },
      spec: { gatewayClassName: "causeway", listeners: [{ name: "web", protocol: "TCP", port: 80 }] },
    }),
    KINDS.Pod.schema.parse({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...POD, labels: { "gateway.networking.k8s.io/gateway-name": GATEWAY.name } },
    }),
  ];
}

export function secret(name: string, password: string): AnyObject {
  return KINDS.Secret.schema.parse({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "edge" },
    stringData: { password },
  });
}

/** A BgpPeer with timers as short as a test wants them. */
export function peer(name: string, address: string, spec: Record<string, unknown> = {}): AnyObject {
  return KINDS.BgpPeer.schema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "BgpPeer",
    metadata: { name, namespace: "edge" },
    spec: { address, asn: ROUTER_ASN, localAsn: GATEWAY_ASN, connectRetrySeconds: 1, ...spec },
  });
}

/** An entry of programmed.json. */
export function vip(address: string, ready = true) {
  const services = [{ name: "edge/web", port: 80, protocol: "TCP" as const, readyTargets: ready ? 2 : 0 }];
  return { address, ready, services };
}
