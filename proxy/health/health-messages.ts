import { MessagePort } from "node:worker_threads";
import type { WantedProbe } from "./probe-spec.ts";
import type { ProberNews } from "./prober.ts";

/** To the thread. `want` names all probes there shall be; `stop` ends it. */
export type HealthRequest =
  | { readonly type: "want"; readonly probes: readonly WantedProbe[] }
  | { readonly type: "stop" };

/** Both ends are this program's; the checks keep a stray message out. */
export function isHealthRequest(message: unknown): message is HealthRequest {
  if (typeof message !== "object" || message === null || !("type" in message)) return false;
  return message.type === "stop" || (message.type === "want" && "probes" in message);
}

export function isProberNews(message: unknown): message is ProberNews {
  return typeof message === "object" && message !== null && "reports" in message && "partitioned" in message;
}

/** What the thread is started with: its end of the channel. */
export interface HealthWorkerData {
  readonly port: MessagePort;
}

export function isHealthWorkerData(data: unknown): data is HealthWorkerData {
  return typeof data === "object" && data !== null && "port" in data && data.port instanceof MessagePort;
}
