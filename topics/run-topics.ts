import type { Topic } from "#shared/api/topic.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import { condition } from "#shared/resolve/conditions.ts";
import type { ObjectStore, ObjectView } from "#shared/store/object-store.ts";
import type { LoadLibrary } from "./adapter/topic-adapter.ts";
import type { TopicCounters } from "./bridge/counters.ts";
import { type PlannedTopic, planTopics } from "./plan-topics.ts";
import { TopicReporter } from "./topic-reporter.ts";
import { contentOf, TopicProblemError, TopicService } from "./topic-service.ts";
import { TypesUnavailableError, typesText } from "./types/types-source.ts";

export interface TopicsOptions {
  readonly store: ObjectStore;
  /** The pod that this runs in: Services that select it have their Topics served here. */
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly loadLibrary: LoadLibrary;
  /** On shutdown, how long clients are still served: until new ones are sent elsewhere. */
  readonly drainMs: number;
  readonly log: Log;
  readonly clock: Clock;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

export interface TopicStatus {
  /** `namespace/name` */
  readonly topic: string;
  readonly port?: number;
  readonly clients: number;
  readonly publishers: number;
  readonly subscribers: number;
  readonly counters?: TopicCounters;
  readonly problem?: string;
}

export interface TopicsStatus {
  readonly pod: string;
  readonly topics: readonly TopicStatus[];
  /** What concerns all Topics. */
  readonly problem?: string;
}

export interface RunningTopics {
  readonly done: Promise<void>;
  /** True when some Topic is served, or there is none to serve. */
  ready(): boolean;
  status(): TopicsStatus;
}

/** How often what failed is tried again, files of types are looked at, and counts go into statuses. */
const LOOK_MS = 10_000;

export async function runTopics(options: TopicsOptions): Promise<RunningTopics> {
  const topics = new Topics(options);
  await topics.start();
  return topics;
}

/** What is said of a Topic in its status: counts of the last look, so that not every sample is a write to the API. */
interface Entry {
  readonly state: "Serving" | "Failed";
  readonly message?: string;
  readonly [count: string]: number | string | undefined;
}

class Topics implements RunningTopics {
  readonly #options: TopicsOptions;
  readonly #services = new Map<string, TopicService>();
  readonly #problems = new Map<string, string>();
  readonly #entries = new Map<string, Entry>();
  #view: ObjectView | undefined;
  #reporter: TopicReporter | undefined;
  #podProblem: string | undefined;
  #converged = false;
  #isEnding = false;
  done: Promise<void> = Promise.resolve();

  constructor(options: TopicsOptions) {
    this.#options = options;
  }

  ready(): boolean {
    const isIdle = this.#services.size + this.#problems.size === 0;
    return this.#converged && !this.#isEnding && this.#podProblem === undefined && (isIdle || this.#services.size > 0);
  }

  status(): TopicsStatus {
    const { namespace, name } = this.#options.pod;
    const served = [...this.#services].map(([topic, service]): TopicStatus => {
      const { problem } = service;
      return {
        topic,
        port: service.port,
        clients: service.clients,
        ...service.matched(),
        counters: service.counters,
        ...(problem === undefined ? {} : { problem }),
      };
    });
    const failed = [...this.#problems].map(
      ([topic, problem]): TopicStatus => ({ topic, clients: 0, publishers: 0, subscribers: 0, problem }),
    );
    return {
      pod: `${namespace}/${name}`,
      topics: [...served, ...failed].sort((a, b) => (a.topic < b.topic ? -1 : 1)),
      ...(this.#podProblem === undefined ? {} : { problem: this.#podProblem }),
    };
  }

