import { request } from "node:http";

/** The other end did not answer, or not with what was asked; the caller tries again or reports. */
export class UnixHttpError extends Error {
  override name = "UnixHttpError";
}

export interface UnixResponse {
  readonly status: number;
  readonly body: string;
}

const BODY_LIMIT = 16 * 1024 * 1024;

/** One HTTP exchange over a Unix socket. @throws UnixHttpError when nobody answers in time. */
export function unixRequest(
  socketPath: string,
  method: "GET" | "POST",
  path: string,
  timeoutMs: number,
): Promise<UnixResponse> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(new UnixHttpError(`${method} ${path} on ${socketPath}: ${cause.message}`, { cause }));
    const exchange = request(
      { socketPath, method, path, agent: false, signal: AbortSignal.timeout(timeoutMs) },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > BODY_LIMIT) exchange.destroy(new Error(`the answer exceeds ${BODY_LIMIT} bytes`));
          else chunks.push(chunk);
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
        response.on("error", fail);
      },
    );
    exchange.on("error", fail);
    exchange.end();
  });
}
