import { createServer, type Server, type ServerResponse } from "node:http";
import { LabError } from "../lab-error.ts";
import type { Lab } from "./lab.ts";

/**
 * The supervisor's control socket: GET /status, POST /nodes/NODE[/PROCESS]/stop|start, POST /nodes/NODE/freeze|thaw,
 * POST /nodes/NODE/INTERFACE/cut|mend, POST /nodes/NODE/SECONDS/drain, POST /down. Only who may write in the lab's folder can reach it.
 */
export async function serveControl(socketPath: string, lab: Lab, down: () => void): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    handle(request.method ?? "", request.url ?? "", lab, down, response).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      reply(response, error instanceof LabError ? 400 : 500, "text/plain", `${message}\n`);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return server;
}

async function handle(
  method: string,
  url: string,
  lab: Lab,
  down: () => void,
  response: ServerResponse,
): Promise<void> {
  const path = url.split("/").slice(1).map(decodeURIComponent);
  const [first, node, second, third] = path;
  const [process, action] = third === undefined ? [undefined, second] : [second, third];
  if (method === "GET" && first === "status" && path.length === 1) {
    return reply(response, 200, "application/json", JSON.stringify(await lab.status()));
  }
  if (method === "POST" && first === "down" && path.length === 1) {
    reply(response, 200, "text/plain", "stopping\n");
    return down();
  }
  if (method === "POST" && first === "nodes" && node !== undefined && path.length <= 4) {
    const act = nodeAction(lab, node, process, action);
    if (act !== undefined) {
      await act();
      return reply(response, 200, "text/plain", "done\n");
    }
  }
  reply(response, 404, "text/plain", `no such request: ${method} ${url}\n`);
}

/** What a request does to a node; `part` is a process, an interface or a time. Undefined when there is no such request. */
function nodeAction(
  lab: Lab,
  node: string,
  part: string | undefined,
  action: string | undefined,
): (() => Promise<void> | void) | undefined {
  switch (action) {
    case "stop":
      return () => lab.stopNode(node, part);
    case "start":
      return () => lab.startNode(node, part);
    case "freeze":
    case "thaw":
      return part === undefined ? () => lab.freezeNode(node, action === "freeze") : undefined;
    case "cut":
    case "mend":
      return part === undefined ? undefined : () => lab.cutLink(node, part, action === "cut");
    case "drain":
      return part === undefined ? undefined : () => lab.drainNode(node, Number(part));
    default:
      return undefined;
  }
}

function reply(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type, connection: "close" });
  response.end(body);
}
