import { buildParticipantDispose, type GuidPrefix } from "rtps-wire";
import { awayOf, type GroupClaim, type GroupClaims } from "#shared/dds/group-claims.ts";
import type { Participant, ParticipantEvent } from "../domain/participant.ts";
import { Agenda } from "./agenda.ts";
import { assign, type Roster, rosterOf } from "./assignment.ts";
import { ParticipantIndex } from "./participant-index.ts";
import type { ServiceGroup } from "./resolve-groups.ts";

/** What a relay does for its groups. */
export interface GroupRelay {
  /** Tells `hearer` of `announced`, as far as the rule allows it. */
  introduce(announced: Participant, hearer: Participant, nowMs: number): void;
  send(to: Participant, message: Uint8Array): void;
  /** Above all that the participant has sent. */
  nextSn(participant: Participant): bigint;
}

export interface BalancerOptions {
  /** Pod of this relay, as it stands in statuses: of two that disagree, the first by name is right. */
  readonly name: string;
  readonly relay: GroupRelay;
  /**
   * What is to be written of the groups has changed.
   * @param isUrgent somebody was moved: who is to be kept from whom must be known before they meet again.
   */
  readonly onChange: (isUrgent: boolean) => void;
}

export interface GroupsWanted {
  readonly groups: readonly ServiceGroup[];
  /** What other relays have written, by Service. */
  readonly claims: ReadonlyMap<string, GroupClaims>;
  /** What this relay has written in an earlier life, by Service. */
  readonly own: ReadonlyMap<string, GroupClaims>;
  /** How often an introduction is repeated. */
  readonly resends: number;
}

/** A participant that is in no pod of the group. */
export interface GroupClient {
  readonly id: GuidPrefix;
  /** `namespace/name` of a pod; undefined: nobody takes clients. */
  member: string | undefined;
  moves: number;
  /** Pods of the group that it has met, or may have met, and is kept from. */
  readonly away: Set<string>;
  /** Whether it may be introduced yet. */
  isOpen: boolean;
  /** Since when its lease is over. It may live, and its peers know it: what was agreed holds on for a while. */
  goneMs: number | undefined;
}

interface GroupState {
  group: ServiceGroup;
  roster: Roster;
  readonly clients: Map<GuidPrefix, GroupClient>;
  moved: number;
}

/** Of a client and a pod: to be introduced, or to be told that the other has gone. */
interface PairTask {
  readonly kind: "open" | "part";
  readonly state: GroupState;
  readonly client: GroupClient;
  readonly pod: string;
  readonly round: number;
}

/** Whoever runs in the pod may meet more than before. */
interface MeetTask {
  readonly kind: "meet";
  readonly pod: string;
  readonly round: number;
}

type Task = PairTask | MeetTask;

/** By then the member's pod has been told whom it lets in; what was said last on the old way has arrived. */
export const HANDOVER_MS = 250;
/** Peers take each other back from what was under way, and until the member's pod drops what comes. */
const PART_AGAIN_MS = [200, 500, 1_300, 3_000, 5_000] as const;
const OPEN_AGAIN_MS = [250, 1_250, 3_500, 5_000, 10_000] as const;
const RETAIN_MS = 600_000;
/** Of one group, of those whose lease is over. */
const MOST_RETAINED = 1_000;
/** Of one client: from those that it left first it is kept no longer. */
const MOST_AWAY = 32;
const MOST_IN_TURN = 64;
const TURN_MS = 2;

/**
 * Shares participants among the pods of service groups: who may be told of whom, who is moved when a member goes, and who is
 * told that the other has gone. Without sockets, clock or timers.
 */
export class Balancer {
  readonly #name: string;
  readonly #relay: GroupRelay;
  readonly #onChange: (isUrgent: boolean) => void;
  readonly #present = new ParticipantIndex();
  readonly #agenda = new Agenda<Task>();
  #states: readonly GroupState[] = [];
  #memberOf: ReadonlyMap<string, GroupState> = new Map();
  #claims: ReadonlyMap<string, GroupClaims> = new Map();
  #resends = 0;

