import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { StoreUnavailableError } from "../object-store.ts";
import type { ApiConfig } from "./api-config.ts";

/*
 * HTTP/2 to the API server: all requests and watches of a process share one connection. It is pinged, so that one which
 * swallows everything is noticed in seconds, whatever is on it. See docs/decisions/019.
 */

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Ends the request, also while the answer is read. */
  readonly signal: AbortSignal;
}

export interface ApiResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** @throws StoreUnavailableError when the answer ends before its time. */
  readonly body: AsyncIterable<Buffer>;
}

export interface ConnectionTimes {
  /** Time between pings. */
  readonly pingMs: number;
  /** A connection that does not answer a ping for so long is given up. */
  readonly pingLimitMs: number;
  /** How long TCP and TLS may take. */
  readonly connectMs: number;
}

const TIMES: ConnectionTimes = { pingMs: 5_000, pingLimitMs: 5_000, connectMs: 10_000 };

function lost(what: string, cause?: unknown): StoreUnavailableError {
  const why = cause instanceof Error && cause.message !== "" ? `: ${cause.message}` : "";
  return new StoreUnavailableError(`${what}${why}`, cause === undefined ? {} : { cause });
}

/** One connection to the API server, made anew when it is needed and the last one is gone. */
export class ApiConnection {
  readonly #config: ApiConfig;
  readonly #times: ConnectionTimes;
  #session: Promise<ClientHttp2Session> | undefined;

  constructor(config: ApiConfig, times: Partial<ConnectionTimes> = {}) {
    this.#config = config;
    this.#times = { ...TIMES, ...times };
  }

  /** @throws StoreUnavailableError when there is no connection, or no answer. */
  async request({ method, path, headers, body, signal }: ApiRequest): Promise<ApiResponse> {
    signal.throwIfAborted();
    const { server } = this.#config;
    const session = await this.#open();
    signal.throwIfAborted();
    const prefix = server.pathname.replace(/\/$/, "");
    let stream: ClientHttp2Stream;
    try {
      stream = session.request(
        { ":method": method, ":path": `${prefix}${path}`, ...headers },
        { endStream: body === undefined },
      );
    } catch (error) {
      throw lost(`the API server at ${server.host} takes no more requests on this connection`, error);
    }
    if (body !== undefined) stream.end(body);
    const abort = (): void => {
      stream.close(constants.NGHTTP2_CANCEL);
      stream.destroy(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    };
    signal.addEventListener("abort", abort, { once: true });
    stream.once("close", () => signal.removeEventListener("abort", abort));
    const answer = await new Promise<IncomingHttpHeaders & { ":status"?: number }>((resolve, reject) => {
      let isAnswered = false;
      // Every stream closes: an error that nobody would see is not worth its stack trace.
      const fail = (error?: unknown): void => {
        if (!isAnswered) reject(lost(`no answer from the API server at ${server.host}`, error));
      };
      stream.once("response", () => {
        isAnswered = true;
      });
      stream.once("response", resolve);
      stream.on("error", fail);
      stream.once("close", () => fail(signal.aborted ? signal.reason : undefined));
    });
    return { status: answer[":status"] ?? 0, headers: answer, body: bodyOf(stream, server.host) };
  }

  close(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.then(
      (open) => open.destroy(),
      () => undefined,
    );
  }

  /** Drops the connection, so that the next request makes a new one, with fresh certificates. */
  renew(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.then(
      (open) => open.close(),
      () => undefined,
    );
  }

  #open(): Promise<ClientHttp2Session> {
    this.#session ??= this.#connect().catch((error: unknown) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  #connect(): Promise<ClientHttp2Session> {
    const { server, ca, certificate, tlsServerName, skipsVerify } = this.#config;
    const { connectMs } = this.#times;
    return new Promise((resolve, reject) => {
      const trusted = ca();
      const session = connect(server.origin, {
        ...(trusted === undefined ? {} : { ca: trusted }),
        ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
        ...certificate(),
        rejectUnauthorized: !skipsVerify,
        settings: { enablePush: false },
      });
      const timer = setTimeout(() => session.destroy(new Error(`no connection within ${connectMs} ms`)), connectMs);
      const gone = (): void => {
        clearTimeout(timer);
        void this.#session?.then(
          (current) => {
            if (current === session) this.#session = undefined;
          },
          () => undefined,
        );
      };
      session.on("error", (error) => {
        gone();
        reject(lost(`cannot connect to the API server at ${server.host}`, error));
      });
      session.on("goaway", gone);
      session.on("close", () => {
        gone();
        reject(lost(`the API server at ${server.host} closed the connection`));
      });
      session.on("connect", () => {
        clearTimeout(timer);
        this.#keepAlive(session);
        resolve(session);
      });
    });
  }

  /** A process must be able to end with a connection open; the pings hold it no more than the connection does. */
  #keepAlive(session: ClientHttp2Session): void {
    const { pingMs, pingLimitMs } = this.#times;
    const timer = setInterval(() => {
      const limit = setTimeout(() => {
        session.destroy(new Error(`no answer to a ping within ${pingLimitMs} ms`));
      }, pingLimitMs);
      limit.unref();
      const sent = !session.destroyed && session.ping(() => clearTimeout(limit));
      if (!sent) clearTimeout(limit);
    }, pingMs);
    timer.unref();
    session.once("close", () => clearInterval(timer));
  }
}

async function* bodyOf(stream: ClientHttp2Stream, host: string): AsyncGenerator<Buffer> {
  let isWhole = false;
  stream.once("end", () => {
    // A stream that the server resets ends, too.
    isWhole = stream.rstCode === constants.NGHTTP2_NO_ERROR || stream.rstCode === undefined;
  });
  try {
    for await (const chunk of stream) {
      if (Buffer.isBuffer(chunk)) yield chunk;
    }
  } catch (error) {
    throw lost(`the answer of the API server at ${host} broke off`, error);
  } finally {
    // Whoever reads no further wants no more.
    if (!isWhole) stream.close(constants.NGHTTP2_CANCEL);
  }
  if (!isWhole) throw lost(`the answer of the API server at ${host} broke off`);
}
