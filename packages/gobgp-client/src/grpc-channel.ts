import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectSocket } from "node:net";
import { frame, Unframer } from "./grpc-frames.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Time for the whole call; none for a stream that has no end. */
  readonly timeoutMs?: number;
}

/** The server answered with a status other than OK. Codes: https://grpc.io/docs/guides/status-codes/ */
export class GrpcStatusError extends Error {
  override readonly name = "GrpcStatusError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** No status came: connection refused or broken, or the deadline passed. */
export class GrpcTransportError extends Error {
  override readonly name = "GrpcTransportError";
}

/** The bytes are not gRPC as this interface has it. */
export class GrpcFormatError extends Error {
  override readonly name = "GrpcFormatError";
}

export interface ChannelOptions {
  /** A longer answer is refused. gobgpd itself sends no message above the default, 256 MiB. */
  readonly maxMessageBytes?: number;
}

/**
 * gRPC (unary and server streaming) over one HTTP/2 connection without TLS, opened at the first call and again after it
 * broke. Messages are bytes. It is this small because gobgpd and container runtimes need no more, and a general client
 * costs 12 MB more of resident memory.
 * It sends no PINGs: grpc-go ends a connection whose client pings more than once in five minutes.
 */
export class GrpcChannel {
  readonly #open: () => ClientHttp2Session;
  readonly #maxMessageBytes: number;
  #session: ClientHttp2Session | undefined;
  #closed = false;

  /** @param address `host:port`, `[ipv6]:port` or `unix:///path`, as checked by `parseAddress`. */
  constructor(address: GrpcAddress, { maxMessageBytes = 256 * 1024 * 1024 }: ChannelOptions = {}) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#open = () =>
      address.kind === "unix"
        ? connect("http://localhost", { createConnection: () => connectSocket(address.path) })
        : connect(`http://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`);
  }

  /** @param path `/package.Service/Method` */
  async unary(path: string, request: Uint8Array, options: CallOptions): Promise<Buffer> {
    let answer: Buffer | undefined;
    for await (const bytes of this.stream(path, request, options)) answer = bytes;
    if (answer === undefined) throw new GrpcFormatError(`${path}: OK without a message`);
    return answer;
  }

  /** Ends when the server ends; throws the signal's reason when aborted. */
  async *stream(path: string, request: Uint8Array, options: CallOptions): AsyncGenerator<Buffer, void, undefined> {
    options.signal?.throwIfAborted();
    if (this.#closed) throw new GrpcTransportError("client is closed");
    const session = this.#connection();
    const stream = this.#request(session, {
      ":method": "POST",
      ":path": path,
      te: "trailers",
      "content-type": "application/grpc+proto",
      ...(options.timeoutMs === undefined ? {} : { "grpc-timeout": `${options.timeoutMs}m` }),
    });
    const status = statusOf(stream);
    // An error reaches the caller through the iteration below; one that comes after its end concerns nobody.
    stream.on("error", () => undefined);
    const abort = (): void => stream.close(constants.NGHTTP2_CANCEL);
    options.signal?.addEventListener("abort", abort, { once: true });
    let late = false;
    const deadline =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            // The connection may be dead without knowing: others finish on it, new calls open another.
            this.#forget(session);
            session.close();
            abort();
          }, options.timeoutMs);
    try {
      stream.end(frame(request));
      const unframer = new Unframer(this.#maxMessageBytes);
      for await (const chunk of stream) yield* unframer.push(chunk);
      const { code, message } = status();
      if (code !== 0) throw new GrpcStatusError(code, message);
      if (unframer.pending > 0) throw new GrpcFormatError(`${path}: ended inside a message`);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (late) throw new GrpcTransportError(`no answer within ${options.timeoutMs} ms`);
      if (error instanceof RangeError) throw new GrpcFormatError(`${path}: ${error.message}`, { cause: error });
      if (error instanceof GrpcStatusError || error instanceof GrpcFormatError || error instanceof GrpcTransportError) {
        throw error;
      }
      throw new GrpcTransportError(rootMessage(error), { cause: error });
    } finally {
      clearTimeout(deadline);
      options.signal?.removeEventListener("abort", abort);
      if (!stream.closed) abort();
    }
  }

  close(): void {
    this.#closed = true;
    this.#session?.destroy();
    this.#session = undefined;
  }

  #request(session: ClientHttp2Session, headers: OutgoingHttpHeaders): ClientHttp2Stream {
    try {
      return session.request(headers);
    } catch (error) {
      // The connection went between the check and the request.
      this.#forget(session);
      throw new GrpcTransportError(rootMessage(error), { cause: error });
    }
  }

  #connection(): ClientHttp2Session {
    const usable = this.#session && !this.#session.closed && !this.#session.destroyed;
    if (this.#session && usable) return this.#session;
    const session = this.#open();
    // Streams learn of the failure themselves and report it to their callers; here it only ends this connection.
    session.on("error", () => this.#forget(session));
    session.on("close", () => this.#forget(session));
    session.on("goaway", () => this.#forget(session));
    this.#session = session;
    return session;
  }

  #forget(session: ClientHttp2Session): void {
    if (this.#session === session) this.#session = undefined;
  }
}

export type GrpcAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** `host:port`, `[ipv6]:port` or `unix:///absolute/path`; undefined for anything else. */
export function parseAddress(text: string): GrpcAddress | undefined {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length);
    // sun_path has 108 bytes, the last one NUL.
    return path.startsWith("/") && Buffer.byteLength(path) < 108 && !path.includes("\0")
      ? { kind: "unix", path }
      : undefined;
  }
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  return host !== undefined && port >= 1 && port <= 65535 ? { kind: "tcp", host, port } : undefined;
}

/** https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md: unimplemented, unavailable. */
const codeOfHttpStatus: ReadonlyMap<number, number> = new Map([
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);

/** The status arrives in the trailers, or in the headers of an answer without body. */
function statusOf(stream: ClientHttp2Stream): () => { code: number; message: string } {
  let last: IncomingHttpHeaders = {};
  let http: number | undefined;
  stream.on("response", (headers) => {
    http = headers[":status"];
    if (headers["grpc-status"] !== undefined) last = headers;
  });
  stream.on("trailers", (headers) => {
    last = headers;
  });
  return () => {
    const code = last["grpc-status"];
    if (code === undefined && http !== undefined && http !== 200) {
      const mapped = codeOfHttpStatus.get(http);
      if (mapped === undefined) throw new GrpcFormatError(`HTTP status ${http}: not a gRPC server`);
      return { code: mapped, message: `HTTP status ${http}` };
    }
    // A connection that ends early closes its streams without error and without status.
    if (code === undefined) throw new GrpcTransportError("connection ended before the answer");
    const message = last["grpc-message"];
    return { code: Number(code), message: percentDecoded(typeof message === "string" ? message : "") };
  };
}

/** grpc-message is percent-encoded UTF-8; a server that encodes it wrongly still deserves to be heard. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The message at the bottom of a chain of causes: `connect ECONNREFUSED …` rather than `stream cancelled`. */
function rootMessage(error: unknown): string {
  let current = error;
  for (let depth = 0; depth < 10 && current instanceof Error && current.cause !== undefined; depth++)
    current = current.cause;
  return current instanceof Error ? current.message : String(current);
}