  constructor({ name, onChange, relay }: BalancerOptions) {
    this.#name = name;
    this.#relay = relay;
    this.#onChange = onChange;
  }

  /** The groups as they are now, with those of their clients that are there or were lately. */
  *states(): Generator<{
    readonly group: ServiceGroup;
    readonly clients: ReadonlyMap<GuidPrefix, Readonly<GroupClient>>;
    readonly moved: number;
  }> {
    yield* this.#states;
  }

  /** The participants of a GUID prefix, of which there is one where nobody forges. */
  participantsOf(id: GuidPrefix): Iterable<Participant> {
    return this.#present.ofPrefix(id);
  }

  /** How many participants run in a pod. */
  participantsIn(pod: string): number {
    return [...this.#present.ofPod(pod)].length;
  }

  /** Who may be told of whom. */
  allows(announced: Participant, hearer: Participant): boolean {
    const [one, other] = [this.#groupOf(announced), this.#groupOf(hearer)];
    if (one === undefined && other === undefined) return true;
    if (one === other) return one?.group.meet === true || announced.pod === hearer.pod;
    const isMember = one !== undefined && !isFirst(one, other);
    const [state, member, client] = isMember ? [one, announced, hearer] : [other, hearer, announced];
    const known = state?.clients.get(client.guidPrefix);
    return known?.isOpen === true && known.member === member.pod;
  }

  /** To be told before others introduce the participant. */
  see(event: ParticipantEvent, nowMs: number): void {
    const { participant } = event;
    if (event.type === "gone") {
      this.#present.remove(participant);
      if (this.#present.hasPrefix(participant.guidPrefix)) return;
      for (const state of this.#states) this.#leave(state, participant.guidPrefix, event.reason, nowMs);
      return;
    }
    const before = this.#present.put(participant);
    for (const state of this.#states) this.#take(state, participant.guidPrefix, nowMs);
    // Others have met it while nobody knew whose it is.
    const state = this.#groupOf(participant);
    if (
      before !== undefined &&
      before.pod !== participant.pod &&
      state !== undefined &&
      participant.pod !== undefined
    ) {
      this.#joined(state, participant.pod, nowMs);
    }
    if (this.#states.length > 0) this.#onChange(false);
  }

  /** Other groups, members or claims. To be called when they change, and once a second. */
  apply({ claims, groups, own, resends }: GroupsWanted, nowMs: number): void {
    const before = this.#memberOf;
    const wereApart = new Set(this.#states.filter(({ group }) => !group.meet));
    this.#claims = claims;
    this.#resends = resends;
    const known = new Map(this.#states.map((state) => [state.group.service, state]));
    this.#states = groups.map((group) => {
      const roster = rosterOf(group.service, group.members);
      const state = known.get(group.service);
      if (state === undefined) return { group, roster, clients: seeds(own.get(group.service), nowMs), moved: 0 };
      state.group = group;
      state.roster = roster;
      return state;
    });
    this.#memberOf = new Map(
      this.#states.flatMap((state) => [...state.group.members.keys()].map((pod) => [pod, state])),
    );
    for (const state of this.#states) {
      prune(state, nowMs);
      for (const id of this.#present.prefixes()) this.#take(state, id, nowMs);
      for (const pod of state.group.members.keys()) {
        // Members of no group or of another one until now: everybody may know them.
        if (before.get(pod) !== state && this.#present.hasPod(pod)) this.#joined(state, pod, nowMs);
      }
    }
    for (const [pod, state] of before) {
      const now = this.#memberOf.get(pod);
      const mayMeetOthers = now === state && state.group.meet && wereApart.has(state);
      // When other pods have been told that they drop nobody's datagrams any more.
      if (now === undefined || mayMeetOthers) this.#agenda.add({ kind: "meet", pod, round: 0 }, nowMs + HANDOVER_MS);
    }
  }

  /** Does what is due. @returns after how many milliseconds to call again; undefined: nothing waits. */
  advance(nowMs: number): number | undefined {
    const due = this.#agenda.due(nowMs, MOST_IN_TURN);
    for (const task of due) {
      if (task.kind === "meet") this.#meet(task, nowMs);
      else if (task.kind === "open") this.#open(task, nowMs);
      else this.#part(task, nowMs);
    }
    return due.length === MOST_IN_TURN ? TURN_MS : this.#agenda.waitMs(nowMs);
  }

  #groupOf({ pod }: Participant): GroupState | undefined {
    return pod === undefined ? undefined : this.#memberOf.get(pod);
  }

  #isClient(participant: Participant, state: GroupState): boolean {
    const own = this.#groupOf(participant);
    return own === undefined || (own !== state && isFirst(own, state));
  }

  #take(state: GroupState, id: GuidPrefix, nowMs: number): void {
    let isClient = false;
    for (const participant of this.#present.ofPrefix(id)) isClient ||= this.#isClient(participant, state);
    if (isClient) this.#settle(state, id, nowMs);
    else state.clients.delete(id);
  }

  #settle(state: GroupState, id: GuidPrefix, nowMs: number): void {
    const { clients, group, roster } = state;
    const known = clients.get(id);
    const others = this.#claims.get(group.service)?.get(id) ?? [];
    const claims = known === undefined ? others : [...others, { ...known, relay: this.#name }];
    const next = assign(id, roster, claims);
    if (known === undefined) {
      this.#welcome(state, id, next, others, nowMs);
      return;
    }
    known.goneMs = undefined;
    known.moves = next.moves;
    if (next.member !== known.member) this.#move(state, known, next.member, nowMs);
  }

  #welcome(
    state: GroupState,
    id: GuidPrefix,
    { member, moves }: ReturnType<typeof assign>,
    others: readonly GroupClaim[],
    nowMs: number,
  ): void {
    const { group } = state;
    const away = new Set([...awayOf(others)].filter((pod) => pod !== member && group.members.has(pod)));
    const client: GroupClient = { id, member, moves, away, isOpen: !group.isolated, goneMs: undefined };
    state.clients.set(id, client);
    if (group.isolated && member !== undefined) this.#openAt(state, client, member, nowMs + HANDOVER_MS);
    this.#onChange(group.isolated);
  }

  #move(state: GroupState, client: GroupClient, to: string | undefined, nowMs: number): void {
    const { group } = state;
    const { away, member: from } = client;
    const isLive = from !== undefined && group.members.has(from);
    client.member = to;
    state.moved++;
    if (isLive) this.#keepAway(state, client, from, nowMs);
    if (to !== undefined) {
      const wasAway = away.delete(to);
      // First the pod that is left, or the one that is entered, has to know.
      const waits = isLive || group.isolated || wasAway;
      client.isOpen = false;
      this.#openAt(state, client, to, waits ? nowMs + HANDOVER_MS : nowMs);
    }
    this.#onChange(true);
  }

  /** They know each other, or may, and are not to meet again. */
  #keepAway(state: GroupState, client: GroupClient, pod: string, nowMs: number): void {
    client.away.add(pod);
    const [oldest] = client.away;
    if (client.away.size > MOST_AWAY && oldest !== undefined) client.away.delete(oldest);
    this.#agenda.add({ kind: "part", state, client, pod, round: 0 }, nowMs);
  }

  #joined(state: GroupState, pod: string, nowMs: number): void {
    for (const client of state.clients.values()) {
      if (client.member !== pod) this.#keepAway(state, client, pod, nowMs);
    }
    this.#onChange(true);
  }

  #leave({ clients }: GroupState, id: GuidPrefix, reason: string, nowMs: number): void {
    const client = clients.get(id);
    if (client === undefined) return;
    if (reason === "lease-expired") client.goneMs = nowMs;
    else clients.delete(id);
    this.#onChange(false);
  }

  #openAt(state: GroupState, client: GroupClient, pod: string, atMs: number): void {
    this.#agenda.add({ kind: "open", state, client, pod, round: 0 }, atMs);
  }

