import { randomBytes } from "node:crypto";
import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { discoveryMetrics } from "./metrics.ts";
import { runDiscovery } from "./run-discovery.ts";

export interface DiscoveryMainOptions extends ProcessOptions {
  /** The pod that this runs in. */
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Only these DiscoveryDomains. */
  readonly only?: readonly { readonly namespace: string; readonly name: string }[];
}

export function main(options: DiscoveryMainOptions): Promise<void> {
  const { pod, only = [] } = options;
  return runProcess("discovery", options, async ({ store, log, clock, signal }) => {
    const discovery = await runDiscovery({
      store,
      log,
      signal,
      pod,
      only: only.map(({ namespace, name }) => `${namespace}/${name}`),
      nowMs: () => performance.now(),
      gatewayId: randomBytes(16).toString("hex"),
      clock,
      // RTPS 9.3.1.5: it begins with the vendor's id, which is that of no vendor.
      newGuidPrefix: () => `0000${randomBytes(10).toString("hex")}`,
      random: Math.random,
    });
    return {
      ready: () => discovery.ready(),
      status: () => discovery.status(),
      questions: { "/graph": () => discovery.graph(), "/groups": () => discovery.groups() },
      metrics: () => discoveryMetrics(discovery.status()),
      done: discovery.done,
    };
  });
}
