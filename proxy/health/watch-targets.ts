import type { EndpointSlice } from "#shared/api/core.ts";
import type { Clock } from "#shared/process/clock.ts";
import type { Log } from "#shared/process/log.ts";
import type { GatewayAttachment } from "#shared/resolve/attachment-types.ts";
import { assignHealthChecks } from "#shared/resolve/health-checks.ts";
import type { ObjectStore, ObjectView } from "#shared/store/object-store.ts";
import { HealthMonitor } from "./health-monitor.ts";
import { HealthReporter, rememberedFrom } from "./health-reporter.ts";
import { planProbes } from "./plan-probes.ts";

export interface WatchTargetsOptions {
  readonly store: ObjectStore;
  readonly view: ObjectView;
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly log: Log;
  readonly clock: Clock;
  /** Who is reachable has changed. */
  readonly onChange: () => void;
  /** Ends the writing of statuses. */
  readonly signal: AbortSignal;
}

/** The health of an instance's targets: what is asked, what is known, and what is written about it. */
export interface HealthWatch {
  readonly monitor: Pick<HealthMonitor, "isUnreachable" | "statuses" | "networks">;
  /** To be called with every change of objects. */
  plan(gateways: readonly GatewayAttachment[], slices: readonly EndpointSlice[]): void;
  close(): Promise<void>;
}

export function watchTargets({ clock, log, onChange, pod, signal, store, view }: WatchTargetsOptions): HealthWatch {
  const monitor = new HealthMonitor({
    log,
    clock,
    remembered: rememberedFrom(view, pod.name),
    onChange: () => {
      reporter.touch();
      onChange();
    },
  });
  const reporter = new HealthReporter({ store, view, pod, statuses: () => monitor.statuses(), log, signal });
  return {
    monitor,
    plan: (gateways, slices) => {
      if (monitor.plan(planProbes(gateways, slices, assignHealthChecks(view)))) reporter.touch();
    },
    close: async () => {
      await monitor.close();
      await reporter.done;
    },
  };
}
