import type { Topic } from "#shared/api/topic.ts";
import type { Log } from "#shared/process/log.ts";
import { LibraryUnavailableError, type LoadLibrary, TopicOpenError } from "./adapter/topic-adapter.ts";
import type { TopicCounters } from "./bridge/counters.ts";
import { TopicBridge } from "./bridge/topic-bridge.ts";
import { TopicListener } from "./bridge/topic-listener.ts";
import { parseTypes, TypesUnavailableError } from "./types/types-source.ts";

export interface TopicServiceOptions {
  readonly key: string;
  readonly topic: Topic;
  readonly port: number;
  readonly typesText: string;
  readonly loadLibrary: LoadLibrary;
  readonly nowMs: () => number;
  readonly log: Log;
}

/** A Topic that is served: the topic in DDS, the listener, and what is between them. */
export class TopicService {
  readonly #bridge: TopicBridge;
  readonly #listener: TopicListener;
  readonly #matched: () => { readonly publishers: number; readonly subscribers: number };
  /** What it was made of: it is made anew when this changes. */
  readonly content: string;

  private constructor(
    content: string,
    bridge: TopicBridge,
    listener: TopicListener,
    matched: () => { readonly publishers: number; readonly subscribers: number },
  ) {
    this.content = content;
    this.#bridge = bridge;
    this.#listener = listener;
    this.#matched = matched;
  }

  /** @throws TopicProblemError. */
  static async open(options: TopicServiceOptions): Promise<TopicService> {
    const { key, topic, port, typesText, loadLibrary, nowMs, log } = options;
    const { spec } = topic;
    try {
      const types = parseTypes(topic, typesText);
      const library = await loadLibrary();
      const adapter = library.open({ key, spec, types });
      const bridge = new TopicBridge({ spec, adapter, nowMs, log });
      try {
        const onError = (err: Error): void => log.error({ err, topic: key }, "cannot take a connection");
        const listener = await TopicListener.open({ port, limits: spec.limits, bridge, onError });
        return new TopicService(contentOf(options), bridge, listener, () => adapter.matched());
      } catch (cause) {
        await bridge.close("the Topic is not served");
        throw new TopicProblemError(
          `spec.service.port: port ${port} of the pod cannot be listened at: ${text(cause)}`,
          {
            cause,
          },
        );
      }
    } catch (cause) {
      const isKnown =
        cause instanceof TypesUnavailableError ||
        cause instanceof LibraryUnavailableError ||
        cause instanceof TopicOpenError;
      throw isKnown ? new TopicProblemError(cause.message, { cause }) : cause;
    }
  }

  get port(): number {
    return this.#listener.port;
  }

  get clients(): number {
    return this.#bridge.clients;
  }

  get counters(): TopicCounters {
    return this.#bridge.counters;
  }

  get problem(): string | undefined {
    return this.#bridge.problem;
  }

  matched(): { readonly publishers: number; readonly subscribers: number } {
    return this.#matched();
  }

  async close(reason: string): Promise<void> {
    this.#listener.close();
    await this.#bridge.close(reason);
  }
}

/** A Topic cannot be served: the message names the field, and what to do. Others are not concerned. */
export class TopicProblemError extends Error {
  override readonly name = "TopicProblemError";
}

/** All that a service is made of, as text. */
export function contentOf({
  topic,
  port,
  typesText,
}: Pick<TopicServiceOptions, "topic" | "port" | "typesText">): string {
  return JSON.stringify([topic.metadata.uid, topic.spec, port, typesText]);
}

function text(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
