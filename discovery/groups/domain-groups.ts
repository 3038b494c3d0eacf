import { isDeepStrictEqual } from "node:util";
import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import { type GroupClaims, groupClaims } from "#shared/dds/group-claims.ts";
import type { GroupAnswerClient, GroupAnswerGroup, GroupsAnswerDomain } from "#shared/dds/groups.ts";
import type { Log } from "#shared/process/log.ts";
import type { ObjectView } from "#shared/store/object-store.ts";
import type { DomainRuntime } from "../domain/domain-runtime.ts";
import type { Participant } from "../domain/participant.ts";
import type { GroupClient } from "./balancer.ts";
import { resolveGroups } from "./resolve-groups.ts";

export interface DomainGroupsOptions {
  readonly domain: DomainRuntime;
  readonly view: ObjectView;
  /** Pod of this relay. */
  readonly relayName: string;
  readonly log: Log;
}

/** Addresses of one client that are told of. */
const MOST_ADDRESSES = 8;

/** The service groups of one DiscoveryDomain: what the objects say of them goes to its runtime. */
export class DomainGroups {
  readonly #options: DomainGroupsOptions;
  /** What this relay has written before it began: read once, for it will write over it. */
  readonly #own: ReadonlyMap<string, GroupClaims>;
  #problems: readonly string[] = [];

  constructor(options: DomainGroupsOptions) {
    this.#options = options;
    this.#own = this.#claims((relay) => relay === options.relayName);
    this.apply();
  }

  /** What is wrong with groups, each with the field and what to do. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** To be called when objects have changed, and once a second. */
  apply(): void {
    const { domain, log, relayName, view } = this.#options;
    const { groups, problems } = resolveGroups(domain.object, view);
    if (!isDeepStrictEqual(problems, this.#problems)) {
      for (const problem of problems) if (!this.#problems.includes(problem)) log.warn({ domain: domain.name }, problem);
      this.#problems = problems;
    }
    const { resends } = domain.object.spec;
    domain.balance({ groups, claims: this.#claims((relay) => relay !== relayName), own: this.#own, resends });
  }

  answer(): GroupsAnswerDomain {
    const { domain } = this.#options;
    const { namespace } = domain.object.metadata;
    const groups = [...domain.groups.states()].map(
      ({ clients, group, moved }): GroupAnswerGroup => ({
        service: `${namespace}/${group.service}`,
        meet: group.meet,
        isolated: group.isolated,
        members: [...group.members.values()].map(({ addresses, pod, state, weight }) => ({
          pod,
          state,
          weight,
          addresses: [...addresses],
          participants: domain.groups.participantsIn(pod),
        })),
        clients: [...clients.values()]
          .map((client) => this.#client(client))
          .sort((a, b) => (a.participant < b.participant ? -1 : 1)),
        moved,
      }),
    );
    return { discoveryDomain: domain.name, groups, problems: [...this.#problems] };
  }

  #client({ away, goneMs, id, member, moves }: Readonly<GroupClient>): GroupAnswerClient {
    const participants = [...this.#options.domain.groups.participantsOf(id)];
    const [first] = participants;
    return {
      participant: id,
      ...(first?.data.entityName === undefined ? {} : { name: first.data.entityName }),
      ...(first?.pod === undefined ? {} : { pod: first.pod }),
      addresses: [...new Set(participants.flatMap(addressesOf))].slice(0, MOST_ADDRESSES),
      ...(member === undefined ? {} : { member }),
      moves,
      away: [...away].sort(),
      gone: goneMs !== undefined,
    };
  }

  #claims(isWanted: (relay: string) => boolean): ReadonlyMap<string, GroupClaims> {
    const { object } = this.#options.domain;
    const instances = (object.status?.instances ?? []).filter(({ name }) => isWanted(name));
    const status: DiscoveryDomain["status"] = { conditions: [], instances };
    return new Map(
      object.spec.serviceGroups.map(({ service }) => [service, groupClaims({ ...object, status }, service)]),
    );
  }
}

/** Where a participant's datagrams may come from: where it has sent from, and what it says that it is reached at. */
function addressesOf({ data, endpoints, source }: Participant): readonly string[] {
  const locators = [...data.metatrafficUnicast, ...data.defaultUnicast];
  return [
    source,
    ...endpoints.map(({ address }) => address.replace(/%.*/, "")),
    ...locators.flatMap((locator) => (locator.kind === "other" ? [] : [locator.address])),
  ];
}