  #open(task: PairTask, nowMs: number): void {
    const { client, pod, state } = task;
    if (state.clients.get(client.id) !== client || client.member !== pod) return;
    client.isOpen = true;
    for (const [theirs, own] of this.#pairs(client, pod)) {
      this.#relay.introduce(own, theirs, nowMs);
      this.#relay.introduce(theirs, own, nowMs);
    }
    this.#again(task, nowMs);
  }

  #meet(task: MeetTask, nowMs: number): void {
    for (const own of this.#present.ofPod(task.pod)) {
      for (const other of this.#present.all()) {
        if (!isSameDomain(own, other)) continue;
        this.#relay.introduce(own, other, nowMs);
        this.#relay.introduce(other, own, nowMs);
      }
    }
    this.#again(task, nowMs);
  }

  #again(task: Task, nowMs: number): void {
    const againMs = OPEN_AGAIN_MS[task.round];
    if (againMs === undefined || task.round >= this.#resends) return;
    this.#agenda.add({ ...task, round: task.round + 1 }, nowMs + againMs);
  }

  #part(task: PairTask, nowMs: number): void {
    const { client, pod, round, state } = task;
    if (state.clients.get(client.id) !== client || !client.away.has(pod)) return;
    for (const [theirs, own] of this.#pairs(client, pod)) {
      this.#relay.send(own, buildParticipantDispose(theirs.header, this.#relay.nextSn(theirs)));
      this.#relay.send(theirs, buildParticipantDispose(own.header, this.#relay.nextSn(own)));
    }
    const againMs = PART_AGAIN_MS[round];
    if (againMs !== undefined) this.#agenda.add({ ...task, round: round + 1 }, nowMs + againMs);
  }

  /** The participants of a client and of a pod that could meet: of one domain and tag. */
  *#pairs({ id }: GroupClient, pod: string): Generator<readonly [theirs: Participant, own: Participant]> {
    for (const theirs of this.#present.ofPrefix(id)) {
      if (theirs.pod === pod) continue;
      for (const own of this.#present.ofPod(pod)) {
        if (isSameDomain(own, theirs)) yield [theirs, own];
      }
    }
  }
}

