import { writeFileSync } from "node:fs";
import { NETWORK_STATUS_ANNOTATION, SERVICE_NETWORK_ANNOTATION, SERVICE_PROXY_LABEL } from "#shared/api/names.ts";
import { Cluster } from "../../test/cluster/support/cluster.ts";

/* An API server with Services and ready pods: `node churn-server.ts SERVICES PODS-EACH CONTROLLER-CONFIG BENCH-CONFIG`. */

const [, , services = "0", podsEach = "0", ...files] = process.argv;
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
for (const [at, user] of ["controller", "bench"].entries()) writeFileSync(files[at] ?? "", cluster.kubeconfig(user));
process.stdout.write("ready\n");
