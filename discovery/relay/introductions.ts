import { buildParticipantDispose } from "rtps-wire";
import type { Participant, ParticipantEvent } from "../domain/participant.ts";
import { Outbox } from "./outbox.ts";

export interface IntroductionOptions {
  /** How often each message is sent again, for what is lost. */
  readonly resends: number;
  /** After so long everybody is introduced to everybody again. */
  readonly refreshMs: number;
}

export interface IntroductionsEdge {
  readonly send: (to: Participant, message: Uint8Array) => void;
  /** To every sister. */
  readonly sendToSisters: (about: Participant, message: Uint8Array) => void;
  /** Evenly from [0, 1). */
  readonly random: () => number;
}

/** Whether `hearer` may be told of `announced`; all may when there is none. */
export type IntroductionRule = (announced: Participant, hearer: Participant) => boolean;

interface Known {
  participant: Participant;
  /** As it is when it is sent; none when the participant has gone, or it has been decided otherwise. */
  readonly announcement: (to: Known) => Uint8Array | undefined;
  /** By age: of two that came together, the younger one's resends serve both. */
  order: number;
  isHere: boolean;
  refreshAtMs: number;
  toldSistersMs: number;
}

/** Something to be sent again. */
interface Resend {
  readonly atMs: number;
  readonly known: Known;
  readonly round: number;
  /** Undefined: both ways with all that were there before. Else: this, to all. */
  readonly farewell: Uint8Array | undefined;
}

/** After the first time, for what was lost; the longer the wait, the less it is a burst that took it. */
const RESEND_MS = [250, 1_500, 5_000, 10_000, 20_000] as const;
/** After a dispose, peers take the participant back from announcements that were on the way. */
const FAREWELL_MS = [200, 700, 2_000, 5_000, 10_000] as const;
const MOST_WAITING = 200_000;
/** While so many wait, nothing is sent again. */
const BUSY = 1_000;
const BUSY_MS = 50;
/** Sisters are told that a participant is still there thrice in its lease, but not more often than this. */
const SISTER_MS = 1_000;
const DEFAULT_LEASE_S = 100;
const LONGEST_WAIT_MS = 60_000;

const groupOf = ({ domainId, domainTag }: Participant): string => `${domainId} ${domainTag}`;

/**
 * Introduces participants to each other: announcements as they came, of those that are new or have changed, to all of the
 * same domain and tag; those of all others to the newcomer. Time and randomness are handed in.
 */
export class Introductions {
  readonly #edge: IntroductionsEdge;
  readonly #outbox = new Outbox<Known>(MOST_WAITING);
  readonly #known = new Map<string, Known>();
  readonly #groups = new Map<string, Set<Known>>();
  #resends: Resend[] = [];
  /** Nothing is due before. */
  #dueMs = Number.POSITIVE_INFINITY;
  #options: IntroductionOptions;
  #rule: IntroductionRule = () => true;
  #order = 0;

  constructor(options: IntroductionOptions, edge: IntroductionsEdge) {
    this.#options = options;
    this.#edge = edge;
  }

  get dropped(): number {
    return this.#outbox.dropped;
  }

  configure(options: IntroductionOptions): void {
    this.#options = options;
  }

  /** From now on; who was introduced before stays so. */
  restrict(rule: IntroductionRule): void {
    this.#rule = rule;
  }

  tell(event: ParticipantEvent, nowMs: number): void {
    if (event.type === "gone") this.#gone(event, nowMs);
    else this.#here(event.participant, nowMs);
  }

