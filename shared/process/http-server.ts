import { mkdir, unlink } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { dirname } from "node:path";

/** Linux: sun_path holds 108 bytes with the terminating NUL. */
const SOCKET_PATH_BYTES = 107;

/** What a process tells about itself over HTTP. */
export interface Endpoints {
  /** GET /readyz: 200 or 503. */
  readonly ready: () => boolean;
  /** GET /status: anything that JSON can say. */
  readonly status: () => unknown;
  /** GET /metrics: Prometheus text format. */
  readonly metrics?: () => Promise<string>;
}

function listener(endpoints: Endpoints, onError: (error: unknown) => void): RequestListener {
  return (request, response) => {
    const answer = async (): Promise<[number, string, string]> => {
      switch (request.url) {
        case "/livez":
          return [200, "text/plain", "ok\n"];
        case "/readyz":
          return endpoints.ready() ? [200, "text/plain", "ready\n"] : [503, "text/plain", "not ready\n"];
        case "/status":
          return [200, "application/json", `${JSON.stringify(endpoints.status())}\n`];
        case "/metrics":
          if (endpoints.metrics) return [200, "text/plain; version=0.0.4", await endpoints.metrics()];
          return [404, "text/plain", "no metrics here\n"];
        default:
          return [404, "text/plain", "here are /livez, /readyz, /status and /metrics\n"];
      }
    };
    answer().then(
      ([status, type, body]) => response.writeHead(status, { "content-type": type }).end(body),
      (error: unknown) => {
        onError(error);
        response.writeHead(500, { "content-type": "text/plain" }).end(`${String(error)}\n`);
      },
    );
  };
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
  const server = createServer(listener(endpoints, onError));
  server.listen(path);
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
  });
  return server;
}
