import { pino } from "pino";
import { systemClock } from "#shared/process/clock.ts";
import { KubernetesStore } from "#shared/store/kubernetes/kubernetes-store.ts";
import { type ControllerOptions, type RunningController, runController } from "../../../controller/run-controller.ts";
import type { Cluster, Manifest } from "./cluster.ts";
import { SOON } from "./followed.ts";

/** Where nothing stands between it and the API server, a busy machine must not look like a fault. */
const PATIENT = { ...SOON, pingLimitMs: 10_000, connectMs: 10_000, requestMs: 20_000 };

export interface ControllerUnderTest {
  readonly controller: RunningController;
  readonly warnings: string[];
  stop(): Promise<void>;
}

/** The controller as it runs in a cluster, in this process. */
export async function startController(
  cluster: Cluster,
  url?: string,
  more: Partial<ControllerOptions> = {},
): Promise<ControllerUnderTest> {
  const stop = new AbortController();
  const close = new AbortController();
  const warnings: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) });
  const store = new KubernetesStore({
    config: cluster.config(cluster.user("controller"), url),
    log,
    signal: close.signal,
    userAgent: "causeway-controller",
    times: url === undefined ? PATIENT : SOON,
  });
  const controller = await runController({
    store,
    log,
    clock: systemClock,
    signal: stop.signal,
    refusals: store.refusals,
    events: store.events,
    ...more,
  });
  return {
    controller,
    warnings,
    stop: async () => {
      stop.abort();
      await controller.done;
      close.abort();
    },
  };
}

/** A pod with an address on the service network `default/service-net`. */
export function targetPod(name: string, address: string, app = "echo"): Manifest {
  const network = [{ name: "default/service-net", interface: "svc0", ips: [address] }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      labels: { app },
      annotations: { "k8s.v1.cni.cncf.io/network-status": JSON.stringify(network) },
    },
    spec: { nodeName: "worker", containers: [{ name: "c", image: "i" }] },
  };
}

/** What kubelet says of a pod that runs. */
export function runningStatus(isReady = true): object {
  const lastTransitionTime = "2026-01-01T00:00:00Z";
  return {
    status: {
      phase: "Running",
      conditions: [{ type: "Ready", status: isReady ? "True" : "False", lastTransitionTime }],
    },
  };
}
