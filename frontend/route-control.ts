import type { Ip } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import type { LearnedPath } from "./bgp-speaker.ts";
import type { DesiredState } from "./desired-state.ts";
import type { ExternalInterface } from "./external-interface.ts";
import type { PeerState } from "./peer-state.ts";
import { desiredRoutes, holding, planRoutes, type ReturnRoutes } from "./return-routes.ts";

/** Some routes could not be placed; the others are. */
class RoutesIncompleteError extends Error {
  override readonly name = "RoutesIncompleteError";
}

/** Sessions get this long to come up before routes of an earlier run are taken away. */
const HOLD_MS = 10_000;
/** After this long a session that came up has told its routes. */
const SETTLED_MS = 1_000;

/** Keeps the return table as the routers say, and as it was while there is nobody yet to say anything. */
export class RouteControl {
  readonly #routes: ReturnRoutes;
  readonly #log: Log;
  #holdUntilMs: number | undefined;
  /** What the kernel held after the last pass. */
  #placed = "";
  #repairs = 0;
  /** When each router's session was first seen up since knowledge began anew. */
  readonly #upSinceMs = new Map<Ip, number>();

  constructor(routes: ReturnRoutes, log: Log) {
    this.#routes = routes;
    this.#log = log;
  }

  /** How often routes were put back after somebody else had changed them. */
  get repairs(): number {
    return this.#repairs;
  }

  /** Knowledge begins anew (our own start, a new daemon): what is in the kernel stays while sessions come up. */
  hold(nowMs: number): void {
    this.#holdUntilMs = nowMs + HOLD_MS;
    this.#upSinceMs.clear();
  }

  /** @throws RoutesIncompleteError. Answers after how many milliseconds to look again. */
  async converge(
    desired: DesiredState,
    interfaces: readonly ExternalInterface[],
    states: readonly PeerState[],
    learned: readonly LearnedPath[],
    nowMs: number,
  ): Promise<number | undefined> {
    const present = await this.#routes.list();
    const known = desiredRoutes(desired, interfaces, learned);
    const againMs = this.#holdLeftMs(desired, states, learned, nowMs);
    const fallen = new Set(states.filter(({ state }) => state === "BfdDown").map(({ address }) => address));
    const hasSpoken = (router: Ip): boolean => {
      const upMs = this.#upSinceMs.get(router);
      return upMs !== undefined && (fallen.has(router) || upMs + SETTLED_MS <= nowMs);
    };
    const wanted = againMs === undefined ? known : holding(known, present, hasSpoken);
    const problems: unknown[] = [];
    const changes = planRoutes(wanted, present);
    const placed = JSON.stringify(wanted);
    if (changes.length > 0 && placed === this.#placed) {
      this.#repairs++;
      this.#log.warn({ changes: changes.length }, "return routes were changed by somebody else; repaired");
    }
    this.#placed = "";
    for (const change of changes) {
      try {
        if (change.type === "replace") await this.#routes.replace(change.route);
        else await this.#routes.remove(change.prefix);
        this.#log.info(
          change.type === "replace" ? { ...change.route } : { prefix: change.prefix },
          `${change.type} route`,
        );
      } catch (error) {
        problems.push(error);
      }
    }
    if (problems.length > 0) {
      const text = problems.map((problem) => (problem instanceof Error ? problem.message : String(problem))).join("; ");
      throw new RoutesIncompleteError(text, { cause: problems[0] });
    }
    this.#placed = placed;
    return againMs;
  }

  #holdLeftMs(
    desired: DesiredState,
    states: readonly PeerState[],
    learned: readonly LearnedPath[],
    nowMs: number,
  ): number | undefined {
    const up = states.filter(({ state }) => state === "Established" || state === "Static");
    // Routes may be seen before the state of the session that they came by, which may have ended by then.
    for (const address of [...up.map((state) => state.address), ...learned.map(({ peer }) => peer)]) {
      if (!this.#upSinceMs.has(address)) this.#upSinceMs.set(address, nowMs);
    }
    if (this.#holdUntilMs === undefined) return undefined;
    const dueMs = desired.peers.map((peer) => {
      if (peer.type === "static") return 0;
      const upMs = this.#upSinceMs.get(peer.type === "session" ? peer.session.address : peer.address);
      return upMs === undefined ? Number.POSITIVE_INFINITY : upMs + SETTLED_MS;
    });
    // Without any peer the objects may not be there yet.
    const settledMs = dueMs.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...dueMs);
    const leftMs = Math.min(settledMs, this.#holdUntilMs) - nowMs;
    if (leftMs <= 0) {
      this.#holdUntilMs = undefined;
      return undefined;
    }
    return Math.min(leftMs, ...dueMs.map((ms) => ms - nowMs).filter((ms) => ms > 0));
  }
}
