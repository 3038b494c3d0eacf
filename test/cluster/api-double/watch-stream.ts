import type { ApiObject } from "./api-object.ts";
import { predicateOf, revisionIn, type Selection } from "./lists.ts";
import { inVersion } from "./registry.ts";
import { apiVersionOf, resourceName } from "./resource-type.ts";
import { badRequest, expired, type StatusError } from "./status-error.ts";
import type { Storage, StorageEvent } from "./storage.ts";

/** Where a watch's events go: a response. */
export interface WatchSink {
  /** One JSON document and a newline. */
  write(line: string): void;
  end(): void;
}

export interface WatchOptions {
  /** Time between bookmarks. */
  readonly bookmarkMs: number;
  readonly onEnd: () => void;
}

/** One watch: what changed since a revision, and what changes from now on, until it is closed or its time is up. */
export class WatchStream {
  readonly selection: Selection;
  readonly #sink: WatchSink;
  readonly #storage: Storage;
  readonly #holds: (object: ApiObject) => boolean;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #onEnd: () => void;
  #unsubscribe: () => void = () => undefined;
  #closed = false;

  /** @throws StatusError when the query makes no sense. */
  constructor(storage: Storage, selection: Selection, sink: WatchSink, { bookmarkMs, onEnd }: WatchOptions) {
    this.selection = selection;
    this.#storage = storage;
    this.#sink = sink;
    this.#onEnd = onEnd;
    this.#holds = predicateOf(selection);
    const { query } = selection;
    if (query.has("sendInitialEvents"))
      throw badRequest("sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled");
    const since = revisionIn(query.get("resourceVersion")) ?? 0;
    const seconds = Number(query.get("timeoutSeconds") ?? "0") || 1800 + Math.floor(Math.random() * 1800);
    const bookmarks = query.get("allowWatchBookmarks") === "true";
    if (since !== 0 && since < storage.compacted) {
      // As the watch cache does: 200, and one event that says so.
      this.fail(expired(`too old resource version: ${since} (${storage.compacted})`));
      return;
    }
    if (since === 0) {
      for (const object of storage.list(resourceName(selection.type), selection.namespace)) {
        if (this.#holds(object)) this.#send("ADDED", object);
      }
    } else {
      for (const event of storage.eventsSince(since)) this.#on(event);
    }
    this.#unsubscribe = storage.subscribe((event) => this.#on(event));
    if (bookmarks) this.#timers.push(setInterval(() => this.#bookmark(), bookmarkMs));
    const timeUp = (): void => {
      if (bookmarks) this.#bookmark();
      this.close();
    };
    this.#timers.push(setTimeout(timeUp, seconds * 1000));
  }

  /** An ERROR event, then the end. */
  fail(error: StatusError): void {
    if (this.#closed) return;
    this.#sink.write(`${JSON.stringify({ type: "ERROR", object: error.body() })}\n`);
    this.close();
  }

  /** Ends in good order. */
  close(): void {
    if (this.#closed) return;
    this.forget();
    this.#sink.end();
  }

  /** The client is gone. */
  forget(): void {
    this.#closed = true;
    this.#unsubscribe();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#onEnd();
  }

  #on({ resource, before, after, last }: StorageEvent): void {
    if (resource !== resourceName(this.selection.type)) return;
    const was = before !== undefined && this.#holds(before);
    const is = after !== undefined && this.#holds(after);
    if (is) this.#send(was ? "MODIFIED" : "ADDED", after);
    else if (was) this.#send("DELETED", last);
  }

  #send(type: "ADDED" | "MODIFIED" | "DELETED", object: ApiObject): void {
    if (this.#closed) return;
    const { type: resourceType, version } = this.selection;
    this.#sink.write(`${JSON.stringify({ type, object: inVersion(resourceType, version, object) })}\n`);
  }

  #bookmark(): void {
    const { type, version } = this.selection;
    const object = {
      kind: type.kind,
      apiVersion: apiVersionOf(type.group, version),
      metadata: { resourceVersion: String(this.#storage.revision), creationTimestamp: null },
    };
    this.#sink.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
  }
}
