import { isDeepStrictEqual } from "node:util";
import type { HealthCheck } from "#shared/api/health-check.ts";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import { type ObjectStore, type ObjectView, type StatusOf, StoreNotFoundError } from "#shared/store/object-store.ts";
import type { TargetHealthStatus } from "./health-monitor.ts";

/** Statuses are written at most once in this time. */
const QUIET_MS = 1_000;
/** Of those that are out, so many are named; the rest is counted. The schema takes no more. */
const NAMED_TARGETS = 16;

export interface HealthReporterOptions {
  readonly store: ObjectStore;
  readonly view: ObjectView;
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly statuses: () => readonly TargetHealthStatus[];
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Default 1000. */
  readonly quietMs?: number;
}

/** Writes what this instance sees of the targets into the statuses of the HealthChecks; nothing is written twice. */
export class HealthReporter {
  readonly #options: HealthReporterOptions;
  readonly #loop: ConvergeLoop;
  /** By name and uid of the check: one that was made anew has no status. */
  readonly #written = new Map<string, StatusOf>();
  readonly done: Promise<void>;

  constructor(options: HealthReporterOptions) {
    this.#options = options;
    const { log, signal } = options;
    this.#loop = new ConvergeLoop({ name: "health status", converge: () => this.#write(), log, signal });
    this.done = this.#loop.run();
  }

  /** Something may have changed. */
  touch(): void {
    this.#loop.wake();
  }

  async #write(): Promise<undefined> {
    const { pod, quietMs = QUIET_MS, signal, statuses, view } = this.#options;
    const byCheck = new Map<string, TargetHealthStatus[]>();
    for (const status of statuses()) {
      for (const check of status.checks) byCheck.set(check, [...(byCheck.get(check) ?? []), status]);
    }
    for (const check of view.list("HealthCheck")) {
      const { namespace, name, uid } = check.metadata;
      const own = byCheck.get(`${namespace}/${name}`);
      const key = `${namespace}/${name} ${uid}`;
      const listed = check.status?.instances.some((instance) => instance.name === pod.name) === true;
      if (own === undefined && !listed && !this.#written.has(key)) continue;
      const status = { instances: own === undefined ? [] : [instanceEntry(pod.name, own)] };
      if (isDeepStrictEqual(this.#written.get(key), status)) continue;
      await this.#apply({ kind: "HealthCheck", namespace, name }, status);
      this.#written.set(key, status);
    }
    await pause(quietMs, signal);
    return undefined;
  }

  async #apply(ref: ObjectRef, status: StatusOf): Promise<void> {
    try {
      await this.#options.store.applyStatus(ref, status, { fieldManager: `proxy-${this.#options.pod.name}` });
    } catch (error) {
      // It went while we were writing; the watch tells of it.
      if (!(error instanceof StoreNotFoundError)) throw error;
    }
  }
}

/** What one instance says of one check. */
export function instanceEntry(
  instance: string,
  statuses: readonly TargetHealthStatus[],
): NonNullable<HealthCheck["status"]>["instances"][number] {
  const out = statuses.filter(({ state }) => state !== "up");
  const healthy = statuses.length - out.length;
  const rest = out.length - NAMED_TARGETS;
  const message =
    out.length === 0
      ? "all targets answer"
      : healthy === 0
        ? "no target answers: this instance does not attract traffic for them"
        : `${out.length} of ${statuses.length} are out${rest > 0 ? `; ${rest} of them are not named here` : ""}`;
  return {
    name: instance,
    healthy,
    unhealthy: out.length,
    message,
    targets: out.slice(0, NAMED_TARGETS).map(({ target, address, sinceMs, message: failure, state }) => ({
      name: target,
      address,
      since: new Date(sinceMs).toISOString(),
      message: failure || (state === "pending" ? "has not answered yet" : "was out before"),
    })),
  };
}

/** Addresses that the instance has said it does not reach, `namespace/name address` of check and target. */
export function rememberedFrom(view: ObjectView, instance: string): ReadonlySet<string> {
  return new Set(
    view.list("HealthCheck").flatMap(({ metadata, status }) =>
      (status?.instances ?? [])
        // Of an instance that was cut off nothing is known of the targets.
        .filter(({ name, healthy }) => name === instance && healthy > 0)
        .flatMap(({ targets }) => targets.map(({ address }) => `${metadata.namespace}/${metadata.name} ${address}`)),
    ),
  );
}
