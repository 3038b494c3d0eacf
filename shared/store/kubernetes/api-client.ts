import { pause } from "../../process/pause.ts";
import { StoreUnavailableError } from "../object-store.ts";
import type { ApiConfig } from "./api-config.ts";
import { ApiConnection, type ApiRequest, type ApiResponse, type ConnectionTimes } from "./api-connection.ts";
import { apiErrorOf } from "./api-error.ts";
import { JsonStreamError, readDocument, readLines, readList } from "./json-stream.ts";

export interface ApiClientOptions {
  readonly config: ApiConfig;
  /** `User-Agent`: who asks. */
  readonly userAgent: string;
  readonly times?: Partial<ConnectionTimes & { readonly requestMs: number }>;
}

/** A request that the server is too busy for is repeated so often. */
const BUSY_RETRIES = 4;
const MAX_BUSY_MS = 30_000;
const REQUEST_MS = 30_000;

interface Call {
  readonly method: ApiRequest["method"];
  readonly path: string;
  readonly contentType?: string;
  readonly body?: object;
  readonly signal: AbortSignal;
}

/** Requests to the API server: JSON in, JSON out, its errors as {@link ApiError}. */
export class ApiClient {
  readonly #options: ApiClientOptions;
  readonly #connection: ApiConnection;
  readonly #requestMs: number;

  constructor(options: ApiClientOptions) {
    this.#options = options;
    this.#connection = new ApiConnection(options.config, options.times);
    this.#requestMs = options.times?.requestMs ?? REQUEST_MS;
  }

  close(): void {
    this.#connection.close();
  }

  /**
   * Asks, and reads the answer whole.
   * @throws ApiError, StoreUnavailableError.
   */
  async ask(call: Call): Promise<unknown> {
    return this.#limited(call, async (response) => await readDocument(response.body));
  }

  /** Asks for a list; its items come one by one. @returns what the list says of itself. */
  async list(path: string, onItem: (item: unknown) => void, signal: AbortSignal): Promise<unknown> {
    return this.#limited({ method: "GET", path, signal }, async ({ body }) => await readList(body, onItem));
  }

  /** The events of a watch, until it ends. @throws ApiError, StoreUnavailableError. */
  async *watch(path: string, signal: AbortSignal): AsyncGenerator<unknown> {
    const { body } = await this.#send({ method: "GET", path, signal });
    yield* unlessBroken(readLines(body));
  }

  async #limited<T>(call: Call, read: (response: ApiResponse) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const timer = setTimeout(
      () =>
        limit.abort(new StoreUnavailableError(`${call.method} ${call.path} took longer than ${this.#requestMs} ms`)),
      this.#requestMs,
    );
    try {
      const signal = AbortSignal.any([call.signal, limit.signal]);
      return await read(await this.#send({ ...call, signal }));
    } catch (error) {
      if (limit.signal.aborted && !call.signal.aborted) throw limit.signal.reason;
      if (error instanceof JsonStreamError) throw new StoreUnavailableError(error.message, { cause: error });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** An answer of success. What the server is too busy for is asked again, after the time that it names. */
  async #send(call: Call): Promise<ApiResponse> {
    for (let attempt = 0; ; attempt++) {
      const { token, certificate } = this.#options.config;
      const used = token();
      const response = await this.#connection.request(this.#request(call, used));
      if (response.status >= 200 && response.status < 300) return response;
      const error = apiErrorOf(
        await readDocument(response.body).catch(() => undefined),
        response.status,
        `${call.method} ${call.path}`,
        header(response, "retry-after"),
      );
      if (error.code === 401 && certificate() !== undefined) this.#connection.renew();
      if (error.code !== 429 || attempt >= BUSY_RETRIES) throw error;
      await pause(Math.min(MAX_BUSY_MS, error.retryAfterMs ?? 1000), call.signal);
      call.signal.throwIfAborted();
    }
  }

  #request({ method, path, contentType, body, signal }: Call, token: string | undefined): ApiRequest {
    return {
      method,
      path,
      signal,
      headers: {
        accept: "application/json",
        "user-agent": this.#options.userAgent,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": contentType ?? "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
  }
}

function header({ headers }: ApiResponse, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

async function* unlessBroken(lines: AsyncGenerator<unknown>): AsyncGenerator<unknown> {
  try {
    yield* lines;
  } catch (error) {
    if (error instanceof JsonStreamError) throw new StoreUnavailableError(error.message, { cause: error });
    throw error;
  }
}
