import { MessagePort } from "node:worker_threads";
import type { Ip } from "../net/ip.ts";
import type { BfdView } from "./bfd-session.ts";

/** A session to have with a neighbour on the link. A difference in any field means a new session. */
export interface BfdConfig {
  readonly neighbour: Ip;
  readonly local: Ip;
  readonly interface: string;
  /** Wanted between packets, both ways. */
  readonly intervalMs: number;
  /** Packets in a row that may be lost, less one. */
  readonly multiplier: number;
}

/** What is known of a session now. */
export interface BfdReport extends BfdView {
  readonly neighbour: Ip;
  /** Why nothing can be sent or received; undefined while it can. */
  readonly problem: string | undefined;
}

/** To the thread. `want` names all sessions there shall be; `stop` ends them and then the thread. */
export type BfdRequest = { readonly type: "want"; readonly sessions: readonly BfdConfig[] } | { readonly type: "stop" };

/** From the thread: sessions of which something is new. */
export interface BfdNews {
  readonly reports: readonly BfdReport[];
  /** When the thread begins: whether it is served before what is not real-time. */
  readonly realTime?: boolean;
}

/** Both ends are this program's; the checks keep a stray message out. */
export function isBfdRequest(message: unknown): message is BfdRequest {
  if (typeof message !== "object" || message === null || !("type" in message)) return false;
  return message.type === "stop" || (message.type === "want" && "sessions" in message);
}

/** What the thread is started with: its end of the channel. */
export interface BfdWorkerData {
  readonly port: MessagePort;
}

export function isBfdWorkerData(data: unknown): data is BfdWorkerData {
  return typeof data === "object" && data !== null && "port" in data && data.port instanceof MessagePort;
}

export function isBfdNews(message: unknown): message is BfdNews {
  return typeof message === "object" && message !== null && "reports" in message;
}
