import { within } from "#shared/process/pause.ts";
import type { LabPod } from "../pods.ts";

/** Where a Pod's status goes. Throws when it cannot be written now. */
export interface PodStatusWriter {
  write(pod: LabPod, status: Readonly<Record<string, unknown>>): Promise<void>;
}

const RETRY_MS = 100;
/** The last word about a Pod is waited for so long; its object may have gone. */
const LAST_WORD_MS = 2_000;

interface PodState {
  readonly pod: LabPod;
  phase: "Running" | "Succeeded";
  ready: boolean;
  since: string;
  /** Whether there is a Pod to speak of. */
  present: boolean;
  stored: boolean;
  writing: Promise<void> | undefined;
}

/**
 * The kubelet's part in the lab: each Pod's Ready condition, addresses and phase follow its node's processes.
 * Level-triggered: `update` says what is so now; the last value is written, again and again until it is stored.
 */
export class Kubelet {
  readonly #writer: PodStatusWriter;
  readonly #report: (message: string) => void;
  readonly #states = new Map<string, PodState>();
  #closed = false;

  constructor(pods: readonly LabPod[], writer: PodStatusWriter, report: (message: string) => void) {
    this.#writer = writer;
    this.#report = report;
    for (const pod of pods) this.#states.set(pod.node, { pod, writing: undefined, ...newborn() });
  }

  /** The Pod that a node stands for. */
  pod(node: string): LabPod | undefined {
    return this.#states.get(node)?.pod;
  }

  /** Begins to report; each Pod starts as not ready. */
  start(): void {
    for (const state of this.#states.values()) void this.#sync(state);
  }

  update(node: string, ready: boolean): void {
    const state = this.#states.get(node);
    if (state === undefined || state.phase !== "Running" || state.ready === ready) return;
    Object.assign(state, { ready, since: now(), stored: false });
    void this.#sync(state);
  }

  /** All of the Pod's processes have ended: resolves when its status says so. Nothing is said of it after that. */
  async end(node: string): Promise<void> {
    const state = this.#states.get(node);
    if (state === undefined) return;
    Object.assign(state, { phase: "Succeeded", ready: false, since: now(), stored: false });
    await within(LAST_WORD_MS, this.#sync(state));
    state.present = false;
  }

  /** The Pod is there again, and new. */
  begin(node: string): void {
    const state = this.#states.get(node);
    if (state === undefined) return;
    Object.assign(state, newborn());
    void this.#sync(state);
  }

  close(): void {
    this.#closed = true;
  }

  #sync(state: PodState): Promise<void> {
    if (!this.#owes(state)) return Promise.resolve();
    state.writing ??= this.#write(state);
    return state.writing;
  }

  #owes({ present, stored }: PodState): boolean {
    return present && !stored && !this.#closed;
  }

  async #write(state: PodState): Promise<void> {
    const { pod } = state;
    while (this.#owes(state)) {
      const { phase, ready } = state;
      try {
        await this.#writer.write(pod, podStatus(state));
        state.stored = state.ready === ready && state.phase === phase;
      } catch (error) {
        this.#report(
          `cannot write the status of pod ${pod.namespace}/${pod.name}: ${error instanceof Error ? error.message : String(error)}`,
        );
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    state.writing = undefined;
  }
}

function newborn(): Omit<PodState, "pod" | "writing"> {
  return { phase: "Running", ready: false, since: now(), present: true, stored: false };
}

function now(): string {
  return new Date().toISOString().replace(/\.[0-9]+Z$/, "Z");
}

function podStatus({ phase, pod, ready, since }: PodState): Readonly<Record<string, unknown>> {
  return {
    phase,
    ...(pod.ips[0] === undefined ? {} : { podIP: pod.ips[0] }),
    podIPs: pod.ips.map((address) => ({ ip: address })),
    conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: since }],
  };
}
