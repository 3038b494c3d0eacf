import type { Cidr, Ip } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import type { BgpSpeaker, LearnedPath, SessionReport } from "./bgp-speaker.ts";
import type { DesiredState } from "./desired-state.ts";
import type { SpeakerView } from "./peer-state.ts";
import {
  afterChange,
  EMPTY_SPEAKER,
  idleTooLong,
  planSpeaker,
  type SpeakerChange,
  type SpeakerState,
} from "./speaker-plan.ts";

/** BGP could not be started on this daemon: half-open sockets may remain, so the daemon has to be replaced. */
export class SpeakerStartError extends Error {
  override readonly name = "SpeakerStartError";
}

/** Some changes were refused; the others are in force. */
class SpeakerIncompleteError extends Error {
  override readonly name = "SpeakerIncompleteError";
}

/** One run of the daemon: what it has been told, and what it reports. */
export class SpeakerControl {
  readonly speaker: BgpSpeaker;
  readonly #log: Log;
  #told: SpeakerState = EMPTY_SPEAKER;
  #sessions: readonly SessionReport[] = [];
  #learned: readonly LearnedPath[] = [];
  readonly #sessionRefusals = new Map<Ip, string>();
  readonly #idleSinceMs = new Map<Ip, number>();
  readonly #restarted: boolean;
  /** Routers with which a session has been up in this run. */
  readonly #met = new Set<Ip>();

  /** @param restarted whether the kernel forwards for VIPs that an earlier run announced: routers may still have them. */
  constructor(speaker: BgpSpeaker, restarted: boolean, log: Log) {
    this.speaker = speaker;
    this.#restarted = restarted;
    this.#log = log;
  }

  /**
   * Makes the daemon do what is wanted. A change that is refused does not keep the others back.
   * @throws SpeakerStartError, or SpeakerIncompleteError when there is something left to do.
   */
  async converge(desired: DesiredState): Promise<void> {
    for (const address of this.#sessionRefusals.keys()) {
      if (!desired.peers.some((peer) => peer.type === "session" && peer.session.address === address)) {
        this.#sessionRefusals.delete(address);
      }
    }
    const problems: unknown[] = [];
    for (const batch of batches(planSpeaker(desired, this.#told))) {
      const outcomes = await Promise.allSettled(batch.map((change) => this.#make(change)));
      for (const outcome of outcomes) if (outcome.status === "rejected") problems.push(outcome.reason);
      // Without BGP or its policies nothing that follows is safe.
      if (problems.length > 0 && batch.some((change) => change.type === "start" || change.type === "set-policies"))
        break;
    }
    const start = problems.find((problem) => problem instanceof SpeakerStartError);
    if (start !== undefined) throw start;
    if (problems.length > 0) {
      throw new SpeakerIncompleteError(problems.map((p) => (p instanceof Error ? p.message : String(p))).join("; "), {
        cause: problems[0],
      });
    }
  }

  /** Reads sessions and learned routes again. */
  async observe(nowMs: number): Promise<void> {
    if (this.#told.global === undefined) return;
    [this.#sessions, this.#learned] = await Promise.all([this.speaker.sessions(), this.speaker.learned()]);
    for (const { address, phase } of this.#sessions) if (phase === "Established") this.#met.add(address);
    const idle = new Set(this.#sessions.filter((s) => s.phase === "Idle").map((s) => s.address));
    for (const address of this.#idleSinceMs.keys()) if (!idle.has(address)) this.#idleSinceMs.delete(address);
    for (const address of idle) if (!this.#idleSinceMs.has(address)) this.#idleSinceMs.set(address, nowMs);
  }

  /** Routers that restart, and whose routes the daemon keeps meanwhile (RFC 4724, section 4.2). */
  restarting(): readonly Ip[] {
    const isKept = (address: Ip): boolean =>
      this.#told.sessions.get(address)?.restartSeconds !== undefined &&
      this.#learned.some(({ peer }) => peer === address);
    const down = this.#sessions.filter(({ phase }) => phase !== "Established").map(({ address }) => address);
    return down.filter(isKept);
  }

  /** Begins sessions anew that the daemon leaves idle. */
  async revive(nowMs: number): Promise<void> {
    const keeping = new Set(this.restarting());
    for (const session of idleTooLong(this.#told, this.#idleSinceMs, keeping, nowMs)) {
      this.#idleSinceMs.delete(session.address);
      await this.#make({ type: "remove-session", address: session.address });
      await this.#make({ type: "add-session", session });
    }
  }

  /** Takes every VIP back. */
  async withdrawAll(): Promise<void> {
    const nothing: DesiredState = { peers: [], paths: [], readyFamilies: [], global: undefined };
    const withdrawals = planSpeaker(nothing, this.#told).filter((change) => change.type === "withdraw");
    await Promise.all(withdrawals.map((change) => this.#make(change)));
  }

  view(): SpeakerView {
    return {
      down: undefined,
      sessions: this.#sessions,
      refusals: new Map(this.#sessionRefusals),
    };
  }

  learned(): readonly LearnedPath[] {
    return this.#learned;
  }

  announced(): readonly Cidr[] {
    return [...this.#told.paths.keys()].toSorted();
  }

  async #make(change: SpeakerChange): Promise<void> {
    await this.#call(change);
    this.#told = afterChange(this.#told, change);
    this.#log.info(describe(change), change.type);
  }

  async #call(change: SpeakerChange): Promise<void> {
    switch (change.type) {
      case "start":
        try {
          return await this.speaker.start(change.global);
        } catch (cause) {
          const reason = cause instanceof Error ? cause.message : String(cause);
          throw new SpeakerStartError(`cannot start BGP: ${reason}`, { cause });
        }
      case "withdraw":
        return this.speaker.withdraw(change.prefix);
      case "announce":
        return this.speaker.announce(change.path);
      case "remove-session":
        return this.speaker.removeSession(change.address);
      case "set-policies":
        return this.speaker.setPolicies(change.policies);
      case "add-session":
        try {
          // A call whose answer was lost may have left the session behind.
          await this.speaker.removeSession(change.session.address);
          await this.speaker.addSession(change.session, this.#restarted && !this.#met.has(change.session.address));
          this.#sessionRefusals.delete(change.session.address);
          return;
        } catch (cause) {
          this.#sessionRefusals.set(change.session.address, cause instanceof Error ? cause.message : String(cause));
          throw cause;
        }
    }
  }
}

/** Neighbours of one type in the plan do not depend on each other: they are made at once. */
function* batches(changes: readonly SpeakerChange[]): Generator<SpeakerChange[]> {
  let batch: SpeakerChange[] = [];
  for (const change of changes) {
    if (batch[0] !== undefined && batch[0].type !== change.type) {
      yield batch;
      batch = [];
    }
    batch.push(change);
  }
  if (batch.length > 0) yield batch;
}

/** What a log line says of a change: never a password. */
function describe(change: SpeakerChange): Record<string, unknown> {
  switch (change.type) {
    case "start":
      return { ...change.global };
    case "withdraw":
      return { prefix: change.prefix };
    case "announce":
      return { prefix: change.path.prefix, nextHop: change.path.nextHop ?? "self" };
    case "remove-session":
      return { peer: change.address };
    case "set-policies":
      return { peers: [...change.policies.keys()] };
    case "add-session":
      return { peer: change.session.address, asn: change.session.asn, localAsn: change.session.localAsn };
  }
}
