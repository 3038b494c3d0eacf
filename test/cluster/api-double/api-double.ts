import { once } from "node:events";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import { Access } from "./access.ts";
import { ApiHandler, type ApiRequest, recordUse, verbOf } from "./api-handler.ts";
import { type Certificate, certificateAuthority } from "./certificate.ts";
import { Faults } from "./faults.ts";
import type { ParsedPath } from "./resource-map.ts";
import { notFound, StatusError } from "./status-error.ts";
import { Storage } from "./storage.ts";
import { WatchStream } from "./watch-stream.ts";

export interface ApiDoubleOptions {
  /** Address to listen on. */
  readonly host?: string;
  /** Time between bookmarks; a minute, as the API server has it, when it is not given. */
  readonly bookmarkMs?: number;
  readonly now?: () => Date;
}

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

/**
 * A server that behaves as kube-apiserver does towards Causeway: strict where a mistake of ours would show in a cluster.
 * What it holds outlives `stop` and `start`, as etcd does.
 */
export class ApiDouble {
  readonly storage = new Storage();
  readonly access = new Access();
  readonly faults = new Faults();
  /** PEM of the authority that signed the server's certificate and signs clients'. */
  readonly ca: string;
  readonly #options: ApiDoubleOptions;
  readonly #handler: ApiHandler;
  readonly #authority = certificateAuthority("api-double");
  readonly #identity: Certificate;
  readonly #watches = new Set<WatchStream>();
  readonly #sockets = new Set<Socket>();
  #server: Http2SecureServer | undefined;
  #port = 0;

  constructor(options: ApiDoubleOptions = {}) {
    this.#options = options;
    this.ca = this.#authority.cert;
    const names = ["localhost", "127.0.0.1", "::1", options.host ?? "127.0.0.1"];
    this.#identity = this.#authority.issue({ commonName: "kube-apiserver" }, [...new Set(names)]);
    this.#handler = new ApiHandler(this.storage, options.now ?? (() => new Date()));
    for (const name of NAMESPACES) {
      const path = this.#handler.resources.parse("/api/v1/namespaces");
      const body = JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
      const request = {
        method: "POST",
        path: "",
        query: new URLSearchParams(),
        contentType: "",
        userAgent: "double",
        body,
      };
      this.#handler.answer(request, path, "create");
    }
  }

  get host(): string {
    return this.#options.host ?? "127.0.0.1";
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `https://${this.host.includes(":") ? `[${this.host}]` : this.host}:${this.#port}`;
  }

  /** Lets in who holds this token, as this user. */
  allow(token: string, user: string): void {
    this.access.allow(token, user);
  }

  /** A client certificate for this user. */
  clientCertificate(user: string): Certificate {
    return this.#authority.issue({ commonName: user }, []);
  }

