import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "./backoff.ts";
import type { Dialect } from "./dialect.ts";
import { DaemonUnreachableError } from "./errors.ts";
import type { CallOptions } from "./grpc-channel.ts";
import type { Family } from "./ip.ts";
import type { Path } from "./path.ts";
import type { PeerSession } from "./peer.ts";

/** The daemon is away; what was told before may no longer hold. Once per outage; a snapshot follows it. */
export interface Disconnected {
  readonly type: "disconnected";
  readonly error: DaemonUnreachableError;
}

export type PeerEvent =
  | { readonly type: "snapshot"; readonly sessions: readonly PeerSession[] }
  | { readonly type: "session"; readonly session: PeerSession }
  | Disconnected;

/** The best paths of a prefix: one, or with `useMultiplePaths` all equally good ones; none once it is withdrawn. */
export interface Route {
  readonly family: Family;
  readonly prefix: string;
  readonly paths: readonly Path[];
}

export type RouteEvent =
  | { readonly type: "snapshot"; readonly routes: readonly Route[] }
  | { readonly type: "route"; readonly route: Route }
  | Disconnected;

/** What a watch needs from its client. */
export interface WatchContext {
  readonly dialect: Dialect;
  readonly translate: (error: unknown) => Error;
  readonly signal: AbortSignal;
  readonly callTimeoutMs: number;
  /** How often a silent daemon is asked whether it is alive. */
  readonly livenessIntervalMs: number;
  readonly random: () => number;
}

export function watchPeerEvents(context: WatchContext): AsyncGenerator<PeerEvent, void, undefined> {
  return reconnecting(context, async function* (signal) {
    let sessions: PeerSession[] | undefined = [];
    for await (const message of context.dialect.watch("peers", { signal })) {
      if (message.kind === "peer-init") sessions?.push(message.session);
      else if (message.kind === "peer-init-end" && sessions) {
        yield { type: "snapshot", sessions };
        sessions = undefined;
      } else if (message.kind === "peer-state") yield { type: "session", session: message.session };
    }
  });
}

export function watchRouteEvents(context: WatchContext): AsyncGenerator<RouteEvent, void, undefined> {
  return reconnecting(context, async function* (signal) {
    // A started speaker sends all its best paths as the first message, one that is not started sends nothing.
    const started = await context.dialect.getBgp({ signal, timeoutMs: context.callTimeoutMs });
    let snapshotDue = started !== undefined;
    if (!snapshotDue) yield { type: "snapshot", routes: [] };
    for await (const message of context.dialect.watch("best-paths", { signal })) {
      if (message.kind !== "paths") continue;
      const routes = groupByPrefix(message.paths);
      if (snapshotDue) yield { type: "snapshot", routes };
      else for (const route of routes) yield { type: "route", route };
      snapshotDue = false;
    }
  });
}

/** Paths of one message by prefix, in order of first appearance; a prefix with nothing but withdrawals has none. */
function groupByPrefix(paths: readonly { readonly path: Path; readonly withdrawn: boolean }[]): Route[] {
  const routes = new Map<string, { family: Family; prefix: string; paths: Path[] }>();
  for (const { path, withdrawn } of paths) {
    const route = routes.get(path.prefix) ?? { family: path.family, prefix: path.prefix, paths: [] };
    routes.set(path.prefix, route);
    if (!withdrawn) route.paths.push({ ...path, best: true });
  }
  return [...routes.values()];
}

/** Runs `attempt` again whenever the daemon goes away, until the signal; then it returns. Other errors are thrown. */
async function* reconnecting<E>(
  context: WatchContext,
  attempt: (signal: AbortSignal) => AsyncIterable<E>,
): AsyncGenerator<E | Disconnected, void, undefined> {
  const { signal } = context;
  let failures = 0;
  while (!signal.aborted) {
    const ended = new AbortController();
    const attemptSignal = AbortSignal.any([signal, ended.signal]);
    const alive = probe(context, attemptSignal, (error) => ended.abort(error));
    let failure: unknown;
    try {
      for await (const event of attempt(attemptSignal)) {
        failures = 0;
        yield event;
      }
    } catch (error) {
      failure = error;
    } finally {
      ended.abort();
      await alive;
    }
    if (signal.aborted) return;
    const error = context.translate(failure);
    if (!(error instanceof DaemonUnreachableError)) throw error;
    failures += 1;
    if (failures === 1) yield { type: "disconnected", error };
    // Rejects only when aborted, which the loop's condition then sees.
    await sleep(backoffMs(failures, context.random), undefined, { signal }).catch(() => undefined);
  }
}

/** A frozen daemon keeps its connection and says nothing, so it is asked from time to time. */
async function probe(context: WatchContext, signal: AbortSignal, dead: (error: unknown) => void): Promise<void> {
  const options: CallOptions = { signal, timeoutMs: context.callTimeoutMs };
  try {
    for (;;) {
      await sleep(context.livenessIntervalMs, undefined, { signal });
      await context.dialect.getBgp(options);
    }
  } catch (error) {
    // When the attempt itself has ended, there is nobody to tell.
    if (!signal.aborted) dead(error);
  }
}