  /** A participant has said the same again. */
  renewed({ key, data, heardFrom }: Participant, nowMs: number): void {
    const known = this.#known.get(key);
    if (known === undefined || heardFrom === "sister") return;
    const everyMs = Math.max(SISTER_MS, ((data.leaseDuration?.seconds ?? DEFAULT_LEASE_S) * 1000) / 3);
    if (nowMs - known.toldSistersMs >= Math.min(everyMs, this.#options.refreshMs)) this.#tellSisters(known, nowMs);
  }

  /** Tells `hearer` of `announced`, as far as the rule allows it. */
  introduce(announced: Participant, hearer: Participant, nowMs: number): void {
    const [about, to] = [this.#known.get(announced.key), this.#known.get(hearer.key)];
    if (about !== undefined && to !== undefined) this.#queue(about, to, nowMs);
  }

  /** Does what is due. @returns after how many milliseconds to call again. */
  advance(nowMs: number): number {
    if (nowMs >= this.#dueMs) this.#doDue(nowMs);
    const waitMs = this.#outbox.drain(nowMs, ({ participant }, message) => this.#edge.send(participant, message));
    return Math.max(0, Math.min(this.#dueMs - nowMs, waitMs ?? LONGEST_WAIT_MS));
  }

  #doDue(nowMs: number): void {
    if (this.#outbox.waiting > BUSY) {
      // What is said for the first time goes first.
      this.#dueMs = nowMs + BUSY_MS;
      return;
    }
    const due = this.#resends.filter(({ atMs }) => atMs <= nowMs);
    this.#resends = this.#resends.filter(({ atMs }) => atMs > nowMs);
    for (const resend of due) this.#resend(resend, nowMs);
    for (const known of this.#known.values()) if (known.refreshAtMs <= nowMs) this.#refresh(known, nowMs);
    this.#dueMs = Number.POSITIVE_INFINITY;
    for (const { refreshAtMs } of this.#known.values()) this.#due(refreshAtMs);
    for (const { atMs } of this.#resends) this.#due(atMs);
  }

  #due(atMs: number): void {
    this.#dueMs = Math.min(this.#dueMs, atMs);
  }

  #here(participant: Participant, nowMs: number): void {
    const before = this.#known.get(participant.key);
    if (before !== undefined && isSameToPeers(before.participant, participant)) {
      before.participant = participant;
      return;
    }
    // What it has not changed its place for, it has heard before.
    const isElsewhere = before === undefined || placesOf(before.participant) !== placesOf(participant);
    if (before !== undefined) this.#resends = this.#resends.filter(({ known }) => known !== before);
    const known = before ?? this.#newlyKnown(participant, nowMs + this.#refreshMs());
    known.participant = participant;
    known.order = ++this.#order;
    this.#known.set(participant.key, known);
    this.#due(known.refreshAtMs);
    const group = this.#groups.get(groupOf(participant)) ?? new Set();
    this.#groups.set(groupOf(participant), group.add(known));
    this.#tellSisters(known, nowMs);
    for (const other of group) {
      // Those of a sister have it from there; should that have ended, from our resends.
      if (other.participant.heardFrom === "participant") this.#queue(known, other, nowMs);
      if (isElsewhere && participant.heardFrom === "participant") this.#queue(other, known, nowMs);
    }
    this.#again(known, 0, undefined, nowMs);
  }

  #gone({ participant, reason, message }: Extract<ParticipantEvent, { type: "gone" }>, nowMs: number): void {
    const known = this.#known.get(participant.key);
    if (known === undefined) return;
    known.isHere = false;
    known.participant = participant;
    this.#known.delete(participant.key);
    const group = this.#groups.get(groupOf(participant));
    group?.delete(known);
    if (group?.size === 0) this.#groups.delete(groupOf(participant));
    this.#outbox.forget(known);
    // Peers have their own leases, and may well hear it when we do not.
    if (reason === "lease-expired" || reason === "not-served") return;
    const farewell = message ?? buildParticipantDispose(participant.header, participant.writerSn + 1n);
    this.#part(known, farewell, nowMs);
    this.#again(known, 0, farewell, nowMs);
  }

  #part(known: Known, farewell: Uint8Array, nowMs: number): void {
    if (known.participant.heardFrom === "participant") this.#edge.sendToSisters(known.participant, farewell);
    const stillGone = (): Uint8Array | undefined => (this.#known.has(known.participant.key) ? undefined : farewell);
    for (const other of this.#groups.get(groupOf(known.participant)) ?? []) {
      this.#outbox.add(other, stillGone, nowMs);
    }
  }

  #again(known: Known, round: number, farewell: Uint8Array | undefined, nowMs: number): void {
    const waitMs = (farewell === undefined ? RESEND_MS : FAREWELL_MS)[round];
    if (round >= this.#options.resends || waitMs === undefined) return;
    // Spread, so that those who came together do not come together again.
    const atMs = nowMs + waitMs * (0.8 + 0.4 * this.#edge.random());
    this.#resends.push({ atMs, known, round: round + 1, farewell });
    this.#due(atMs);
  }

  #resend({ known, round, farewell }: Resend, nowMs: number): void {
    const isBack = this.#known.has(known.participant.key);
    if (farewell !== undefined) {
      if (isBack) return;
      this.#part(known, farewell, nowMs);
    } else {
      if (!known.isHere) return;
      this.#tellSisters(known, nowMs);
      for (const other of this.#groups.get(groupOf(known.participant)) ?? []) {
        if (other.order >= known.order) continue;
        this.#queue(known, other, nowMs);
        this.#queue(other, known, nowMs);
      }
    }
    this.#again(known, round, farewell, nowMs);
  }

  #refresh(known: Known, nowMs: number): void {
    known.refreshAtMs = nowMs + this.#refreshMs();
    this.#tellSisters(known, nowMs);
    for (const other of this.#groups.get(groupOf(known.participant)) ?? []) this.#queue(known, other, nowMs);
  }

  #refreshMs(): number {
    return this.#options.refreshMs * (0.8 + 0.4 * this.#edge.random());
  }

  #tellSisters(known: Known, nowMs: number): void {
    // What a sister has said is never said to a sister.
    if (known.participant.heardFrom === "sister") return;
    known.toldSistersMs = nowMs;
    this.#edge.sendToSisters(known.participant, known.participant.announcement);
  }

  #queue(about: Known, to: Known, nowMs: number): void {
    if (about === to || to.participant.endpoints.length === 0) return;
    if (!this.#rule(about.participant, to.participant)) return;
    this.#outbox.add(to, about.announcement, nowMs);
  }

  #newlyKnown(participant: Participant, refreshAtMs: number): Known {
    const mayHear = (to: Known): boolean => known.isHere && this.#rule(known.participant, to.participant);
    const known: Known = {
      participant,
      announcement: (to) => (mayHear(to) ? known.participant.announcement : undefined),
      order: 0,
      isHere: true,
      refreshAtMs,
      toldSistersMs: Number.NEGATIVE_INFINITY,
    };
    return known;
  }
}

function placesOf({ endpoints }: Participant): string {
  return endpoints.map(({ address, port }) => `${address} ${port}`).join();
}

/** Whether peers have no need to be told: only what we know of it is new. */
function isSameToPeers(a: Participant, b: Participant): boolean {
  return Buffer.compare(a.announcement, b.announcement) === 0 && placesOf(a) === placesOf(b);
}