  async start(): Promise<void> {
    const { store, pod, clock, log, signal, drainMs } = this.#options;
    const { namespace } = pod;
    // Clients are served for a while after the process was told to end.
    const ended = new AbortController();
    const loop = new ConvergeLoop({ name: "topics", converge: () => this.#converge(), log, signal: ended.signal });
    const kinds = ["Topic", "Service", "ConfigMap", "Pod"] as const;
    const view = await store.watch(
      kinds.map((kind) => ({ kind, namespace })),
      () => loop.wake(),
      ended.signal,
    );
    this.#view = view;
    const reporter = new TopicReporter({
      objects: () => view.list("Topic").filter(({ metadata }) => metadata.namespace === namespace),
      store,
      pod,
      fieldManager: (name) => `topics-${name}`,
      entryOf: ({ metadata }) => this.#entries.get(`${metadata.namespace}/${metadata.name}`),
      conditionsOf: (topic) => this.#conditionsOf(topic),
      clock,
      log,
      signal: ended.signal,
    });
    this.#reporter = reporter;
    const running = loop.run();
    this.done = (async () => {
      await untilAborted(signal);
      this.#isEnding = true;
      log.info({ drainMs }, "clients are still served for a while");
      await pause(drainMs, AbortSignal.any([]));
      ended.abort();
      await Promise.all([running, reporter.done]);
      const closing = [...this.#services.values()].map((service) => service.close("this instance ends; connect again"));
      await Promise.allSettled(closing);
      await reporter.withdraw().catch((err: unknown) => log.warn({ err }, "the statuses of Topics keep our entry"));
    })();
  }

  async #converge(): Promise<number> {
    const { log, pod } = this.#options;
    const view = this.#view;
    if (view === undefined) return LOOK_MS;
    const own = view.get("Pod", pod.namespace, pod.name);
    // Without our Pod nobody can tell what is ours: what is served goes on.
    this.#podProblem = own === undefined ? `there is no Pod ${pod.namespace}/${pod.name} (--pod)` : undefined;
    if (own === undefined) return LOOK_MS;
    const planned = planTopics(view, own);
    const keys = new Set(planned.map(({ key }) => key));
    for (const key of [...this.#services.keys()])
      if (!keys.has(key)) await this.#close(key, "the Topic is not served here any more");
    for (const key of [...this.#problems.keys(), ...this.#entries.keys()]) {
      if (keys.has(key)) continue;
      this.#problems.delete(key);
      this.#entries.delete(key);
    }
    for (const plan of planned) {
      try {
        await this.#serve(view, plan);
        this.#problems.delete(plan.key);
      } catch (error) {
        await this.#close(plan.key, "the Topic cannot be served any more");
        const isKnown = error instanceof TopicProblemError || error instanceof TypesUnavailableError;
        const problem = isKnown ? error.message : `unexpected: ${String(error)}`;
        if (this.#problems.get(plan.key) !== problem) {
          log.error({ topic: plan.key, problem, ...(isKnown ? {} : { err: error }) }, "cannot serve a Topic");
        }
        this.#problems.set(plan.key, problem);
      }
      this.#entries.set(plan.key, this.#entryOf(plan.key));
    }
    this.#converged = true;
    this.#reporter?.touch();
    return LOOK_MS;
  }

  async #serve(view: ObjectView, plan: PlannedTopic): Promise<void> {
    const { loadLibrary, log, nowMs } = this.#options;
    const { key, topic } = plan;
    if (plan.problem !== undefined) throw new TopicProblemError(plan.problem);
    const { port } = plan;
    const text = await typesText(view, topic);
    const content = contentOf({ topic, port, typesText: text });
    if (this.#services.get(key)?.content === content) return;
    await this.#close(key, "the Topic has changed; connect again");
    const service = await TopicService.open({ key, topic, port, typesText: text, loadLibrary, nowMs, log });
    this.#services.set(key, service);
    log.info({ topic: key, port: service.port }, "served");
  }

  async #close(key: string, reason: string): Promise<void> {
    const service = this.#services.get(key);
    if (service === undefined) return;
    this.#services.delete(key);
    await service.close(reason);
    this.#options.log.info({ topic: key, reason }, "no longer served");
  }

  #entryOf(key: string): Entry {
    const service = this.#services.get(key);
    const problem = this.#problems.get(key) ?? service?.problem;
    const message = problem === undefined ? {} : { message: problem };
    if (service === undefined) return { state: "Failed", ...message };
    const { counters, clients } = service;
    return {
      state: problem === undefined ? "Serving" : "Failed",
      ...message,
      clients,
      ...service.matched(),
      samplesRead: counters.read,
      samplesWritten: counters.written,
    };
  }

  #conditionsOf({ metadata, status }: Topic) {
    const entry = this.#entries.get(`${metadata.namespace}/${metadata.name}`);
    if (entry === undefined) return [];
    const own = this.#options.pod.name;
    const others = (status?.instances ?? []).filter(({ name }) => name !== own);
    const all = [{ ...entry, name: own }, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
    const failed = all.find(({ state }) => state !== "Serving");
    const { generation } = metadata;
    if (failed === undefined) {
      return [condition("Serving", "True", "Serving", "All instances serve the Topic.", generation)];
    }
    const message = `Pod ${failed.name}: ${failed.message ?? failed.state}`;
    return [condition("Serving", "False", "Failed", message, generation)];
  }
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
