import type { Service } from "#shared/api/core.ts";
import type { ObjectRef } from "#shared/api/kinds.ts";
import type { Clock } from "#shared/process/clock.ts";
import type { Log } from "#shared/process/log.ts";
import { condition, joinMessages } from "#shared/resolve/conditions.ts";
import { type ObjectStore, type ObjectView, StoreConflictError } from "#shared/store/object-store.ts";
import type { EventRecorder, Note } from "./event-recorder.ts";
import { planSlices } from "./plan-slices.ts";
import type { Problem } from "./problem.ts";
import { isServiceI, OWN_PROXY_NAMES, type ProxyNames } from "./service-targets.ts";
import { FIELD_MANAGER, type StatusWriter } from "./status-writer.ts";
import { TargetIndex } from "./target-index.ts";

/** Our condition on a service-i: every pod that its selector selects is a target, or why one is not. */
const TARGETS_CONDITION = "causeway.dev/TargetsResolved";

export interface SliceSummary {
  readonly namespace: string;
  readonly service: string;
  readonly targets: number;
}

export interface SliceExtras {
  /** Labels of Services that are ours. */
  readonly names?: ProxyNames;
  readonly events?: EventRecorder | undefined;
}

/** EndpointSlices from the secondary addresses of pods, Service by Service. */
export class SliceReconciler {
  readonly #view: ObjectView;
  readonly #store: ObjectStore;
  readonly #writer: StatusWriter;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #index: TargetIndex;
  readonly #names: ProxyNames;
  readonly #events: EventRecorder | undefined;
  readonly #summaries = new Map<string, SliceSummary>();
  readonly #problems = new Map<string, readonly string[]>();

  constructor(
    view: ObjectView,
    store: ObjectStore,
    writer: StatusWriter,
    log: Log,
    clock: Clock,
    { names = OWN_PROXY_NAMES, events }: SliceExtras = {},
  ) {
    this.#events = events;
    this.#names = names;
    this.#view = view;
    this.#store = store;
    this.#writer = writer;
    this.#log = log;
    this.#clock = clock;
    this.#index = new TargetIndex(view, names);
  }

  /** In order of namespace and name. */
  get services(): readonly SliceSummary[] {
    return [...this.#summaries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, summary]) => summary);
  }

  get problems(): readonly Problem[] {
    return [...this.#problems].flatMap(([key, messages]) =>
      messages.map((message) => ({ object: `Service ${key}`, message })),
    );
  }

  /** Keys of all Services to look at after a start. */
  keys(): readonly string[] {
    return this.#index.keys();
  }

  /** Keys of the Services that a change concerns. */
  affectedBy(ref: ObjectRef): readonly string[] {
    return this.#index.update(ref);
  }

  /**
   * @param key `namespace/name` of a Service.
   * @returns after how many milliseconds to look again, if nothing changes before.
   */
  async reconcile(key: string): Promise<number | undefined> {
    const slash = key.indexOf("/");
    const [namespace, name] = [key.slice(0, slash), key.slice(slash + 1)];
    const service = this.#view.get("Service", namespace, name);
    const pods = this.#index.podsOf(namespace, name);
    const plan = planSlices(service, pods, this.#index.slicesOf(namespace, name), this.#clock.nowMs(), this.#names);
    const problems = [...plan.problems];
    for (const slice of plan.apply) {
      try {
        await this.#store.apply({ ...slice, kind: "EndpointSlice" }, { fieldManager: FIELD_MANAGER });
      } catch (error) {
        if (!(error instanceof StoreConflictError)) throw error;
        // Trying again would not help: it is looked at again when that slice or the Service changes.
        problems.push(`EndpointSlice ${slice.metadata.name} cannot be written: ${error.message}; delete or rename it`);
      }
    }
    // Only after the new ones are there: a target that moves from slice to slice is never in none.
    for (const stale of plan.delete) await this.#store.delete({ kind: "EndpointSlice", namespace, name: stale });
    if (plan.apply.length > 0 || plan.delete.length > 0) {
      this.#log.debug(
        { service: key, written: plan.apply.length, deleted: plan.delete.length, targets: plan.targets },
        "EndpointSlices written",
      );
    }
    this.#remember(key, service, plan.targets, problems);
    return plan.againMs;
  }

  #remember(key: string, service: Service | undefined, targets: number, problems: readonly string[]): void {
    const ours = service !== undefined && isServiceI(service, this.#names);
    this.#tell(key, ours ? problems : []);
    if (!ours) {
      this.#summaries.delete(key);
      this.#problems.delete(key);
      return;
    }
    const { namespace, name } = service.metadata;
    this.#summaries.set(key, { namespace, service: name, targets });
    const before = this.#problems.get(key) ?? [];
    for (const message of problems) {
      if (!before.includes(message)) this.#log.warn({ service: key }, message);
    }
    this.#problems.set(key, problems);
  }

  #tell(key: string, problems: readonly string[]): void {
    const [namespace = "", name = ""] = key.split("/");
    const ref: ObjectRef = { kind: "Service", namespace, name };
    const note: Note = { ref, type: "Warning", reason: "PodsLeftOut", message: joinMessages(problems) };
    this.#events?.standing(`Service ${key}`, problems.length === 0 ? [] : [note]);
  }

  /** Says in the Service's status what the last {@link SliceReconciler.reconcile} came to. @param key as there. */
  async report(key: string): Promise<void> {
    const [namespace = "", name = ""] = key.split("/");
    const service = this.#view.get("Service", namespace, name);
    if (service === undefined) return;
    const problems = this.#problems.get(key) ?? [];
    const { generation } = service.metadata;
    const ref: ObjectRef = { kind: "Service", namespace, name };
    if (!isServiceI(service, this.#names)) {
      const reported = (service.status?.conditions ?? []).some(({ type }) => type === TARGETS_CONDITION);
      if (reported) await this.#writer.write(ref, { conditions: [] }, service.status);
      return;
    }
    const reported =
      problems.length === 0
        ? condition(TARGETS_CONDITION, "True", "Resolved", "Every selected pod is a target.", generation)
        : condition(TARGETS_CONDITION, "False", "PodsLeftOut", joinMessages(problems), generation);
    await this.#writer.write(ref, { conditions: [reported] }, service.status);
  }
}
