import { randomUUID } from "node:crypto";
import type { ApiDouble } from "../../test/cluster/api-double/api-double.ts";

/** Pods as a cluster has them: some 7 kB of JSON each, of which managedFields are a good third. */
export function fillWithPods(double: ApiDouble, count: number): number {
  let bytes = 0;
  for (let at = 0; at < count; at++) {
    const pod = podOf(at);
    bytes += JSON.stringify(pod).length;
    double.storage.put("pods", pod);
  }
  return bytes;
}

const TIME = "2026-01-01T00:00:00Z";
const leaves = (prefix: string, count: number): Record<string, object> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`f:${prefix}${at}`, { ".": {}, "f:value": {}, "f:name": {} }]),
  );

function podOf(at: number): Parameters<ApiDouble["storage"]["put"]>[1] {
  const name = `web-${Math.floor(at / 10)}-5d8f6c9b7d-${at.toString(36).padStart(5, "0")}`;
  const node = `worker-${at % 100}`;
  const address = `10.${(at >> 16) & 255}.${(at >> 8) & 255}.${at & 255}`;
  const network = [
    { name: "cbr0", interface: "eth0", ips: [address], mac: "02:00:00:00:00:01", default: true, dns: {} },
    {
      name: "default/blue",
      interface: "net1",
      ips: [address.replace("10.", "11."), `fd00::${at.toString(16)}`],
      mac: "02:00:00:00:00:02",
      dns: {},
    },
  ];
  const condition = (type: string): object => ({ type, status: "True", lastProbeTime: null, lastTransitionTime: TIME });
  const container = (index: number): object => ({
    name: `c${index}`,
    image: `registry.example/team/application-${index}:1.2.${at % 7}`,
    env: Array.from({ length: 12 }, (_, one) => ({
      name: `SETTING_${one}`,
      value: `value of setting ${one} of this container`,
    })),
    ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }],
    resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { memory: "256Mi" } },
    volumeMounts: [
      { name: "kube-api-access", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true },
    ],
    livenessProbe: { httpGet: { path: "/livez", port: 8080 }, periodSeconds: 10 },
    terminationMessagePath: "/dev/termination-log",
    imagePullPolicy: "IfNotPresent",
  });
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: `team-${at % 50}`,
      uid: randomUUID(),
      creationTimestamp: TIME,
      generation: 1,
      labels: { app: `web-${Math.floor(at / 10)}`, "pod-template-hash": "5d8f6c9b7d", tier: "frontend" },
      annotations: {
        "k8s.v1.cni.cncf.io/network-status": JSON.stringify(network),
        "kubectl.kubernetes.io/restartedAt": TIME,
        "prometheus.io/scrape": "true",
      },
      ownerReferences: [
        {
          apiVersion: "apps/v1",
          kind: "ReplicaSet",
          name: `web-${Math.floor(at / 10)}-5d8f6c9b7d`,
          uid: randomUUID(),
          controller: true,
        },
      ],
      managedFields: ["kube-controller-manager", "kubelet", "multus"].map((manager) => ({
        manager,
        operation: "Update" as const,
        apiVersion: "v1",
        time: TIME,
        fieldsType: "FieldsV1" as const,
        fieldsV1: { "f:spec": leaves("spec", 12), "f:status": leaves("status", 6) },
      })),
    },
    spec: {
      nodeName: node,
      serviceAccountName: "default",
      containers: [container(0), container(1)],
      tolerations: [{ key: "a", operator: "Exists" }],
    },
    status: {
      phase: "Running",
      podIP: address,
      podIPs: [{ ip: address }],
      hostIP: "192.0.2.1",
      startTime: TIME,
      conditions: ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(
        condition,
      ),
      containerStatuses: [0, 1].map((index) => ({
        name: `c${index}`,
        ready: true,
        restartCount: 0,
        image: `registry.example/team/application-${index}:1.2.${at % 7}`,
        imageID: `registry.example/team/application@sha256:${"0123456789abcdef".repeat(4)}`,
        containerID: `containerd://${"fedcba9876543210".repeat(4)}`,
        state: { running: { startedAt: TIME } },
      })),
    },
  };
}