function isSameDomain(one: Participant, other: Participant): boolean {
  return one.domainId === other.domainId && one.domainTag === other.domainTag;
}

/** Of two groups the members of the first are clients of the other. */
function isFirst(one: GroupState, other: GroupState | undefined): boolean {
  return other !== undefined && one.group.index < other.group.index;
}

/** Those that this relay has assigned in an earlier life. */
function seeds(claims: GroupClaims | undefined, nowMs: number): Map<GuidPrefix, GroupClient> {
  const clients = new Map<GuidPrefix, GroupClient>();
  for (const [id, [claim]] of claims ?? []) {
    if (claim === undefined) continue;
    const { away, member, moves } = claim;
    clients.set(id, { id, member, moves, away: new Set(away), isOpen: true, goneMs: nowMs });
  }
  return clients;
}

/** Forgets who has been away for long, the longest first where there are too many, and pods that are gone. */
function prune({ clients, group }: GroupState, nowMs: number): void {
  const retained: GroupClient[] = [];
  for (const client of clients.values()) {
    for (const pod of client.away) if (!group.members.has(pod)) client.away.delete(pod);
    if (client.goneMs === undefined) continue;
    if (nowMs - client.goneMs > RETAIN_MS) clients.delete(client.id);
    else retained.push(client);
  }
  if (retained.length <= MOST_RETAINED) return;
  retained.sort((a, b) => (a.goneMs ?? 0) - (b.goneMs ?? 0));
  for (const { id } of retained.slice(0, retained.length - MOST_RETAINED)) clients.delete(id);
}
