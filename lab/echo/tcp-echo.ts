import { createServer, type Server, type Socket } from "node:net";
import type { Clients } from "./clients.ts";
import { echoReply, LineSplitter } from "./echo-reply.ts";

const CONNECTION_LIMIT = 20_000;
/** Long enough for clients that hold connections open for hours; short enough that forgotten ones go. */
const IDLE_LIMIT_MS = 2 * 60 * 60 * 1000;
/** A client that does not read is not answered any more once this much waits for it. */
const UNREAD_LIMIT_BYTES = 4 * 1024 * 1024;

/** Answers each line on each connection. Dual stack; the kernel answers from the address that was called. */
export async function tcpEcho(name: string, port: number, clients: Clients): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    clients.opened();
    socket.once("close", () => clients.closed());
    serve(name, socket);
  });
  server.maxConnections = CONNECTION_LIMIT;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host: "::", backlog: 4096 }, resolve);
  });
  return server;
}

function serve(name: string, socket: Socket): void {
  const lines = new LineSplitter();
  socket.setTimeout(IDLE_LIMIT_MS, () => socket.destroy());
  // The peer's resets are the peer's to report.
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    const complete = lines.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk));
    if (complete === undefined || socket.writableLength > UNREAD_LIMIT_BYTES) return socket.destroy();
    for (const line of complete) socket.write(echoReply(name, line));
  });
  socket.on("end", () => {
    if (lines.rest.length > 0) socket.write(echoReply(name, lines.rest));
    socket.end();
  });
}
