import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { NETWORK_STATUS_ANNOTATION, SERVICE_NETWORK_ANNOTATION, SERVICE_PROXY_LABEL } from "#shared/api/names.ts";
import { Cluster, HAS_GATEWAY_API } from "../../test/cluster/support/cluster.ts";

/*
 * An API server with Services and ready pods, and a route to each Service where the Gateway API's definitions are at hand:
 * `node churn-server.ts SERVICES PODS-EACH FOLDER`. Kubeconfigs go to the folder, and at the end `moments.json`: when which
 * pods and slices were written.
 */

const [, , services = "0", podsEach = "0", folder = ""] = process.argv;
const LISTENERS = 63;
const time = new Date().toISOString();
const cluster = await Cluster.start();
const { storage } = cluster.double;
const made = { uid: "", creationTimestamp: time };
for (let service = 0; service < Number(services); service++) {
  const app = `app-${service}`;
  storage.put("services", {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      ...made,
      uid: `service-${service}`,
      name: app,
      namespace: "default",
      labels: { [SERVICE_PROXY_LABEL]: "causeway" },
      annotations: { [SERVICE_NETWORK_ANNOTATION]: "blue" },
    },
    spec: { selector: { app }, ports: [{ port: 80, protocol: "TCP" }], sessionAffinity: "None" },
  });
  for (let at = 0; at < Number(podsEach); at++) {
    const address = `10.${service >> 8}.${service & 255}.${at + 1}`;
    storage.put("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        ...made,
        uid: `pod-${service}-${at}`,
        generation: 1,
        name: `${app}-${at}`,
        namespace: "default",
        labels: { app },
        annotations: { [NETWORK_STATUS_ANNOTATION]: JSON.stringify([{ name: "default/blue", ips: [address] }]) },
      },
      spec: { nodeName: "worker", containers: [{ name: "c", image: "i" }] },
      status: { phase: "Running", conditions: [{ type: "Ready", status: "True", lastTransitionTime: time }] },
    });
  }
}

/** Gateways of as many listeners as one may have, and a route to each Service. */
async function routes(): Promise<void> {
  const gateway = "gateway.networking.k8s.io/v1";
  const own = "causeway.dev/v1alpha1";
  await cluster.apply({
    ...{ apiVersion: gateway, kind: "GatewayClass", metadata: { name: "causeway" } },
    spec: { controllerName: "causeway.dev/gateway-controller" },
  });
  await cluster.apply({
    ...{ apiVersion: own, kind: "GatewayParameters", metadata: { name: "edge" } },
    // Ports differ: targets' are 80.
    spec: {
      mode: "NAT",
      externalNetworks: [{ network: "external", interface: "ext0" }],
      serviceNetworks: [{ network: "blue", interface: "svc0" }],
    },
  });
  await cluster.apply({
    ...{ apiVersion: own, kind: "AddressPool", metadata: { name: "public" } },
    spec: { addresses: ["198.51.100.0/24"] },
  });
  for (let first = 0; first < Number(services); first += LISTENERS) {
    const name = `edge-${first / LISTENERS}`;
    const own = Array.from({ length: Math.min(LISTENERS, Number(services) - first) }, (_, at) => first + at);
    await cluster.apply({
      ...{ apiVersion: gateway, kind: "Gateway", metadata: { name } },
      spec: {
        gatewayClassName: "causeway",
        infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "edge" } },
        listeners: own.map((service) => ({ name: `l-${service}`, protocol: "TCP", port: 1000 + service })),
      },
    });
    for (const service of own) {
      await cluster.apply({
        ...{ apiVersion: gateway, kind: "TCPRoute", metadata: { name: `app-${service}` } },
        spec: {
          parentRefs: [{ name, sectionName: `l-${service}` }],
          rules: [{ backendRefs: [{ name: `app-${service}`, port: 80 }] }],
        },
      });
    }
  }
}
if (HAS_GATEWAY_API) await routes();

const moments: object[] = [];
cluster.double.storage.subscribe(({ resource, after }) => {
  const atMs = performance.timeOrigin + performance.now();
  if (resource === "pods") moments.push({ pod: after?.metadata.name, atMs });
  if (resource === "endpointslices.discovery.k8s.io") moments.push({ slice: after, atMs });
});
process.once("SIGTERM", () => {
  writeFileSync(join(folder, "moments.json"), JSON.stringify(moments));
  process.exit(0);
});
for (const user of ["controller", "bench"]) writeFileSync(join(folder, `${user}.yaml`), cluster.kubeconfig(user));
process.stdout.write("ready\n");
