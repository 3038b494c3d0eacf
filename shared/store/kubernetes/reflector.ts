import { z } from "zod";
import { KINDS } from "../../api/kinds.ts";
import { pause } from "../../process/pause.ts";
import type { Interest } from "../object-store.ts";
import type { ApiClient } from "./api-client.ts";
import { ApiError, apiErrorOf } from "./api-error.ts";
import { Backoff } from "./backoff.ts";
import { collectionPath, selectorsOf } from "./paths.ts";
import { ObjectReader, type ReadObject } from "./raw-object.ts";
import type { ServedKind, ServedKinds } from "./served-kinds.ts";

export interface ReflectorTimes {
  /** A watch asks to be ended after this, and up to twice this. */
  readonly watchMs: number;
  /** A watch that the server should have ended so long ago has been forgotten. */
  readonly overdueMs: number;
  /** After this everything is listed again, although nothing tells that a change was missed. */
  readonly resyncMs: number;
  /** How often it is looked whether a kind that is not served has come. */
  readonly unservedMs: number;
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
}

const TIMES: ReflectorTimes = {
  watchMs: 240_000,
  overdueMs: 15_000,
  resyncMs: 1_800_000,
  unservedMs: 15_000,
  firstRetryMs: 100,
  maxRetryMs: 5_000,
};

/** A watch that is cut off sooner was none. */
const SHORT_WATCH_MS = 1_000;
const PAGE = 500;

export interface ReflectorOptions {
  readonly interest: Interest;
  readonly client: ApiClient;
  readonly served: ServedKinds;
  readonly signal: AbortSignal;
  readonly random: () => number;
  readonly nowMs: () => number;
  readonly times?: Partial<ReflectorTimes>;
  /** All objects that there are now; those that are not among them are gone. */
  readonly onList: (objects: readonly ReadObject[]) => void;
  readonly onChange: (object: ReadObject, gone: boolean) => void;
  /** Is told whether the cluster knows the kind, whenever it has been looked up. */
  readonly onServed: (isServed: boolean) => void;
  /** Is told what keeps it from listing or watching, and `undefined` when it works again. */
  readonly onTrouble: (error: unknown) => void;
}

const listSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string().min(1), continue: z.string().optional() }),
});
const eventSchema = z.looseObject({
  type: z.enum(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
  object: z.looseObject({}),
});
const bookmarkSchema = z.looseObject({ metadata: z.looseObject({ resourceVersion: z.string().min(1) }) });

/** The revisions before this one are forgotten: list again. */
class ExpiredError extends Error {
  override readonly name = "ExpiredError";
}

/**
 * Follows the objects of one interest for ever: lists them, watches from there, and lists again when the server has
 * forgotten where the watch was, and from time to time anyway.
 */
export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #times: ReflectorTimes;
  readonly #backoff: Backoff;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
    const { firstRetryMs: firstMs, maxRetryMs: maxMs } = this.#times;
    this.#backoff = new Backoff({ firstMs, maxMs, random: options.random });
  }

  /** Runs until the signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { signal, served, interest, onList, onServed, onTrouble, nowMs } = this.#options;
    while (!signal.aborted) {
      try {
        const found = await served.find(interest.kind, signal);
        if (found === undefined) {
          onList([]);
          onTrouble(undefined);
          onServed(false);
          await pause(this.#times.unservedMs, signal);
          continue;
        }
        onServed(true);
        const reader = new ObjectReader(interest.kind, found.apiVersion);
        const revision = await this.#list(found, reader);
        onTrouble(undefined);
        await this.#follow(
          found,
          reader,
          revision,
          nowMs() + this.#times.resyncMs * (0.75 + this.#options.random() / 2),
        );
      } catch (error) {
        // A server to which everything is too old is no reason to ask it without a pause.
        if (error instanceof ExpiredError) await pause(this.#backoff.nextMs(), signal);
        else await this.#failed(error);
      }
    }
  }

  async #failed(error: unknown): Promise<void> {
    const { signal, onTrouble } = this.#options;
    if (signal.aborted) return;
    onTrouble(error);
    await pause(this.#backoff.nextMs(error instanceof ApiError ? error.retryAfterMs : 0), signal);
  }

  /** @returns the revision that the list shows. */
  async #list(served: ServedKind, reader: ObjectReader): Promise<string> {
    const { client, interest, signal, onList } = this.#options;
    const objects: ReadObject[] = [];
    let token = "";
    for (;;) {
      const query = new URLSearchParams({
        limit: String(PAGE),
        ...selectorsOf(interest),
        ...(token === "" ? {} : { continue: token }),
      });
      const keep = (value: unknown): void => {
        const object = reader.read(value);
        if (object !== undefined) objects.push(object);
      };
      const answer = await this.#unlessExpired(
        client.list(`${collectionPath(served, interest.namespace)}?${query}`, keep, signal),
      );
      const { metadata } = listSchema.parse(answer);
      token = metadata.continue ?? "";
      if (token !== "") continue;
      onList(objects);
      return metadata.resourceVersion;
    }
  }

  /** A list whose next page has expired is begun anew, like everything that has expired. */
  async #unlessExpired<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw error instanceof ApiError && error.isExpired ? new ExpiredError(error.message, { cause: error }) : error;
    }
  }

  /** Watch after watch, each from where the last one ended. @throws ExpiredError */
  async #follow(served: ServedKind, reader: ObjectReader, from: string, untilMs: number): Promise<void> {
    const { signal, nowMs } = this.#options;
    let revision = from;
    while (!signal.aborted && nowMs() < untilMs) {
      const beganMs = nowMs();
      const before = revision;
      try {
        revision = await this.#watch(served, reader, revision, (seen) => {
          revision = seen;
        });
        const wasShort = nowMs() - beganMs < SHORT_WATCH_MS && revision === before;
        if (wasShort) await pause(this.#backoff.nextMs(), signal);
        else this.#backoff.reset();
      } catch (error) {
        if (error instanceof ExpiredError) throw error;
        // The kind has gone, or we may not see it any more: both are found out by listing.
        if (error instanceof ApiError && [400, 403, 404].includes(error.code)) throw error;
        await this.#failed(error);
      }
    }
  }

  /** One watch to its end. @returns the last revision seen. */
  async #watch(
    served: ServedKind,
    reader: ObjectReader,
    from: string,
    onRevision: (revision: string) => void,
  ): Promise<string> {
    const { client, interest, signal, random, onTrouble } = this.#options;
    const timeoutSeconds = Math.max(1, Math.round((this.#times.watchMs * (1 + random())) / 1000));
    const query = new URLSearchParams({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: from,
      timeoutSeconds: String(timeoutSeconds),
      ...selectorsOf(interest),
    });
    const overdue = new AbortController();
    const timer = setTimeout(
      () => overdue.abort(new Error("the watch is overdue")),
      timeoutSeconds * 1000 + this.#times.overdueMs,
    );
    let revision = from;
    try {
      const ends = AbortSignal.any([signal, overdue.signal]);
      const events = client.watch(`${collectionPath(served, interest.namespace)}?${query}`, ends);
      let first = true;
      for (;;) {
        const next = await this.#unlessExpired(events.next());
        if (next.done === true) return revision;
        revision = this.#take(reader, next.value, revision);
        onRevision(revision);
        if (first) {
          this.#backoff.reset();
          onTrouble(undefined);
        }
        first = false;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** @returns the revision after the event. */
  #take(reader: ObjectReader, value: unknown, revision: string): string {
    const event = eventSchema.safeParse(value);
    if (!event.success) throw new TypeError(`no event of a watch: ${JSON.stringify(value).slice(0, 200)}`);
    const { type, object } = event.data;
    if (type === "BOOKMARK") return bookmarkSchema.parse(object).metadata.resourceVersion;
    if (type === "ERROR") {
      const error = apiErrorOf(object, 200, `watching ${KINDS[this.#options.interest.kind].plural}`);
      throw error.isExpired ? new ExpiredError(error.message, { cause: error }) : error;
    }
    const read = reader.read(object);
    if (read === undefined) return revision;
    this.#options.onChange(read, type === "DELETED");
    return read.resourceVersion;
  }
}