  /** Serves; always on the same port once it had one. */
  async start(): Promise<void> {
    const { cert, key } = this.#identity;
    const server = createSecureServer({
      cert,
      key,
      ca: this.ca,
      requestCert: true,
      rejectUnauthorized: false,
      allowHTTP1: true,
    });
    server.on("secureConnection", (socket) => this.#keep(socket));
    server.on("connection", (socket: Socket) => this.#keep(socket));
    server.on("sessionError", () => undefined);
    server.on("request", (request, response) => void this.#serve(request, response));
    server.listen(this.#port, this.host);
    await once(server, "listening");
    const address: AddressInfo | string | null = server.address();
    if (address !== null && typeof address === "object") this.#port = address.port;
    this.#server = server;
  }

  /** As kill -9 does: connections break, nothing is said. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    for (const watch of [...this.#watches]) watch.forget();
    for (const socket of [...this.#sockets]) socket.destroy();
    server.close();
    await once(server, "close");
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Whoever continues from before now is told 410. */
  compact(): void {
    this.storage.compact();
  }

  /** Ends the open watches in good order. */
  endWatches(): void {
    for (const watch of [...this.#watches]) watch.close();
  }

  /** Ends the open watches with an ERROR event. */
  failWatches(error: StatusError): void {
    for (const watch of [...this.#watches]) watch.fail(error);
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  /** Open TCP connections. */
  get connectionCount(): number {
    return [...this.#sockets].filter((socket) => !(socket instanceof TLSSocket)).length;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    response.on("error", () => undefined);
    request.on("error", () => undefined);
    try {
      await this.#respond(request, response);
    } catch (error) {
      if (response.stream?.destroyed === true) return;
      const status =
        error instanceof StatusError
          ? error
          : new StatusError(500, "InternalError", String(error instanceof Error ? error.stack : error));
      sendStatus(response, status);
    }
  }

  async #respond(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const url = new URL(request.url, "https://double");
    const asked: ApiRequest = {
      method: request.method,
      path: url.pathname,
      query: url.searchParams,
      contentType: request.headers["content-type"] ?? "",
      userAgent: request.headers["user-agent"] ?? "",
      body: await bodyOf(request),
    };
    const { socket } = request;
    const user = this.access.userOf(
      request.headers.authorization,
      socket instanceof TLSSocket ? socket : tlsOf(request),
    );
    if (["/readyz", "/livez", "/healthz"].includes(asked.path)) return sendText(response, "ok");
    if (asked.path === "/version")
      return sendJson(response, 200, { major: "1", minor: "36", gitVersion: "v1.36.0-double" });
    const discovery = this.#handler.resources.discovery(asked.path);
    if (discovery !== undefined) return sendJson(response, 200, discovery);
    if (asked.path.startsWith("/openapi")) throw notFound("openapi");
    const path = this.#handler.resources.parse(asked.path);
    const verb = verbOf(asked, path);
    recordUse(this.access, user, verb, path);
    const subresource = path.subresource ?? "";
    const fault = this.faults.take({ verb, resource: path.type.plural, subresource, user });
    if (fault?.type === "swallow") return;
    if (fault?.type === "status") {
      const { code, reason, retryAfterSeconds } = fault;
      throw new StatusError(
        code,
        reason,
        `injected: ${reason}`,
        retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
      );
    }
    if (fault?.type === "delay") await delay(fault.ms);
    if (verb === "watch") return this.#watch(asked, path, response);
    const { code, body } = this.#handler.answer(asked, path, verb);
    // An apply that makes the object needs both rights.
    if (verb === "patch" && code === 201) recordUse(this.access, user, "create", path);
    if (fault?.type === "lose-answer") {
      response.stream?.session?.destroy();
      return;
    }
    if (fault?.type === "truncate") {
      const text = JSON.stringify(body);
      response.writeHead(code, { "content-type": "application/json" });
      response.end(text.slice(0, Math.floor(text.length / 2)));
      return;
    }
    sendJson(response, code, body);
  }

  #watch(request: ApiRequest, path: ParsedPath, response: Http2ServerResponse): void {
    const selection = this.#handler.selection(path, request.query);
    const { bookmarkMs = 60_000 } = this.#options;
    let started = false;
    const begin = (): void => {
      if (!started) response.writeHead(200, { "content-type": "application/json" });
      started = true;
    };
    const sink = {
      write: (line: string) => {
        begin();
        response.write(line);
      },
      end: () => {
        begin();
        response.end();
      },
    };
    const holder: { watch?: WatchStream } = {};
    const onEnd = (): void => {
      if (holder.watch !== undefined) this.#watches.delete(holder.watch);
    };
    const watch = new WatchStream(this.storage, selection, sink, { bookmarkMs, onEnd });
    if (response.writableEnded) return;
    holder.watch = watch;
    this.#watches.add(watch);
    response.on("close", () => watch.forget());
    begin();
  }
}

function tlsOf(request: Http2ServerRequest): TLSSocket {
  const socket = request.stream.session?.socket;
  if (socket instanceof TLSSocket) return socket;
  throw new StatusError(401, "Unauthorized", "Unauthorized");
}

async function bodyOf(request: Http2ServerRequest): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

function sendText(response: Http2ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "text/plain" });
  response.end(text);
}

function sendJson(response: Http2ServerResponse, code: number, body: object): void {
  response.writeHead(code, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

function sendStatus(response: Http2ServerResponse, error: StatusError): void {
  const { code, retryAfterSeconds } = error;
  const retryAfter = retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
  response.writeHead(code, { "content-type": "application/json", ...retryAfter });
  response.end(`${JSON.stringify(error.body())}\n`);
}
