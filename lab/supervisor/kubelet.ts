import type { LabPod } from "../pods.ts";

/** Where a Pod's status goes. Throws when it cannot be written now. */
export interface PodStatusWriter {
  write(pod: LabPod, status: Readonly<Record<string, unknown>>): Promise<void>;
}

const RETRY_MS = 100;

/**
 * The kubelet's part in the lab: each Pod's Ready condition, addresses and phase follow its node's processes.
 * Level-triggered: `update` says what is so now; the last value is written, again and again until it is stored.
 */
export class Kubelet {
  readonly #writer: PodStatusWriter;
  readonly #report: (message: string) => void;
  readonly #states = new Map<
    string,
    { pod: LabPod; ready: boolean; since: string; stored: boolean; writing: boolean }
  >();
  #closed = false;

  constructor(pods: readonly LabPod[], writer: PodStatusWriter, report: (message: string) => void) {
    this.#writer = writer;
    this.#report = report;
    for (const pod of pods)
      this.#states.set(pod.node, { pod, ready: false, since: now(), stored: false, writing: false });
  }

  /** Begins to report; each Pod starts as not ready. */
  start(): void {
    for (const node of this.#states.keys()) void this.#sync(node);
  }

  update(node: string, ready: boolean): void {
    const state = this.#states.get(node);
    if (state === undefined || state.ready === ready) return;
    state.ready = ready;
    state.since = now();
    state.stored = false;
    void this.#sync(node);
  }

  close(): void {
    this.#closed = true;
  }

  async #sync(node: string): Promise<void> {
    const state = this.#states.get(node);
    if (state === undefined || state.writing) return;
    state.writing = true;
    while (!state.stored && !this.#closed) {
      const { ready } = state;
      try {
        await this.#writer.write(state.pod, podStatus(state.pod, ready, state.since));
        state.stored = state.ready === ready;
      } catch (error) {
        this.#report(
          `cannot write the status of pod ${state.pod.namespace}/${state.pod.name}: ${error instanceof Error ? error.message : String(error)}`,
        );
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    state.writing = false;
  }
}

function now(): string {
  return new Date().toISOString().replace(/\.[0-9]+Z$/, "Z");
}

function podStatus(pod: LabPod, ready: boolean, since: string): Readonly<Record<string, unknown>> {
  return {
    phase: "Running",
    ...(pod.ips[0] === undefined ? {} : { podIP: pod.ips[0] }),
    podIPs: pod.ips.map((address) => ({ ip: address })),
    conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: since }],
  };
}
