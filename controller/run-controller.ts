import type { ObjectRef } from "#shared/api/kinds.ts";
import { MULTUS_PROXY_VALUE, SLICE_MANAGED_BY_LABEL, SLICE_MANAGED_BY_VALUE } from "#shared/api/names.ts";
import type { Clock } from "#shared/process/clock.ts";
import type { Log } from "#shared/process/log.ts";
import { ATTACH_KINDS } from "#shared/resolve/attach.ts";
import type { EventSink } from "#shared/store/event-sink.ts";
import type { Interest, ObjectStore } from "#shared/store/object-store.ts";
import type { Refusals } from "#shared/store/refusals.ts";
import { WorkQueue, type WorkQueueOptions } from "#shared/work-queue.ts";
import { Debounced } from "./debounced.ts";
import { EventRecorder } from "./event-recorder.ts";
import { GatewayReconciler, type GatewaySummary } from "./gateway-reconciler.ts";
import { GoneInstances } from "./gone-instances.ts";
import { INSTANCE_INTERESTS, InstanceReconciler } from "./instances/instance-reconciler.ts";
import type { InstanceImage } from "./instances/pod-template.ts";
import type { Problem } from "./problem.ts";
import { OWN_PROXY_NAMES } from "./service-targets.ts";
import { SliceReconciler, type SliceSummary } from "./slice-reconciler.ts";
import { StatusWriter } from "./status-writer.ts";

export interface ControllerOptions {
  readonly store: ObjectStore;
  readonly log: Log;
  readonly clock: Clock;
  /** Ends the controller. */
  readonly signal: AbortSignal;
  /** Between 0 and 1; spreads retries. */
  readonly random?: () => number;
  /** What instances run, where the controller is to make them; undefined: somebody else does. */
  readonly instances?: InstanceImage | undefined;
  /** Whether Services that are marked for multus-service are ours, too. */
  readonly multusService?: boolean;
  /** Where operators are told of what happens. */
  readonly events?: EventSink | undefined;
  /** What the store refuses to read; told in statuses. */
  readonly refusals?: Refusals | undefined;
  /** Waits before retries, and for the ends of grace periods. */
  readonly pause?: WorkQueueOptions["pause"];
}

interface ControllerSnapshot {
  readonly gateways: readonly GatewaySummary[];
  readonly slices: readonly SliceSummary[];
  readonly problems: readonly Problem[];
  readonly queueDepth: number;
}

export interface RunningController {
  /** Whether all that was there at the start has been dealt with. */
  ready(): boolean;
  snapshot(): ControllerSnapshot;
  /** Resolves when nothing waits or runs: all that was seen so far is dealt with, or failed and is to be tried again. */
  settled(): Promise<void>;
  /** Resolves when the signal has aborted and the last write has ended. */
  readonly done: Promise<void>;
}

const INTERESTS: readonly Interest[] = [
  ...ATTACH_KINDS.map((kind) => ({ kind })),
  { kind: "AddressPool" },
  { kind: "HealthCheck" },
  { kind: "BgpPeer" },
  { kind: "DiscoveryDomain" },
  { kind: "Pod" },
  { kind: "EndpointSlice", matchLabels: { [SLICE_MANAGED_BY_LABEL]: SLICE_MANAGED_BY_VALUE } },
];

/** After targets changed: how long until it is looked at whether instances can still forward as routes ask. */
const FORWARDING_QUIET_MS = 500;

/**
 * The keys under which all Gateways are looked at, and all entries of statuses; the others are `namespace/name` of
 * Services, for their slices.
 */
const GATEWAYS = "gateways";
const GONE = "gone";
/** Before a Service's key: its status. Traffic follows slices, and only people read statuses: these can wait. */
const STATUS = "status ";

/**
 * Runs the controller until the signal aborts.
 * @returns when everything has been read once.
 * @throws StoreUnavailableError when the store cannot be read at all.
 */
export async function runController(options: ControllerOptions): Promise<RunningController> {
  const {
    store,
    log,
    clock,
    signal,
    random = Math.random,
    pause,
    instances,
    refusals,
    multusService = false,
    events,
  } = options;
  const hooks: { changed: (ref: ObjectRef) => void } = {
    // Until the reconcilers exist nothing is lost: they begin with all that the view holds by then.
    changed: () => undefined,
  };
  const interests = instances === undefined ? INTERESTS : [...INTERESTS, ...INSTANCE_INTERESTS];
  const view = await store.watch(interests, (ref) => hooks.changed(ref), signal);
  const writer = new StatusWriter(store, clock);
  const recorder = events && new EventRecorder(view, events, clock, log);
  const maker = instances && new InstanceReconciler(view, store, log, instances);
  const gateways = new GatewayReconciler(view, writer, log, { instances: maker, refusals, events: recorder });
  const gone = new GoneInstances(view, store, clock, log);
  const names = multusService ? new Set([...OWN_PROXY_NAMES, MULTUS_PROXY_VALUE]) : OWN_PROXY_NAMES;
  const slices = new SliceReconciler(view, store, writer, log, clock, { names, events: recorder });
  const queue = new WorkQueue({
    reconcile: async (key) => {
      if (key === GONE) return gone.reconcile();
      if (key === GATEWAYS) {
        await gateways.reconcile();
        return undefined;
      }
      if (key.startsWith(STATUS)) {
        await slices.report(key.slice(STATUS.length));
        return undefined;
      }
      const againMs = await slices.reconcile(key);
      queue.addPatient(`${STATUS}${key}`);
      return againMs;
    },
    onFailure: (key, error, retryInMs) => log.warn({ key, err: error, retryInMs }, "will be tried again"),
    random,
    ...(pause === undefined ? {} : { pause }),
    signal,
    concurrency: 16,
  });
  const forwarding = new Debounced(FORWARDING_QUIET_MS, signal, () => {
    if (gateways.forwardingChanged()) queue.add(GATEWAYS);
  });
  hooks.changed = (ref) => {
    for (const key of slices.affectedBy(ref)) queue.add(key);
    if (gateways.concerns(ref)) queue.add(GATEWAYS);
    if (gone.concerns(ref)) queue.add(GONE);
    if (ref.kind === "EndpointSlice" && gateways.concernsForwarding(ref)) forwarding.touch();
    if (view.get(ref.kind, ref.namespace, ref.name) === undefined) writer.forget(ref);
  };
  refusals?.watch(() => queue.add(GATEWAYS), signal);
  // What changes from now on goes before what is found at the start.
  for (const key of slices.keys()) queue.addPatient(key);
  queue.add(GATEWAYS);
  queue.add(GONE);
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const progress = { ready: false };
  void queue.idle().then(() => {
    progress.ready = true;
  });
  return {
    ready: () => progress.ready,
    snapshot: () => ({
      gateways: gateways.gateways,
      slices: slices.services,
      problems: [...gateways.problems, ...slices.problems],
      queueDepth: queue.depth,
    }),
    settled: () => queue.idle(),
    done: aborted.then(() => queue.idle()),
  };
}
