import { mkdir, unlink } from "node:fs/promises";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { type Ip, parseIp } from "../net/ip.ts";

/*
 * The few GET requests that a process answers about itself, over HTTP/1.1 without keep-alive (RFC 9112). On node:net,
 * because loading node:http takes 15 MB of resident memory in every process (docs/decisions/007).
 */

/** Linux: sun_path holds 108 bytes with the terminating NUL. */
const SOCKET_PATH_BYTES = 107;
const REQUEST_BYTES = 8192;
/** A client that says and takes nothing for so long has gone. */
const SILENT_MS = 5_000;
/** Asking and answering together: one that trickles must not hold a place for ever. */
const CONVERSATION_MS = 30_000;

/** What a process tells about itself over HTTP. */
export interface Endpoints {
  /** GET /readyz: 200 or 503. */
  readonly ready: () => boolean;
  /** GET /status: anything that JSON can say. */
  readonly status: () => unknown;
  /** GET /metrics: Prometheus text format. */
  readonly metrics?: () => string;
  /** Further paths, answered in JSON; undefined: the question makes no sense. */
  readonly questions?: Readonly<Record<string, (query: URLSearchParams) => unknown>>;
}

interface Answer {
  readonly status:
    | "200 OK"
    | "400 Bad Request"
    | "404 Not Found"
    | "405 Method Not Allowed"
    | "500 Internal Server Error"
    | "503 Service Unavailable";
  readonly type: string;
  readonly body: string;
}

const text = (status: Answer["status"], body: string): Answer => ({ status, type: "text/plain", body: `${body}\n` });

function question(target: string, questions: NonNullable<Endpoints["questions"]>): Answer {
  const [path = "", query = ""] = target.split("?");
  const ask = Object.hasOwn(questions, path) ? questions[path] : undefined;
  if (ask === undefined) {
    const paths = ["/livez", "/readyz", "/status", "/metrics", ...Object.keys(questions)];
    return text("404 Not Found", `here are ${paths.join(", ")}`);
  }
  const found = ask(new URLSearchParams(query));
  if (found === undefined) return text("400 Bad Request", `${path} cannot be answered with ${JSON.stringify(query)}`);
  return { status: "200 OK", type: "application/json", body: `${JSON.stringify(found)}\n` };
}

function answer(requestLine: string, endpoints: Endpoints): Answer {
  const [method, target, version] = requestLine.split(" ");
  if (version === undefined || !version.startsWith("HTTP/1.")) return text("400 Bad Request", "this is HTTP/1.1");
  if (method !== "GET") return text("405 Method Not Allowed", "only GET is served here");
  switch (target) {
    case "/livez":
      return text("200 OK", "ok");
    case "/readyz":
      return endpoints.ready() ? text("200 OK", "ready") : text("503 Service Unavailable", "not ready");
    case "/status":
      return { status: "200 OK", type: "application/json", body: `${JSON.stringify(endpoints.status())}\n` };
    case "/metrics":
      if (endpoints.metrics === undefined) return text("404 Not Found", "no metrics here");
      return { status: "200 OK", type: "text/plain; version=0.0.4", body: endpoints.metrics() };
    default:
      return question(target ?? "", endpoints.questions ?? {});
  }
}

function converse(socket: Socket, endpoints: Endpoints, onError: (error: unknown) => void): void {
  let request = "";
  const reply = ({ status, type, body }: Answer): void => {
    socket.removeAllListeners("data");
    const head = `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
    socket.end(head + body);
  };
  socket.setEncoding("latin1");
  socket.setTimeout(SILENT_MS, () => socket.destroy());
  const limit = setTimeout(() => socket.destroy(), CONVERSATION_MS);
  socket.once("close", () => clearTimeout(limit));
  // A client that went away needs no answer.
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: string) => {
    request += chunk;
    if (request.length > REQUEST_BYTES) return reply(text("400 Bad Request", "the request is too long"));
    if (!request.includes("\r\n\r\n")) return;
    try {
      reply(answer(request.slice(0, request.indexOf("\r\n")), endpoints));
    } catch (error) {
      onError(error);
      reply(text("500 Internal Server Error", String(error)));
    }
  });
}

/**
 * Serves a process's endpoints on a unix socket. A socket file left by an earlier run is replaced.
 * @throws RangeError when the path is too long for a unix socket.
 */
export async function serve(path: string, endpoints: Endpoints, onError: (error: unknown) => void): Promise<Server> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
    throw new RangeError(
      `${path} is too long for a unix socket (${SOCKET_PATH_BYTES} bytes at most): use a shorter --run-dir`,
    );
  }
  await mkdir(dirname(path), { recursive: true });
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  const server = createServer((socket) => converse(socket, endpoints, onError));
  await listening(server, { path });
  return server;
}

/** Where a process answers over TCP. */
export interface ListenAddress {
  /** Undefined: every address of the machine. */
  readonly host: Ip | undefined;
  readonly port: number;
}

/** More clients than this at once are hung up on: nobody has use for them. */
const MAX_CLIENTS = 64;

/** `port`, `address:port`, `[address]:port`; undefined when it is none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]:|([^[\]:]+):)?([0-9]{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const name = bracketed ?? plain;
  const host = name === undefined ? undefined : parseIp(name);
  if (digits === undefined || port > 65_535 || (name !== undefined && host === undefined)) return undefined;
  return { host, port };
}

/** Serves a process's endpoints over TCP: what asks from other machines cannot reach a unix socket. */
export async function serveTcp(
  { host, port }: ListenAddress,
  endpoints: Endpoints,
  onError: (error: unknown) => void,
): Promise<Server> {
  const server = createServer((socket) => converse(socket, endpoints, onError));
  server.maxConnections = MAX_CLIENTS;
  await listening(server, { port, ...(host === undefined ? {} : { host }) });
  return server;
}

async function listening(server: Server, options: ListenOptions): Promise<void> {
  server.listen(options);
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
  });
}
